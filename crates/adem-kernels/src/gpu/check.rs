//! Small inputs for every form of every kernel, and what comes of them.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::CubeDevice;

use super::attend::{Attend, mask};
use super::norm::norm;
use super::product::{Product, Size, Weights};
use super::{decode, floats, registry, tensor, weights};
use crate::blocks::{Blocks, Scales, Scheme};
use crate::check::{Disagreement, Report};
use crate::cross_attention::CrossAttention;
use crate::decode::{Heads, RopeStyle};
use crate::linear::Epilogue;
use crate::matrix::Matrix;
use crate::reference;
use crate::variant::{Format, Rows, Task, Variant};

/// Relative to the largest number of a result.
const TOLERANCE: f32 = 1e-3;

/// Checks all forms on `device`, which `plain` is without gradients.
pub(crate) async fn run(device: &CubeDevice, plain: &Device) -> Report {
    let mut report = Report::default();
    // Products first: the masking is checked beside them.
    for task in Task::all() {
        for variant in task.variants() {
            if registry::is_off(device, task, *variant) {
                continue;
            }
            report.checked += 1;
            if let Err(reason) = check(task, *variant, plain).await {
                registry::switch_off(device, task, *variant);
                report.switched_off.push(Disagreement {
                    task,
                    variant: *variant,
                    reason,
                });
            }
        }
    }
    report
}

/// Checks on `device` what it runs of every kernel that was not checked before.
pub(crate) async fn run_once(device: &CubeDevice, plain: &Device, formats: &[Format]) -> Report {
    let needed = |task: &Task| match task {
        Task::Product(_, format) | Task::NextToken(format) => formats.contains(format),
        _ => true,
    };
    for task in Task::all().into_iter().filter(needed) {
        if !registry::begin_check(device, task) {
            continue;
        }
        while let Some(variant) = registry::variant(device, task) {
            let disagreement = check(task, variant, plain).await.err();
            let fine = disagreement.is_none();
            if !fine {
                registry::switch_off(device, task, variant);
            }
            let found = disagreement.map(|reason| Disagreement {
                task,
                variant,
                reason,
            });
            registry::checked(device, found);
            if fine {
                break;
            }
        }
    }
    registry::report(device)
}

async fn check(task: Task, variant: Variant, device: &Device) -> Result<(), String> {
    let pairs = both(task, variant, device).ok_or("the kernel did not take its own test")?;
    for (got, want) in pairs {
        compare(&read(got).await?, &read(want).await?)?;
    }
    Ok(())
}

async fn read(tensor: Tensor<1>) -> Result<Vec<f32>, String> {
    let data = tensor.into_data_async().await.map_err(|e| e.to_string())?;
    data.try_to_vec().map_err(|e| format!("{e:?}"))
}

fn compare(got: &[f32], want: &[f32]) -> Result<(), String> {
    let size = want.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let off = got.iter().zip(want).map(|(g, w)| (g - w).abs());
    // NaN is as far off as can be.
    let worst = off.fold(0.0f32, |worst, d| if d <= worst { worst } else { d });
    match got.len() == want.len() && worst <= TOLERANCE * size {
        true => Ok(()),
        false => Err(format!("off by {worst:e} where numbers reach {size:e}")),
    }
}

/// What the kernel and its reference make of the same input, flat.
type Pairs = Vec<(Tensor<1>, Tensor<1>)>;

fn both(task: Task, variant: Variant, device: &Device) -> Option<Pairs> {
    let mut seeded = Seeded { state: 1, device };
    match task {
        Task::CrossAttention => cross_attention(variant, &mut seeded),
        Task::MaskScores => {
            let scores = seeded.floats([1, 3, 20]);
            let masked = mask(&floats(&scores)?, 6, None);
            let kept = crate::keep_mask(scores.clone(), 5);
            let want = scores.mask_fill(kept.bool_not(), 0.0);
            Some(vec![(
                tensor::<3>(masked).flatten(0, 2),
                want.flatten(0, 2),
            )])
        }
        Task::Product(rows, format) => product(rows, format, variant, &mut seeded),
        Task::Norm => norms(&mut seeded),
        Task::RopeAppend => rope_append(&mut seeded),
        Task::Attention => attention(&mut seeded),
        Task::NextToken(format) => next_token(format, &mut seeded),
    }
}

