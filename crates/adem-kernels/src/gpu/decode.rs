//! `shaders/rope_append.wgsl`, `shaders/attention.wgsl` and `shaders/next_token.wgsl`.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::DType;

use super::launch::{Launch, MOST_GROUPS, bindable, empty, folded};
use super::product::Weights;
use super::registry;
use super::shader::{self, Element};
use crate::decode::{Heads, RopeStyle};
use crate::variant::Task;

/// Whether `device` of `tensor` runs `task`, and can bind `tensors`.
fn runs(task: Task, tensors: &[&CubeTensor]) -> bool {
    let device = &tensors[0].device;
    registry::variant(device, task).is_some() && bindable(tensors)
}

/// Queries `[tokens, heads * head]`; `cache` is written in place. Shapes are the caller's to
/// check.
pub(crate) fn rope_append(
    qkv: &CubeTensor,
    tables: [&CubeTensor; 2],
    cache: [&CubeTensor; 2],
    past: usize,
    heads: Heads,
) -> Option<CubeTensor> {
    const WORKGROUP: u32 = 64;
    let [cos, sin] = tables;
    let [keys, values] = cache;
    if !runs(Task::RopeAppend, &[qkv, cos, sin, keys, values]) {
        return None;
    }
    let tokens = qkv.meta.shape()[0];
    let capacity = keys.meta.shape()[1];
    let pairs = heads.head / 2;
    let queries = empty(qkv, [tokens, heads.heads * heads.head], DType::F32);
    let count = tokens * (heads.heads + 2 * heads.kv_heads) * pairs;
    let [x, y] = folded(count.div_ceil(WORKGROUP as usize));
    Launch::new(shader::ROPE_APPEND, WORKGROUP, qkv)
        .flag("HALF", heads.style == RopeStyle::Half)
        .read("qkv", Element::F32, qkv)
        .read("cos_table", Element::F32, cos)
        .read("sin_table", Element::F32, sin)
        .write("keys", Element::F32, keys)
        .write("values", Element::F32, values)
        .write("queries", Element::F32, &queries)
        .dispatch(
            [x, y, 1],
            [
                [tokens, heads.heads, heads.kv_heads, pairs].map(|v| v as u32),
                [past, capacity, 0, 0].map(|v| v as u32),
            ],
        );
    Some(queries)
}

/// Positions taken at a time, and threads.
const TILE: u32 = 64;
/// Widths of a head a thread gathers at most.
const MOST_SHARE: usize = 4;

/// `[tokens, heads * head]`. Shapes are the caller's to check.
pub(crate) fn attention(
    queries: &CubeTensor,
    keys: &CubeTensor,
    values: &CubeTensor,
    past: usize,
    heads: Heads,
) -> Option<CubeTensor> {
    let tokens = queries.meta.shape()[0];
    let capacity = keys.meta.shape()[1];
    let share = heads.head.div_ceil(TILE as usize);
    let fits = share <= MOST_SHARE && tokens <= MOST_GROUPS && heads.heads <= MOST_GROUPS;
    if !fits || !runs(Task::Attention, &[queries, keys, values]) {
        return None;
    }
    let out = empty(queries, [tokens, heads.heads * heads.head], DType::F32);
    attending(queries, heads.head)
        .read("queries", Element::Vector, queries)
        .read("keys", Element::Vector, keys)
        .read("values", Element::F32, values)
        .write("out", Element::F32, &out)
        .dispatch(
            [heads.heads, tokens, 1],
            attending_info(tokens, heads, [past, capacity]),
        );
    Some(out)
}

/// [`rope_append`] and [`attention`] of one token, `[1, heads * head]`. Shapes are the caller's to
/// check.
pub(crate) fn rope_attention(
    qkv: &CubeTensor,
    tables: [&CubeTensor; 2],
    cache: [&CubeTensor; 2],
    past: usize,
    heads: Heads,
) -> Option<CubeTensor> {
    let [cos, sin] = tables;
    let [keys, values] = cache;
    let share = heads.head.div_ceil(TILE as usize);
    let fits = share <= MOST_SHARE && heads.heads <= MOST_GROUPS && qkv.meta.shape()[0] == 1;
    if !fits || !runs(Task::RopeAttention, &[qkv, cos, sin, keys, values]) {
        return None;
    }
    let capacity = keys.meta.shape()[1];
    let out = empty(qkv, [1, heads.heads * heads.head], DType::F32);
    attending(qkv, heads.head)
        .flag("APPEND", true)
        .flag("HALF", heads.style == RopeStyle::Half)
        .read("qkv", Element::F32, qkv)
        .read("cos_table", Element::F32, cos)
        .read("sin_table", Element::F32, sin)
        .write("keys", Element::Vector, keys)
        .write("values", Element::F32, values)
        .write("out", Element::F32, &out)
        .dispatch(
            [heads.heads, 1, 1],
            attending_info(1, heads, [past, capacity]),
        );
    Some(out)
}

