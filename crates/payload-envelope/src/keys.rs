//! Keys: how they are derived from each other, and how they are written as text.
//!
//! Source: `protocol.md`, "Keys" and "QR content"; vectors in `qr-v1.json`.

use base64ct::{Base64UrlUnpadded, Encoding};
use openssl::pkey::{Id, PKey};
use ring::{hkdf, hmac};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::{SessionPrivateKey, SessionPublicKey};
use zmon_domain::secret::{SecretBytes, SecretText};

use crate::compact;
use crate::refusal::Refusal;

/// The key that verifies this device's payloads, from the provisioning master key.
#[must_use]
pub fn derive_device_key(master: &SecretBytes<32>, device_id: &DeviceId) -> SecretBytes<32> {
    derive(master, b"z-monitor/provisioning/v1", device_id)
}

/// The key for `mac` in the QR content, from the device key.
#[must_use]
pub fn derive_qr_key(device_key: &SecretBytes<32>, device_id: &DeviceId) -> SecretBytes<32> {
    derive(device_key, b"z-monitor/qr/v1", device_id)
}

/// The key that signs receipts, from the device key.
#[must_use]
pub fn derive_receipt_key(device_key: &SecretBytes<32>, device_id: &DeviceId) -> SecretBytes<32> {
    derive(device_key, b"z-monitor/receipt/v1", device_id)
}

/// `mac` for a QR text: the first 16 bytes of HMAC-SHA256. `text` is the content up to and without `,"mac"`.
#[must_use]
pub fn qr_mac(qr_key: &SecretBytes<32>, text: &str) -> [u8; 16] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, qr_key.expose()), text.as_bytes());
    let mut mac = [0; 16];
    mac.copy_from_slice(&tag.as_ref()[..16]);
    mac
}

/// Checks the `mac` at the end of a whole QR content, as a station does before it issues anything. Constant time.
///
/// # Errors
/// There is no `mac`, it is not the last member, or it is not this device's.
pub fn verify_qr_content(qr_key: &SecretBytes<32>, content: &str) -> Result<(), Refusal> {
    let (text, mac) = content
        .strip_suffix("\"}")
        .and_then(|content| content.rsplit_once(",\"mac\":\""))
        .ok_or(Refusal(
            "The QR content does not end in a mac. Scan the code on the monitor's own screen.",
        ))?;
    let received = compact::decode_array::<16>(mac).ok_or(Refusal("The mac is not base64url of 16 bytes."))?;
    if openssl::memcmp::eq(&qr_mac(qr_key, text), &received[..]) {
        Ok(())
    } else {
        Err(Refusal(
            "The mac is not this device's: the QR code was not made by the monitor, or its device key is another.",
        ))
    }
}

/// A key from its text: exactly 43 characters of base64url without padding.
///
/// # Errors
/// Anything else, white space included. The text is not echoed.
pub fn parse_key(text: &str) -> Result<SecretBytes<32>, Refusal> {
    compact::decode_array::<32>(text)
        .map(|mut bytes| SecretBytes::take(&mut bytes))
        .ok_or(Refusal(
            "A key is 43 characters of base64url: A-Z, a-z, 0-9, '-' and '_', without padding.",
        ))
}

/// A key as text: 43 characters of base64url without padding.
#[must_use]
pub fn print_key(key: &SecretBytes<32>) -> SecretText {
    SecretText::new(Base64UrlUnpadded::encode_string(key.expose()))
}

/// A public key from its text, as strict as [`parse_key`].
///
/// # Errors
/// Anything but 43 characters of base64url without padding.
pub fn parse_public_key(text: &str) -> Result<[u8; 32], Refusal> {
    parse_key(text).map(|bytes| *bytes.expose())
}

/// A public key as text: 43 characters of base64url without padding.
#[must_use]
pub fn print_public_key(key: &[u8; 32]) -> String {
    Base64UrlUnpadded::encode_string(key)
}

/// The public half of an Ed25519 signing key, given as its 32-byte seed (RFC 8032).
#[must_use]
pub fn ed25519_public_key(seed: &SecretBytes<32>) -> [u8; 32] {
    public_half(seed, Id::ED25519)
}

/// The public half of a session key.
#[must_use]
pub fn session_public_key(private: &SessionPrivateKey) -> SessionPublicKey {
    SessionPublicKey::new(public_half(private, Id::X25519))
}

/// HKDF-SHA256 with the device id as `info`, 32 bytes.
fn derive(ikm: &SecretBytes<32>, salt: &[u8], device_id: &DeviceId) -> SecretBytes<32> {
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm.expose())
        .expand(&[device_id.as_str().as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("HKDF-SHA256 gives 32 bytes when asked for 32");
    SecretBytes::take(&mut key)
}

fn public_half(private: &SecretBytes<32>, kind: Id) -> [u8; 32] {
    PKey::private_key_from_raw_bytes(private.expose(), kind)
        .and_then(|key| key.raw_public_key())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .expect("any 32 bytes are a private key on Curve25519, and its public half has 32 bytes")
}
