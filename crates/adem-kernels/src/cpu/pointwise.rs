//! Exponentials and error functions of many numbers at once: a library's are a call a number.

use super::four::{self, Four, change};

/// `e^x` within three units in the last place, for x in -87..88 and as at those ends beyond; NaN of
/// NaN. Cody and Waite's reduction, then the polynomial of Cephes' `expf`.
#[inline(always)]
fn exp(x: Four) -> Four {
    /// Leaves no bit for a fraction when added, and the integer in the low bits of the sum.
    const NO_FRACTION: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let all = Four::splat;
    let x = x.larger(all(-87.0)).smaller(all(88.0));
    let shifted = x * all(std::f32::consts::LOG2_E) + all(NO_FRACTION);
    let n = shifted - all(NO_FRACTION);
    let r = x - n * all(LN2_HIGH) - n * all(LN2_LOW);
    let mut p = all(1.987_569_1e-4);
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        p = p * r + all(c);
    }
    (p * r * r + r + all(1.0)) * shifted.power()
}

/// `x * sigmoid(steepness * x)`, in place.
#[inline(always)]
fn gate(values: &mut [f32], steepness: f32) {
    let (one, minus) = (Four::splat(1.0), Four::splat(-steepness));
    change(values, |x| x / (one + exp(minus * x)));
}

/// `x * sigmoid(1.702 x)`, in place.
pub(crate) fn quick_gelu(values: &mut [f32]) {
    gate(values, 1.702);
}

/// `x * sigmoid(x)`, in place.
pub(crate) fn silu(values: &mut [f32]) {
    gate(values, 1.0);
}

/// The error function within 5e-7: a ratio of polynomials as Eigen has it, that of 4 beyond.
#[inline(always)]
fn erf(x: Four) -> Four {
    const ODD: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const EVEN: [f32; 5] = [
        -1.456_607_2e-5,
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329e-3,
        -1.426_473_9e-2,
    ];
    let x = x.larger(Four::splat(-4.0)).smaller(Four::splat(4.0));
    let square = x * x;
    let polynomial = |c: &[f32]| {
        let zero = Four::splat(0.0);
        c.iter().fold(zero, |p, c| p * square + Four::splat(*c))
    };
    x * polynomial(&ODD) / polynomial(&EVEN)
}

/// `x * (1 + erf(x / sqrt 2)) / 2`, in place.
pub(crate) fn gelu(values: &mut [f32]) {
    let (half, root) = (
        Four::splat(0.5),
        Four::splat(std::f32::consts::FRAC_1_SQRT_2),
    );
    change(values, |x| x * (half + half * erf(x * root)));
}

/// The softmax of a row, in place.
pub(crate) fn softmax(row: &mut [f32]) {
    let (fours, rest) = row.as_chunks::<4>();
    let mut most = Four::splat(f32::NEG_INFINITY);
    for four in fours {
        most = most.larger(Four::new(*four));
    }
    let most = most.numbers().into_iter().chain(rest.iter().copied());
    let most = Four::splat(most.fold(f32::NEG_INFINITY, f32::max));
    change(row, |x| exp(x - most));
    let inverse = Four::splat(1.0 / four::sum(row, |x| x));
    change(row, |x| x * inverse);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(f: fn(Four) -> Four, x: f32) -> f32 {
        f(Four::splat(x)).numbers()[2]
    }

    #[test]
    fn exponentials_are_those_of_double_precision() {
        for i in -870..=880 {
            for fraction in 0..37 {
                let x = (i as f32 + fraction as f32 / 37.0) / 10.0;
                let want = f64::from(x.min(88.0)).exp();
                let off = (f64::from(one(exp, x)) - want).abs() / want;
                assert!(off < 3.0 * f64::from(f32::EPSILON), "e^{x}: off by {off:e}");
            }
        }
        assert!(one(exp, f32::NAN).is_nan());
        assert!(one(exp, f32::NEG_INFINITY) < 1e-37);
        assert!(one(exp, f32::INFINITY) > 1e38);
    }

    #[test]
    fn the_error_function_is_that_of_double_precision() {
        for i in -60_000..=60_000 {
            let x = i as f32 / 10_000.0;
            let off = (f64::from(one(erf, x)) - libm::erf(f64::from(x))).abs();
            assert!(off < 5e-7, "erf({x}): off by {off:e}");
        }
        assert!(one(erf, f32::NAN).is_nan());
        assert_eq!(one(erf, f32::INFINITY), one(erf, 4.0));
        assert_eq!(one(erf, -0.5), -one(erf, 0.5));
    }

    #[test]
    fn a_softmax_of_large_numbers_is_one() {
        let mut row: Vec<f32> = (0..21).map(|i| 1e4 + (i as f32).sin()).collect();
        let want: Vec<f64> = row.iter().map(|x| f64::from(*x - 1e4).exp()).collect();
        let sum: f64 = want.iter().sum();
        softmax(&mut row);
        for (got, want) in row.iter().zip(want) {
            assert!((f64::from(*got) - want / sum).abs() < 1e-7);
        }
        let mut poisoned = [1.0, f32::NAN, 2.0];
        softmax(&mut poisoned);
        assert!(poisoned.iter().all(|x| x.is_nan()));
    }

    #[test]
    fn the_gate_is_open_above_and_closed_below() {
        let mut values = [-100.0, -1.0, 0.0, -0.0, 1.0, 100.0, f32::NAN];
        quick_gelu(&mut values);
        let sigmoid = 1.0 / (1.0 + (-1.702f32).exp());
        let want = [0.0, sigmoid - 1.0, 0.0, 0.0, sigmoid, 100.0];
        for (got, want) in values.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got} where {want} was expected");
        }
        assert!(values[6].is_nan());
    }
}
