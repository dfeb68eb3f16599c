//! The port's adapter: the device's half.

use core::fmt;

use josekit::jws::JwsSigner;
use ring::digest;
use zeroize::Zeroizing;
use zmon_domain::error::ProvisioningError;
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::{SessionPrivateKey, SessionPublicKey, Sha256Digest};
use zmon_domain::payload::{Members, SignedText};
use zmon_domain::result::{DestructionClaims, DestructionRecord, Receipt, ReceiptClaims};
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_ports::{EnvelopeFault, Opened, PayloadEnvelope, ReceiptFault, SignatureFault};

use crate::anchor::TrustAnchor;
use crate::jws::VerifyingKey;
use crate::refusal::Refusal;
use crate::{destruction, jwe, jws, keys, members, receipt};

/// SHA-256, as receipts, comparison values and the audit name what they speak of.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    Sha256Digest::new(hash)
}

/// The device's half: opens, verifies and reads what was pushed, signs receipts.
pub struct JoseEnvelope {
    verifying_key: VerifyingKey,
    /// With an HMAC trust anchor.
    derived: Option<Derived>,
}

struct Derived {
    qr_key: SecretBytes<32>,
    receipt_key: SecretBytes<32>,
}

impl JoseEnvelope {
    /// For the device of this id and trust anchor.
    #[must_use]
    pub fn new(anchor: TrustAnchor, device_id: &DeviceId) -> Self {
        match anchor {
            TrustAnchor::Hmac { device_key } => Self {
                derived: Some(Derived {
                    qr_key: keys::derive_qr_key(&device_key, device_id),
                    receipt_key: keys::derive_receipt_key(&device_key, device_id),
                }),
                verifying_key: VerifyingKey::Hmac(device_key),
            },
            TrustAnchor::Ed25519 { public_key } => Self {
                derived: None,
                verifying_key: VerifyingKey::ed25519(&public_key),
            },
        }
    }
}

impl fmt::Debug for JoseEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoseEnvelope").finish_non_exhaustive()
    }
}

impl PayloadEnvelope for JoseEnvelope {
    fn session_public_key(&self, private: &SessionPrivateKey) -> SessionPublicKey {
        keys::session_public_key(private)
    }

    fn qr_mac(&self, text: &str) -> Option<[u8; 16]> {
        self.derived.as_ref().map(|derived| keys::qr_mac(&derived.qr_key, text))
    }

    fn digest(&self, body: &[u8]) -> Sha256Digest {
        sha256(body)
    }

    fn open(&self, body: &[u8], key: &SessionPrivateKey) -> Result<Opened, EnvelopeFault> {
        match jwe::open(body, key) {
            Ok(plaintext) => Ok(Opened(text_or_nothing(plaintext))),
            Err(refusal) => Err(EnvelopeFault {
                cause: refusal.to_string(),
            }),
        }
    }

    fn verify(&self, opened: Opened) -> Result<SignedText, SignatureFault> {
        match self.verifying_key.verify(opened.0.expose(), None) {
            Ok(payload) => Ok(SignedText::after_verification(text_or_nothing(payload))),
            Err(refusal) => Err(SignatureFault {
                cause: refusal.to_string(),
            }),
        }
    }

    fn members(&self, text: &SignedText) -> Result<Members, ProvisioningError> {
        members::read(text.expose())
    }

    fn sign_receipt(&self, claims: &ReceiptClaims, client_private_key: &SecretText) -> Result<Receipt, ReceiptFault> {
        self.signed(client_private_key, |signer| receipt::sign(claims, signer))
    }

    fn sign_destruction(
        &self,
        claims: &DestructionClaims,
        client_private_key: &SecretText,
    ) -> Result<DestructionRecord, ReceiptFault> {
        self.signed(client_private_key, |signer| destruction::sign(claims, signer))
    }
}

impl JoseEnvelope {
    /// With the receipt key, or with the client key where the anchor is Ed25519.
    fn signed<T>(
        &self,
        client_private_key: &SecretText,
        sign: impl FnOnce(&dyn JwsSigner) -> Result<T, Refusal>,
    ) -> Result<T, ReceiptFault> {
        let signer = match &self.derived {
            Some(derived) => jws::hmac_signer(&derived.receipt_key),
            None => jws::client_signer(client_private_key),
        };
        signer
            .and_then(|signer| sign(&*signer))
            .map_err(|refusal| ReceiptFault {
                cause: refusal.to_string(),
            })
    }
}

/// The text without a copy of it. Bytes that are no text become the empty text, which the next step refuses: sealed
/// to this session but not signed is step 5, signed but not JSON is step 6.
fn text_or_nothing(mut bytes: Zeroizing<Vec<u8>>) -> SecretText {
    match String::from_utf8(core::mem::take(&mut *bytes)) {
        Ok(text) => SecretText::new(text),
        Err(fault) => {
            drop(Zeroizing::new(fault.into_bytes()));
            SecretText::default()
        }
    }
}
