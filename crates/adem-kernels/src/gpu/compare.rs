//! One form of a kernel on one case, beside what it should compute.

use burn::tensor::{Int, Tensor};

use super::attend::{Attend, mask};
use super::case::Case;
use super::norm::norm;
use super::product::{Product, Size};
use super::{decode, expected, floats, tensor};
use crate::cross_attention::CrossAttention;
use crate::decode::{Heads, RopeStyle};
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
        Task::RopeAppend => rope_append(case).await,
        Task::Attention => attention(case).await,
        Task::NextToken(format) => next_token(format, case).await,
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
        case.size(20, 1..=90),
        case.size(24, 1..=70),
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
    near(tensor::<3>(out), &want).await
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
        Rows::Many => case.size(19, 9..=70),
    };
    let (k, n) = (case.size(96, 1..=150), case.size(24, 1..=80));
    let (x, x_buffer) = case.numbers([1, m, k], 4096.0);
    let size = Size { batch: 1, m, k, n };
    let (w, weights) = case.matrix(format, [n, k]).ok_or(REFUSED)?;
    let plain = Product::new(floats(&x_buffer).ok_or(REFUSED)?, size, weights);
    let mut want = expected::product(&x, &w, k);
    let tolerance = match variant {
        Variant::Half { .. } => HALF_TOLERANCE,
        _ => TOLERANCE,
    };
    within(tolerance, tensor::<3>(plain.clone().run(variant)), &want).await?;
    if format == Format::Across {
        return Ok(());
    }
    let (v, other) = case.matrix(format, [n, k]).ok_or(REFUSED)?;
    let (residual, buffer) = case.numbers([1, m, n], 1.0);
    let gate = Product {
        gate: Some(other),
        residual: Some(floats(&buffer).ok_or(REFUSED)?),
        ..plain
    };
    let second = expected::product(&x, &v, k);
    for ((want, second), residual) in want.iter_mut().zip(second).zip(residual) {
        *want = expected::silu(*want) * second + f64::from(residual);
    }
    within(tolerance, tensor::<3>(gate.run(variant)), &want).await
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

fn heads(case: &mut Case<'_>) -> Heads {
    let kv_heads = case.size(2, 1..=3);
    let styles = [RopeStyle::Half, RopeStyle::Interleaved];
    Heads {
        heads: kv_heads * case.size(2, 1..=3),
        kv_heads,
        head: 2 * case.size(6, 1..=40),
        style: styles[case.size(0, 0..=1)],
    }
}

async fn rope_append(case: &mut Case<'_>) -> Result<(), String> {
    let heads = heads(case);
    let Heads {
        heads: q,
        kv_heads: kv,
        head,
        style,
    } = heads;
    let (tokens, past, spare) = (
        case.size(2, 1..=65),
        case.size(3, 0..=20),
        case.size(1, 0..=5),
    );
    let (all, capacity) = (q + 2 * kv, past + tokens + spare);
    let (qkv, qkv_buffer) = case.numbers([tokens, all * head], 4096.0);
    let (cos, cos_buffer) = case.numbers([capacity + 2, head / 2], 1.0);
    let (sin, sin_buffer) = case.numbers([capacity + 2, head / 2], 1.0);
    let (keys, keys_buffer) = case.numbers([kv, capacity, head], 1.0);
    let (values, values_buffer) = case.numbers([kv, capacity, head], 1.0);
    let cache = [&keys_buffer, &values_buffer].map(floats);
    let tables = [&cos_buffer, &sin_buffer].map(floats);
    let ([Some(k_cache), Some(v_cache)], [Some(cosines), Some(sines)]) = (cache, tables) else {
        return Err(REFUSED.to_owned());
    };
    let new = floats(&qkv_buffer).ok_or(REFUSED)?;
    let both = [&k_cache, &v_cache];
    let queries = decode::rope_append(&new, [&cosines, &sines], both, past, heads);
    let queries = queries.ok_or(REFUSED)?;

    let mut want = Vec::new();
    let mut cached = [keys, values].map(|c| c.into_iter().map(f64::from).collect::<Vec<_>>());
    for (index, part) in qkv.chunks_exact(head).enumerate() {
        let (token, own) = (index / all, index % all);
        let row = (past + token) * head / 2;
        let turned = expected::turned(
            part,
            &cos[row..][..head / 2],
            &sin[row..][..head / 2],
            style,
        );
        let place = |own: usize| (own * capacity + past + token) * head;
        if own < q {
            want.extend(turned);
        } else if own < q + kv {
            cached[0][place(own - q)..][..head].copy_from_slice(&turned);
        } else {
            let plain: Vec<f64> = part.iter().map(|x| f64::from(*x)).collect();
            cached[1][place(own - q - kv)..][..head].copy_from_slice(&plain);
        }
    }
    near(tensor::<2>(queries), &want).await?;
    near(tensor::<3>(k_cache), &cached[0]).await?;
    near(tensor::<3>(v_cache), &cached[1]).await
}

