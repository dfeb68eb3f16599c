//! A QR code for tests of what shows it, and a reader of other hands for pictures of real ones.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use image::GrayImage;
use image::imageops::{FilterType, resize};
use rqrr::{MetaData, PreparedImage};
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, TlsPin};
use zmon_domain::qr::{QrCodeData, QrFields, QrImages};
use zmon_domain::time::Timestamp;

/// What the screen of a device shows while its pairing code is this one; the pictures are made up.
///
/// # Panics
/// Where it is no pairing code.
#[must_use]
pub fn qr_code(pairing_code: &str) -> QrCodeData {
    let fields = QrFields {
        device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
        serial_number: SerialNumber::parse("SN-1").unwrap(),
        ip_address: [10, 1, 50, 104].into(),
        port: 8443,
        pairing_code: PairingCode::parse(pairing_code).unwrap(),
        timestamp: Timestamp::from_millis(1_000),
        key: SessionPublicKey::new([1; 32]),
        pin: TlsPin::new([2; 32]),
    };
    let content = QrCodeData::content(&fields, None).unwrap();
    let images = QrImages {
        png: b"\x89PNG picture".to_vec(),
        svg: "<svg/>".into(),
        text: "▀▄\n".into(),
    };
    QrCodeData::new(fields, Timestamp::from_millis(601_000), content, images)
}

/// The first symbol in a picture: its format and what it says. None where it cannot be read.
#[must_use]
pub fn read(picture: &GrayImage) -> Option<(MetaData, String)> {
    let read = |picture| PreparedImage::prepare(picture).detect_grids().first()?.decode().ok();
    // A few clean pictures can be read in a larger size alone.
    let twice = || resize(picture, picture.width() * 2, picture.height() * 2, FilterType::Nearest);
    read(picture.clone()).or_else(|| read(twice()))
}
