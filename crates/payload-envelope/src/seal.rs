//! The station's half: signs a payload, then seals it to the session whose QR code was scanned.
//!
//! Source: `protocol.md`, "Push".

use core::fmt;

use zmon_domain::pairing::SessionPublicKey;
use zmon_domain::secret::{SecretBytes, SecretText};

use crate::anchor::TrustAnchor;
use crate::refusal::Refusal;
use crate::{jwe, jws, keys};

/// What a station signs payloads with: the secret half of a device's [`TrustAnchor`].
#[derive(Clone)]
pub enum SigningKey {
    /// `HS256`, with the key derived for the device that the payload is for.
    Hmac {
        /// See [`keys::derive_device_key`].
        device_key: SecretBytes<32>,
    },
    /// `EdDSA`.
    Ed25519 {
        /// The private key as its 32-byte seed (RFC 8032).
        seed: SecretBytes<32>,
    },
}

impl SigningKey {
    /// What a device needs to verify this key's signatures.
    #[must_use]
    pub fn trust_anchor(&self) -> TrustAnchor {
        match self {
            Self::Hmac { device_key } => TrustAnchor::Hmac {
                device_key: device_key.clone(),
            },
            Self::Ed25519 { seed } => TrustAnchor::Ed25519 {
                public_key: keys::ed25519_public_key(seed),
            },
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac { .. } => "SigningKey::Hmac",
            Self::Ed25519 { .. } => "SigningKey::Ed25519",
        })
    }
}

/// The body of a push: `payload`, which is the JSON text of the protocol, signed and sealed.
///
/// # Errors
/// As [`sign`] and [`seal`].
pub fn sign_and_seal(payload: &SecretText, key: &SigningKey, to: &SessionPublicKey) -> Result<String, Refusal> {
    seal(&sign(payload, key)?, to)
}

/// A JWS in compact serialisation with a header of exactly `alg`. Secret still: it holds the payload in plain.
///
/// # Errors
/// Where the key cannot sign.
pub fn sign(payload: &SecretText, key: &SigningKey) -> Result<SecretText, Refusal> {
    let signer = match key {
        SigningKey::Hmac { device_key } => jws::hmac_signer(device_key),
        SigningKey::Ed25519 { seed } => jws::ed25519_signer(seed),
    }?;
    jws::sign(payload.expose().as_bytes(), None, &*signer).map(SecretText::new)
}

/// A JWE in compact serialisation with `cty` = `JOSE`, sealed to `to`.
///
/// # Errors
/// `to` is of low order, or the result is larger than 64 KiB.
pub fn seal(signed: &SecretText, to: &SessionPublicKey) -> Result<String, Refusal> {
    jwe::seal(signed.expose(), to)
}
