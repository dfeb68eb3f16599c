//! The QR code on a screen, as a scanner of other hands reads it.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a helper of a test fails as the test itself"
)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, TlsPin};
use zmon_domain::qr::{DEFAULT_PORT, QrFields};
use zmon_domain::time::Timestamp;

/// The text in a PNG.
#[must_use]
pub fn text(png: &[u8]) -> String {
    let picture = image::load_from_memory(png).unwrap().to_luma8();
    zmon_testkit::qr_code::read(&picture).unwrap().1
}

/// The text in the picture that is this file.
#[must_use]
pub fn text_in(picture: &Path) -> String {
    text(&fs::read(picture).unwrap())
}

/// What such a text says.
#[must_use]
pub fn fields(text: &str) -> QrFields {
    let read: Value = serde_json::from_str(text).unwrap();
    let text = |name: &str| read[name].as_str().unwrap();
    let port = read["port"].as_u64();
    QrFields {
        device_id: DeviceId::parse(text("deviceId")).unwrap(),
        serial_number: SerialNumber::parse(text("serialNumber")).unwrap(),
        ip_address: text("ipAddress").parse().unwrap(),
        port: port.map_or(DEFAULT_PORT, |port| u16::try_from(port).unwrap()),
        pairing_code: PairingCode::parse(text("pairingCode")).unwrap(),
        timestamp: Timestamp::from_millis(read["timestamp"].as_u64().unwrap()),
        key: SessionPublicKey::from_base64url(text("key")).unwrap(),
        pin: TlsPin::from_base64url(text("pin")).unwrap(),
    }
}
