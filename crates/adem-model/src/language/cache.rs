//! Keys and values of the tokens already seen, and where new tokens stand.

use adem_kernels::{host, ops};
use burn::tensor::{Device, Int, Tensor};

/// Keys and values of one block, each `[batch, kv_heads, tokens seen, head_dim]`.
#[derive(Debug, Clone, Default)]
pub struct LayerCache {
    kept: Option<(Tensor<4>, Tensor<4>)>,
}

impl LayerCache {
    /// Appends keys and values of new tokens and returns those of all tokens so far.
    pub fn append(&mut self, keys: Tensor<4>, values: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let all = match self.kept.take() {
            None => (keys, values),
            Some((k, v)) => (ops::cat(vec![k, keys], 2), ops::cat(vec![v, values], 2)),
        };
        self.kept = Some(all.clone());
        all
    }

    fn select(&mut self, rows: &Tensor<1, Int>) {
        if let Some((keys, values)) = self.kept.take() {
            let select = |kept: Tensor<4>| kept.select(0, rows.clone());
            self.kept = Some((select(keys), select(values)));
        }
    }
}

/// The KV cache of a decoder, one entry a block.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    tokens: usize,
}

impl KvCache {
    /// An empty cache for `layers` blocks.
    pub fn new(layers: usize) -> Self {
        Self {
            layers: vec![LayerCache::default(); layers],
            tokens: 0,
        }
    }

    /// Tokens held, padding included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Makes `rows` of the rows held, in that order; one may be taken several times.
    pub fn select(&mut self, rows: &[usize], device: &Device) {
        let places: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
        let places = host::int_tensor(places, [rows.len()], device);
        for layer in &mut self.layers {
            layer.select(&places);
        }
    }

    pub(super) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }

    pub(super) fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }
}

/// Where the tokens of one forward pass stand in rows that may be padded on the left.
///
/// A padded row's first real token has position 0, so that a row gives the same result alone and
/// in a batch.
#[derive(Debug, Clone)]
pub struct Positions {
    padding: Vec<usize>,
    past: usize,
    tokens: usize,
}

impl Positions {
    /// `tokens` new tokens after `past` cached ones; `padding` holds each row's pads on the left,
    /// or nothing where no row has any.
    pub fn new(tokens: usize, past: usize, padding: &[usize]) -> Self {
        let padding = match padding.iter().any(|p| *p > 0) {
            true => padding.to_vec(),
            false => Vec::new(),
        };
        Self {
            padding,
            past,
            tokens,
        }
    }

    /// New tokens in each row.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Position of the first new token of each row; one entry where all rows agree. Negative in
    /// the padding.
    pub(super) fn rows(&self) -> Vec<i64> {
        match self.padding.is_empty() {
            true => vec![self.past as i64],
            false => self
                .padding
                .iter()
                .map(|p| self.past as i64 - *p as i64)
                .collect(),
        }
    }

    /// What is added to attention scores, `[batch or 1, 1, tokens, past + tokens]`: 0 where a
    /// token may look, a large negative number where not. `None` where it may look everywhere.
    pub(super) fn mask(&self, device: &Device) -> Option<Tensor<4>> {
        if self.tokens == 1 && self.padding.is_empty() {
            return None;
        }
        let all = self.past + self.tokens;
        let rows = match self.padding.is_empty() {
            true => vec![0],
            false => self.padding.clone(),
        };
        let mut values = Vec::with_capacity(rows.len() * self.tokens * all);
        for pad in &rows {
            for t in 0..self.tokens {
                let own = self.past + t;
                // A pad looks at itself, lest its softmax be over nothing.
                values.extend((0..all).map(|s| match s <= own && (s >= *pad || s == own) {
                    true => 0.0f32,
                    false => HIDDEN,
                }));
            }
        }
        let shape = [rows.len(), 1, self.tokens, all];
        Some(host::tensor(values, shape, device))
    }
}

/// Finite, so that no backend meets infinity minus infinity; its exponential is exactly zero.
const HIDDEN: f32 = -1e30;