/// A launch of `attention.wgsl` for heads of width `head`.
fn attending(on: &CubeTensor, head: usize) -> Launch<'_> {
    let share = head.div_ceil(TILE as usize) as u32;
    let (wide, numbers, vector) = match head.is_multiple_of(4) {
        true => (true, 4, shader::VECTOR_WIDE),
        false => (false, 1, shader::VECTOR_NARROW),
    };
    Launch::new(shader::ATTENTION, TILE, on)
        .part(vector)
        .constant("TILE", TILE)
        .constant("SHARE", share)
        .constant("NUMBERS", numbers)
        .constant("QUERY", TILE * share / numbers)
        .flag("WIDE", wide)
}

fn attending_info(tokens: usize, heads: Heads, [past, capacity]: [usize; 2]) -> [[u32; 4]; 2] {
    let scale = 1.0 / (heads.head as f32).sqrt();
    let group = heads.heads / heads.kv_heads;
    [
        [tokens, heads.heads, group, heads.head].map(|v| v as u32),
        [past as u32, capacity as u32, scale.to_bits(), 0],
    ]
}

/// `[batch, tokens, heads * head]` of `qkv` `[batch, tokens, 3 heads * head]`. Shapes are the caller's
/// to check.
pub(crate) fn self_attention(qkv: &CubeTensor, heads: usize) -> Option<CubeTensor> {
    let shape = qkv.meta.shape();
    let [batch, tokens, width] = [shape[0], shape[1], shape[2] / 3];
    let head = width / heads;
    let share = head.div_ceil(TILE as usize);
    let counted = shape.num_elements() <= u32::MAX as usize;
    let fits = share <= MOST_SHARE && [batch, tokens, heads].iter().all(|n| *n <= MOST_GROUPS);
    if !fits || !counted || !runs(Task::Attention, &[qkv]) {
        return None;
    }
    let out = empty(qkv, [batch, tokens, width], DType::F32);
    let scale = 1.0 / (head as f32).sqrt();
    attending(qkv, head)
        .flag("PACKED", true)
        .read("keys", Element::Vector, qkv)
        .read("values", Element::F32, qkv)
        .write("out", Element::F32, &out)
        .dispatch(
            [heads, tokens, batch],
            [
                [tokens, heads, 1, head].map(|v| v as u32),
                [0, 0, scale.to_bits(), 0],
            ],
        );
    Some(out)
}

/// Id `[1]` as u32 and embedding `[1, width]`.
pub(crate) fn next_token(
    logits: &CubeTensor,
    table: &Weights,
    width: usize,
) -> Option<[CubeTensor; 2]> {
    const WORKGROUP: u32 = 256;
    let vocabulary = logits.meta.shape().num_elements();
    let mut tensors = vec![logits];
    tensors.extend(table.tensors());
    let in_vectors = width.is_multiple_of(table.step());
    if !in_vectors || !runs(Task::NextToken(table.format), &tensors) {
        return None;
    }
    let id = empty(logits, [1], DType::U32);
    let embedding = empty(logits, [1, width], DType::F32);
    let launch = Launch::new(shader::NEXT_TOKEN, WORKGROUP, logits)
        .part(table.order())
        .constant("AHEAD", 8)
        .read("logits", Element::F32, logits);
    table
        .bind(launch, 0, width)
        .write("id", Element::U32, &id)
        .write("embedding", Element::F32x4, &embedding)
        .dispatch(
            [1, 1, 1],
            [
                [vocabulary, table.chunks(width), vocabulary, 0].map(|v| v as u32),
                [width as u32, 0, 0, 0],
            ],
        );
    Some([id, embedding])
}
