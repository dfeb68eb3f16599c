//! Receipts: what a device answers after a successful push, and how a station verifies it.
//!
//! Source: `protocol.md`, "Answers". Digests are base64url without padding.

use core::fmt;

use josekit::jws::JwsSigner;
use openssl::pkey::PKey;
use openssl::x509::X509;
use serde::{Deserialize, Serialize};
use zmon_domain::audit::AuditHead;
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::{Receipt, ReceiptClaims};
use zmon_domain::secret::SecretBytes;
use zmon_domain::time::Timestamp;

use crate::jws::VerifyingKey;
use crate::refusal::Refusal;
use crate::{header, jws, keys};

const TYPE: &str = "zm-receipt";
/// Longest receipt in bytes. One signed with RSA 4096 has about 1100.
pub(crate) const MAX_RECEIPT: usize = 4096;

/// What a station verifies a device's receipts and records of destruction with.
pub struct ReceiptKey(pub(crate) VerifyingKey);

impl ReceiptKey {
    /// With an HMAC trust anchor: `HS256` with the receipt key of this device.
    #[must_use]
    pub fn hmac(device_key: &SecretBytes<32>, device_id: &DeviceId) -> Self {
        Self(VerifyingKey::Hmac(keys::derive_receipt_key(device_key, device_id)))
    }

    /// With an Ed25519 trust anchor: the key in the issued client certificate, given in DER.
    ///
    /// # Errors
    /// The certificate cannot be read, or its key is of a kind that the protocol does not have.
    pub fn client_certificate(der: &[u8]) -> Result<Self, Refusal> {
        let key = X509::from_der(der).and_then(|certificate| certificate.public_key());
        VerifyingKey::client(&key.map_err(|_| Refusal("The client certificate cannot be read."))?).map(Self)
    }

    /// As [`Self::client_certificate`], from the `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// The key cannot be read, or is of a kind that the protocol does not have.
    pub fn client_public_key(spki: &[u8]) -> Result<Self, Refusal> {
        let key = PKey::public_key_from_der(spki).map_err(|_| Refusal("The client's public key cannot be read."))?;
        VerifyingKey::client(&key).map(Self)
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiptKey")
    }
}

/// What a receipt says, after its signature was verified.
///
/// Whether it says what the station expects (this device, this body, this certificate) is for the caller to compare.
///
/// # Errors
/// Another header than `alg` and `typ`, another key, other claims than those of the protocol.
pub fn verify_receipt(receipt: &str, key: &ReceiptKey) -> Result<ReceiptClaims, Refusal> {
    if receipt.len() > MAX_RECEIPT {
        return Err(Refusal("The receipt is too long."));
    }
    let payload = key.0.verify(receipt, Some(TYPE))?;
    header::exact_object::<Claims>(&payload)
        .and_then(Claims::read)
        .ok_or(Refusal(
            "The receipt does not have exactly the claims of protocol version 1.",
        ))
}

pub(crate) fn sign(claims: &ReceiptClaims, signer: &dyn JwsSigner) -> Result<Receipt, Refusal> {
    let json = serde_json::to_vec(&Claims::of(claims)).map_err(|_| Refusal("The receipt cannot be written."))?;
    jws::sign(&json, Some(TYPE), signer).map(Receipt)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claims {
    version: u64,
    device_id: String,
    body_sha256: String,
    certificate_sha256: String,
    completed_at: u64,
    audit_count: u64,
    audit_head: String,
}

impl Claims {
    fn of(claims: &ReceiptClaims) -> Self {
        Self {
            version: 1,
            device_id: claims.device_id.to_string(),
            body_sha256: claims.body_sha256.to_base64url(),
            certificate_sha256: claims.certificate_sha256.to_base64url(),
            completed_at: claims.completed_at.as_millis(),
            audit_count: claims.audit.count,
            audit_head: claims.audit.head.to_base64url(),
        }
    }

    fn read(self) -> Option<ReceiptClaims> {
        (self.version == 1).then_some(())?;
        Some(ReceiptClaims {
            device_id: DeviceId::parse(&self.device_id).ok()?,
            body_sha256: Sha256Digest::from_base64url(&self.body_sha256)?,
            certificate_sha256: Sha256Digest::from_base64url(&self.certificate_sha256)?,
            completed_at: Timestamp::from_millis(self.completed_at),
            audit: AuditHead {
                count: self.audit_count,
                head: Sha256Digest::from_base64url(&self.audit_head)?,
            },
        })
    }
}
