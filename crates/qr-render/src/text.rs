//! The symbol for a terminal: two rows of modules per line, light modules drawn, dark ones left as background.

use crate::symbol::Symbol;

/// Lines of UTF-8 half blocks, quiet zone included, each ended by a line feed.
///
/// Terminals are dark with light letters, so drawing the *light* modules gives a symbol that is dark on light. On a light
/// terminal it appears inverted; most readers take that too, and the PNG and the SVG are there.
pub(crate) fn draw(symbol: &Symbol) -> String {
    let side = symbol.side();
    let mut text = String::with_capacity(side * side * 2);
    for y in (0..side).step_by(2) {
        for x in 0..side {
            // Below an odd last row there is nothing to draw.
            let light = (!symbol.is_dark(x, y), y + 1 < side && !symbol.is_dark(x, y + 1));
            text.push(match light {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push('\n');
    }
    text
}
