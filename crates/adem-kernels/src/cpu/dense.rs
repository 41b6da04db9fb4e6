//! Products of rows of floats with rows of floats, both as they lie in memory: nothing is packed
//! or turned, and a tile of sums stays in registers.

use std::borrow::Cow;
use std::ops::Range;

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use super::Level;

/// Floats a tile takes of each row in one step.
pub(super) const STEP: usize = 16;
/// Weights that are multiplied together: 128 KiB, which stay in a second-level cache while all
/// activations go by.
const PANEL: usize = 1 << 15;
/// Places of a matrix from which rows are read in turn for one row of activations. Each place is a
/// stream of its own, long enough for the processor to fetch ahead: rows beside one another are as
/// many short ones, and take up to twice as long from main memory.
const STREAMS: usize = 8;
/// Products a thread should have to do; fewer are not worth handing out.
#[cfg(not(target_arch = "wasm32"))]
const THREAD_WORK: usize = 1 << 18;

/// Threads for `work` products.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn threads(work: usize) -> usize {
    rayon::current_num_threads().min(work / THREAD_WORK)
}

/// `Y = X W^T` for activations `x` `[tokens, k]` and `rows` weights of `k` floats, of which
/// `weights` gives any range: to `out` `[tokens, rows]`. Panels of weights are spread over as many
/// threads as `spread` says are worth it.
pub(super) fn product<'a>(
    level: Level,
    x: &[f32],
    k: usize,
    weights: impl Fn(Range<usize>) -> Cow<'a, [f32]> + Sync,
    out: &mut [f32],
    spread: bool,
) {
    let rows = out.len() * k / x.len().max(1);
    let multiply = |part, out: &mut [&mut [f32]]| level.dense(x, &weights(part), k, out);
    panels([rows, k], STREAMS, out, spread, multiply);
}

/// Fills `out` `[tokens, rows]` a panel of `rows` weights of `k` numbers at a time: `multiply` gets
/// the range and its columns of `out`. A panel but the last is a multiple of `step` rows.
pub(super) fn panels(
    [rows, k]: [usize; 2],
    step: usize,
    out: &mut [f32],
    spread: bool,
    multiply: impl Fn(Range<usize>, &mut [&mut [f32]]) + Sync,
) {
    if rows == 0 || out.is_empty() {
        return;
    }
    let panel = match out.len() > rows {
        true => (PANEL / k).max(1).next_multiple_of(step),
        // One row of activations: no weight is read again.
        false => rows,
    };
    #[cfg(not(target_arch = "wasm32"))]
    let (panel, threads) = match threads(out.len() * k) {
        // More panels than threads even out threads that are held up.
        threads @ 2.. if spread => {
            let part = rows.div_ceil(4 * threads).next_multiple_of(step);
            (panel.min(part), threads)
        }
        _ => (panel, 1),
    };
    let _ = spread;
    let multiply = |(index, mut out): (usize, Vec<&mut [f32]>)| {
        let first = index * panel;
        multiply(first..(first + panel).min(rows), &mut out);
    };
    let panels = columns(out, rows, panel);
    #[cfg(not(target_arch = "wasm32"))]
    if threads > 1 {
        return panels.into_par_iter().enumerate().for_each(multiply);
    }
    panels.into_iter().enumerate().for_each(multiply);
}

/// A matrix of rows of `width` cut into blocks of `columns` columns (the last may have fewer), each
/// as its rows.
pub(super) fn columns(matrix: &mut [f32], width: usize, columns: usize) -> Vec<Vec<&mut [f32]>> {
    let rows = matrix.len() / width;
    let mut blocks: Vec<_> = (0..width.div_ceil(columns))
        .map(|_| Vec::with_capacity(rows))
        .collect();
    for row in matrix.chunks_exact_mut(width) {
        for (block, part) in blocks.iter_mut().zip(row.chunks_mut(columns)) {
            block.push(part);
        }
    }
    blocks
}

