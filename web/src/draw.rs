//! The picture with its map, drawn.

use crate::{camera::context, sight::Patch};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlImageElement};

/// Over dropped patches and over those that count, both readable on light and dark pictures.
const DARK: &str = "#0b1014";
const LIGHT: &str = "#3fe0c2";

/// Draws `image` over the whole of `canvas`, and `patches`, a square number of them, over it.
pub fn map(canvas: &HtmlCanvasElement, image: &HtmlImageElement, patches: &[Patch]) {
    let size = (f64::from(canvas.width()), f64::from(canvas.height()));
    if let Some(context) = context(canvas) {
        map_at(&context, (0.0, 0.0), size, image, patches);
    }
}

fn map_at(
    context: &CanvasRenderingContext2d,
    (left, top): (f64, f64),
    (width, height): (f64, f64),
    image: &HtmlImageElement,
    patches: &[Patch],
) {
    context.set_global_alpha(1.0);
    // A picture that cannot be drawn leaves the map alone to be seen.
    let _ =
        context.draw_image_with_html_image_element_and_dw_and_dh(image, left, top, width, height);
    let side = patches.len().isqrt();
    if side == 0 {
        return;
    }
    let (w, h) = (width / side as f64, height / side as f64);
    for (place, patch) in patches.iter().enumerate() {
        let x = left + (place % side) as f64 * w;
        let y = top + (place / side) as f64 * h;
        let kept = 1.0 - f64::from(patch.dropped);
        context.set_fill_style_str(LIGHT);
        // Squared: the few that stand out are what a reader looks for.
        let strength = f64::from(patch.strength);
        context.set_global_alpha(0.7 * strength * strength * kept);
        context.fill_rect(x, y, w, h);
        context.set_fill_style_str(DARK);
        context.set_global_alpha(0.82 * f64::from(patch.dropped));
        context.fill_rect(x, y, w, h);
        if patch.dropped == 1.0 {
            // Crossed out, for those who do not tell the shades apart.
            context.set_global_alpha(0.7);
            context.set_stroke_style_str(LIGHT);
            context.begin_path();
            context.move_to(x + w * 0.3, y + h * 0.3);
            context.line_to(x + w * 0.7, y + h * 0.7);
            context.move_to(x + w * 0.7, y + h * 0.3);
            context.line_to(x + w * 0.3, y + h * 0.7);
            context.stroke();
        }
        context.set_global_alpha(0.25);
        context.set_stroke_style_str(DARK);
        context.stroke_rect(x, y, w, h);
    }
    context.set_global_alpha(1.0);
}

/// Width and height, in pixels, of one map of an exported picture.
const SHEET: f64 = 560.0;
/// Around and between them.
const GAP: f64 = 24.0;
/// Of the lines below.
const LINE: f64 = 34.0;

/// A sheet with the maps of all scales side by side, and below them the words, that of the map
/// marked.
pub fn sheet(
    image: &HtmlImageElement,
    maps: &[Vec<Patch>],
    words: &[String],
    selected: usize,
    note: &str,
) -> Option<HtmlCanvasElement> {
    let (natural_width, natural_height) = (image.natural_width(), image.natural_height());
    let tall = f64::from(natural_height) / f64::from(natural_width.max(1));
    let height = SHEET * tall.clamp(0.25, 2.0);
    let width = GAP + maps.len() as f64 * (SHEET + GAP);
    // Lines are broken on a canvas that is thrown away.
    let font = "22px ui-serif, Georgia, serif";
    let measure = context(&crate::camera::canvas(1, 1)?)?;
    measure.set_font(font);
    let mut places = Vec::with_capacity(words.len());
    let (mut x, mut line) = (GAP, 0.0);
    for word in words {
        let long = measure.measure_text(&format!("{word} ")).ok()?.width();
        if x + long > width - GAP {
            (x, line) = (GAP, line + 1.0);
        }
        places.push((word, x, line, long));
        x += long;
    }
    let top = height + 2.0 * GAP;
    let bottom = top + (line + 2.0) * LINE + GAP;
    let canvas = crate::camera::canvas(width as u32, bottom as u32)?;
    let context = context(&canvas)?;
    context.set_fill_style_str("#fffdf9");
    context.fill_rect(0.0, 0.0, width, bottom);
    for (place, patches) in maps.iter().enumerate() {
        let left = GAP + place as f64 * (SHEET + GAP);
        map_at(&context, (left, GAP), (SHEET, height), image, patches);
    }
    context.set_font(font);
    for (place, (word, x, line, long)) in places.into_iter().enumerate() {
        let y = top + line * LINE;
        if place == selected {
            context.set_fill_style_str("#bfe6dc");
            context.fill_rect(x - 4.0, y - 4.0, long, LINE - 4.0);
        }
        context.set_fill_style_str("#20242a");
        context.fill_text(word, x, y + 20.0).ok()?;
    }
    context.set_font("15px system-ui, sans-serif");
    context.set_fill_style_str("#5b6370");
    context.fill_text(note, GAP, bottom - GAP).ok()?;
    Some(canvas)
}
