//! Packed weights times activations in fixed point.
//!
//! Every block of 32 activations gets a scale of its own and becomes 16-bit numbers, so that its
//! products with a block of codes are integers: their sum is exact in `i32`, and is scaled and added
//! in `f32`. One instruction of nearly every processor multiplies pairs of 16-bit numbers and adds
//! them, twice what one with floats does, and codes need not become floats.
//!
//! For many rows of activations, here, rows of weights lie beside one another in a vector's lanes, a
//! block of theirs in 16 vectors, and are put there a panel at a time; a tile is some activations by
//! two such vectors. For few rows ([`walk`](super::walk)) that would not pay.

use super::Rows;
use super::four::Four;
use crate::blocks::{BLOCK, Scheme};

/// Pairs of numbers in a block.
pub(super) const PAIRS: usize = BLOCK / 2;
/// Rows of activations of a tile.
const TOKENS: usize = 4;
/// Vectors of rows of a tile.
pub(super) const GROUPS: usize = 2;

/// Two neighbouring columns.
pub(super) type Pair = [i16; 2];

/// Activations `[tokens, columns]` in fixed point, each block with a scale of its own: its largest
/// magnitude over 32,767. No activation moves by more than half its block's scale.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    /// Blocks of a row.
    blocks: usize,
    codes: Vec<[i16; BLOCK]>,
    scales: Vec<f32>,
}

impl Fixed {
    /// Activations `[tokens, columns]`. NaN or infinity makes its block's scale NaN.
    pub fn new(values: &[f32], columns: usize) -> Self {
        let blocks = columns.div_ceil(BLOCK);
        let count = values.len() / columns.max(1) * blocks;
        let (mut codes, mut scales) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for token in values.chunks_exact(columns) {
            for part in token.chunks(BLOCK) {
                let mut block = [0.0; BLOCK];
                block[..part.len()].copy_from_slice(part);
                let (rounded, scale) = rounded(&block);
                codes.push(rounded);
                scales.push(scale);
            }
        }
        Self {
            blocks,
            codes,
            scales,
        }
    }

    /// With columns in the order of [`dealt`].
    pub fn dealt(mut self) -> Self {
        for codes in &mut self.codes {
            *codes = dealt(*codes);
        }
        self
    }

    /// Rows.
    pub fn tokens(&self) -> usize {
        self.scales.len() / self.blocks
    }

    /// The blocks of a row and their scales.
    pub fn token(&self, token: usize) -> (&[[i16; BLOCK]], &[f32]) {
        let span = token * self.blocks..(token + 1) * self.blocks;
        (&self.codes[span.clone()], &self.scales[span])
    }
}

/// Even columns of a block, then odd ones: the order in which shifts to the left by 12, 8, 4 and 0
/// leave a q4 block's columns at the top of its 16-bit words.
#[inline(always)]
pub(super) fn dealt<T: Copy>(block: [T; BLOCK]) -> [T; BLOCK] {
    std::array::from_fn(|i| block[2 * i % BLOCK + 2 * i / BLOCK])
}

/// A block in fixed point and what it is multiplied by.
#[inline(always)]
fn rounded(block: &[f32; BLOCK]) -> ([i16; BLOCK], f32) {
    /// The largest number: with it and codes of eight bits a block's sum stays below 2^28.
    const MOST: f32 = 32_767.0;
    /// Leaves no bit for a fraction when added: rounds to nearest even, and the integer is in the
    /// low bits of the sum.
    const NO_FRACTION: f32 = 12_582_912.0;
    let (mut peak, mut poison) = (Four::splat(0.0), Four::splat(0.0));
    for four in block.as_chunks().0 {
        let four = Four::new(*four);
        peak = peak.larger(four.abs());
        // NaN where the value is NaN or infinite.
        poison = poison + four * Four::splat(0.0);
    }
    let peak = peak.numbers().into_iter().fold(0.0, f32::max);
    let mut inverse = MOST / peak;
    // Activations of 1e-34 and less are nothing.
    if !inverse.is_finite() {
        inverse = 0.0;
    }
    let code = |four: &[f32; 4]| Four::new(*four) * Four::splat(inverse) + Four::splat(NO_FRACTION);
    let mut codes = [0; BLOCK];
    let eights = codes.as_chunks_mut::<8>().0;
    for (codes, [low, high]) in eights.iter_mut().zip(block.as_chunks().0.as_chunks().0) {
        *codes = code(low).low_halves(code(high));
    }
    (codes, peak / MOST + poison.sum())
}

/// A block of some rows: a row in each lane, pairs of codes one vector after another, and scales.
#[derive(Clone, Copy)]
struct Group<V, F> {
    pairs: [V; PAIRS],
    scales: F,
}

