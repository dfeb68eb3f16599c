//! The QR code: its content, to the byte, and what the screen needs to show it.
//!
//! Source: `protocol.md`, "QR content"; specification 3.1.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::error::{ErrorCode, ProvisioningError};
use crate::identity::{DeviceId, SerialNumber};
use crate::pairing::{PairingCode, SessionPublicKey, TlsPin};
use crate::time::Timestamp;

/// Left out of the content where it applies.
pub const DEFAULT_PORT: u16 = 8443;
/// Longest content in bytes: version 18-H, which still has 3 px per module.
pub const MAX_QR_CONTENT: usize = 310;

/// What a QR code says.
#[derive(Clone, Debug)]
pub struct QrFields {
    /// Device unique identifier.
    pub device_id: DeviceId,
    /// Device serial number.
    pub serial_number: SerialNumber,
    /// Where the device listens.
    pub ip_address: IpAddr,
    /// TCP port there.
    pub port: u16,
    /// The session's pairing code.
    pub pairing_code: PairingCode,
    /// Generation time.
    pub timestamp: Timestamp,
    /// The session's X25519 public key.
    pub key: SessionPublicKey,
    /// The session's TLS pin.
    pub pin: TlsPin,
}

impl QrFields {
    /// The content without `mac`, keys in the order of the protocol. No value can contain a character that JSON
    /// escapes.
    #[must_use]
    pub fn to_content(&self) -> String {
        let Self {
            device_id,
            serial_number,
            ip_address,
            port,
            pairing_code,
            timestamp,
            key,
            pin,
        } = self;
        let port = if *port == DEFAULT_PORT {
            String::new()
        } else {
            format!(",\"port\":{port}")
        };
        format!(
            "{{\"v\":1,\"deviceId\":\"{device_id}\",\"serialNumber\":\"{serial_number}\",\
             \"ipAddress\":\"{ip_address}\"{port},\"pairingCode\":\"{}\",\"timestamp\":{},\
             \"key\":\"{}\",\"pin\":\"{}\"}}",
            pairing_code.expose(),
            timestamp.as_millis(),
            key.to_base64url(),
            pin.to_base64url(),
        )
    }

    /// The text that `mac` authenticates: everything up to and without `,"mac"`.
    #[must_use]
    pub fn to_authenticated_text(&self) -> String {
        let mut text = self.to_content();
        text.pop();
        text
    }

    /// The content with `mac`, for a device with an HMAC trust anchor.
    #[must_use]
    pub fn to_content_with_mac(&self, mac: &[u8; 16]) -> String {
        format!(
            "{},\"mac\":\"{}\"}}",
            self.to_authenticated_text(),
            Base64UrlUnpadded::encode_string(mac)
        )
    }
}

/// The same symbol for different uses.
#[derive(Clone)]
pub struct QrImages {
    /// PNG, 300x300 pixels, a whole number of pixels per module.
    pub png: Vec<u8>,
    /// SVG, for screens of any size.
    pub svg: String,
    /// Half-block characters, for a terminal.
    pub text: String,
}

/// QR code content and image for provisioning (specification 3.1).
#[derive(Clone)]
pub struct QrCodeData {
    fields: QrFields,
    expires_at: Timestamp,
    content: String,
    images: QrImages,
}

impl QrCodeData {
    /// The content for these fields, checked against the size that a 300 px picture can carry.
    ///
    /// # Errors
    /// `QrContentTooLong`.
    pub fn content(fields: &QrFields, mac: Option<&[u8; 16]>) -> Result<String, ProvisioningError> {
        let content = mac.map_or_else(|| fields.to_content(), |mac| fields.to_content_with_mac(mac));
        if content.len() > MAX_QR_CONTENT {
            return Err(ProvisioningError::new(
                ErrorCode::QrContentTooLong,
                format!("The QR content has {} bytes, {MAX_QR_CONTENT} fit.", content.len()),
            ));
        }
        Ok(content)
    }

    /// Puts together what the screen shows. `content` is that of [`Self::content`], `images` show it.
    #[must_use]
    pub const fn new(fields: QrFields, expires_at: Timestamp, content: String, images: QrImages) -> Self {
        Self {
            fields,
            expires_at,
            content,
            images,
        }
    }

    /// What the code says, field by field.
    #[must_use]
    pub const fn fields(&self) -> &QrFields {
        &self.fields
    }

    /// Expiry time, for display; the monotonic clock decides.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The JSON that the symbol encodes.
    #[must_use]
    pub fn qr_code_content(&self) -> &str {
        &self.content
    }

    /// The pictures.
    #[must_use]
    pub const fn images(&self) -> &QrImages {
        &self.images
    }

    /// Whether `now` is past the displayed expiry time.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.expires_at
    }

    /// Whole seconds until the displayed expiry time, never negative.
    #[must_use]
    pub fn seconds_until_expiry(&self, now: Timestamp) -> u64 {
        self.expires_at.since(now).as_secs()
    }
}

impl fmt::Debug for QrCodeData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QrCodeData")
            .field("fields", &self.fields)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}
