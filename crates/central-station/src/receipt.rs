//! The receipt: proof that this device installed this payload.

use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::result::ReceiptClaims;
use zmon_payload_envelope::receipt::{ReceiptKey, verify_receipt};
use zmon_payload_envelope::seal::SigningKey;

use crate::fault::Fault;
use crate::sha256;

/// What a receipt has to speak of.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The device.
    pub device_id: &'a DeviceId,
    /// The POST body, where it is at hand.
    pub body: Option<&'a [u8]>,
    /// SHA-256 of the issued certificate, where it is at hand.
    pub certificate_sha256: Option<Sha256Digest>,
}

/// What verifies this device's receipts: the derived receipt key, or with an Ed25519 anchor the issued certificate.
///
/// # Errors
/// Where an Ed25519 station has no certificate at hand, or one whose key cannot verify.
pub fn receipt_key(key: &SigningKey, device_id: &DeviceId, certificate: Option<&[u8]>) -> Result<ReceiptKey, Fault> {
    match (key, certificate) {
        (SigningKey::Hmac { device_key }, _) => Ok(ReceiptKey::hmac(device_key, device_id)),
        (SigningKey::Ed25519 { .. }, Some(der)) => ReceiptKey::client_certificate(der)
            .map_err(|refusal| Fault::receipt(format!("The issued certificate cannot verify receipts: {refusal}."))),
        (SigningKey::Ed25519 { .. }, None) => Err(Fault::receipt(
            "With an Ed25519 trust anchor the receipt is signed with the new client key: name the issued certificate.",
        )),
    }
}

/// Verifies a receipt's signature and what it says.
///
/// # Errors
/// Where the signature is wrong, or the receipt speaks of another device, payload or certificate.
pub fn check(receipt: &str, key: &ReceiptKey, expected: Expected<'_>) -> Result<ReceiptClaims, Fault> {
    let claims = verify_receipt(receipt, key)
        .map_err(|refusal| Fault::receipt(format!("The receipt is not genuine: {refusal}.")))?;
    let of_body = |body: &[u8]| sha256(body) == claims.body_sha256;
    let differs = if claims.device_id != *expected.device_id {
        Some("another device")
    } else if !expected.body.is_none_or(of_body) {
        Some("another payload")
    } else if expected
        .certificate_sha256
        .is_some_and(|issued| issued != claims.certificate_sha256)
    {
        Some("another certificate")
    } else {
        None
    };
    differs.map_or(Ok(claims), |what| {
        Err(Fault::receipt(format!(
            "The receipt is for {what}. Look at the monitor before you rely on it."
        )))
    })
}
