//! What a device trusts, of which it has exactly one.

use core::fmt;

use zmon_domain::secret::SecretBytes;

/// What a device verifies payloads with. The choice fixes the only signature algorithm that it accepts.
#[derive(Clone)]
pub enum TrustAnchor {
    /// `HS256`, with the key that was derived for this device.
    Hmac {
        /// See [`keys::derive_device_key`](crate::keys::derive_device_key).
        device_key: SecretBytes<32>,
    },
    /// `EdDSA`, with the Central Station's signing key.
    Ed25519 {
        /// Its public half, as in RFC 8032.
        public_key: [u8; 32],
    },
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac { .. } => "TrustAnchor::Hmac",
            Self::Ed25519 { .. } => "TrustAnchor::Ed25519",
        })
    }
}