async fn attention(case: &mut Case<'_>) -> Result<(), String> {
    let heads = heads(case);
    let (head, width) = (heads.head, heads.heads * heads.head);
    let (tokens, past, spare) = (
        case.size(2, 1..=20),
        case.size(68, 0..=140),
        case.size(2, 0..=5),
    );
    let capacity = past + tokens + spare;
    let (queries, queries_buffer) = case.numbers([tokens, width], 1.0);
    let (keys, keys_buffer) = case.numbers([heads.kv_heads, capacity, head], 1.0);
    let (values, values_buffer) = case.numbers([heads.kv_heads, capacity, head], 1.0);
    let [Some(q), Some(k), Some(v)] = [
        floats(&queries_buffer),
        floats(&keys_buffer),
        floats(&values_buffer),
    ] else {
        return Err(REFUSED.to_owned());
    };
    let out = decode::attention(&q, &k, &v, past, heads).ok_or(REFUSED)?;
    let want = expected::cached_attention(&queries, [&keys, &values], past, heads);
    near(tensor::<2>(out), &want).await?;

    let (batch, tokens) = (case.size(2, 1..=3), case.size(5, 1..=70));
    let (qkv, buffer) = case.numbers([batch, tokens, 3 * width], 1.0);
    let out = decode::self_attention(&floats(&buffer).ok_or(REFUSED)?, heads.heads);
    let mut want = Vec::new();
    for picture in qkv.chunks_exact(tokens * 3 * width) {
        for token in 0..tokens {
            for own in 0..heads.heads {
                let row = |token: usize, part: usize| {
                    &picture[(token * 3 + part) * width + own * head..][..head]
                };
                let [keys, values] =
                    [1, 2].map(|part| (0..tokens).map(|t| row(t, part)).collect::<Vec<_>>());
                want.extend(expected::attend(row(token, 0), &keys, &values));
            }
        }
    }
    near(tensor::<3>(out.ok_or(REFUSED)?), &want).await
}

async fn next_token(format: Format, case: &mut Case<'_>) -> Result<(), String> {
    let (vocabulary, width) = (case.size(300, 1..=700), 32 * case.size(2, 1..=4));
    let (values, table) = case.matrix(format, [vocabulary, width]).ok_or(REFUSED)?;
    let (logits, buffer) = case.numbers([vocabulary], 4096.0);
    let found = decode::next_token(&floats(&buffer).ok_or(REFUSED)?, &table, width);
    let [id, row] = found.ok_or(REFUSED)?;
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let want = logits.iter().position(|logit| *logit == most).unwrap_or(0);
    let data = Tensor::<1, Int>::from_primitive::<burn::backend::Cube>(id).into_data_async();
    let data = data.await.map_err(|e| e.to_string())?;
    let id = data.try_to_vec::<u32>().map_err(|e| format!("{e:?}"))?;
    if id != [want as u32] {
        return Err(format!("token {id:?} where {want} is the most likely"));
    }
    let row_wanted = &values[want * width..][..width];
    let row_wanted: Vec<f64> = row_wanted.iter().map(|x| f64::from(*x)).collect();
    near(tensor::<2>(row), &row_wanted).await
}
