//! What blocks keep of weights, and what they cannot hold.

use adem_package::quant::{
    BLOCK, Blocks, EncodeError, Feedback, Geometry, Importance, Method, Recipe, ScaleType, Scheme,
    encode,
};
use proptest::prelude::*;

const SCHEMES: [Scheme; 2] = [Scheme::Q4, Scheme::Q8];
const SCALES: [ScaleType; 2] = [ScaleType::F16, ScaleType::F32];
const METHODS: [Method; 2] = [Method::Rtn, Method::Search];

fn recipe(scheme: Scheme, scale: ScaleType, method: Method) -> Recipe<'static> {
    Recipe {
        scheme,
        scale,
        method,
        importance: None,
    }
}

fn decoded(blocks: &Blocks, scheme: Scheme, rows: usize, cols: usize) -> Vec<f32> {
    blocks.to_f32(scheme, Geometry::of(&[rows, cols]).unwrap())
}

/// Squared error, each column times its importance.
fn squares(values: &[f32], found: &[f32], cols: usize, importance: Option<&[f32]>) -> f64 {
    let each = values.iter().zip(found).enumerate().map(|(i, (a, b))| {
        let off = f64::from(*a) - f64::from(*b);
        off * off * importance.map_or(1.0, |all| f64::from(all[i % cols]))
    });
    each.sum()
}