/// `out[i][j] = a_i . b_j` for rows of `k` floats, `V` of which are a vector. `zero` is where sums
/// begin, `load` makes floats a vector, `add` adds the product of two vectors to a sum, `finish`
/// makes a sum a number. Inlined with its closures into functions that switch instructions on,
/// which they then use.
///
/// How rows fall into tiles changes no result.
#[inline(always)]
pub(super) fn tiles<const V: usize, S: Copy>(
    (a, b, k): (&[f32], &[f32], usize),
    out: &mut [&mut [f32]],
    zero: S,
    load: impl Fn(&[f32; V]) -> S,
    add: impl Fn(S, S, S) -> S,
    finish: impl Fn(S) -> f32,
) {
    let (m, n) = (a.len() / k, b.len() / k);
    let rule = (zero, &load, &add, &finish);
    let a = |i: usize| &a[i * k..][..k];
    let b = |j: usize| &b[j * k..][..k];
    // Four rows and two: eight sums, which leave the sixteen registers of most processors room
    // for what is added to them.
    let tiled = if n < 2 { 0 } else { m - m % 4 };
    for i in (0..tiled).step_by(4) {
        let rows = [a(i), a(i + 1), a(i + 2), a(i + 3)];
        for j in (0..n).step_by(2) {
            let j = j.min(n - 2);
            let sums = tile(rows, [b(j), b(j + 1)], rule);
            for (out, sums) in out[i..].iter_mut().zip(sums) {
                out[j..][..2].copy_from_slice(&sums);
            }
        }
    }
    let apart = n / STREAMS;
    for (i, out) in out.iter_mut().enumerate().skip(tiled) {
        for j in 0..apart {
            let weights = [0, 1, 2, 3, 4, 5, 6, 7].map(|stream| b(stream * apart + j));
            let [sums] = tile([a(i)], weights, rule);
            for (stream, sum) in sums.into_iter().enumerate() {
                out[stream * apart + j] = sum;
            }
        }
        for (j, out) in out.iter_mut().enumerate().skip(STREAMS * apart) {
            [[*out]] = tile([a(i)], [b(j)], rule);
        }
    }
}

/// All products of `R` rows with `C`.
#[inline(always)]
fn tile<const V: usize, const R: usize, const C: usize, S: Copy>(
    a: [&[f32]; R],
    b: [&[f32]; C],
    (zero, load, add, finish): (
        S,
        &impl Fn(&[f32; V]) -> S,
        &impl Fn(S, S, S) -> S,
        &impl Fn(S) -> f32,
    ),
) -> [[f32; C]; R] {
    let (a, b) = (
        a.map(<[f32]>::as_chunks::<STEP>),
        b.map(<[f32]>::as_chunks::<STEP>),
    );
    let steps = a[0].0.len();
    let (whole_a, whole_b) = (a.map(|a| &a.0[..steps]), b.map(|b| &b.0[..steps]));
    let mut sums = [[zero; C]; R];
    // Loops over arrays in place of what makes arrays of closures: those are not always inlined.
    let mut vectors = [zero; C];
    for step in 0..steps {
        for lane in 0..STEP / V {
            for (vector, b) in vectors.iter_mut().zip(&whole_b) {
                *vector = load(&b[step].as_chunks().0[lane]);
            }
            for (sums, a) in sums.iter_mut().zip(&whole_a) {
                let a = load(&a[step].as_chunks().0[lane]);
                for (sum, b) in sums.iter_mut().zip(&vectors) {
                    *sum = add(*sum, a, *b);
                }
            }
        }
    }
    let mut out = [[0.0; C]; R];
    for ((out, sums), a) in out.iter_mut().zip(sums).zip(&a) {
        for ((out, sum), b) in out.iter_mut().zip(sums).zip(&b) {
            let rest: f32 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
            *out = finish(sum) + rest;
        }
    }
    out
}
