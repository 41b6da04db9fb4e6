//! The scale of one block.

use half::f16;

use super::encode::Recipe;
use super::{BLOCK, Method, ScaleType, Scheme};

/// Inverse scales that are tried, as the code the block's largest weight would get before it is
/// rounded and clamped: first, last, step. Both signs of each are tried for q4, whose range is
/// not symmetric.
const Q4_PEAKS: (f32, f32, f32) = (5.5, 9.5, 0.25);
const Q8_PEAKS: (f32, f32, f32) = (125.0, 131.0, 0.5);

/// A block's scale with the codes that go with it.
pub(super) struct Choice {
    pub scale: f32,
    pub codes: [i8; BLOCK],
    /// Squared error, each column times its importance.
    error: f64,
}

impl Choice {
    /// The codes of `values` under `scale`.
    fn new(
        values: &[f32; BLOCK],
        importance: Option<&[f32; BLOCK]>,
        scheme: Scheme,
        scale: f32,
    ) -> Self {
        let mut codes = [0; BLOCK];
        let mut error = 0.0;
        for (column, value) in values.iter().enumerate() {
            if scale != 0.0 {
                codes[column] = nearest(value / scale, scheme) as i8;
            }
            let off = f64::from(*value) - f64::from(f32::from(codes[column]) * scale);
            error += off * off * importance.map_or(1.0, |each| f64::from(each[column]));
        }
        Self {
            scale,
            codes,
            error,
        }
    }
}

/// The scale and codes of `values`, whose magnitudes [`largest`] bounds.
pub(super) fn choose(
    values: &[f32; BLOCK],
    importance: Option<&[f32; BLOCK]>,
    recipe: &Recipe,
) -> Choice {
    let peak = values
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    let with = |scale| Choice::new(values, importance, recipe.scheme, scale);
    let plain = with(rtn(peak, recipe));
    if recipe.method == Method::Rtn || peak == 0.0 {
        return plain;
    }
    let scale = recipe
        .scale
        .nearest(search(values, importance, peak, recipe.scheme) * peak);
    if scale == 0.0 || !(scale * recipe.scheme.reach()).is_finite() {
        return plain;
    }
    let found = with(scale);
    if found.error < plain.error {
        found
    } else {
        plain
    }
}

/// Largest magnitude a block may hold: its scale and every product with a code are finite.
pub(super) fn largest(scheme: Scheme, scale: ScaleType) -> f32 {
    match scale {
        ScaleType::F16 => f16::MAX.to_f32() * f32::from(scheme.range().1),
        ScaleType::F32 => f32::MAX / 2.0,
    }
}

/// The smallest scale of the stored type, near `peak` over the highest code, under which no
/// weight up to `peak` is more than half a step off.
fn rtn(peak: f32, recipe: &Recipe) -> f32 {
    let high = f32::from(recipe.scheme.range().1);
    let scale = recipe.scale.nearest(peak / high);
    if peak > scale * (high + 0.5) {
        recipe.scale.above(scale)
    } else {
        scale
    }
}

/// The scale of least squared error found, in units of `peak`, before it is rounded.
///
/// For given codes `c` the best scale is `sum(w c) / sum(c c)`, and the error it leaves is
/// `sum(w w) - sum(w c)^2 / sum(c c)`; so candidates are compared by that last quotient.
fn search(
    values: &[f32; BLOCK],
    importance: Option<&[f32; BLOCK]>,
    peak: f32,
    scheme: Scheme,
) -> f32 {
    let unit = values.map(|value| value / peak);
    let weight = importance.copied().unwrap_or([1.0; BLOCK]);
    let (first, last, step) = match scheme {
        Scheme::Q4 => Q4_PEAKS,
        Scheme::Q8 => Q8_PEAKS,
    };
    let count = ((last - first) / step) as u32;
    let (mut best, mut scale) = (f32::NEG_INFINITY, 0.0);
    for sign in [1.0, -1.0] {
        if scheme == Scheme::Q8 && sign < 0.0 {
            continue;
        }
        for index in 0..=count {
            let (wc, cc) = fit(&unit, &weight, sign * (first + step * index as f32), scheme);
            if cc > 0.0 && wc * wc / cc > best {
                (best, scale) = (wc * wc / cc, wc / cc);
            }
        }
    }
    // The best scale for those codes may ask for other codes, and they for another scale.
    if scale != 0.0 {
        let (wc, cc) = fit(&unit, &weight, 1.0 / scale, scheme);
        if cc > 0.0 && wc * wc / cc >= best {
            scale = wc / cc;
        }
    }
    scale
}

/// `sum(w c)` and `sum(c c)`, weighted, of the codes under the scale `1 / inverse`.
fn fit(unit: &[f32; BLOCK], weight: &[f32; BLOCK], inverse: f32, scheme: Scheme) -> (f32, f32) {
    const LANES: usize = 8;
    let (mut wc, mut cc) = ([0f32; LANES], [0f32; LANES]);
    let chunks = unit.as_chunks::<LANES>().0.iter();
    for (unit, weight) in chunks.zip(weight.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let code = nearest(unit[lane] * inverse, scheme);
            let weighted = weight[lane] * code;
            wc[lane] += weighted * unit[lane];
            cc[lane] += weighted * code;
        }
    }
    (wc.iter().sum(), cc.iter().sum())
}

/// The code nearest to `value`, ties to even.
#[inline(always)]
pub(super) fn nearest(value: f32, scheme: Scheme) -> f32 {
    // Adding 1.5 * 2^23 leaves no bit for a fraction; unlike a call it becomes vector code on
    // every processor.
    const NO_FRACTION: f32 = 12_582_912.0;
    let (low, high) = scheme.range();
    let clamped = value.clamp(f32::from(low), f32::from(high));
    (clamped + NO_FRACTION) - NO_FRACTION
}

impl ScaleType {
    /// `scale` as stored.
    pub(super) fn nearest(self, scale: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(scale).to_f32(),
            Self::F32 => scale,
        }
    }

    /// The stored scale that follows `scale`, which is not negative.
    fn above(self, scale: f32) -> f32 {
        match self {
            Self::F16 => f16::from_bits(f16::from_f32(scale).to_bits() + 1).to_f32(),
            Self::F32 => scale.next_up(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_rounded_to_nearest_even_and_clamped() {
        for (value, q4, q8) in [
            (0.5, 0.0, 0.0),
            (1.5, 2.0, 2.0),
            (2.5, 2.0, 2.0),
            (-0.5, 0.0, 0.0),
            (-1.5, -2.0, -2.0),
            (7.49, 7.0, 7.0),
            (7.5, 7.0, 8.0),
            (-8.7, -8.0, -9.0),
            (126.5, 7.0, 126.0),
            (1e30, 7.0, 127.0),
            (f32::NEG_INFINITY, -8.0, -127.0),
        ] {
            assert_eq!(nearest(value, Scheme::Q4), q4, "{value}");
            assert_eq!(nearest(value, Scheme::Q8), q8, "{value}");
        }
    }
}
