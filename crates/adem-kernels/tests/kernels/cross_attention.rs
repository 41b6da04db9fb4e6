//! The fused cross-attention and its products.

use adem_kernels::variant::{Task, Variant};
use adem_kernels::{
    CrossAttention, choose, cross_attention, cross_attention_map, cross_attention_onto, drop_index,
};
use burn::tensor::Device;
use proptest::prelude::*;

use crate::gpu::{Numbers, download, gpu, poison, upload};

/// One input.
#[derive(Debug, Clone)]
pub struct Case {
    pub batch: usize,
    pub rows: usize,
    pub tokens: usize,
    pub dim: usize,
    pub alpha: f64,
    pub drop_index: Option<usize>,
    pub x: Vec<f32>,
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

/// What the numbers of a case are like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Random,
    /// Keys repeat, so that scores tie.
    Ties,
    /// All keys are the same.
    Equal,
    /// Zeros of both signs.
    Zeros,
    Large,
}

impl Case {
    pub fn new(sizes: [usize; 4], ratio: f64, kind: Kind, seed: u64) -> Self {
        let [batch, rows, tokens, dim] = sizes;
        let mut numbers = Numbers::new(seed);
        let mut x = numbers.many(batch * rows * dim);
        let mut keys = numbers.many(batch * tokens * dim);
        let values = numbers.many(batch * tokens * dim);
        match kind {
            Kind::Random => {}
            Kind::Ties | Kind::Equal => {
                let different = if matches!(kind, Kind::Equal) { 1 } else { 3 };
                let first = keys.clone();
                for (n, row) in keys.chunks_mut(dim).enumerate() {
                    let from = n % different * dim;
                    row.copy_from_slice(&first[from..from + dim]);
                }
            }
            Kind::Zeros => {
                let sign = |v: &mut f32| *v = if *v < 0.0 { -0.0 } else { 0.0 };
                x.iter_mut().step_by(2).for_each(sign);
                keys.iter_mut().skip(1).step_by(2).for_each(sign);
            }
            Kind::Large => {
                x.iter_mut().for_each(|v| *v *= 300.0);
                keys.iter_mut().for_each(|v| *v *= 1e6);
            }
        }
        Self {
            batch,
            rows,
            tokens,
            dim,
            alpha: 0.1,
            drop_index: drop_index(ratio, tokens),
            x,
            keys,
            values,
        }
    }

    /// Runs it and holds result and map to the definition in f64.
    fn check(&self, device: &Device) {
        let Self {
            batch,
            rows,
            tokens,
            dim,
            ..
        } = *self;
        poison(
            device,
            &[
                batch * rows * dim,
                batch * rows * tokens,
                batch * rows * dim,
            ],
        );
        let (out, kept) = cross_attention_map(
            upload(&self.x, [batch, rows, dim], device),
            upload(&self.keys, [batch, tokens, dim], device),
            upload(&self.values, [batch, tokens, dim], device),
            CrossAttention {
                alpha: self.alpha,
                drop_index: self.drop_index,
            },
        );
        assert_eq!(out.dims(), [batch, rows, dim]);
        assert_eq!(kept.dims(), [batch, rows, tokens]);
        let (out, kept) = (download(out), download(kept));
        for row in 0..batch * rows {
            let picture = row / rows;
            let x = &self.x[row * dim..][..dim];
            let kept = &kept[row * tokens..][..tokens];
            let out = &out[row * dim..][..dim];
            self.check_row(x, picture, kept, out);
        }
    }

