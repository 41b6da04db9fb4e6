//! One form of a kernel on one case, beside what it should compute.

mod decode;

use burn::tensor::Tensor;

use super::attend::{Attend, mask};
use super::case::Case;
use super::norm::norm;
use super::product::{Product, Size};
use super::{expected, floats, tensor};
use crate::cross_attention::CrossAttention;
use crate::variant::{Format, Rows, Task, Variant};

/// Relative to the largest number of a result.
const TOLERANCE: f64 = 1e-3;
/// The same with activations in half precision, which moves each by up to 2^-11 of itself: twice that
/// beside a gate.
const HALF_TOLERANCE: f64 = 4e-3;
/// How near a score must be to the threshold, relative to the largest of its row, to fall on either
/// side of it.
const TIE: f64 = 1e-4;

/// What a kernel answers that holds none of its test.
const REFUSED: &str = "the kernel did not take its own test";

/// Whether the form computes what it should, and if not, how far it is off.
pub(super) async fn check(task: Task, variant: Variant, case: &mut Case<'_>) -> Result<(), String> {
    match task {
        Task::CrossAttention => cross_attention(variant, case).await,
        Task::MaskScores => mask_scores(case).await,
        Task::Product(rows, format) => product(rows, format, variant, case).await,
        Task::Norm => norms(case).await,
        Task::RopeAppend => decode::rope_append(case).await,
        Task::Attention => decode::attention(case).await,
        Task::RopeAttention => decode::rope_attention(case).await,
        Task::NextToken(format) => decode::next_token(format, case).await,
    }
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    let data = tensor.into_data_async().await.map_err(|e| e.to_string())?;
    data.try_to_vec().map_err(|e| format!("{e:?}"))
}

/// Whether the numbers of `got` are those wanted.
async fn near<const D: usize>(got: Tensor<D>, want: &[f64]) -> Result<(), String> {
    within(TOLERANCE, got, want).await
}

/// As [`near`], with a tolerance of its own.
async fn within<const D: usize>(
    tolerance: f64,
    got: Tensor<D>,
    want: &[f64],
) -> Result<(), String> {
    let got = read(got).await?;
    let size = want.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let off = got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).abs());
    // NaN is as far off as can be.
    let worst = off.fold(0.0f64, |worst, d| if d <= worst { worst } else { d });
    match got.len() == want.len() && worst <= tolerance * size {
        true => Ok(()),
        false => Err(format!("off by {worst:e} where numbers reach {size:e}")),
    }
}

async fn cross_attention(variant: Variant, case: &mut Case<'_>) -> Result<(), String> {
    let (rows, tokens, dim) = (
        case.size(2, 1..=8),
        case.size(300, 1..=90),
        case.size(1100, 1..=70),
    );
    let (x, x_buffer) = case.numbers([1, rows, dim], 1.0);
    let (keys, keys_buffer) = case.numbers([1, tokens, dim], 1.0);
    let (values, values_buffer) = case.numbers([1, tokens, dim], 1.0);
    let index = case.size(5, 0..=tokens - 1);
    let settings = CrossAttention {
        alpha: 0.5,
        drop_index: Some(index),
    };
    let attend = Attend {
        x: floats(&x_buffer).ok_or(REFUSED)?,
        keys: floats(&keys_buffer).ok_or(REFUSED)?,
        values: floats(&values_buffer).ok_or(REFUSED)?,
        residual: None,
        settings,
    };
    let (out, map) = attend.run_with_map(variant);
    let map = read(tensor::<3>(map)).await?;
    let x: Vec<f32> = x
        .iter()
        .map(|x| expected::silu(f64::from(*x)) as f32)
        .collect();
    let scores = expected::product(&x, &keys, dim);
    let mut want = vec![0.0; rows * dim];
    let whole = scores.chunks_exact(tokens).zip(map.chunks_exact(tokens));
    for ((scores, map), want) in whole.zip(want.chunks_exact_mut(dim)) {
        kept(scores, map, index)?;
        let of = scores.iter().zip(map).zip(values.chunks_exact(dim));
        for ((score, kept), values) in of {
            for (want, value) in want.iter_mut().zip(values) {
                *want += settings.alpha * score * f64::from(*kept) * f64::from(*value);
            }
        }
    }
    near(tensor::<3>(out), &want).await?;
    // Without the map and onto something is a shader of its own, and what models run.
    let (residual, buffer) = case.numbers([1, rows, dim], 1.0);
    let onto = Attend {
        residual: Some(floats(&buffer).ok_or(REFUSED)?),
        ..attend
    };
    for (want, residual) in want.iter_mut().zip(residual) {
        *want += f64::from(residual);
    }
    near(tensor::<3>(onto.run(variant)), &want).await
}

/// Whether `map` keeps what is above the `index`-th smallest of `scores` and enough of what cannot
/// be told from it.
fn kept(scores: &[f64], map: &[f32], index: usize) -> Result<(), String> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let most = scores.iter().fold(0.0f64, |m, s| m.max(s.abs()));
    let (threshold, slack) = (sorted[index], TIE * most);
    let (mut above, mut tied) = (0, 0);
    for (score, kept) in scores.iter().zip(map) {
        let (kept, away) = (*kept == 1.0, score - threshold);
        if away.abs() > slack && kept != (away > 0.0) {
            return Err(format!(
                "a score {away:e} from the threshold: kept is {kept}"
            ));
        }
        above += usize::from(away > slack);
        tied += usize::from(kept && away.abs() <= slack);
    }
    match above + tied >= scores.len() - index {
        true => Ok(()),
        false => Err(format!("{} scores are kept", above + tied)),
    }
}

