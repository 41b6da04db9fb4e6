//! Parts of an epoch are disjoint and complete, and any place in one can be returned to.

use std::collections::BTreeSet;

use adem_data::datasets::{Captions, DataSource, Mark, Part, Table, captions_file};
use proptest::prelude::*;

use crate::support::{Folder, draw, in_order, jpeg, name, order, shards, strict, write_shards};

fn table(rows: usize, folder: &Folder) -> Table {
    folder.write("a.jpg", jpeg(8));
    let lines: Vec<_> = (0..rows)
        .map(|row| format!(r#"{{"question": "{row}?", "answer": "{row}"}}"#))
        .collect();
    let file = folder.write("q.jsonl", lines.join("\n"));
    captions_file(&file, folder.path(), Captions::Each, &strict()).unwrap()
}

fn parts(ranks: u32, workers: u32) -> Vec<Part> {
    (0..ranks)
        .flat_map(|rank| {
            (0..workers).map(move |worker| Part {
                rank,
                ranks,
                worker,
                workers,
            })
        })
        .collect()
}

/// Every sample is in one part; returning to any place of any part gives the same rest.
fn holds_together(
    source: &dyn DataSource,
    all: usize,
    (ranks, workers): (u32, u32),
    seed: u64,
    shuffle: bool,
) {
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for part in parts(ranks, workers) {
        let order = order(seed, 3, shuffle, part);
        let drawn = draw(source, &order, &Mark::default(), &strict());
        count += drawn.len();
        seen.extend(drawn.iter().map(|(sample, _)| name(sample)));
        for (place, (_, mark)) in (1..).zip(&drawn) {
            // A mark survives being saved.
            let saved = serde_json::to_string(mark).unwrap();
            let mark: Mark = serde_json::from_str(&saved).unwrap();
            assert_eq!(
                draw(source, &order, &mark, &strict()),
                drawn[place..],
                "after {place} of {part:?}"
            );
        }
    }
    assert_eq!((count, seen.len()), (all, all));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn shards_come_apart_and_together(
        sizes in prop::collection::vec(0usize..7, 1..6), captions in 1usize..3, buffer in 1usize..9,
        ranks in 1u32..4, workers in 1u32..3, seed: u64, shuffle: bool
    ) {
        let folder = Folder::new();
        let names = write_shards(&folder, &sizes, captions, b"not looked at");
        let source = shards(&folder, &names, Captions::Each, buffer).unwrap();
        let all = sizes.iter().sum::<usize>() * captions;
        prop_assert_eq!(source.samples().unwrap(), Some(all as u64));
        holds_together(&source, all, (ranks, workers), seed, shuffle);
    }

    #[test]
    fn tables_come_apart_and_together(
        rows in 1usize..30, ranks in 1u32..4, workers in 1u32..3, seed: u64, shuffle: bool
    ) {
        let folder = Folder::new();
        let source = table(rows, &folder);
        prop_assert_eq!(source.samples().unwrap(), Some(rows as u64));
        holds_together(&source, rows, (ranks, workers), seed, shuffle);
    }
}

fn names_of(source: &dyn DataSource, seed: u64, epoch: u64, part: Part) -> Vec<(String, u32)> {
    let order = order(seed, epoch, true, part);
    let drawn = draw(source, &order, &Mark::default(), &strict());
    drawn.iter().map(|(sample, _)| name(sample)).collect()
}

#[test]
fn order_follows_from_seed_and_epoch_alone() {
    let folder = Folder::new();
    let written = write_shards(&folder, &[20, 20, 20], 1, b"x");
    let streamed = shards(&folder, &written, Captions::Each, 16).unwrap();
    let known = table(60, &folder);
    for source in [&streamed as &dyn DataSource, &known] {
        let first = names_of(source, 1, 0, Part::WHOLE);
        assert_eq!(first, names_of(source, 1, 0, Part::WHOLE));
        assert_ne!(first, names_of(source, 1, 1, Part::WHOLE));
        assert_ne!(first, names_of(source, 2, 0, Part::WHOLE));
        let plain: Vec<_> = in_order(source, &strict()).iter().map(name).collect();
        assert_ne!(first, plain);
        let mut sorted = first;
        sorted.sort();
        let mut all = plain;
        all.sort();
        assert_eq!(sorted, all);
    }
}

#[test]
fn the_parts_of_a_rank_in_turns_are_its_share_whatever_their_number() {
    let folder = Folder::new();
    let source = table(23, &folder);
    let rank_of = |workers: u32| {
        let parts: Vec<_> = (0..workers)
            .map(|worker| {
                names_of(
                    &source,
                    5,
                    0,
                    Part {
                        rank: 1,
                        ranks: 2,
                        worker,
                        workers,
                    },
                )
            })
            .collect();
        let longest = parts.iter().map(Vec::len).max().unwrap();
        (0..longest)
            .flat_map(|i| parts.iter().filter_map(move |p| p.get(i)).cloned())
            .collect::<Vec<_>>()
    };
    assert_eq!(rank_of(1), rank_of(3));
    assert_eq!(rank_of(1).len(), 11);
}

#[test]
fn few_shards_are_shared_evenly_among_many_parts() {
    let folder = Folder::new();
    let written = write_shards(&folder, &[40, 40, 40], 1, b"x");
    let source = shards(&folder, &written, Captions::Each, 16).unwrap();
    for part in parts(4, 2) {
        assert_eq!(names_of(&source, 1, 0, part).len(), 15);
    }
    // Three for two parts: one each, and half of the third.
    for part in parts(2, 1) {
        assert_eq!(names_of(&source, 1, 0, part).len(), 60);
    }
}

#[test]
fn returning_to_a_place_reads_its_window_again_and_no_more() {
    let folder = Folder::new();
    let written = write_shards(&folder, &[50, 50], 1, b"x");
    let source = shards(&folder, &written, Captions::Each, 10).unwrap();
    let order = order(9, 0, true, Part::WHOLE);
    let drawn = draw(&source, &order, &Mark::default(), &strict());
    let (_, mark) = &drawn[95];
    assert!(mark.shard == 1 && mark.record >= 35, "{mark:?}");
    // What lies before the window is not needed any more.
    let shard = folder.path().join(if drawn[95].0.id.starts_with("000") {
        &written[0]
    } else {
        &written[1]
    });
    let mut bytes = std::fs::read(&shard).unwrap();
    bytes[..mark.byte as usize].fill(0xff);
    std::fs::write(&shard, bytes).unwrap();
    assert_eq!(draw(&source, &order, mark, &strict()), drawn[96..]);
}
