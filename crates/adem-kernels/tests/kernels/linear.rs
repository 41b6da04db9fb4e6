//! Products, float and quantised, with all that is done beside them.

use adem_kernels::variant::{Format, Rows, Task, Variant};
use adem_kernels::{BLOCK, Blocks, Epilogue, Matrix, Scales, Scheme, choose, forms, linear};
use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;

use crate::gpu::{Numbers, download, gpu, poison, upload};

/// What is done beside a product.
#[derive(Debug, Clone, Copy)]
struct Beside {
    norm: bool,
    gate: bool,
    bias: bool,
    residual: bool,
}

/// A matrix and its numbers, row after row.
struct Made {
    matrix: Matrix,
    values: Vec<f32>,
}

fn matrix(
    format: Format,
    [n, k]: [usize; 2],
    halves: bool,
    numbers: &mut Numbers,
    device: &Device,
) -> Made {
    if format == Format::Float {
        let values = numbers.many(n * k);
        let matrix = Matrix::float(upload(&values, [n, k], device));
        return Made { matrix, values };
    }
    let blocks = k.div_ceil(BLOCK);
    let mut values = vec![0.0; n * k];
    let mut words = Vec::new();
    let mut scales = Vec::new();
    for row in 0..n {
        for block in 0..blocks {
            // Powers of two are the same in both kinds of scale.
            let scale = 2f32.powi(-((numbers.next_u32() % 6) as i32) - 2);
            let scale = if numbers.signed() < 0.0 {
                -scale
            } else {
                scale
            };
            scales.push(scale);
            let mut codes = [0i8; BLOCK];
            for (i, code) in codes.iter_mut().enumerate() {
                if block * BLOCK + i >= k {
                    continue;
                }
                *code = match format {
                    Format::Q4 => (numbers.next_u32() % 16) as i8 - 8,
                    _ => (numbers.next_u32() % 256) as u8 as i8,
                };
                values[row * k + block * BLOCK + i] = f32::from(*code) * scale;
            }
            match format {
                Format::Q4 => words.extend((0..4).map(|w| {
                    let byte = |j: usize| {
                        let [low, high] = [codes[4 * w + j], codes[16 + 4 * w + j]];
                        (low as u8 & 15) | (high as u8) << 4
                    };
                    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
                })),
                _ => words.extend(
                    codes
                        .chunks(4)
                        .map(|c| u32::from_le_bytes([0, 1, 2, 3].map(|j| c[j] as u8))),
                ),
            }
        }
    }
    let scales = match halves {
        false => Scales::Single(scales),
        true => {
            let bits = |s: &f32| u32::from(burn::tensor::f16::from_f32(*s).to_bits());
            let pair = |p: &[f32]| bits(&p[0]) | p.get(1).map_or(0, bits) << 16;
            Scales::Half(scales.chunks(2).map(pair).collect())
        }
    };
    let scheme = match format {
        Format::Q4 => Scheme::Q4,
        _ => Scheme::Q8,
    };
    let blocks = Blocks::new(scheme, [n, k], words, scales).unwrap();
    let matrix = Matrix::packed(blocks, device);
    Made { matrix, values }
}

/// How far `form` may move a sum of `terms` x w: what it rounds of each x of a row whose largest is
/// `peak`, besides what f32 does.
fn moved(form: Variant, terms: impl Iterator<Item = (f64, f64)>, peak: f64) -> f64 {
    let each = |(x, w): (f64, f64)| match form {
        Variant::Half { .. } => 5e-4 * (x * w).abs() + 1e-7 * w.abs(),
        Variant::PackedDot => peak / 65_000.0 * w.abs(),
        _ => 0.0,
    };
    terms
        .map(|(x, w)| each((x, w)) + 4e-6 * (x * w).abs())
        .sum()
}

