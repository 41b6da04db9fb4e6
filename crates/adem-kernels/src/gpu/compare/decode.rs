//! The kernels of a decoder's step beside attention over pictures and products.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::{Int, Tensor};

use super::{REFUSED, near};
use crate::decode::{Heads, RopeStyle};
use crate::gpu::case::Case;
use crate::gpu::{Appending, decode, expected, floats, tensor};
use crate::variant::Format;

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

/// A new token's or several tokens' queries, keys and values, tables and a cache, and what they
/// should become.
struct New {
    heads: Heads,
    past: usize,
    /// Queries, keys and values, side by side.
    qkv: CubeTensor,
    /// Cosines and sines.
    tables: [CubeTensor; 2],
    cache: [CubeTensor; 2],
    turned: Vec<f64>,
    cached: [Vec<f64>; 2],
}

impl New {
    /// Of numbers up to `most`, `tokens` behind `past` positions and before `spare`.
    fn of(
        case: &mut Case<'_>,
        heads: Heads,
        [tokens, past, spare]: [usize; 3],
        most: f32,
    ) -> Option<Self> {
        let Heads {
            heads: q,
            kv_heads: kv,
            head,
            style,
        } = heads;
        let (all, capacity) = (q + 2 * kv, past + tokens + spare);
        let (qkv, qkv_buffer) = case.numbers([tokens, all * head], most);
        let (cos, cos_buffer) = case.numbers([capacity + 2, head / 2], 1.0);
        let (sin, sin_buffer) = case.numbers([capacity + 2, head / 2], 1.0);
        let (keys, keys_buffer) = case.numbers([kv, capacity, head], 1.0);
        let (values, values_buffer) = case.numbers([kv, capacity, head], 1.0);
        let mut new = Self {
            heads,
            past,
            qkv: floats(&qkv_buffer)?,
            tables: [floats(&cos_buffer)?, floats(&sin_buffer)?],
            cache: [floats(&keys_buffer)?, floats(&values_buffer)?],
            turned: Vec::new(),
            cached: [keys, values].map(|c| c.into_iter().map(f64::from).collect()),
        };
        for (index, part) in qkv.chunks_exact(head).enumerate() {
            let (token, own) = (index / all, index % all);
            let row = (past + token) * head / 2;
            let [cos, sin] = [&cos, &sin].map(|table| &table[row..][..head / 2]);
            let turned = expected::turned(part, cos, sin, style);
            let place = |own: usize| (own * capacity + past + token) * head;
            if own < q {
                new.turned.extend(turned);
            } else if own < q + kv {
                new.cached[0][place(own - q)..][..head].copy_from_slice(&turned);
            } else {
                let plain: Vec<f64> = part.iter().map(|x| f64::from(*x)).collect();
                new.cached[1][place(own - q - kv)..][..head].copy_from_slice(&plain);
            }
        }
        Some(new)
    }

    /// What `kernel` makes of it.
    fn run(&self, kernel: Appending) -> Option<CubeTensor> {
        let [cos, sin] = &self.tables;
        let [keys, values] = &self.cache;
        kernel(&self.qkv, [cos, sin], [keys, values], self.past, self.heads)
    }

    async fn appended(self) -> Result<(), String> {
        for (cache, want) in self.cache.into_iter().zip(self.cached) {
            near(tensor::<3>(cache), &want).await?;
        }
        Ok(())
    }
}

pub(super) async fn rope_append(case: &mut Case<'_>) -> Result<(), String> {
    let heads = heads(case);
    let sizes = [
        case.size(2, 1..=65),
        case.size(3, 0..=20),
        case.size(1, 0..=5),
    ];
    let new = New::of(case, heads, sizes, 4096.0).ok_or(REFUSED)?;
    let queries = new.run(decode::rope_append).ok_or(REFUSED)?;
    near(tensor::<2>(queries), &new.turned).await?;
    new.appended().await
}

pub(super) async fn rope_attention(case: &mut Case<'_>) -> Result<(), String> {
    let heads = heads(case);
    let sizes = [1, case.size(68, 0..=140), case.size(2, 0..=5)];
    let new = New::of(case, heads, sizes, 1.0).ok_or(REFUSED)?;
    let out = new.run(decode::rope_attention).ok_or(REFUSED)?;
    let single = |all: &[f64]| all.iter().map(|x| *x as f32).collect::<Vec<_>>();
    let [keys, values] = [&new.cached[0], &new.cached[1]].map(|cache| single(cache));
    let queries = single(&new.turned);
    let want = expected::cached_attention(&queries, [&keys, &values], new.past, heads);
    near(tensor::<2>(out), &want).await?;
    new.appended().await
}

pub(super) async fn attention(case: &mut Case<'_>) -> Result<(), String> {
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

pub(super) async fn next_token(format: Format, case: &mut Case<'_>) -> Result<(), String> {
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