fn cross_attention(variant: Variant, seeded: &mut Seeded) -> Option<Pairs> {
    let [x, keys, values] =
        [[1, 2, 24], [1, 20, 24], [1, 20, 24]].map(|shape| seeded.floats(shape));
    let settings = CrossAttention {
        alpha: 0.5,
        drop_index: Some(5),
    };
    let attend = Attend {
        x: floats(&x)?,
        keys: floats(&keys)?,
        values: floats(&values)?,
        residual: None,
        settings,
    };
    let (out, map) = attend.run_with_map(variant);
    let (want, want_map) = reference::cross_attention_map(x, keys, values, settings);
    Some(vec![
        (tensor::<3>(out).flatten(0, 2), want.flatten(0, 2)),
        (tensor::<3>(map).flatten(0, 2), want_map.flatten(0, 2)),
    ])
}

fn product(rows: Rows, format: Format, variant: Variant, seeded: &mut Seeded) -> Option<Pairs> {
    let m = match rows {
        Rows::One => 1,
        Rows::Few => 5,
        Rows::Many => 19,
    };
    let (k, n) = (96, 24);
    let x = seeded.floats([1, m, k]);
    let size = Size { batch: 1, m, k, n };
    if format == Format::Across {
        let w = seeded.floats([1, k, n]);
        let weights = Weights::float(format, floats(&w)?);
        let y = Product::new(floats(&x)?, size, weights).run(variant);
        let want = x.matmul(w);
        return Some(vec![(tensor::<3>(y).flatten(0, 2), want.flatten(0, 2))]);
    }
    let [w, v] = [(); 2].map(|()| seeded.matrix(format, [n, k]));
    let (w, v) = (w?, v?);
    let residual = seeded.floats([1, m, n]);
    let gate = Product {
        gate: Some(weights(&v)?),
        residual: Some(floats(&residual)?),
        ..Product::new(floats(&x)?, size, weights(&w)?)
    };
    let plain = Product::new(floats(&x)?, size, weights(&w)?);
    let epilogue = Epilogue {
        gate: Some(&v),
        residual: Some(&residual),
        ..Epilogue::default()
    };
    let flat = |y: CubeTensor| tensor::<3>(y).flatten(0, 2);
    Some(vec![
        (
            flat(plain.run(variant)),
            reference::linear(x.clone(), &w, Epilogue::default()).flatten(0, 2),
        ),
        (
            flat(gate.run(variant)),
            reference::linear(x, &w, epilogue).flatten(0, 2),
        ),
    ])
}

fn norms(seeded: &mut Seeded) -> Option<Pairs> {
    let x = seeded.floats([1, 3, 100]);
    let [gain, shift] = [(); 2].map(|()| seeded.floats([100]));
    let (buffer, buffers) = (floats(&x)?, [floats(&gain)?, floats(&shift)?]);
    let plain = norm(&buffer, &buffers[0], None, 1e-5)?;
    let centred = norm(&buffer, &buffers[0], Some(&buffers[1]), 1e-5)?;
    let flat = |y: CubeTensor| tensor::<3>(y).flatten(0, 2);
    let want = reference::rms_norm(x.clone(), &gain, 1e-5);
    let want_centred = burn::tensor::module::layer_norm(x, gain, Some(shift), 1e-5);
    Some(vec![
        (flat(plain), want.flatten(0, 2)),
        (flat(centred), want_centred.flatten(0, 2)),
    ])
}

const HEADS: Heads = Heads {
    heads: 4,
    kv_heads: 2,
    head: 12,
    style: RopeStyle::Half,
};

