//! The QR symbol as SVG, 300x300 PNG and terminal text.
//!
//! One symbol, drawn three ways: the SVG is the drawing, the PNG is that SVG rasterised by resvg at a whole number of
//! pixels per module, and the text shows the same modules as half blocks. Source: `protocol.md`, "QR content".

mod raster;
mod svg;
mod symbol;
mod text;

use zmon_domain::qr::QrImages;
use zmon_ports::{QrRenderer, RenderFault};

use crate::symbol::Symbol;

/// Width and height of the PNG in pixels (specification 3.1).
pub const PNG_SIDE: u32 = 300;
/// Light modules around the symbol on every side, at least (ISO/IEC 18004).
pub const QUIET_ZONE: usize = 4;
/// Fewer pixels per module than this do not scan reliably from a screen.
pub const MIN_PIXELS_PER_MODULE: u32 = 3;

/// Draws with `qrcode` and resvg: error correction level H, byte mode, the smallest version that holds the content.
///
/// Pure: the same content gives the same bytes. Content that needs more than version 18 (310 bytes) is refused,
/// because its modules would be narrower than [`MIN_PIXELS_PER_MODULE`].
#[derive(Clone, Copy, Debug, Default)]
pub struct QrImageRenderer;

impl QrRenderer for QrImageRenderer {
    fn render(&self, content: &str) -> Result<QrImages, RenderFault> {
        let symbol = Symbol::encode(content)?;
        let svg = svg::draw(&symbol);
        Ok(QrImages {
            png: raster::rasterise(&svg, symbol.side())?,
            text: text::draw(&symbol),
            svg,
        })
    }
}

fn fault(what: &str, why: &dyn std::fmt::Display) -> RenderFault {
    RenderFault {
        cause: format!("{what}: {why}"),
    }
}
