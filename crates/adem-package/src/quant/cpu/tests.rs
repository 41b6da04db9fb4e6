#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::{Method, Recipe, ScaleType, encode};
use super::*;

/// What the product means, in double precision: outputs, and for each the sum of magnitudes.
fn reference(matrix: &Matrix, x: &[f32], tokens: usize) -> Vec<(f64, f64)> {
    let Geometry { rows, cols } = matrix.geometry();
    let mut out = Vec::new();
    for token in 0..tokens {
        for row in 0..rows {
            let weights = matrix.row(row).unwrap();
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

/// Activations as bytes with scales make them, by another way than the code under test.
fn as_bytes(x: &[f32], cols: usize) -> Vec<f32> {
    let rounded = |block: &[f32]| -> Vec<f32> {
        let scale = block.iter().fold(0f32, |m, v| m.max(v.abs())) / 127.0;
        let round = |v: &f32| f32::round_ties_even(v / scale) * scale;
        block
            .iter()
            .map(|v| if scale > 0.0 { round(v) } else { 0.0 })
            .collect()
    };
    x.chunks(cols)
        .flat_map(|row| row.chunks(32).flat_map(rounded))
        .collect()
}

fn matrix(scheme: Scheme, rows: usize, cols: usize, values: &[f32]) -> Matrix {
    let recipe = Recipe {
        scheme,
        scale: ScaleType::F16,
        method: Method::Rtn,
        importance: None,
    };
    let blocks = encode(values, cols, &recipe).unwrap();
    let geometry = Geometry::of(&[rows, cols]).unwrap();
    Matrix::new(scheme, geometry, blocks.words, blocks.scales).unwrap()
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
            let rounded = reference(&matrix, &as_bytes(&x, cols), tokens);
            let float = Input::float(&x, tokens, cols).unwrap();
            let int8 = Input::int8(&x, tokens, cols).unwrap();
            for level in Level::available() {
                let mut y = vec![f32::NAN; tokens * rows];
                matrix.multiply_at(level, &float, &mut y).unwrap();
                close(&y, &exact, 1e-5)?;
                y.fill(f32::NAN);
                matrix.multiply_at(level, &int8, &mut y).unwrap();
                // An activation half way between two bytes may go either way.
                let ties = 0.6 / 127.0 / 32.0;
                close(&y, &rounded, 1e-5 + ties)?;
            }
        }
    }

    #[test]
    fn block_sums_are_exact_at_the_ends_of_the_range(rows in 1usize..6, blocks in 1usize..6, tokens in 1usize..6, signs: u64) {
        // Every byte and nibble at its extreme: where 16-bit sums would overflow.
        let cols = 32 * blocks;
        let sign = |i: usize| if signs >> (i % 64) & 1 == 1 { -1.0 } else { 1.0 };
        let x: Vec<f32> = (0..tokens * cols).map(|i| 127.0 * sign(i * 7)).collect();
        for (scheme, word) in [(Scheme::Q8, 0x8181_8181), (Scheme::Q8, 0x8080_8080), (Scheme::Q8, 0x7f7f_7f7f), (Scheme::Q4, 0x8888_8888), (Scheme::Q4, 0x7777_7777)] {
            let geometry = Geometry::of(&[rows, cols]).unwrap();
            let words = vec![word; rows * geometry.row_words(scheme)];
            let matrix = Matrix::new(scheme, geometry, words, vec![1.0; rows * blocks]).unwrap();
            let expected = reference(&matrix, &x, tokens);
            let input = Input::int8(&x, tokens, cols).unwrap();
            for level in Level::available() {
                let mut y = vec![f32::NAN; tokens * rows];
                matrix.multiply_at(level, &input, &mut y).unwrap();
                for (y, (value, _)) in y.iter().zip(&expected) {
                    prop_assert_eq!(f64::from(*y), *value, "{:?} {:x} {:?}", scheme, word, level);
                }
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
        for input in [
            Input::int8(&x, tokens, cols),
            Input::float(&x, tokens, cols),
        ] {
            let input = input.unwrap();
            let run = |threads: usize| {
                let mut y = vec![f32::NAN; tokens * rows];
                pool(threads)
                    .install(|| matrix.multiply(&input, &mut y))
                    .unwrap();
                y
            };
            assert_eq!(run(1), run(3));
        }
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
            for input in [Input::int8(&x, 2, cols), Input::float(&x, 2, cols)] {
                let input = input.unwrap();
                for level in Level::available() {
                    let mut y = vec![0.0; 2 * rows];
                    matrix.multiply_at(level, &input, &mut y).unwrap();
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
        let input = Input::int8(&[tiny; 32], 1, 32).unwrap();
        let mut y = [f32::NAN];
        matrix.multiply(&input, &mut y).unwrap();
        assert!(y[0].abs() < 1e-36, "{tiny:e}: {}", y[0]);
    }
}

#[test]
fn sizes_that_do_not_fit_are_named() {
    let matrix = matrix(Scheme::Q4, 3, 40, &[0.25; 120]);
    let input = Input::int8(&[0.0; 80], 2, 40).unwrap();
    let says = |error: Mismatch, words: &str| assert!(error.to_string().contains(words), "{error}");
    says(
        matrix.multiply(&input, &mut [0.0; 3]).unwrap_err(),
        "outputs: 3 where the product needs 6",
    );
    let other = Input::float(&[0.0; 41], 1, 41).unwrap();
    says(
        matrix.multiply(&other, &mut [0.0; 3]).unwrap_err(),
        "columns of the activations: 41",
    );
    says(
        Input::int8(&[0.0; 41], 1, 40).unwrap_err(),
        "activations: 41",
    );
    let geometry = Geometry::of(&[3, 40]).unwrap();
    says(
        Matrix::new(Scheme::Q8, geometry, vec![0; 24], vec![0.0; 6]).unwrap_err(),
        "words: 24",
    );
    says(
        Matrix::new(Scheme::Q4, geometry, vec![0; 24], vec![0.0; 5]).unwrap_err(),
        "scales: 5",
    );
    assert_eq!(matrix.row(2).map(|row| row.len()), Some(40));
    assert_eq!(matrix.row(3), None);
    let none = Input::float(&[], 0, 40).unwrap();
    matrix.multiply(&none, &mut []).unwrap();
}

#[test]
fn the_bench_has_a_row_for_every_kind_and_level() {
    let start = std::time::Instant::now();
    let shape = Shape {
        rows: 9,
        cols: 40,
        tokens: 2,
    };
    let figures = bench(shape, 0.0, &|| start.elapsed().as_secs_f64()).unwrap();
    assert_eq!(figures.len(), 5 * Level::available().count());
    let kinds: std::collections::BTreeSet<_> = figures
        .iter()
        .map(|figure| (figure.weights, figure.activations))
        .collect();
    assert_eq!(kinds.len(), 5);
    let empty = Shape { tokens: 0, ..shape };
    assert!(bench(empty, 0.0, &|| 0.0).is_err());
}
