//! How fast products are on the processor at hand.

use super::{HostMatrix, Level};
use crate::blocks::{BLOCK, Scheme};

/// A product to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Rows of activations.
    pub tokens: usize,
}

/// How fast one kind of product was, on the calling thread alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Weights: `f32`, `q8` or `q4`.
    pub weights: &'static str,
    /// Activations: `f32`, or `int16` in fixed point, into which they are taken as part of the time.
    pub activations: &'static str,
    /// The instructions used.
    pub level: &'static str,
    /// Seconds of the fastest of all repetitions: what others on the machine take is no part of
    /// it.
    pub seconds: f64,
    /// Fixed of weights read in a second, over 10^9.
    pub gigabytes_per_second: f64,
    /// Multiplications with additions in a second, over 10^9.
    pub gigaproducts_per_second: f64,
}

/// Measures products of `shape` with weights in single precision, then in q8 and q4, at each level the processor has. `clock` gives seconds from any start;
/// each product is repeated until about `seconds` have gone by.
///
/// Empty where a dimension is 0.
pub fn bench(shape: Shape, seconds: f64, clock: &dyn Fn() -> f64) -> Vec<Figure> {
    let Shape { rows, cols, tokens } = shape;
    if rows * cols * tokens == 0 {
        return Vec::new();
    }
    let blocks = cols.div_ceil(BLOCK);
    let activations = noise(tokens * cols);
    let mut figures = Vec::new();
    let mut add = |weights, activations, level: Level, bytes: usize, run: &mut dyn FnMut()| {
        let time = fastest(seconds, clock, run);
        figures.push(Figure {
            weights,
            activations,
            level: level.name(),
            seconds: time,
            gigabytes_per_second: bytes as f64 / time / 1e9,
            gigaproducts_per_second: (rows * cols * tokens) as f64 / time / 1e9,
        });
    };
    let packed = |scheme: Scheme| {
        let words = noise(rows * blocks * scheme.words());
        let words = words.into_iter().map(f32::to_bits).collect();
        let scales = noise(rows * blocks);
        (
            scheme.name(),
            HostMatrix::packed(scheme, [rows, cols], words, scales),
        )
    };
    let float = HostMatrix::float([rows, cols], noise(rows * cols));
    for (name, matrix) in [("f32", float), packed(Scheme::Q8), packed(Scheme::Q4)] {
        let kind = if name == "f32" { name } else { "int16" };
        let bytes = matrix.bytes();
        for level in Level::available() {
            let mut run = || drop(matrix.multiply(level, &activations, false));
            add(name, kind, level, bytes, &mut run);
        }
    }
    figures
}

/// Seconds of the fastest `run` of five or more.
fn fastest(seconds: f64, clock: &dyn Fn() -> f64, run: &mut dyn FnMut()) -> f64 {
    const LEAST: usize = 5;
    run();
    let begin = clock();
    let (mut best, mut runs) = (f64::INFINITY, 0);
    while runs < LEAST || clock() - begin < seconds {
        let start = clock();
        run();
        best = best.min(clock() - start);
        runs += 1;
    }
    // A clock too coarse for so short a product still gives a rate.
    best.max(f64::MIN_POSITIVE)
}

/// Values between -1 and 1 that follow from their number.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (BLOCK << 18) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}
