//! Records of destruction: what a de-provisioned device leaves behind, and how a station verifies it.
//!
//! An addition of this project: protocol version 1 does not speak of it. The form is that of a receipt, a JWS in compact
//! serialisation whose header is exactly `alg` and `typ`, with `typ` = `zm-destruction`. It is signed with the receipt key
//! (`HS256`), or where the trust anchor is Ed25519 by the client's private key, in the transaction that erases that key.
//! Digests are base64url without padding.

use josekit::jws::JwsSigner;
use serde::{Deserialize, Serialize};
use zmon_domain::audit::AuditHead;
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::{Destruction, DestructionClaims, DestructionRecord};
use zmon_domain::time::Timestamp;

use crate::receipt::{MAX_RECEIPT, ReceiptKey};
use crate::refusal::Refusal;
use crate::{header, jws};

const TYPE: &str = "zm-destruction";

/// What a record of destruction says, after its signature was verified.
///
/// Whether it says what the station expects (this device, this certificate) is for the caller to compare.
///
/// # Errors
/// Another header than `alg` and `typ`, another key, other claims than those of a record of destruction.
pub fn verify_destruction(record: &str, key: &ReceiptKey) -> Result<DestructionClaims, Refusal> {
    if record.len() > MAX_RECEIPT {
        return Err(Refusal("The record of destruction is too long."));
    }
    let payload = key.0.verify(record, Some(TYPE))?;
    header::exact_object::<Claims>(&payload)
        .and_then(Claims::read)
        .ok_or(Refusal(
            "The record does not have exactly the claims of a record of destruction, version 1.",
        ))
}

pub(crate) fn sign(claims: &DestructionClaims, signer: &dyn JwsSigner) -> Result<DestructionRecord, Refusal> {
    let json =
        serde_json::to_vec(&Claims::of(claims)).map_err(|_| Refusal("The record of destruction cannot be written."))?;
    jws::sign(&json, Some(TYPE), signer).map(DestructionRecord)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claims {
    version: u64,
    device_id: String,
    certificate_sha256: String,
    certificate_serial: String,
    authorised_by: String,
    retired: bool,
    destroyed_at: u64,
    audit_count: u64,
    audit_head: String,
}

impl Claims {
    fn of(claims: &DestructionClaims) -> Self {
        let destruction = &claims.destruction;
        Self {
            version: 1,
            device_id: claims.device_id.to_string(),
            certificate_sha256: destruction.certificate_sha256.to_base64url(),
            certificate_serial: destruction.certificate_serial.clone(),
            authorised_by: destruction.authorised_by.clone(),
            retired: destruction.retired,
            destroyed_at: claims.destroyed_at.as_millis(),
            audit_count: claims.audit.count,
            audit_head: claims.audit.head.to_base64url(),
        }
    }

    fn read(self) -> Option<DestructionClaims> {
        (self.version == 1).then_some(())?;
        Some(DestructionClaims {
            device_id: DeviceId::parse(&self.device_id).ok()?,
            destruction: Destruction {
                certificate_sha256: Sha256Digest::from_base64url(&self.certificate_sha256)?,
                certificate_serial: self.certificate_serial,
                authorised_by: self.authorised_by,
                retired: self.retired,
            },
            destroyed_at: Timestamp::from_millis(self.destroyed_at),
            audit: AuditHead {
                count: self.audit_count,
                head: Sha256Digest::from_base64url(&self.audit_head)?,
            },
        })
    }
}
