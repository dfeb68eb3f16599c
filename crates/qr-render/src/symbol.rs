//! From content to modules.

use qrcode::bits::Bits;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode, Version};
use zmon_ports::RenderFault;

use crate::{MIN_PIXELS_PER_MODULE, PNG_SIDE, QUIET_ZONE, fault};

/// A symbol inside its quiet zone.
pub(crate) struct Symbol(QrCode);

impl Symbol {
    /// The smallest symbol at level H, in byte mode throughout: how much fits depends on the length alone.
    pub(crate) fn encode(content: &str) -> Result<Self, RenderFault> {
        for version in (1..=40).map(Version::Normal).take_while(|version| fits_png(*version)) {
            let mut bits = Bits::new(version);
            let written = bits
                .push_byte_data(content.as_bytes())
                .and_then(|()| bits.push_terminator(EcLevel::H));
            match written.and_then(|()| QrCode::with_bits(bits, EcLevel::H)) {
                Ok(code) => return Ok(Self(code)),
                Err(QrError::DataTooLong) => {}
                Err(error) => return Err(fault("the QR symbol cannot be made", &error)),
            }
        }
        Err(RenderFault {
            cause: format!(
                "the QR content has {} bytes: its symbol would have fewer than {MIN_PIXELS_PER_MODULE} pixels per \
                 module in {PNG_SIDE}; configure a shorter device id or serial number",
                content.len()
            ),
        })
    }

    /// Modules per side, quiet zone included.
    pub(crate) fn side(&self) -> usize {
        self.0.width() + 2 * QUIET_ZONE
    }

    /// Whether the module in this column and row, counted from the quiet zone's corner, is dark.
    pub(crate) fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = QUIET_ZONE..QUIET_ZONE + self.0.width();
        inside.contains(&x) && inside.contains(&y) && self.0[(x - QUIET_ZONE, y - QUIET_ZONE)] == Color::Dark
    }
}

fn fits_png(version: Version) -> bool {
    let side = u32::from(version.width().unsigned_abs()) + 2 * QUIET_ZONE as u32;
    side * MIN_PIXELS_PER_MODULE <= PNG_SIDE
}
