//! The pictures, read back by readers that know nothing of how they were drawn.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::process::Command;

use image::{GrayImage, Luma};
use proptest::prelude::*;
use qrcode::{EcLevel, QrCode};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use zmon_domain::qr::{MAX_QR_CONTENT, QrImages};
use zmon_ports::QrRenderer as _;
use zmon_qr_render::{MIN_PIXELS_PER_MODULE, PNG_SIDE, QUIET_ZONE, QrImageRenderer};
use zmon_testkit::qr_code;

/// Level H in the format bits of a symbol (ISO/IEC 18004, table 12).
const LEVEL_H: u16 = 0b10;

fn render(content: &str) -> QrImages {
    QrImageRenderer.render(content).unwrap()
}

fn vector_contents() -> Vec<String> {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../../tests/vectors/qr-v1.json")).unwrap();
    let contents: Vec<String> = vectors
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|vector| {
            ["contentEd25519Anchor", "contentHmacAnchor"].map(|name| vector[name].as_str().unwrap().into())
        })
        .collect();
    assert!(!contents.is_empty());
    contents
}

fn longest_content() -> String {
    vector_contents()[0].chars().cycle().take(MAX_QR_CONTENT).collect()
}

fn picture(png: &[u8]) -> GrayImage {
    image::load_from_memory(png).unwrap().to_luma8()
}

/// What the one symbol in the picture says.
fn read(picture: &GrayImage) -> String {
    let (meta, content) = qr_code::read(picture).expect("the symbol can be read");
    assert_eq!(meta.ecc_level, LEVEL_H);
    content
}

/// Where the symbol is and how wide a module is, in pixels, taken from the picture alone.
struct Measured {
    left: u32,
    top: u32,
    side: u32,
    module: u32,
}

fn measure(picture: &GrayImage) -> Measured {
    let dark = || picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] == 0);
    let left = dark().map(|(x, _, _)| x).min().unwrap();
    let right = dark().map(|(x, _, _)| x).max().unwrap();
    let top = dark().map(|(_, y, _)| y).min().unwrap();
    let bottom = dark().map(|(_, y, _)| y).max().unwrap();
    assert_eq!(right - left, bottom - top, "the symbol is square");
    // The finder pattern's upper edge is seven modules wide.
    let finder = (left..).take_while(|x| picture.get_pixel(*x, top).0[0] == 0).count() as u32;
    assert_eq!(finder % 7, 0);
    Measured {
        left,
        top,
        side: right - left + 1,
        module: finder / 7,
    }
}

#[test]
fn the_png_says_every_content_of_the_vectors() {
    for content in vector_contents() {
        assert_eq!(read(&picture(&render(&content).png)), content);
    }
}

#[test]
fn the_png_is_300_pixels_square_with_whole_pixels_per_module_and_a_quiet_zone() {
    let lengths = [1, 60, 120, 200, MAX_QR_CONTENT];
    for content in lengths.map(|length| longest_content()[..length].to_owned()) {
        let picture = picture(&render(&content).png);
        assert_eq!(picture.dimensions(), (PNG_SIDE, PNG_SIDE));
        assert!(
            picture.pixels().all(|pixel| [0, 255].contains(&pixel.0[0])),
            "it is black and white alone"
        );

        let Measured {
            left,
            top,
            side,
            module,
        } = measure(&picture);
        assert!(module >= MIN_PIXELS_PER_MODULE);
        assert_eq!(side % module, 0);
        for y in (top..top + side).step_by(module as usize) {
            for x in (left..left + side).step_by(module as usize) {
                let first = picture.get_pixel(x, y);
                let same = (0..module * module).all(|i| picture.get_pixel(x + i % module, y + i / module) == first);
                assert!(same, "a module is one square of one colour");
            }
        }
        let quiet = QUIET_ZONE as u32 * module;
        assert!([left, top].iter().all(|before| *before >= quiet));
        assert!([left, top].iter().all(|before| PNG_SIDE - before - side >= quiet));
    }
}

#[test]
fn content_of_240_bytes_is_drawn_with_81_modules_of_3_pixels() {
    let content = &longest_content()[..240];
    let measured = measure(&picture(&render(content).png));
    assert_eq!((measured.side, measured.module), (81 * 3, 3));
    assert_eq!((measured.left, measured.top), (16 + 4 * 3, 16 + 4 * 3));
}

#[test]
fn content_of_more_than_310_bytes_is_refused() {
    let longest = longest_content();
    assert_eq!(read(&picture(&render(&longest).png)), longest);
    let refused = QrImageRenderer.render(&(longest + "x")).err().unwrap();
    assert!(refused.cause.contains("311 bytes"), "{refused}");
}

