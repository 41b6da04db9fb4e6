//! The rest of a decoder's step: rotary embedding, KV cache, attention, next token.

use burn::tensor::{Int, Tensor};

use crate::matrix::Matrix;
use crate::{cpu, host, reference};

/// Which elements of a head rotary embedding turns together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RopeStyle {
    /// (0, 1), (2, 3), …
    Interleaved,
    /// (0, head / 2), (1, head / 2 + 1), …
    Half,
}

/// A decoder's attention heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of the query heads.
    pub kv_heads: usize,
    /// Width of a head, even.
    pub head: usize,
    /// Pairing of rotary embedding.
    pub style: RopeStyle,
}

/// Turns queries and keys by their position (arXiv 2104.09864) and puts new keys and values into
/// the cache.
///
/// * `qkv` `[tokens, (heads + 2 kv_heads) * head]`: queries, keys and values side by side;
/// * `cos`, `sin` `[positions, head / 2]`: tables from position 0;
/// * `cache`: keys and values, `[kv_heads, capacity, head]` each, of which `past` positions are
///   taken; `past + tokens` must fit.
///
/// Returns the turned queries `[tokens, heads * head]` and the cache. On wgpu devices the cache is
/// written in place, which clones of it see.
pub fn rope_append(
    qkv: Tensor<2>,
    cos: &Tensor<2>,
    sin: &Tensor<2>,
    cache: [Tensor<3>; 2],
    past: usize,
    heads: Heads,
) -> (Tensor<2>, [Tensor<3>; 2]) {
    #[cfg(feature = "wgpu")]
    if let Some(queries) = crate::gpu::rope_append(&qkv, [cos, sin], &cache, past, heads) {
        return (queries, cache);
    }
    reference::rope_append(qkv, cos, sin, cache, past, heads)
}

/// Causal self-attention of the newest tokens over the cache: `queries` `[tokens, heads * head]`,
/// turned; keys and values `[kv_heads, capacity, head]`, of which `past + tokens` positions are
/// taken. To `[tokens, heads * head]`.
pub fn attention(
    queries: Tensor<2>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    past: usize,
    heads: Heads,
) -> Tensor<2> {
    #[cfg(feature = "wgpu")]
    if let Some(out) = crate::gpu::attention(&queries, keys, values, past, heads) {
        return out;
    }
    reference::attention(queries, keys, values, past, heads)
}

/// [`rope_append`] and [`attention`] in a row: the attention of the new tokens, and the cache. One
/// kernel for one token on wgpu devices.
pub fn rope_attention(
    qkv: Tensor<2>,
    cos: &Tensor<2>,
    sin: &Tensor<2>,
    cache: [Tensor<3>; 2],
    past: usize,
    heads: Heads,
) -> (Tensor<2>, [Tensor<3>; 2]) {
    #[cfg(feature = "wgpu")]
    if let Some(out) = crate::gpu::rope_attention(&qkv, [cos, sin], &cache, past, heads) {
        return (out, cache);
    }
    let (queries, cache) = rope_append(qkv, cos, sin, cache, past, heads);
    let out = attention(queries, &cache[0], &cache[1], past, heads);
    (out, cache)
}

/// Self-attention of all tokens over one another: `qkv` `[batch, tokens, 3 heads * head]`, queries,
/// keys and values side by side, to `[batch, tokens, heads * head]`.
///
/// On wgpu devices one kernel and on the CPU backend head by head in the program's memory, both
/// without gradients; elsewhere, and for tensors that record gradients,
/// [`reference::self_attention`].
pub fn self_attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let (device, [batch, tokens, width]) = (qkv.device(), qkv.dims());
    if crate::on_host(&device) {
        let (width, qkv) = (width / 3, host::floats(qkv));
        let out = cpu::self_attention(&qkv, [tokens, width], heads);
        return host::tensor(out, [batch, tokens, width], &device);
    }
    #[cfg(feature = "wgpu")]
    if let Some(out) = crate::gpu::self_attention(&qkv, heads) {
        return out;
    }
    reference::self_attention(qkv, heads)
}

/// The most likely token of `logits` `[vocabulary]`, the lowest id among equals, and its row of
/// the embedding `table` `[vocabulary, D]`: `[1]` and `[1, D]`, both still on the device. Where a
/// logit is NaN the id is none: on wgpu devices 2^32 - 1, elsewhere -1.
pub fn next_token(logits: Tensor<1>, table: &Matrix) -> (Tensor<1, Int>, Tensor<2>) {
    #[cfg(feature = "wgpu")]
    if let Some(both) = crate::gpu::next_token(&logits, table) {
        return both;
    }
    reference::next_token(logits, table)
}
