//! Four numbers at a time, in one vector.
//!
//! Written out, because the page's engine is optimised for size as a whole, where a compiler makes
//! no vectors of loops.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use std::arch::wasm32::*;
use std::ops::{Add, Div, Mul, Sub};

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
type Lanes = v128;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
type Lanes = [f32; 4];

/// Four numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Four(Lanes);

/// Every operation twice: as WebAssembly's instruction, and number by number.
macro_rules! operations {
    ($($trait:ident, $name:ident, $wasm:ident, $plain:expr;)*) => {$(
        impl $trait for Four {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                return Self($wasm(self.0, other.0));
                #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
                self.each(other, $plain)
            }
        }
    )*};
}

operations! {
    Add, add, f32x4_add, |a, b| a + b;
    Sub, sub, f32x4_sub, |a, b| a - b;
    Mul, mul, f32x4_mul, |a, b| a * b;
    Div, div, f32x4_div, |a, b| a / b;
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
impl Four {
    #[inline(always)]
    pub fn new([a, b, c, d]: [f32; 4]) -> Self {
        Self(f32x4(a, b, c, d))
    }

    #[inline(always)]
    pub fn numbers(self) -> [f32; 4] {
        [
            f32x4_extract_lane::<0>(self.0),
            f32x4_extract_lane::<1>(self.0),
            f32x4_extract_lane::<2>(self.0),
            f32x4_extract_lane::<3>(self.0),
        ]
    }

    /// The larger of each two; the first where either is NaN.
    #[inline(always)]
    pub fn larger(self, other: Self) -> Self {
        Self(f32x4_pmax(self.0, other.0))
    }

    /// The smaller of each two; the first where either is NaN.
    #[inline(always)]
    pub fn smaller(self, other: Self) -> Self {
        Self(f32x4_pmin(self.0, other.0))
    }

    #[inline(always)]
    pub fn abs(self) -> Self {
        Self(f32x4_abs(self.0))
    }

    /// Two to the power of the integers in the low bits of these numbers.
    #[inline(always)]
    pub fn power(self) -> Self {
        Self(i32x4_add(i32x4_shl(self.0, 23), f32x4_splat(1.0)))
    }

    /// The low halves of eight numbers' bits.
    #[inline(always)]
    pub fn low_halves(self, other: Self) -> [i16; 8] {
        let all = i16x8_shuffle::<0, 2, 4, 6, 8, 10, 12, 14>(self.0, other.0);
        [
            i16x8_extract_lane::<0>(all),
            i16x8_extract_lane::<1>(all),
            i16x8_extract_lane::<2>(all),
            i16x8_extract_lane::<3>(all),
            i16x8_extract_lane::<4>(all),
            i16x8_extract_lane::<5>(all),
            i16x8_extract_lane::<6>(all),
            i16x8_extract_lane::<7>(all),
        ]
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
impl Four {
    #[inline(always)]
    pub fn new(numbers: [f32; 4]) -> Self {
        Self(numbers)
    }

    #[inline(always)]
    pub fn numbers(self) -> [f32; 4] {
        self.0
    }

    /// The larger of each two; the first where either is NaN.
    #[inline(always)]
    pub fn larger(self, other: Self) -> Self {
        self.each(other, |a, b| if b > a { b } else { a })
    }

    /// The smaller of each two; the first where either is NaN.
    #[inline(always)]
    pub fn smaller(self, other: Self) -> Self {
        self.each(other, |a, b| if b < a { b } else { a })
    }

    #[inline(always)]
    pub fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }

    /// Two to the power of the integers in the low bits of these numbers.
    #[inline(always)]
    pub fn power(self) -> Self {
        let power = |x: f32| f32::from_bits((x.to_bits() << 23).wrapping_add(1f32.to_bits()));
        Self(self.0.map(power))
    }

    /// The low halves of eight numbers' bits.
    #[inline(always)]
    pub fn low_halves(self, other: Self) -> [i16; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        [a, b, c, d, e, f, g, h].map(|x| x.to_bits() as i16)
    }

    #[inline(always)]
    fn each(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let ([a, b, c, d], [e, f2, g, h]) = (self.0, other.0);
        Self([f(a, e), f(b, f2), f(c, g), f(d, h)])
    }
}

impl Four {
    /// The same number four times.
    #[inline(always)]
    pub fn splat(x: f32) -> Self {
        Self::new([x; 4])
    }

    /// The sum of the numbers.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        let [a, b, c, d] = self.numbers();
        a + b + c + d
    }
}

/// `f` of every number, in place. Where their number is no multiple of four, `f` sees zeros, too.
#[inline(always)]
pub(super) fn change(values: &mut [f32], f: impl Fn(Four) -> Four) {
    let (fours, rest) = values.as_chunks_mut::<4>();
    for four in fours {
        *four = f(Four::new(*four)).numbers();
    }
    if !rest.is_empty() {
        let mut last = [0.0; 4];
        last[..rest.len()].copy_from_slice(rest);
        let last = f(Four::new(last)).numbers();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The sum of `f` of every number.
#[inline(always)]
pub(super) fn sum(values: &[f32], f: impl Fn(Four) -> Four) -> f32 {
    let (fours, rest) = values.as_chunks::<4>();
    let (mut sums, mut odd) = (Four::splat(0.0), Four::splat(0.0));
    let (pairs, last) = fours.as_chunks::<2>();
    for [even_four, odd_four] in pairs {
        sums = sums + f(Four::new(*even_four));
        odd = odd + f(Four::new(*odd_four));
    }
    for four in last {
        sums = sums + f(Four::new(*four));
    }
    let rest = rest.iter().map(|x| f(Four::splat(*x)).numbers()[0]);
    (sums + odd).sum() + rest.sum::<f32>()
}