/// Runs a product in `form` and holds it to the definition in f64.
fn check(
    device: &Device,
    form: Variant,
    [m, k, n]: [usize; 3],
    format: Format,
    beside: Beside,
    large: bool,
    seed: u64,
) {
    choose(device, Task::Product(Rows::of(m), format), form);
    let mut numbers = Numbers::new(seed);
    let mut x = numbers.many(m * k);
    if large {
        x.iter_mut().for_each(|v| *v *= 1e4);
    }
    let halves = seed.is_multiple_of(2);
    let w = matrix(format, [n, k], halves, &mut numbers, device);
    let v = matrix(format, [n, k], halves, &mut numbers, device);
    let (gain, bias, residual) = (numbers.many(k), numbers.many(n), numbers.many(m * n));
    let [gain_t, bias_t] = [&gain, &bias].map(|v| upload::<1>(v, [v.len()], device));
    let residual_t = upload::<3>(&residual, [1, m, n], device);
    poison(device, &[m * n, m * n]);
    let y = linear(
        upload(&x, [1, m, k], device),
        &w.matrix,
        Epilogue {
            norm: beside.norm.then_some((&gain_t, 1e-5)),
            gate: beside.gate.then_some(&v.matrix),
            bias: beside.bias.then_some(&bias_t),
            residual: beside.residual.then_some(&residual_t),
        },
    );
    assert_eq!(y.dims(), [1, m, n]);
    let y = download(y);
    for row in 0..m {
        let mut x: Vec<f64> = x[row * k..][..k].iter().map(|v| f64::from(*v)).collect();
        if beside.norm {
            let mean = x.iter().map(|v| v * v).sum::<f64>() / k as f64;
            let scale = 1.0 / (mean + 1e-5).sqrt();
            for (v, g) in x.iter_mut().zip(&gain) {
                *v *= scale * f64::from(*g);
            }
        }
        let peak = x.iter().fold(0.0f64, |peak, x| peak.max(x.abs()));
        for column in 0..n {
            let dot = |w: &[f32]| {
                let terms = x.iter().zip(&w[column * k..][..k]);
                let terms = terms.map(|(x, w)| (*x, f64::from(*w)));
                let sum = terms.clone().map(|(x, w)| x * w).sum::<f64>();
                (sum, moved(form, terms, peak))
            };
            let (first, mut size) = dot(&w.values);
            let mut want = first;
            if beside.gate {
                let (second, other) = dot(&v.values);
                want = first / (1.0 + (-first).exp()) * second;
                // SiLU is nowhere steeper than 1.1.
                size = 1.1 * size * (1.0 + second.abs() + other) + other * (1.0 + first.abs());
            }
            if beside.bias {
                want += f64::from(bias[column]);
            }
            if beside.residual {
                want += f64::from(residual[row * n + column]);
            }
            let got = f64::from(y[row * n + column]);
            let off = (got - want).abs();
            assert!(
                off <= size + 1e-5 * want.abs() + 1e-6,
                "row {row}, column {column}: {got} instead of {want}"
            );
        }
    }
}

const FORMATS: [Format; 3] = [Format::Float, Format::Q4, Format::Q8];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_sizes(
        (m, n, k) in (1usize..66, 1usize..80, 1usize..140),
        few in any::<bool>(),
        format in 0usize..3,
        form in 0usize..16,
        flags in any::<[bool; 5]>(),
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let m = if few { m % 4 + 1 } else { m };
        let format = FORMATS[format];
        let task = Task::Product(Rows::of(m), format);
        let forms = forms(&gpu.device, task);
        let form = forms[form % forms.len()];
        let [norm, gate, bias, residual, large] = flags;
        let beside = Beside { norm, gate, bias, residual };
        check(&gpu.device, form, [m, k, n], format, beside, large, seed);
    }
}

