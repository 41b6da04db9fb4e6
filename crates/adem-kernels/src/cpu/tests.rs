#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::blocks::BLOCK;

/// What the product means, in double precision: outputs, and for each the sum of magnitudes.
fn reference(matrix: &HostMatrix, x: &[f32], tokens: usize) -> Vec<(f64, f64)> {
    let (rows, cols) = (matrix.rows(), x.len() / tokens);
    let mut out = Vec::new();
    for token in 0..tokens {
        for row in 0..rows {
            let weights = matrix.floats(row..row + 1);
            let products = weights
                .iter()
                .zip(&x[token * cols..])
                .map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (sum, size) = products.fold((0.0, 0.0), |(s, m), p| (s + p, m + p.abs()));
            out.push((sum, size));
        }
    }
    out
}

/// How far fixed point may move each activation: half a unit, and a little for the rounding of that.
fn half_units(x: &[f32], cols: usize) -> Vec<f32> {
    let half = |block: &[f32]| {
        let peak = block.iter().fold(0f32, |m, v| m.max(v.abs()));
        vec![0.51 * peak / 32_767.0; block.len()]
    };
    x.chunks(cols)
        .flat_map(|row| row.chunks(32).flat_map(half))
        .collect()
}

/// The weights rounded to nearest, each block by its largest.
fn matrix(scheme: Scheme, rows: usize, cols: usize, values: &[f32]) -> HostMatrix {
    let (mut words, mut scales) = (Vec::new(), Vec::new());
    let most = match scheme {
        Scheme::Q4 => 7.0,
        Scheme::Q8 => 127.0,
    };
    for block in values.chunks(cols).flat_map(|row| row.chunks(BLOCK)) {
        let scale = block.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs())) / most;
        let mut codes = [0i8; BLOCK];
        for (code, value) in codes.iter_mut().zip(block) {
            *code = (value / scale).round() as i8;
        }
        words.extend((0..scheme.words()).map(|word| {
            u32::from_le_bytes(std::array::from_fn(|j| match scheme {
                Scheme::Q4 => (codes[4 * word + j] & 15 | codes[16 + 4 * word + j] << 4) as u8,
                Scheme::Q8 => codes[4 * word + j] as u8,
            }))
        }));
        scales.push(scale);
    }
    HostMatrix::packed(scheme, [rows, cols], words, scales)
}

fn close(found: &[f32], expected: &[(f64, f64)], tolerance: f64) -> Result<(), TestCaseError> {
    for (index, (found, (value, size))) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - value).abs();
        prop_assert!(
            off <= tolerance * size + 1e-30,
            "output {}: {} where {} was expected",
            index,
            found,
            value
        );
    }
    Ok(())
}