/// How vectors of `L` lanes are computed with: pairs of codes `V`, integers `I` and floats `F` of
/// which sums begin as `zero`.
pub(super) struct Lanes<I, F, Turn, New, Dot, Scale, Take> {
    pub zero: (I, F),
    /// A block of `L` rows.
    pub turn: Turn,
    /// A vector of floats.
    pub new: New,
    /// `sum + a . b` of pairs, the first the same in all lanes.
    pub dot: Dot,
    /// `sum + dot * weights' scales * activation's scale`.
    pub scale: Scale,
    /// A vector's numbers.
    pub take: Take,
}

/// Products of activations with the rows of `part`: to rows of outputs, one a row of activations.
/// Inlined with the closures of `lanes` into functions that switch instructions on, which they then
/// use.
#[inline(always)]
pub(super) fn tiles<const L: usize, V: Copy, I: Copy, F: Copy>(
    part: Rows<'_>,
    x: &Fixed,
    out: &mut [&mut [f32]],
    lanes: &Lanes<
        I,
        F,
        impl Fn(Scheme, [&[u32]; L]) -> [V; PAIRS],
        impl Fn([f32; L]) -> F,
        impl Fn(I, Pair, V) -> I,
        impl Fn(F, I, F, f32) -> F,
        impl Fn(F) -> [f32; L],
    >,
) {
    let blocks = part.blocks;
    let words = part.scheme.words();
    let rows = part.scales.len() / blocks;
    let mut groups = Vec::with_capacity(rows.div_ceil(L) * blocks);
    for first in (0..rows).step_by(L) {
        for block in 0..blocks {
            let (mut codes, mut scales) = ([&[0; 8][..]; L], [0.0; L]);
            let here = codes.iter_mut().zip(&mut scales);
            for (row, (codes, scale)) in (first..rows).zip(here) {
                let index = row * blocks + block;
                *codes = &part.words[index * words..][..words];
                *scale = part.scales[index];
            }
            groups.push(Group {
                pairs: (lanes.turn)(part.scheme, codes),
                scales: (lanes.new)(scales),
            });
        }
    }
    let rule = (lanes.zero, &lanes.dot, &lanes.scale);
    let put = |out: &mut [f32], first: usize, sum: F| {
        // The last group may be filled up.
        for (out, sum) in out.iter_mut().skip(first).zip((lanes.take)(sum)) {
            *out = sum;
        }
    };
    let all: Vec<_> = groups.chunks_exact(blocks).collect();
    let whole = out.len() - out.len() % TOKENS;
    let (pairs, last) = all.as_chunks::<GROUPS>();
    for token in (0..whole).step_by(TOKENS) {
        let x: [_; TOKENS] = [0, 1, 2, 3].map(|i| x.token(token + i));
        let out = &mut out[token..][..TOKENS];
        for (index, groups) in pairs.iter().enumerate() {
            for (out, sums) in out.iter_mut().zip(tile(*groups, x, rule)) {
                for (group, sum) in sums.into_iter().enumerate() {
                    put(out, (index * GROUPS + group) * L, sum);
                }
            }
        }
        for groups in last {
            for (out, [sum]) in out.iter_mut().zip(tile([groups], x, rule)) {
                put(out, pairs.len() * GROUPS * L, sum);
            }
        }
    }
    for (token, out) in out.iter_mut().enumerate().skip(whole) {
        for (index, groups) in all.iter().enumerate() {
            let [[sum]] = tile([groups], [x.token(token)], rule);
            put(out, index * L, sum);
        }
    }
}

/// All products of `T` rows of activations with `R` groups of rows.
#[inline(always)]
fn tile<const T: usize, const R: usize, V: Copy, I: Copy, F: Copy>(
    groups: [&[Group<V, F>]; R],
    x: [(&[[i16; BLOCK]], &[f32]); T],
    (zero, dot, scale): (
        (I, F),
        &impl Fn(I, Pair, V) -> I,
        &impl Fn(F, I, F, f32) -> F,
    ),
) -> [[F; R]; T] {
    let blocks = groups[0].len();
    let groups = groups.map(|group| &group[..blocks]);
    let x = x.map(|(codes, scales)| {
        let pairs: &[[Pair; PAIRS]] = bytemuck::cast_slice(&codes[..blocks]);
        (pairs, &scales[..blocks])
    });
    let mut sums = [[zero.1; R]; T];
    for block in 0..blocks {
        let mut dots = [[zero.0; R]; T];
        for pair in 0..PAIRS {
            for (dots, (x, _)) in dots.iter_mut().zip(&x) {
                for (sum, group) in dots.iter_mut().zip(&groups) {
                    *sum = dot(*sum, x[block][pair], group[block].pairs[pair]);
                }
            }
        }
        for ((sums, dots), (_, scales)) in sums.iter_mut().zip(dots).zip(&x) {
            for ((sum, dot), group) in sums.iter_mut().zip(dots).zip(&groups) {
                *sum = scale(*sum, dot, group[block].scales, scales[block]);
            }
        }
    }
    sums
}