/// Rows of any scale, with zeros, ties and outliers among them.
fn any_rows() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    let size = prop_oneof![Just(1f32), Just(1e-3), Just(1e-7), Just(1e-20), Just(40.0)];
    (1usize..5, 1usize..100, size).prop_flat_map(|(rows, cols, size)| {
        let value = prop_oneof![
            6 => -1f32..1.0,
            1 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(0.5),
            1 => -20f32..20.0,
            1 => proptest::num::f32::SUBNORMAL,
        ];
        let values = proptest::collection::vec(value.prop_map(move |v| v * size), rows * cols);
        (Just(rows), Just(cols), values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rounding_is_off_by_half_a_step_at_most((rows, cols, values) in any_rows()) {
        for scheme in SCHEMES {
            for scale in SCALES {
                let blocks = encode(&values, cols, &recipe(scheme, scale, Method::Rtn)).unwrap();
                let found = decoded(&blocks, scheme, rows, cols);
                let per_row = cols.div_ceil(BLOCK);
                for (index, (value, found)) in values.iter().zip(&found).enumerate() {
                    let (row, col) = (index / cols, index % cols);
                    let step = f64::from(blocks.scales[row * per_row + col / BLOCK].abs());
                    let off = (f64::from(*value) - f64::from(*found)).abs();
                    // Products and quotients are rounded to single precision themselves.
                    let slack = 1e-6 * f64::from(value.abs()) + 1e-45;
                    prop_assert!(off <= step / 2.0 + slack, "{} {} {}", value, found, step);
                }
            }
        }
    }

    #[test]
    fn search_is_never_worse_than_rounding(
        (rows, cols, values) in any_rows(),
        importance in proptest::collection::vec(0f32..4.0, 100),
    ) {
        for importance in [None, Some(&importance[..cols])] {
            for scheme in SCHEMES {
                for scale in SCALES {
                    let [plain, searched] = METHODS.map(|method| {
                        let weighted = importance.map(Importance::Columns);
                        let recipe = Recipe {
                            importance: weighted,
                            ..recipe(scheme, scale, method)
                        };
                        let blocks = encode(&values, cols, &recipe).unwrap();
                        squares(&values, &decoded(&blocks, scheme, rows, cols), cols, importance)
                    });
                    prop_assert!(searched <= plain, "{} > {}", searched, plain);
                }
            }
        }
    }

    #[test]
    fn reported_errors_are_those_of_the_blocks((rows, cols, values) in any_rows()) {
        let blocks = encode(&values, cols, &recipe(Scheme::Q4, ScaleType::F16, Method::Search)).unwrap();
        let found = decoded(&blocks, Scheme::Q4, rows, cols);
        let expected = squares(&values, &found, cols, None);
        prop_assert!((blocks.errors.squares - expected).abs() <= 1e-9 * expected);
        let off = values.iter().zip(&found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
        prop_assert_eq!(blocks.errors.max_abs, off.fold(0.0, f64::max));
    }

    #[test]
    fn what_blocks_hold_already_comes_back_whole(codes: [i8; 64], scale in 1u16..0x4000) {
        // Multiples of a half's value within the range, the highest of them present.
        let scale = half::f16::from_bits(scale).to_f32();
        for (scheme, high) in [(Scheme::Q4, 7i8), (Scheme::Q8, 127)] {
            let mut codes = codes.map(|code| code % high);
            (codes[3], codes[40]) = (high, -high);
            let values = codes.map(|code| f32::from(code) * scale);
            for method in METHODS {
                let blocks = encode(&values, 64, &recipe(scheme, ScaleType::F16, method)).unwrap();
                prop_assert_eq!(&decoded(&blocks, scheme, 1, 64)[..], &values[..]);
            }
        }
    }
}

#[test]
fn a_small_example_by_hand() {
    // Largest 3.5, so the scale is 0.5; 0.25 and 0.75 lie half way and go to even codes.
    let values = [3.5, -3.5, 0.25, 0.75, 1.2, -0.6];
    let rtn = recipe(Scheme::Q4, ScaleType::F16, Method::Rtn);
    let blocks = encode(&values, 6, &rtn).unwrap();
    assert_eq!(blocks.scales, [0.5]);
    // Codes 7, -7, 0, 2 and 2, -1 in the low nibbles of two words.
    assert_eq!(blocks.words, [0x0200_0907, 0x0000_0f02, 0, 0]);
    assert_eq!(
        decoded(&blocks, Scheme::Q4, 1, 6),
        [3.5, -3.5, 0.0, 1.0, 1.0, -0.5]
    );
    let expected =
        2.0 * 0.25f64.powi(2) + f64::from(1.2f32 - 1.0).powi(2) + f64::from(0.6f32 - 0.5).powi(2);
    assert!((blocks.errors.squares - expected).abs() < 1e-7);
    assert_eq!(blocks.errors.max_abs, 0.25);

    let values = [63.5, -63.5, 0.25, 0.75, -1.2];
    let blocks = encode(&values, 5, &recipe(Scheme::Q8, ScaleType::F32, Method::Rtn)).unwrap();
    assert_eq!(blocks.scales, [0.5]);
    assert_eq!(blocks.words, [0x0200_817f, 0x0000_00fe, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn search_uses_the_sixteenth_code() {
    // Fifteen steps of one from -8 to 7 need all codes; rounding by the largest has no room.
    let values: Vec<f32> = (0..32).map(|i| (i % 16) as f32 - 8.0).collect();
    for sign in [1.0, -1.0] {
        let values: Vec<f32> = values.iter().map(|value| value * sign).collect();
        let found = |method| {
            let recipe = recipe(Scheme::Q4, ScaleType::F16, method);
            let blocks = encode(&values, 32, &recipe).unwrap();
            (blocks.scales[0], blocks.errors.squares)
        };
        assert_eq!(found(Method::Search), (sign, 0.0));
        assert!(found(Method::Rtn).1 > 1.0);
    }
}

#[test]
fn importance_moves_the_error_to_columns_that_matter_less() {
    let values: Vec<f32> = (0..32).map(|i| (i as f32 * 1.7).sin()).collect();
    let importance: Vec<f32> = (0..32).map(|i| if i < 4 { 100.0 } else { 0.01 }).collect();
    let [plain, weighted] = [None, Some(&importance[..])].map(|importance| {
        let recipe = Recipe {
            importance: importance.map(Importance::Columns),
            ..recipe(Scheme::Q4, ScaleType::F32, Method::Search)
        };
        let blocks = encode(&values, 32, &recipe).unwrap();
        let found = decoded(&blocks, Scheme::Q4, 1, 32);
        squares(&values[..4], &found[..4], 32, None)
    });
    assert!(weighted < plain, "{weighted} {plain}");
}

#[test]
fn zeros_and_equal_weights_are_exact_or_nearly() {
    for scheme in SCHEMES {
        for scale in SCALES {
            for method in METHODS {
                let recipe = recipe(scheme, scale, method);
                let blocks = encode(&[0.0; 70], 35, &recipe).unwrap();
                assert!(blocks.scales.iter().all(|scale| *scale == 0.0));
                assert!(blocks.words.iter().all(|word| *word == 0));
                for value in [0.3, -0.3, 1e-7, 6e-8, 1e4] {
                    let blocks = encode(&[value; 70], 35, &recipe).unwrap();
                    for found in decoded(&blocks, scheme, 2, 35) {
                        // A half of so small a value keeps a few bits only.
                        let tolerance = if value.abs() < 1e-4 { 0.5 } else { 1e-3 };
                        let off = ((found - value) / value).abs();
                        assert!(
                            off < tolerance,
                            "{scheme:?} {scale:?} {method:?} {value} {found}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn padding_is_zero_codes() {
    let blocks = encode(
        &[1.0; 33],
        33,
        &recipe(Scheme::Q8, ScaleType::F16, Method::Search),
    )
    .unwrap();
    assert_eq!(blocks.words.len(), 16);
    assert_eq!(blocks.words[8..], [0x7f, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn weights_that_are_not_finite_or_too_large_are_pointed_at() {
    for scheme in SCHEMES {
        for (scale, largest) in [
            (ScaleType::F16, 65504.0 * f32::from(scheme.range().1)),
            (ScaleType::F32, f32::MAX / 2.0),
        ] {
            for method in METHODS {
                let recipe = recipe(scheme, scale, method);
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -largest * 1.01] {
                    let mut values = [0.5; 80];
                    values[67] = bad;
                    let error = encode(&values, 40, &recipe).unwrap_err();
                    assert!(
                        matches!(error, EncodeError::Unfit { index: 67, .. }),
                        "{error}"
                    );
                }
                let mut values = [0.5; 80];
                values[67] = -largest;
                let blocks = encode(&values, 40, &recipe).unwrap();
                let found = decoded(&blocks, scheme, 2, 40);
                assert!(found.iter().all(|value| value.is_finite()));
                assert!((found[67] / -largest - 1.0).abs() < 0.01);
            }
        }
    }
}

#[test]
fn what_are_no_rows_is_refused() {
    let rtn = recipe(Scheme::Q4, ScaleType::F16, Method::Rtn);
    for (values, cols) in [(7, 2), (7, 0), (1, 2)] {
        let error = encode(&vec![0.0; values], cols, &rtn).unwrap_err();
        assert_eq!(error, EncodeError::Ragged { values, cols });
    }
    for importance in [
        &[1.0][..],
        &[1.0, -1.0],
        &[1.0, f32::NAN],
        &[1.0, f32::INFINITY],
    ] {
        let recipe = Recipe {
            importance: Some(Importance::Columns(importance)),
            ..rtn
        };
        let error = encode(&[0.0; 4], 2, &recipe).unwrap_err();
        assert_eq!(error, EncodeError::Importance { cols: 2 });
    }
}

/// Rows of activations `[count, cols]` whose columns depend on one another, and the mean of their
/// products.
fn activations(cols: usize, count: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut rows = vec![0.0; cols * count];
    for row in rows.chunks_exact_mut(cols) {
        let mut before = 0.0;
        for (column, value) in row.iter_mut().enumerate() {
            before = 0.8 * before + next() * (1.0 + (column % 5) as f32);
            *value = before;
        }
    }
    let mut products = vec![0.0; cols * cols];
    for row in rows.chunks_exact(cols) {
        for (i, a) in row.iter().enumerate() {
            for (j, b) in row.iter().enumerate() {
                products[i * cols + j] += a * b / count as f32;
            }
        }
    }
    (rows, products)
}

/// Squared error of the products of weights `[rows, cols]` with activations.
fn product_error(values: &[f32], found: &[f32], cols: usize, activations: &[f32]) -> f64 {
    let off: Vec<f64> = values
        .iter()
        .zip(found)
        .map(|(a, b)| f64::from(a - b))
        .collect();
    let mut sum = 0.0;
    for off in off.chunks_exact(cols) {
        for x in activations.chunks_exact(cols) {
            let product: f64 = off.iter().zip(x).map(|(off, x)| off * f64::from(*x)).sum();
            sum += product * product;
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn columns_that_make_up_for_one_another_never_err_more_in_the_product(
        cols in 2usize..=100,
        seed in 1u64..,
        scheme in proptest::sample::select(SCHEMES.to_vec()),
        method in proptest::sample::select(METHODS.to_vec()),
    ) {
        const ROWS: usize = 6;
        let (seen, products) = activations(cols, 300, seed);
        let values = activations(cols, ROWS, seed ^ 0x5555).0;
        let feedback = Feedback::new(&products, cols).unwrap();
        let of = |importance| {
            let importance = Some(importance);
            let recipe = Recipe { importance, ..recipe(scheme, ScaleType::F32, method) };
            encode(&values, cols, &recipe).unwrap()
        };
        // Mean squared error of the product, and the little that is added to the diagonal.
        let mean = (0..cols).map(|i| f64::from(products[i * cols + i])).sum::<f64>() / cols as f64;
        let error = |blocks: &Blocks| {
            let found = decoded(blocks, scheme, ROWS, cols);
            product_error(&values, &found, cols, &seen) / 300.0
                + 0.01 * mean * squares(&values, &found, cols, None)
        };
        let [fed, alone] = [Importance::Product(&feedback), Importance::Columns(feedback.costs())]
            .map(of);
        let (own, other) = (error(&fed), error(&alone));
        prop_assert!(own <= 1.001 * other, "{own}, without {other}");
        let told = fed.errors.product.0;
        prop_assert!((told - own).abs() < 1e-3 * own, "{told} for {own}");
        prop_assert_eq!(alone.errors.product, (0.0, 0.0));
    }
}

#[test]
fn long_rows_err_far_less_in_the_product_when_columns_make_up_for_one_another() {
    let (cols, rows) = (200, 20);
    let (seen, products) = activations(cols, 1000, 11);
    let values = activations(cols, rows, 12).0;
    let feedback = Feedback::new(&products, cols).unwrap();
    for scheme in SCHEMES {
        let plain = recipe(scheme, ScaleType::F16, Method::Search);
        let importance = Some(Importance::Product(&feedback));
        let [plain, fed] = [
            plain,
            Recipe {
                importance,
                ..plain
            },
        ]
        .map(|recipe| {
            let blocks = encode(&values, cols, &recipe).unwrap();
            product_error(&values, &decoded(&blocks, scheme, rows, cols), cols, &seen)
        });
        assert!(fed < 0.5 * plain, "{fed} of {plain}");
    }
}

#[test]
fn without_correlation_feedback_is_importance() {
    let cols = 40;
    let values = activations(cols, 6, 7).0;
    let squares: Vec<f32> = (0..cols).map(|i| 0.5 + (i % 3) as f32).collect();
    let mean = squares.iter().sum::<f32>() / cols as f32;
    let mut products = vec![0.0; cols * cols];
    for (i, square) in squares.iter().enumerate() {
        products[i * cols + i] = *square;
    }
    let feedback = Feedback::new(&products, cols).unwrap();
    let damped: Vec<f32> = squares.iter().map(|square| square + 0.01 * mean).collect();
    for (cost, square) in feedback.costs().iter().zip(&damped) {
        assert!((cost - square).abs() < 1e-5, "{cost} {square}");
    }
    let plain = recipe(Scheme::Q4, ScaleType::F16, Method::Search);
    let [fed, weighted] = [
        Importance::Product(&feedback),
        Importance::Columns(feedback.costs()),
    ]
    .map(|importance| {
        let importance = Some(importance);
        encode(
            &values,
            cols,
            &Recipe {
                importance,
                ..plain
            },
        )
        .unwrap()
    });
    assert_eq!((fed.words, fed.scales), (weighted.words, weighted.scales));
}

#[test]
fn activations_that_say_nothing_give_no_feedback_and_odd_ones_no_nonsense() {
    assert_eq!(Feedback::new(&[], 0), None);
    assert_eq!(Feedback::new(&[1.0; 3], 2), None);
    assert_eq!(Feedback::new(&[0.0; 4], 2), None);
    assert_eq!(Feedback::new(&[f32::NAN; 4], 2), None);
    // All columns the same, one of them dead, and a matrix that is of no activations at all.
    for products in [
        [1.0, 1.0, 1.0, 1.0],
        [0.0, 0.0, 0.0, 1.0],
        [1.0, 9.0, 9.0, 1.0],
    ] {
        let Some(feedback) = Feedback::new(&products, 2) else {
            continue;
        };
        let recipe = Recipe {
            importance: Some(Importance::Product(&feedback)),
            ..recipe(Scheme::Q4, ScaleType::F16, Method::Search)
        };
        let values = [3.0, -0.2, 1e-30, 65000.0];
        let blocks = encode(&values, 2, &recipe).unwrap();
        assert!(blocks.scales.iter().all(|scale| scale.is_finite()));
    }
    let feedback = Feedback::new(&[1.0, 0.0, 0.0, 1.0], 2).unwrap();
    let other = Recipe {
        importance: Some(Importance::Product(&feedback)),
        ..recipe(Scheme::Q4, ScaleType::F16, Method::Search)
    };
    let error = encode(&[0.0; 6], 3, &other).unwrap_err();
    assert_eq!(error, EncodeError::Importance { cols: 3 });
}
