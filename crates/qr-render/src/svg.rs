//! The drawing: one path, one subpath per horizontal run of dark modules.

use std::fmt::Write as _;

use crate::symbol::Symbol;

/// SVG with one user unit per module. It names no width and height, so that it fills whatever holds it.
pub(crate) fn draw(symbol: &Symbol) -> String {
    let side = symbol.side();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\""
    );
    for y in 0..side {
        let mut x = 0;
        while x < side {
            let run = (x..side).take_while(|x| symbol.is_dark(*x, y)).count();
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = write!(svg, "M{x} {y}h{run}v1h-{run}z");
            }
            x += run.max(1);
        }
    }
    svg.push_str("\"/></svg>");
    svg
}