async fn mask_scores(case: &mut Case<'_>) -> Result<(), String> {
    let (rows, tokens) = (case.size(3, 1..=20), case.size(20, 1..=90));
    let (scores, buffer) = case.numbers([1, rows, tokens], 4096.0);
    let index = case.size(5, 0..=tokens - 1);
    let masked = mask(&floats(&buffer).ok_or(REFUSED)?, index as u32 + 1, None);
    let row = |row: &[f32]| {
        let mut sorted = row.to_vec();
        sorted.sort_by(f32::total_cmp);
        let threshold = sorted[index];
        let kept = move |s: &f32| if *s >= threshold { f64::from(*s) } else { 0.0 };
        row.iter().map(kept).collect::<Vec<_>>()
    };
    let want: Vec<f64> = scores.chunks_exact(tokens).flat_map(row).collect();
    near(tensor::<3>(masked), &want).await
}

async fn product(
    rows: Rows,
    format: Format,
    variant: Variant,
    case: &mut Case<'_>,
) -> Result<(), String> {
    let m = match rows {
        Rows::One => 1,
        Rows::Few => case.size(5, 2..=8),
        Rows::Many => case.size(70, 9..=70),
    };
    let (k, n) = (case.size(160, 1..=150), case.size(200, 1..=80));
    let (x, x_buffer) = case.numbers([1, m, k], 4096.0);
    let size = Size { batch: 1, m, k, n };
    let (w, weights) = case.matrix(format, [n, k]).ok_or(REFUSED)?;
    let plain = Product::new(floats(&x_buffer).ok_or(REFUSED)?, size, weights);
    let tolerance = match variant {
        Variant::Half { .. } => HALF_TOLERANCE,
        _ => TOLERANCE,
    };
    for beside in case.some(Beside::of(rows, format, variant)) {
        let mut product = plain.clone();
        let want = match beside {
            Beside::Nothing => expected::product(&x, &w, k),
            Beside::Silu => {
                product.silu = true;
                let of = |x: &f32| expected::silu(f64::from(*x)) as f32;
                expected::product(&x.iter().map(of).collect::<Vec<_>>(), &w, k)
            }
            Beside::Norm => {
                let (gain, buffer) = case.numbers([k], 1.0);
                product.norm = Some((floats(&buffer).ok_or(REFUSED)?, 1e-5));
                let normed = expected::norm(&x, &gain, None, 1e-5);
                let normed: Vec<f32> = normed.into_iter().map(|x| x as f32).collect();
                expected::product(&normed, &w, k)
            }
            Beside::Bias => {
                let (bias, buffer) = case.numbers([n], 1.0);
                product.bias = Some(floats(&buffer).ok_or(REFUSED)?);
                let whole = expected::product(&x, &w, k);
                let bias = bias.iter().cycle();
                whole
                    .iter()
                    .zip(bias)
                    .map(|(y, b)| y + f64::from(*b))
                    .collect()
            }
            Beside::Residual => {
                let (residual, buffer) = case.numbers([1, m, n], 1.0);
                product.residual = Some(floats(&buffer).ok_or(REFUSED)?);
                let whole = expected::product(&x, &w, k).into_iter();
                whole.zip(residual).map(|(y, r)| y + f64::from(r)).collect()
            }
            Beside::Gate => {
                let (v, other) = case.matrix(format, [n, k]).ok_or(REFUSED)?;
                product.gate = Some(other);
                let second = expected::product(&x, &v, k);
                let whole = expected::product(&x, &w, k).into_iter();
                whole
                    .zip(second)
                    .map(|(y, v)| expected::silu(y) * v)
                    .collect()
            }
        };
        // Rows that are not read in vectors are normalised before.
        if product.fits() {
            within(tolerance, tensor::<3>(product.run(variant)), &want).await?;
        }
    }
    Ok(())
}

/// What models have done beside a product. Each is a shader of its own.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    Silu,
    Norm,
    Bias,
    Residual,
    Gate,
}

impl Beside {
    /// What models put beside products in the form `variant`.
    fn of(rows: Rows, format: Format, variant: Variant) -> &'static [Self] {
        match (rows, format) {
            (_, Format::Across) => &[Self::Nothing, Self::Residual],
            (Rows::One | Rows::Few, _) => &[Self::Norm, Self::Residual, Self::Gate],
            (Rows::Many, Format::Float) if variant.stages() => &[
                Self::Nothing,
                Self::Silu,
                Self::Bias,
                Self::Residual,
                Self::Gate,
            ],
            (Rows::Many, _) if variant.stages() => {
                &[Self::Nothing, Self::Bias, Self::Residual, Self::Gate]
            }
            (Rows::Many, _) => &[Self::Norm, Self::Bias, Self::Residual, Self::Gate],
        }
    }
}

async fn norms(case: &mut Case<'_>) -> Result<(), String> {
    let (rows, k) = (case.size(3, 1..=70), case.size(100, 1..=300));
    let (x, buffer) = case.numbers([1, rows, k], 1.0);
    let (gain, gain_buffer) = case.numbers([k], 1.0);
    let (shift, shift_buffer) = case.numbers([k], 1.0);
    let buffers = [&gain_buffer, &shift_buffer].map(floats);
    let (buffer, [Some(gains), Some(shifts)]) = (floats(&buffer).ok_or(REFUSED)?, buffers) else {
        return Err(REFUSED.to_owned());
    };
    let plain = norm(&buffer, &gains, None, 1e-5).ok_or(REFUSED)?;
    near(tensor::<3>(plain), &expected::norm(&x, &gain, None, 1e-5)).await?;
    let centred = norm(&buffer, &gains, Some(&shifts), 1e-5).ok_or(REFUSED)?;
    let want = expected::norm(&x, &gain, Some(&shift), 1e-5);
    near(tensor::<3>(centred), &want).await
}