fn rope_append(seeded: &mut Seeded) -> Option<Pairs> {
    let qkv = seeded.floats([2, 8 * HEADS.head]);
    let [cos, sin] = [(); 2].map(|()| seeded.floats([8, HEADS.head / 2]));
    let cache = [(); 2].map(|()| seeded.floats([HEADS.kv_heads, 6, HEADS.head]));
    // The kernel writes into the cache: the reference comes first and gets a copy.
    let copy = cache.clone().map(|c| c * 1.0);
    let (want, kept) = reference::rope_append(qkv.clone(), &cos, &sin, copy, 3, HEADS);
    let [keys, values] = [floats(&cache[0])?, floats(&cache[1])?];
    let queries = decode::rope_append(
        &floats(&qkv)?,
        [&floats(&cos)?, &floats(&sin)?],
        [&keys, &values],
        3,
        HEADS,
    )?;
    let [want_keys, want_values] = kept;
    Some(vec![
        (tensor::<2>(queries).flatten(0, 1), want.flatten(0, 1)),
        (tensor::<3>(keys).flatten(0, 2), want_keys.flatten(0, 2)),
        (tensor::<3>(values).flatten(0, 2), want_values.flatten(0, 2)),
    ])
}

fn attention(seeded: &mut Seeded) -> Option<Pairs> {
    let queries = seeded.floats([2, HEADS.heads * HEADS.head]);
    let [keys, values] = [(); 2].map(|()| seeded.floats([HEADS.kv_heads, 72, HEADS.head]));
    let out = decode::attention(
        &floats(&queries)?,
        &floats(&keys)?,
        &floats(&values)?,
        68,
        HEADS,
    )?;
    let want = reference::attention(queries, &keys, &values, 68, HEADS);
    let qkv = seeded.floats([2, 5, 3 * HEADS.heads * HEADS.head]);
    let packed = decode::self_attention(&floats(&qkv)?, HEADS.heads)?;
    let want_packed = reference::self_attention(qkv, HEADS.heads);
    Some(vec![
        (tensor::<2>(out).flatten(0, 1), want.flatten(0, 1)),
        (tensor::<3>(packed).flatten(0, 2), want_packed.flatten(0, 2)),
    ])
}

fn next_token(format: Format, seeded: &mut Seeded) -> Option<Pairs> {
    let (vocabulary, width) = (300, 64);
    let table = seeded.matrix(format, [vocabulary, width])?;
    let logits = seeded.floats([vocabulary]);
    let [id, row] = decode::next_token(&floats(&logits)?, &weights(&table)?, width)?;
    let (want_id, want_row) = reference::next_token(logits, &table);
    Some(vec![
        (
            Tensor::<1, Int>::from_primitive::<burn::backend::Cube>(id).float(),
            want_id.float(),
        ),
        (tensor::<2>(row).flatten(0, 1), want_row.flatten(0, 1)),
    ])
}

/// Inputs that follow from a seed.
pub(crate) struct Seeded<'a> {
    pub state: u64,
    pub device: &'a Device,
}

impl Seeded<'_> {
    fn word(&mut self) -> u32 {
        // SplitMix64 (Steele et al. 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn signed(&mut self) -> f32 {
        self.word() as f32 / (u32::MAX as f32 / 2.0) - 1.0
    }

    /// Numbers in -1..1.
    pub fn floats<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.signed()).collect();
        let data = TensorData::new(values, shape);
        Tensor::from_data(data, (self.device, DType::F32))
    }

    /// A matrix of the format.
    pub fn matrix(&mut self, format: Format, [rows, columns]: [usize; 2]) -> Option<Matrix> {
        let scheme = match format {
            Format::Float | Format::Across => {
                return Some(Matrix::float(self.floats([rows, columns])));
            }
            Format::Q4 => Scheme::Q4,
            Format::Q8 => Scheme::Q8,
        };
        let blocks = rows * columns.div_ceil(crate::BLOCK);
        let words = (0..blocks * scheme.words()).map(|_| self.word()).collect();
        let scales = Scales::Single((0..blocks).map(|_| self.signed() / 64.0).collect());
        let blocks = Blocks::new(scheme, [rows, columns], words, scales).ok()?;
        Some(Matrix::packed(blocks, self.device))
    }
}
