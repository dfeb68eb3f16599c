//! The picture: the SVG at a whole number of pixels per module, padded to the square, one bit per pixel.

use png::{BitDepth, ColorType, Encoder, EncodingError};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use zmon_ports::RenderFault;

use crate::{PNG_SIDE, fault};

/// `side` is the SVG's in modules. Where the padding is odd, right and bottom get the extra pixel.
pub(crate) fn rasterise(svg: &str, side: usize) -> Result<Vec<u8>, RenderFault> {
    let tree = Tree::from_str(svg, &Options::default()).map_err(|error| fault("the SVG cannot be read", &error))?;
    let mut pixmap =
        Pixmap::new(PNG_SIDE, PNG_SIDE).ok_or_else(|| fault("the picture cannot be made", &"its size is refused"))?;
    pixmap.fill(Color::WHITE);
    resvg::render(&tree, placement(side as u32), &mut pixmap.as_mut());
    encode(&pixmap).map_err(|error| fault("the PNG cannot be written", &error))
}

fn placement(side: u32) -> Transform {
    let pixels_per_module = PNG_SIDE / side;
    let padding = (PNG_SIDE - side * pixels_per_module) / 2;
    let (scale, shift) = (pixels_per_module as f32, padding as f32);
    Transform::from_row(scale, 0.0, 0.0, scale, shift, shift)
}

/// One bit of grey per pixel: a thirtieth of the RGBA data to compress.
fn encode(pixmap: &Pixmap) -> Result<Vec<u8>, EncodingError> {
    const RGBA: usize = 4;
    let mut packed = Vec::with_capacity((PNG_SIDE * PNG_SIDE.div_ceil(8)) as usize);
    for row in pixmap.data().chunks_exact(PNG_SIDE as usize * RGBA) {
        for pixels in row.chunks(8 * RGBA) {
            let mut byte = 0;
            for (bit, red) in pixels.iter().step_by(RGBA).enumerate() {
                byte |= (red >> 7) << (7 - bit);
            }
            packed.push(byte);
        }
    }
    let mut png = Vec::with_capacity(4096);
    let mut encoder = Encoder::new(&mut png, PNG_SIDE, PNG_SIDE);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&packed)?;
    writer.finish()?;
    Ok(png)
}
