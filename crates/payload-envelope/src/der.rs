//! The DER of 32-byte keys: a fixed prefix (RFC 8410), then the key.

use zeroize::Zeroizing;
use zmon_domain::secret::SecretBytes;

const X25519_PRIVATE: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20";
const ED25519_PRIVATE: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const X25519_PUBLIC: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00";

/// PKCS#8 of an X25519 private key.
pub(crate) fn x25519_private(key: &SecretBytes<32>) -> Zeroizing<[u8; 48]> {
    private(&X25519_PRIVATE, key)
}

/// PKCS#8 of an Ed25519 private key (its 32-byte seed).
pub(crate) fn ed25519_private(seed: &SecretBytes<32>) -> Zeroizing<[u8; 48]> {
    private(&ED25519_PRIVATE, seed)
}

/// `SubjectPublicKeyInfo` of an X25519 public key.
pub(crate) fn x25519_public(key: &[u8; 32]) -> [u8; 44] {
    let mut der = [0; 44];
    der[..12].copy_from_slice(&X25519_PUBLIC);
    der[12..].copy_from_slice(key);
    der
}

fn private(prefix: &[u8; 16], key: &SecretBytes<32>) -> Zeroizing<[u8; 48]> {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(prefix);
    der[16..].copy_from_slice(key.expose());
    der
}
