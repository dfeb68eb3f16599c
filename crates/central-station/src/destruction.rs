//! The record of destruction: proof that a monitor's certificate and key were erased, and who ordered it.

use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::DestructionClaims;
use zmon_payload_envelope::destruction::verify_destruction;
use zmon_payload_envelope::receipt::ReceiptKey;

use crate::fault::Fault;

/// Verifies a record's signature, and that it speaks of this device and, where one is at hand, of this certificate.
///
/// The key is the one that verifies the device's receipts: [`receipt_key`](crate::receipt::receipt_key).
///
/// # Errors
/// Where the signature is wrong, or the record speaks of another device or certificate.
pub fn check(
    record: &str,
    key: &ReceiptKey,
    device_id: &DeviceId,
    certificate_sha256: Option<Sha256Digest>,
) -> Result<DestructionClaims, Fault> {
    let claims = verify_destruction(record, key)
        .map_err(|refusal| Fault::receipt(format!("The record of destruction is not genuine: {refusal}.")))?;
    let differs = if claims.device_id != *device_id {
        Some("another device")
    } else if certificate_sha256.is_some_and(|issued| issued != claims.destruction.certificate_sha256) {
        Some("another certificate")
    } else {
        None
    };
    differs.map_or(Ok(claims), |what| {
        Err(Fault::receipt(format!(
            "The record of destruction is for {what}: what was issued to this device is not proven to be gone."
        )))
    })
}
