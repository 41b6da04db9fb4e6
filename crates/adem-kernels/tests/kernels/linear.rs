//! Products, float and quantised, with all that is done beside them.

use adem_kernels::variant::{Format, Rows, Task};
use adem_kernels::{BLOCK, Blocks, Epilogue, Matrix, Scales, Scheme, choose, linear};
use burn::tensor::{Device, Tensor};
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

/// Runs a product and holds it to the definition in f64.
fn check(
    device: &Device,
    [m, k, n]: [usize; 3],
    format: Format,
    beside: Beside,
    large: bool,
    seed: u64,
) {
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
        for column in 0..n {
            let dot = |w: &[f32]| {
                let terms = w[column * k..][..k].iter().zip(&x);
                let terms = terms.map(|(w, x)| f64::from(*w) * x);
                (terms.clone().sum::<f64>(), terms.map(f64::abs).sum::<f64>())
            };
            let (first, mut size) = dot(&w.values);
            let mut want = first;
            if beside.gate {
                let (second, other) = dot(&v.values);
                want = first / (1.0 + (-first).exp()) * second;
                size = size * (1.0 + second.abs()) + other * (1.0 + first.abs());
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
                off <= 4e-6 * size + 1e-5 * want.abs() + 1e-6,
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
        form in 0usize..8,
        flags in any::<[bool; 5]>(),
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let m = if few { m % 4 + 1 } else { m };
        let format = FORMATS[format];
        let task = Task::Product(Rows::of(m), format);
        let forms = task.variants();
        choose(&gpu.device, task, forms[form % forms.len()]);
        let [norm, gate, bias, residual, large] = flags;
        let beside = Beside { norm, gate, bias, residual };
        check(&gpu.device, [m, k, n], format, beside, large, seed);
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
            for form in task.variants() {
                choose(&gpu.device, task, *form);
                check(&gpu.device, [m, 576, 192], format, plain, false, 3);
                check(&gpu.device, [m, 256, 688], format, gated, false, 4);
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
    for form in task.variants() {
        choose(&gpu.device, task, *form);
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
