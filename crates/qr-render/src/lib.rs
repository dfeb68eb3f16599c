//! QR symbol as SVG, 300x300 PNG and terminal text.