    fn check_row(&self, x: &[f32], picture: usize, kept: &[f32], out: &[f32]) {
        let dim = self.dim;
        let of = |all: &[f32], n: usize| {
            let start = (picture * self.tokens + n) * dim;
            all[start..start + dim].to_vec()
        };
        let silu = |v: f32| f64::from(v) / (1.0 + (-f64::from(v)).exp());
        let mut size = 0.0f64;
        let scores: Vec<f64> = (0..self.tokens)
            .map(|n| {
                let terms = of(&self.keys, n);
                let terms = x.iter().zip(&terms).map(|(x, k)| silu(*x) * f64::from(*k));
                size = size.max(terms.clone().map(f64::abs).sum());
                terms.sum()
            })
            .collect();
        let margin = 1e-6 * size + 1e-30;
        assert!(kept.iter().all(|k| *k == 0.0 || *k == 1.0), "{kept:?}");
        match self.drop_index {
            None => assert!(kept.iter().all(|k| *k == 1.0)),
            Some(index) => {
                let mut sorted = scores.clone();
                sorted.sort_by(f64::total_cmp);
                for (n, score) in scores.iter().enumerate() {
                    let above = score - sorted[index];
                    match kept[n] == 1.0 {
                        true => assert!(above >= -margin, "{n} kept, {above} below"),
                        false => assert!(above < margin, "{n} dropped, {above} above"),
                    }
                }
                // Equal keys have equal scores, bit for bit, and one fate.
                for n in 1..self.tokens {
                    if of(&self.keys, n) == of(&self.keys, n - 1) {
                        assert_eq!(kept[n], kept[n - 1]);
                    }
                }
            }
        }
        for (d, got) in out.iter().enumerate() {
            let start = picture * self.tokens * dim;
            let term = |n: usize| {
                scores[n] * f64::from(kept[n]) * f64::from(self.values[start + n * dim + d])
            };
            let want: f64 = (0..self.tokens).map(term).sum::<f64>() * self.alpha;
            let size: f64 = (0..self.tokens).map(|_| size).sum::<f64>() * self.alpha;
            let off = (f64::from(*got) - want).abs();
            assert!(off <= 2e-6 * size + 1e-30, "{got} instead of {want}");
        }
    }
}

const FORMS: [Variant; 4] = [
    Variant::Fused { lanes: 1 },
    Variant::Fused { lanes: 8 },
    Variant::Spread { lanes: 16 },
    Variant::Split,
];

pub fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Random),
        Just(Kind::Ties),
        Just(Kind::Equal),
        Just(Kind::Zeros),
        Just(Kind::Large),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1usize..3, 1usize..66, 1usize..90, 1usize..70);
    (sizes, 0.0f64..0.99, kinds(), any::<u64>()).prop_map(
        |((batch, rows, tokens, dim), ratio, kind, seed)| {
            Case::new([batch, rows, tokens, dim], ratio, kind, seed)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_sizes_and_numbers(case in cases(), form in 0usize..4) {
        let Some(gpu) = gpu() else { return Ok(()) };
        choose(&gpu.device, Task::CrossAttention, FORMS[form]);
        case.check(&gpu.device);
    }
}

#[test]
fn the_sizes_of_real_models() {
    let Some(gpu) = gpu() else { return };
    for form in FORMS {
        choose(&gpu.device, Task::CrossAttention, form);
        for sizes in [
            [1, 1, 320, 256],
            [2, 3, 320, 576],
            [1, 1, 1024, 100],
            [1, 1, 1030, 64],
            [1, 65, 320, 2050],
        ] {
            Case::new(sizes, 0.1, Kind::Random, 7).check(&gpu.device);
        }
    }
}

/// The result in the same kernel as what it is added to.
#[test]
fn added_to_a_residual() {
    let Some(gpu) = gpu() else { return };
    let device = &gpu.device;
    for form in FORMS {
        choose(device, Task::CrossAttention, form);
        for dim in [40, 41] {
            let case = Case::new([2, 3, 30, dim], 0.3, Kind::Random, 9);
            let x = upload(&case.x, [2, 3, dim], device);
            let keys = upload(&case.keys, [2, 30, dim], device);
            let values = upload(&case.values, [2, 30, dim], device);
            let settings = CrossAttention {
                alpha: 0.1,
                drop_index: case.drop_index,
            };
            let residual = x.clone() * 3.0;
            let alone = cross_attention(x.clone(), keys.clone(), values.clone(), settings);
            let want = download(residual.clone() + alone);
            let got = download(cross_attention_onto(residual, x, keys, values, settings));
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-5, "{got} instead of {want}");
            }
        }
    }
}
