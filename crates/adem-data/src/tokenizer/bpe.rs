//! Byte-pair encoding: the lowest-ranked adjacent pair is merged first, the leftmost among equals.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Two adjacent token ids, left first.
pub(super) type Pair = (u32, u32);

/// Rank (lower merges first) and resulting id of every pair that merges.
pub(super) type Merges = HashMap<Pair, (u32, u32)>;

const NONE: usize = usize::MAX;

/// A token and its living neighbours; merged-away ones keep `live == false`.
struct Symbol {
    id: u32,
    previous: usize,
    next: usize,
    live: bool,
}

/// Merges `ids` until no pair of `merges` is left, in O(n log n).
pub(super) fn merge(ids: &[u32], merges: &Merges) -> Vec<u32> {
    let last = ids.len().saturating_sub(1);
    let mut symbols: Vec<Symbol> = ids
        .iter()
        .enumerate()
        .map(|(i, &id)| Symbol {
            id,
            previous: if i == 0 { NONE } else { i - 1 },
            next: if i == last { NONE } else { i + 1 },
            live: true,
        })
        .collect();
    let mut queue = BinaryHeap::new();
    let candidate = |symbols: &[Symbol], left: usize| {
        let pair = (symbols[left].id, symbols.get(symbols[left].next)?.id);
        let &(rank, merged) = merges.get(&pair)?;
        Some(Reverse((rank, left, merged, pair)))
    };
    queue.extend((0..ids.len()).filter_map(|left| candidate(&symbols, left)));
    while let Some(Reverse((_, left, merged, pair))) = queue.pop() {
        let right = symbols[left].next;
        // Entries outlive the symbols they were made from: act only on what is still there.
        let current = symbols.get(right).map(|r| (symbols[left].id, r.id));
        if !symbols[left].live || current != Some(pair) {
            continue;
        }
        let after = symbols[right].next;
        symbols[right].live = false;
        symbols[left].id = merged;
        symbols[left].next = after;
        if let Some(after) = symbols.get_mut(after) {
            after.previous = left;
        }
        queue.extend(candidate(&symbols, left));
        let before = symbols[left].previous;
        if before != NONE {
            queue.extend(candidate(&symbols, before));
        }
    }
    symbols
        .into_iter()
        .filter(|s| s.live)
        .map(|s| s.id)
        .collect()
}
