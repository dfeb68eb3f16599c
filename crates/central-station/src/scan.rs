//! From a picture to a QR code that may be trusted.

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};
use rqrr::PreparedImage;
use serde::Deserialize;
use std::io::Cursor;
use std::net::IpAddr;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, TlsPin};
use zmon_domain::qr::{DEFAULT_PORT, QrFields};
use zmon_domain::secret::SecretText;
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::keys::{derive_qr_key, verify_qr_content};
use zmon_payload_envelope::seal::SigningKey;

use crate::fault::{Fault, FaultCode};

/// What stands in a QR code; [`Scanned::verify`] says whether to believe it.
#[derive(Debug)]
pub struct Scanned {
    fields: QrFields,
    content: SecretText,
    has_mac: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    v: u32,
    device_id: String,
    serial_number: String,
    ip_address: IpAddr,
    #[serde(default)]
    port: Option<u16>,
    pairing_code: String,
    timestamp: u64,
    key: String,
    pin: String,
    #[serde(default)]
    mac: Option<String>,
}

/// Reads the one QR code in a PNG.
///
/// # Errors
/// Where there is no picture, no readable code, more than one, or a code that is not a monitor's.
pub fn scan(png: &[u8]) -> Result<Scanned, Fault> {
    let mut reader = ImageReader::with_format(Cursor::new(png), image::ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(8_192);
    limits.max_image_height = Some(8_192);
    reader.limits(limits);
    let picture = reader
        .decode()
        .map_err(|error| unreadable(format!("The file is not a readable PNG: {error}.")))?;
    let mut prepared = PreparedImage::prepare(picture.to_luma8());
    let grids = prepared.detect_grids();
    let (grid, content) = match grids.as_slice() {
        [] => Err(unreadable(
            "There is no QR code in the picture. Take a sharper one, straight from the front.",
        )),
        [only] => match only.decode() {
            Ok((_, content)) => Ok((only, content)),
            Err(error) => enlarged(&picture).map(|content| (only, content)).ok_or_else(|| {
                unreadable(format!(
                    "The QR code cannot be read: {error}. Take a sharper picture, straight from the front."
                ))
            }),
        },
        several => {
            let mut readable = several.iter().filter_map(|grid| Some((grid, grid.decode().ok()?.1)));
            match readable.next() {
                Some((grid, content)) if readable.all(|(_, other)| other == content) => Ok((grid, content)),
                _ => Err(too_many(several.len())),
            }
        }
    }?;
    // Modules of one code can look like the corners of another; what stands beside it is a second code, read or not.
    if grids.iter().any(|other| !overlap(&grid.bounds, &other.bounds)) {
        return Err(too_many(grids.len()));
    }
    parse(content)
}

/// What the one code says in a picture of twice the size. Of the clean pictures that a monitor's screen shows, the reader cannot
/// read about one in some thousands as they are; these it can read so.
fn enlarged(picture: &DynamicImage) -> Option<String> {
    let twice = picture.resize_exact(picture.width() * 2, picture.height() * 2, FilterType::Nearest);
    match PreparedImage::prepare(twice.to_luma8()).detect_grids().as_slice() {
        [only] => only.decode().ok().map(|(_, content)| content),
        _ => None,
    }
}

fn too_many(count: usize) -> Fault {
    unreadable(format!(
        "There are {count} QR codes in the picture. Take a picture that shows the monitor's code alone."
    ))
}

/// Whether the upright rectangles around both share an area.
fn overlap(one: &[rqrr::Point; 4], other: &[rqrr::Point; 4]) -> bool {
    let span = |corners: &[rqrr::Point; 4], of: fn(&rqrr::Point) -> i32| {
        let along = corners.each_ref().map(of);
        (along.iter().min().copied(), along.iter().max().copied())
    };
    [|corner: &rqrr::Point| corner.x, |corner: &rqrr::Point| corner.y]
        .into_iter()
        .all(|of| {
            let ((low, high), (other_low, other_high)) = (span(one, of), span(other, of));
            low < other_high && other_low < high
        })
}

/// Reads the text of a QR code. Only the one spelling of the protocol is accepted.
///
/// # Errors
/// Where the text is not a monitor's, or spelled otherwise.
pub fn parse(content: String) -> Result<Scanned, Fault> {
    let not_ours = || {
        Fault::new(
            FaultCode::QrNotOurs,
            "The QR code is not one of a Z Monitor that wants to be provisioned (version 1).",
        )
    };
    let read: Content = serde_json::from_str(&content).map_err(|_| not_ours())?;
    let fields = QrFields {
        device_id: DeviceId::parse(&read.device_id).map_err(|_| not_ours())?,
        serial_number: SerialNumber::parse(&read.serial_number).map_err(|_| not_ours())?,
        ip_address: read.ip_address,
        port: read.port.unwrap_or(DEFAULT_PORT),
        pairing_code: PairingCode::parse(&read.pairing_code).map_err(|_| not_ours())?,
        timestamp: Timestamp::from_millis(read.timestamp),
        key: SessionPublicKey::from_base64url(&read.key).ok_or_else(not_ours)?,
        pin: TlsPin::from_base64url(&read.pin).ok_or_else(not_ours)?,
    };
    // What the device would have written for these values, to the byte: no second spelling of anything.
    let canonical = read.mac.as_ref().map_or_else(
        || fields.to_content(),
        |mac| format!("{},\"mac\":\"{mac}\"}}", fields.to_authenticated_text()),
    );
    if read.v != 1 || canonical != content {
        return Err(not_ours());
    }
    Ok(Scanned {
        fields,
        content: SecretText::new(content),
        has_mac: read.mac.is_some(),
    })
}

impl Scanned {
    /// The device that the code claims to be from: needed to derive the key that verifies the claim.
    #[must_use]
    pub const fn claimed_device(&self) -> &DeviceId {
        &self.fields.device_id
    }

    /// Verifies `mac` with the key of the device that the code names. With an Ed25519 anchor there is none: then a
    /// person has to make sure that the code is on the monitor's own screen.
    ///
    /// # Errors
    /// Where `mac` is missing, superfluous or wrong: nothing may be issued for this code.
    pub fn verify(self, key: &SigningKey) -> Result<QrFields, Fault> {
        match key {
            SigningKey::Hmac { .. } if !self.has_mac => Err(forged(
                "The QR code carries no mac: it is not from a monitor commissioned by this station. Nothing was issued.",
            )),
            SigningKey::Hmac { device_key } => {
                let qr_key = derive_qr_key(device_key, &self.fields.device_id);
                verify_qr_content(&qr_key, self.content.expose()).map_err(|_| {
                    forged(
                        "The QR code's mac is wrong: the code is forged, or the monitor was commissioned by another \
                         station. Nothing was issued. Look whether something is stuck over the screen.",
                    )
                })?;
                Ok(self.fields)
            }
            SigningKey::Ed25519 { .. } if self.has_mac => Err(forged(
                "The QR code carries a mac, but this station's monitors trust an Ed25519 key. Nothing was issued.",
            )),
            SigningKey::Ed25519 { .. } => Ok(self.fields),
        }
    }
}

fn unreadable(detail: impl Into<String>) -> Fault {
    Fault::new(FaultCode::PictureUnreadable, detail)
}

fn forged(detail: impl Into<String>) -> Fault {
    Fault::new(FaultCode::QrForged, detail)
}
