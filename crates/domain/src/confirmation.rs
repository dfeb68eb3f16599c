//! Step 11, confirmation against the wrong bed: what a person at the device is shown before they accept.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::pairing::Sha256Digest;
use crate::settings::{DeviceLabel, ServerUrl};

/// How long the device waits for a person. No answer refuses.
pub const CONFIRMATION_TIME: Duration = Duration::from_secs(60);

/// Four digits that the station and the device show for the same push (`protocol.md`, "Comparison value for confirmation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComparisonValue(u16);

impl ComparisonValue {
    /// Of a POST body with this SHA-256: its first 8 bytes, big-endian, modulo 10000.
    #[must_use]
    pub const fn of(body_sha256: &Sha256Digest) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *body_sha256.as_bytes();
        Self((u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 10_000) as u16)
    }
}

impl fmt::Display for ComparisonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// What the person decides about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmationRequest {
    /// Where the payload came from; none where it was carried by hand.
    pub sender: Option<IpAddr>,
    /// The server that the device is to obey.
    pub server_url: ServerUrl,
    /// The label, as a rule the bed.
    pub device_label: DeviceLabel,
    /// The same number is on the station's screen.
    pub comparison: ComparisonValue,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn of(first: [u8; 8]) -> alloc::string::String {
        let mut bytes = [0xff; 32];
        bytes[..8].copy_from_slice(&first);
        ComparisonValue::of(&Sha256Digest::new(bytes)).to_string()
    }

    #[test]
    fn it_is_the_first_eight_bytes_modulo_ten_thousand_in_four_digits() {
        assert_eq!(of([0, 0, 0, 0, 0, 0, 0, 7]), "0007");
        assert_eq!(of([0, 0, 0, 0, 0, 0, 0x27, 0x10]), "0000");
        // 18446744073709551615
        assert_eq!(of([0xff; 8]), "1615");
        // 72057594037927936
        assert_eq!(of([1, 0, 0, 0, 0, 0, 0, 0]), "7936");
    }
}