fn case() -> impl Strategy<Value = (usize, usize, usize, Vec<f32>, Vec<f32>)> {
    let tokens = prop_oneof![Just(1usize), 2usize..4, 4usize..9];
    (1usize..14, 1usize..140, tokens).prop_flat_map(|(rows, cols, tokens)| {
        let value = prop_oneof![4 => -1f32..1.0, 1 => Just(0.0), 1 => -100f32..100.0];
        let many = |count| proptest::collection::vec(value.clone(), count);
        (
            Just(rows),
            Just(cols),
            Just(tokens),
            many(rows * cols),
            many(tokens * cols),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_level_computes_the_product((rows, cols, tokens, w, x) in case()) {
        for scheme in [Scheme::Q4, Scheme::Q8] {
            let matrix = matrix(scheme, rows, cols, &w);
            let exact = reference(&matrix, &x, tokens);
            let moved = reference(&matrix, &half_units(&x, cols), tokens);
            // As a share of the sum of magnitudes, which `close` takes times its tolerance.
            let rounded: Vec<_> = (exact.iter().zip(moved))
                .map(|((value, size), (_, moved))| (*value, size + moved / 1e-5))
                .collect();
            let unpacked = HostMatrix::float([rows, cols], matrix.floats(0..rows).into_owned());
            for level in Level::available() {
                close(&unpacked.multiply(level, &x, true), &exact, 1e-5)?;
                let few = matrix.multiply_few(level, &x, true);
                close(&few, &rounded, 1e-5)?;
                let many = matrix.multiply_many(level, &x, true);
                close(&many, &rounded, 1e-5)?;
                let used = if tokens < 4 { few } else { many };
                prop_assert_eq!(matrix.multiply(level, &x, true), used);
            }
        }
    }

    #[test]
    fn block_sums_hold_the_ends_of_the_range(rows in 1usize..6, blocks in 1usize..6, tokens in 1usize..6, signs in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]) {
        // Every number at its extreme: where sums of fewer bits would overflow.
        let cols = 32 * blocks;
        let sign = |i: usize| if signs >> (i % 64) & 1 == 1 { -1.0 } else { 1.0 };
        let x: Vec<f32> = (0..tokens * cols).map(|i| 32_767.0 * sign(i * 7)).collect();
        for (scheme, word) in [(Scheme::Q8, 0x8181_8181), (Scheme::Q8, 0x8080_8080), (Scheme::Q8, 0x7f7f_7f7f), (Scheme::Q4, 0x8888_8888), (Scheme::Q4, 0x7777_7777)] {
            let words = vec![word; rows * blocks * scheme.words()];
            let matrix = HostMatrix::packed(scheme, [rows, cols], words, vec![1.0; rows * blocks]);
            let expected = reference(&matrix, &x, tokens);
            for level in Level::available() {
                close(&matrix.multiply_few(level, &x, true), &expected, 1e-6)?;
                close(&matrix.multiply_many(level, &x, true), &expected, 1e-6)?;
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let (rows, cols, tokens) = (331, 1000, 3);
    let wave = |count: usize| {
        (0..count)
            .map(|i| (i as f32 * 0.37).sin())
            .collect::<Vec<_>>()
    };
    let (w, x) = (wave(rows * cols), wave(tokens * cols));
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    for scheme in [Scheme::Q4, Scheme::Q8] {
        let matrix = matrix(scheme, rows, cols, &w);
        let multiply = || matrix.multiply_few(Level::best(), &x, true);
        let run = |threads: usize| pool(threads).install(multiply);
        assert_eq!(run(1), run(3));
        let x = wave(37 * cols);
        let run = |threads: usize| pool(threads).install(|| matrix.times(&x));
        assert_eq!(run(1), run(3));
    }
}

#[test]
fn poisoned_activations_poison_their_token_only() {
    let (rows, cols) = (5, 70);
    let w: Vec<f32> = (0..rows * cols).map(|i| (i % 13) as f32 - 6.5).collect();
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = vec![0.5; 2 * cols];
        x[cols + 69] = poison;
        for scheme in [Scheme::Q4, Scheme::Q8] {
            let matrix = matrix(scheme, rows, cols, &w);
            for level in Level::available() {
                for y in [
                    matrix.multiply_few(level, &x, true),
                    matrix.multiply_many(level, &x, true),
                ] {
                    assert!(y[..rows].iter().all(|y| y.is_finite()), "{level:?}");
                    assert!(y[rows..].iter().all(|y| !y.is_finite()), "{level:?}");
                }
            }
        }
    }
}

#[test]
fn activations_too_small_for_a_scale_count_as_nothing() {
    let matrix = matrix(Scheme::Q8, 1, 32, &[1.0; 32]);
    for tiny in [0.0, -0.0, f32::MIN_POSITIVE / 1024.0, 1e-45] {
        for y in [
            matrix.multiply_few(Level::best(), &[tiny; 32], true),
            matrix.multiply_many(Level::best(), &[tiny; 32], true),
        ] {
            assert!(y[0].abs() < 1e-36, "{tiny:e}: {}", y[0]);
        }
    }
}

#[test]
fn rows_come_out_as_they_were() {
    let values: Vec<f32> = (0..120).map(|i| (i % 8) as f32 - 4.0).collect();
    let matrix = matrix(Scheme::Q8, 3, 40, &values);
    let all = matrix.floats(0..3);
    assert_eq!(all.len(), 120);
    assert_eq!(matrix.floats(2..3)[..], all[80..]);
    assert!(matrix.times(&[]).is_empty());
}

#[test]
fn self_attention_is_its_formula_for_any_number_of_tokens() {
    let (heads, head) = (3, 5);
    let width = heads * head;
    for (batch, tokens) in [(1, 1), (2, 3), (1, 17), (2, 40)] {
        let at = |i: usize| (i as f32 * 0.7).sin();
        let qkv: Vec<f32> = (0..batch * tokens * 3 * width).map(at).collect();
        let number = |b: usize, token: usize, which: usize, h: usize, i: usize| {
            f64::from(qkv[(b * tokens + token) * 3 * width + which * width + h * head + i])
        };
        let out = self_attention(&qkv, [tokens, width], heads);
        assert_eq!(out.len(), batch * tokens * width);
        for (index, got) in out.iter().enumerate() {
            let (b, token, h, i) = (
                index / width / tokens,
                index / width % tokens,
                index / head % heads,
                index % head,
            );
            let score = |other: usize| -> f64 {
                let products =
                    (0..head).map(|i| number(b, token, 0, h, i) * number(b, other, 1, h, i));
                (products.sum::<f64>() / (head as f64).sqrt()).exp()
            };
            let all: f64 = (0..tokens).map(score).sum();
            let mixed = (0..tokens).map(|other| score(other) * number(b, other, 2, h, i));
            let want = mixed.sum::<f64>() / all;
            assert!(
                (f64::from(*got) - want).abs() < 1e-6,
                "{tokens} tokens, number {index}"
            );
        }
    }
}

#[test]
fn the_bench_has_a_row_for_every_kind_and_level() {
    let start = std::time::Instant::now();
    let shape = Shape {
        rows: 9,
        cols: 40,
        tokens: 2,
    };
    let figures = bench(shape, 0.0, &|| start.elapsed().as_secs_f64());
    assert_eq!(figures.len(), 3 * Level::available().count());
    let kinds: std::collections::BTreeSet<_> = figures
        .iter()
        .map(|figure| (figure.weights, figure.activations))
        .collect();
    assert_eq!(kinds.len(), 3);
    let empty = Shape { tokens: 0, ..shape };
    assert!(bench(empty, 0.0, &|| 0.0).is_empty());
}
