//! Exact colours for colour names, and patterns.

use super::Object;
use super::dice::Dice;
use super::words::{Color, Texture, Tone};

/// A range of hues (degrees), saturations and values.
struct Swatch {
    hue: (f32, f32),
    saturation: (f32, f32),
    value: (f32, f32),
}

const fn swatch(hue: (f32, f32), saturation: (f32, f32), value: (f32, f32)) -> Swatch {
    Swatch {
        hue,
        saturation,
        value,
    }
}

/// A colour from the range its name allows, sRGB in [0, 1].
pub(super) fn object_rgb(dice: &mut Dice, color: Color) -> [f32; 3] {
    draw(
        dice,
        match color {
            Color::Red => swatch((355.0, 363.0), (0.85, 0.95), (0.76, 0.9)),
            Color::Green => swatch((118.0, 138.0), (0.75, 0.9), (0.55, 0.7)),
            Color::Blue => swatch((214.0, 228.0), (0.8, 0.92), (0.76, 0.92)),
            Color::Yellow => swatch((53.0, 58.0), (0.8, 0.95), (0.94, 1.0)),
            Color::Purple => swatch((279.0, 291.0), (0.65, 0.8), (0.6, 0.73)),
            Color::Orange => swatch((26.0, 31.0), (0.92, 1.0), (0.95, 1.0)),
            Color::Black => swatch((0.0, 360.0), (0.0, 0.2), (0.05, 0.1)),
            Color::White => swatch((0.0, 360.0), (0.0, 0.02), (0.95, 1.0)),
        },
    )
}

/// A background colour from the range its name allows, sRGB in [0, 1].
pub(super) fn tone_rgb(dice: &mut Dice, tone: Tone) -> [f32; 3] {
    draw(
        dice,
        match tone {
            Tone::Grey => swatch((0.0, 360.0), (0.0, 0.02), (0.54, 0.63)),
            Tone::DarkGrey => swatch((0.0, 360.0), (0.0, 0.04), (0.26, 0.32)),
            Tone::Tan => swatch((34.0, 40.0), (0.33, 0.41), (0.76, 0.83)),
            Tone::PaleBlue => swatch((203.0, 212.0), (0.3, 0.38), (0.79, 0.87)),
            Tone::PaleGreen => swatch((105.0, 125.0), (0.27, 0.36), (0.73, 0.81)),
            Tone::Pink => swatch((338.0, 348.0), (0.29, 0.37), (0.84, 0.91)),
            Tone::DarkBlue => swatch((220.0, 230.0), (0.55, 0.66), (0.28, 0.35)),
            Tone::DarkGreen => swatch((140.0, 155.0), (0.45, 0.56), (0.27, 0.34)),
        },
    )
}

fn draw(dice: &mut Dice, swatch: Swatch) -> [f32; 3] {
    let hue = dice.within(swatch.hue);
    let saturation = dice.within(swatch.saturation);
    from_hsv(hue, saturation, dice.within(swatch.value))
}

/// Hue in degrees, saturation and value in [0, 1].
fn from_hsv(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    [5.0, 3.0, 1.0].map(|offset| {
        let k = (offset + hue / 60.0) % 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

/// The second colour of a pattern: lighter or darker than the first, of the same hue, so that
/// the object's colour keeps its name.
pub(super) fn second_rgb(object: &Object) -> [f32; 3] {
    let towards = |target: f32, share: f32| object.rgb.map(|c| c + (target - c) * share);
    match object.color {
        Color::Red | Color::Green | Color::Blue | Color::Purple => towards(1.0, 0.66),
        Color::Yellow | Color::Orange => towards(0.0, 0.5),
        Color::Black => towards(1.0, 0.55),
        Color::White => towards(0.0, 0.55),
    }
}

/// Width of the even rim that keeps a patterned object's outline whole, in radii.
const RIM: f32 = 0.1;
/// Lengths of the patterns, in radii.
const STRIPE_PERIOD: f32 = 0.46;
const STRIPE_HALF: f32 = 0.1;
const DOT_PERIOD: f32 = 0.52;
const DOT_RADIUS: f32 = 0.155;
const CHECK_PERIOD: f32 = 1.0;

/// How much of the second colour shows at `p` (radii, in the object's frame), in [0, 1].
/// `inside` is the signed distance to the object's border and `soft` the half width of an
/// edge, both in radii.
pub(super) fn pattern(object: &Object, p: (f32, f32), inside: f32, soft: f32) -> f32 {
    if object.texture == Texture::Plain {
        return 0.0;
    }
    let (cos, sin) = object.pattern_turn;
    let (u, v) = (p.0 * cos + p.1 * sin, p.1 * cos - p.0 * sin);
    // Distance to the middle of the nearest period, in radii.
    let wave = |x: f32, phase: f32, period: f32| {
        let t = x / period + phase;
        (t - t.floor() - 0.5) * period
    };
    let (phase_u, phase_v) = object.pattern_phase;
    let border = match object.texture {
        Texture::Plain => return 0.0,
        Texture::Striped => wave(u, phase_u, STRIPE_PERIOD).abs() - STRIPE_HALF,
        Texture::Dotted => {
            let (du, dv) = (wave(u, phase_u, DOT_PERIOD), wave(v, phase_v, DOT_PERIOD));
            (du * du + dv * dv).sqrt() - DOT_RADIUS
        }
        Texture::Checkered => {
            let du = wave(u, phase_u, CHECK_PERIOD).abs() - 0.25 * CHECK_PERIOD;
            let dv = wave(v, phase_v, CHECK_PERIOD).abs() - 0.25 * CHECK_PERIOD;
            let nearest = du.abs().min(dv.abs());
            if (du < 0.0) == (dv < 0.0) {
                -nearest
            } else {
                nearest
            }
        }
    };
    edge(border.max(inside + RIM), soft)
}

/// Coverage of an edge at signed distance `d`, falling from 1 to 0 within `soft` either side.
pub(super) fn edge(d: f32, soft: f32) -> f32 {
    (0.5 - 0.5 * d / soft).clamp(0.0, 1.0)
}