#[test]
fn the_svg_says_the_same_at_other_sizes() {
    for content in vector_contents() {
        let tree = Tree::from_str(&render(&content).svg, &Options::default()).unwrap();
        let modules = tree.size().width();
        assert_eq!(modules.fract(), 0.0, "one unit per module");
        for size in [400_u32, 511, 720, 1080] {
            let scale = size as f32 / modules;
            let mut pixmap = Pixmap::new(size, size).unwrap();
            pixmap.fill(Color::TRANSPARENT);
            resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
            assert!(
                pixmap.pixels().iter().all(|pixel| pixel.alpha() == 255),
                "the background belongs to it"
            );
            let pixels = pixmap.pixels().iter().map(|pixel| pixel.red()).collect();
            assert_eq!(read(&GrayImage::from_raw(size, size, pixels).unwrap()), content);
        }
    }
}

#[test]
fn the_text_says_the_same_on_a_dark_terminal() {
    for content in vector_contents() {
        let text = render(&content).text;
        assert!(!text.contains('\u{1b}'));
        let rows: Vec<[Vec<bool>; 2]> = text
            .lines()
            .map(|line| {
                let upper = line.chars().map(|c| "█▀".contains(c)).collect();
                [upper, line.chars().map(|c| "█▄".contains(c)).collect()]
            })
            .collect();
        let light: Vec<&Vec<bool>> = rows.iter().flatten().collect();
        let modules = light[0].len();
        assert!(light.iter().all(|row| row.len() == modules));
        assert!((modules..=modules + 1).contains(&light.len()));
        assert!(light[..QUIET_ZONE].iter().all(|row| row.iter().all(|light| *light)));

        let picture = GrayImage::from_fn(modules as u32 * 4, light.len() as u32 * 4, |x, y| {
            Luma([if light[y as usize / 4][x as usize / 4] { 230 } else { 20 }])
        });
        assert_eq!(read(&picture), content);
    }
}

/// Paints over a square with 18 percent of the symbol's modules at the middle of its right edge, where no finder or
/// format modules are: these are found by their shape, not protected by error correction.
fn damage(picture: &mut GrayImage) {
    let Measured { left, top, side, .. } = measure(picture);
    let edge = (f64::from(side * side) * 0.18).sqrt() as u32;
    for y in 0..edge {
        for x in 0..edge {
            picture.put_pixel(left + side - edge + x, top + (side - edge) / 2 + y, Luma([255]));
        }
    }
}

#[test]
fn a_symbol_that_lost_nearly_a_fifth_of_its_modules_is_still_read() {
    for content in vector_contents() {
        let mut damaged = picture(&render(&content).png);
        damage(&mut damaged);
        assert_eq!(read(&damaged), content);
    }
}

#[test]
fn the_same_damage_is_too_much_for_a_symbol_of_level_q() {
    let content = &vector_contents()[0];
    let code = QrCode::with_error_correction_level(content, EcLevel::Q).unwrap();
    let side = code.width() as u32;
    let mut picture = GrayImage::from_fn((side + 8) * 4, (side + 8) * 4, |x, y| {
        let inside = 4..side + 4;
        let (x, y) = (x / 4, y / 4);
        let dark =
            inside.contains(&x) && inside.contains(&y) && code[(x as usize - 4, y as usize - 4)] == qrcode::Color::Dark;
        Luma([if dark { 0 } else { 255 }])
    });
    let whole = rqrr::PreparedImage::prepare(picture.clone()).detect_grids()[0]
        .decode()
        .unwrap();
    assert_eq!(&whole.1, content);
    damage(&mut picture);
    assert!(
        rqrr::PreparedImage::prepare(picture)
            .detect_grids()
            .iter()
            .all(|grid| grid.decode().is_err())
    );
}

#[test]
fn the_same_content_gives_the_same_small_picture() {
    let content = &vector_contents()[1];
    let images = render(content);
    assert!(images.png.len() < 8 * 1024, "the PNG has {} bytes", images.png.len());
    assert_eq!(images.png, render(content).png);
}

#[test]
fn zbar_reads_the_png_too() {
    if Command::new("zbarimg").arg("--version").output().is_err() {
        return zmon_testkit::skip::skip("zbar_reads_the_png_too", "zbarimg is not installed");
    }
    for (index, content) in vector_contents().into_iter().enumerate() {
        let path = std::env::temp_dir().join(format!("zmon-qr-render-{}-{index}.png", std::process::id()));
        std::fs::write(&path, render(&content).png).unwrap();
        let answer = Command::new("zbarimg")
            .args(["--quiet", "--raw"])
            .arg(&path)
            .output()
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            String::from_utf8(answer.stdout).unwrap().trim_end_matches('\n'),
            content
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_png_says_whatever_content_fits(content in "[ -~]{1,310}") {
        prop_assert_eq!(read(&picture(&render(&content).png)), content);
    }
}
