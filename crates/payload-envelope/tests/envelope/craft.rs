//! Builds envelopes by hand, so that a test can break one thing and leave everything else right.

use base64ct::{Base64UrlUnpadded, Encoding};
use openssl::aes::{AesKey, wrap_key};
use openssl::derive::Deriver;
use openssl::pkey::{Id, PKey};
use openssl::symm::{Cipher, encrypt_aead};
use ring::{digest, hmac, signature};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::SessionPrivateKey;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_payload_envelope::seal::SigningKey;
use zmon_payload_envelope::{JoseEnvelope, keys};
use zmon_ports::{Opened, PayloadEnvelope, SignatureFault};

pub(crate) const PAYLOAD: &str = r#"{"version":1,"deviceId":"ZM-1"}"#;

pub(crate) fn secret(byte: u8) -> SecretBytes<32> {
    SecretBytes::take(&mut [byte; 32])
}

pub(crate) fn device_id() -> DeviceId {
    DeviceId::parse("ZM-1").unwrap()
}

pub(crate) fn session_key() -> SessionPrivateKey {
    secret(7)
}

pub(crate) fn hmac_key() -> SigningKey {
    SigningKey::Hmac { device_key: secret(1) }
}

pub(crate) fn ed25519_key() -> SigningKey {
    SigningKey::Ed25519 { seed: secret(2) }
}

pub(crate) fn envelope(key: &SigningKey) -> JoseEnvelope {
    JoseEnvelope::new(key.trust_anchor(), &device_id())
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

/// Whether the device's step 4 takes this body.
pub(crate) fn opens(body: &str) -> bool {
    envelope(&hmac_key()).open(body.as_bytes(), &session_key()).is_ok()
}

/// What the device's step 5 says to this inner text.
pub(crate) fn verify(key: &SigningKey, inner: &str) -> Result<String, SignatureFault> {
    let text = envelope(key).verify(Opened(SecretText::new(inner.into())))?;
    Ok(text.expose().into())
}

/// An ephemeral key, and what it agrees on with the session key.
pub(crate) struct Agreement {
    pub(crate) x: String,
    pub(crate) shared_secret: Vec<u8>,
}

impl Agreement {
    pub(crate) fn fresh() -> Self {
        let session = keys::session_public_key(&session_key());
        let peer = PKey::public_key_from_raw_bytes(session.as_bytes(), Id::X25519).unwrap();
        let own = PKey::generate_x25519().unwrap();
        let mut deriver = Deriver::new(&own).unwrap();
        deriver.set_peer(&peer).unwrap();
        Self {
            x: b64(own.raw_public_key().unwrap()),
            shared_secret: deriver.derive_to_vec().unwrap(),
        }
    }

    /// What a low-order ephemeral key agrees on with every session key.
    pub(crate) fn low_order(point: &[u8; 32]) -> Self {
        Self {
            x: b64(point),
            shared_secret: vec![0; 32],
        }
    }

    pub(crate) fn epk(&self) -> String {
        format!(r#"{{"kty":"OKP","crv":"X25519","x":"{}"}}"#, self.x)
    }

    pub(crate) fn header(&self) -> String {
        format!(r#"{{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{}}}"#, self.epk())
    }

    /// An envelope around `plaintext` that is right in everything but, where the test wants it, its header.
    pub(crate) fn seal(&self, header: &str, plaintext: &[u8]) -> String {
        self.seal_for(header, b"", b"", plaintext)
    }

    pub(crate) fn seal_for(&self, header: &str, apu: &[u8], apv: &[u8], plaintext: &[u8]) -> String {
        let content_key = [0x42; 32];
        let mut wrapped = [0; 40];
        let key = AesKey::new_encrypt(&self.key_encryption_key(apu, apv)).unwrap();
        wrap_key(&key, None, &mut wrapped, &content_key).unwrap();
        let (nonce, protected, mut tag) = ([9; 12], b64(header), [0; 16]);
        let cipher = Cipher::aes_256_gcm();
        let sealed = encrypt_aead(
            cipher,
            &content_key,
            Some(&nonce),
            protected.as_bytes(),
            plaintext,
            &mut tag,
        )
        .unwrap();
        [protected, b64(wrapped), b64(nonce), b64(sealed), b64(tag)].join(".")
    }

    /// Concat KDF of RFC 7518, 4.6.2, one round.
    fn key_encryption_key(&self, apu: &[u8], apv: &[u8]) -> Vec<u8> {
        let mut input = vec![0, 0, 0, 1];
        input.extend_from_slice(&self.shared_secret);
        for field in [b"ECDH-ES+A256KW", apu, apv] {
            input.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
            input.extend_from_slice(field);
        }
        input.extend_from_slice(&256_u32.to_be_bytes());
        digest::digest(&digest::SHA256, &input).as_ref().to_vec()
    }
}

/// A JWS with any header, rightly signed with HMAC-SHA256.
pub(crate) fn hmac_jws(header: &str, key: &[u8], payload: impl AsRef<[u8]>) -> String {
    let text = format!("{}.{}", b64(header), b64(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    format!("{text}.{}", b64(tag))
}

/// A JWS with any header, rightly signed with Ed25519.
pub(crate) fn ed25519_jws(header: &str, seed: &[u8], payload: &str) -> String {
    let text = format!("{}.{}", b64(header), b64(payload));
    let pair = signature::Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
    format!("{text}.{}", b64(pair.sign(text.as_bytes())))
}

/// The ways to write one base64url part otherwise than strictly. `part` must have a length that is not divisible by
/// four, so that it has trailing bits.
pub(crate) fn lax_spellings(part: &str) -> Vec<String> {
    assert_ne!(part.len() % 4, 0);
    let padding = "=".repeat(4 - part.len() % 4);
    let (start, last) = part.split_at(part.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.find(last).unwrap() + 1;
    vec![
        format!("{part}{padding}"),
        format!("{part} "),
        format!(" {part}"),
        format!("{part}\n"),
        format!("{start}\r\n{last}"),
        format!("{start}{}", &alphabet[next..=next]),
        format!("{part}{}", "A".repeat(5 - part.len() % 4)),
        format!("{start}+"),
        format!("{start}/"),
    ]
}