#[test]
fn the_sizes_of_real_models_in_every_form() {
    let Some(gpu) = gpu() else { return };
    let plain = Beside {
        norm: false,
        gate: false,
        bias: false,
        residual: true,
    };
    let gated = Beside {
        norm: true,
        gate: true,
        ..plain
    };
    for format in FORMATS {
        for m in [1, 5, 65] {
            let task = Task::Product(Rows::of(m), format);
            for form in forms(&gpu.device, task) {
                check(&gpu.device, form, [m, 576, 192], format, plain, false, 3);
                check(&gpu.device, form, [m, 256, 688], format, gated, false, 4);
            }
        }
    }
}

/// More columns than one dimension holds workgroups.
#[test]
fn many_columns() {
    let Some(gpu) = gpu() else { return };
    let n = 70_000;
    let table = Tensor::<2>::ones([n, 8], &gpu.device);
    let x = Tensor::<3>::ones([1, 1, 8], &gpu.device);
    let task = Task::Product(Rows::One, Format::Float);
    for form in forms(&gpu.device, task) {
        choose(&gpu.device, task, form);
        poison(&gpu.device, &[n]);
        let y = linear(
            x.clone(),
            &Matrix::float(table.clone()),
            Epilogue::default(),
        );
        assert!(download(y).iter().all(|v| *v == 8.0));
    }
}

#[test]
fn an_unpacked_matrix_is_its_codes_times_scales() {
    let Some(gpu) = gpu() else { return };
    for format in [Format::Q4, Format::Q8] {
        for (seed, [n, k]) in [[1, 1], [3, 33], [5, 64], [7, 100]].into_iter().enumerate() {
            for device in [&gpu.device, &Device::flex()] {
                for halves in [false, true] {
                    let mut numbers = Numbers::new(seed as u64);
                    let made = matrix(format, [n, k], halves, &mut numbers, device);
                    assert_eq!(download(made.matrix.unpacked()), made.values);
                }
            }
        }
    }
}

/// Rows by their numbers, and matrices below one another, with a half scale left over or not.
#[test]
fn rows_and_stacks_are_those_of_the_unpacked_matrix() {
    let Some(gpu) = gpu() else { return };
    for (seed, [n, k]) in [[3, 33], [5, 64], [7, 100], [4, 30]]
        .into_iter()
        .enumerate()
    {
        for (format, halves) in [Format::Q4, Format::Q8]
            .into_iter()
            .flat_map(|format| [(format, false), (format, true)])
        {
            let mut numbers = Numbers::new(seed as u64);
            for device in [&gpu.device, &Device::flex()] {
                let made = matrix(format, [n, k], halves, &mut numbers, device);
                let ids = vec![n as i32 - 1, 0, 2, 0];
                let want: Vec<f32> = ids
                    .iter()
                    .flat_map(|id| made.values[*id as usize * k..][..k].to_vec())
                    .collect();
                let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [2, 2]), device);
                let rows = made.matrix.rows(ids);
                assert_eq!(rows.dims(), [2, 2, k]);
                assert_eq!(download(rows), want);
            }
            let parts = [n, 2 * n + 1, 2]
                .map(|n| matrix(format, [n, k], halves, &mut numbers, &gpu.device));
            let matrices = parts.iter().map(|made| made.matrix.clone());
            let stacked = Matrix::stacked(&matrices.collect::<Vec<_>>()).unwrap();
            assert_eq!(
                (stacked.shape(), stacked.format()),
                ([3 * n + 3, k], format)
            );
            let want = parts.map(|made| made.values).concat();
            assert_eq!(download(stacked.unpacked()), want);
        }
    }
}

/// Forms that a device lacks the features for are none of its forms.
#[test]
fn what_a_device_lacks_is_not_run() {
    let Some(gpu) = gpu() else { return };
    for task in Task::all() {
        let own = forms(&gpu.device, task);
        assert_eq!(own.first(), task.variants().first());
        for form in task.variants().iter().filter(|form| !own.contains(form)) {
            println!("{task:?} as {form:?}: the device lacks {:?}", form.needs());
            assert!(form.needs().is_some());
        }
        assert!(forms(&Device::flex(), task).is_empty());
    }
}
