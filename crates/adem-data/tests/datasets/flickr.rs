//! Real shards: Flickr8k, where it lies beside the repository.

use std::collections::BTreeSet;
use std::sync::Arc;

use adem_data::datasets::{
    Batch, Captions, DataSource, LoadPlan, Loaded, Loader, Mark, Part, PicturePlan, Position,
    Shards,
};
use adem_data::image::{Augment, Limits, Normalisation};

use crate::common::data;
use crate::support::{draw, encoder, in_order, name, order, say, strict};

fn flickr(pattern: &str, captions: Captions) -> Option<Shards> {
    let folder = data().join("flickr8k");
    if !folder.is_dir() {
        say(&format!(
            "\n*** SKIPPED: no {} (ADEM_DATA) ***\n",
            folder.display()
        ));
        return None;
    }
    Some(Shards::new(&[pattern.into()], &folder, captions, 500, None).unwrap())
}

#[test]
fn flickr_is_read_whole_and_shared_out() {
    let Some(train) = flickr("train-{0000..0002}.tar", Captions::All) else {
        return;
    };
    let all: BTreeSet<_> = in_order(&train, &strict()).iter().map(name).collect();
    assert_eq!(all.len(), 6091);
    let mut shared = Vec::new();
    for index in 0..4 {
        let part = Part {
            rank: index / 2,
            ranks: 2,
            worker: index % 2,
            workers: 2,
        };
        let order = order(1, 0, true, part);
        let drawn = draw(&train, &order, &Mark::default(), &strict());
        let place = drawn.len() * 2 / 3;
        let rest = draw(&train, &order, &drawn[place].1, &strict());
        assert!(rest == drawn[place + 1..]);
        shared.extend(drawn.iter().map(|(sample, _)| name(sample)));
    }
    assert_eq!(shared.len(), 6091);
    assert_eq!(shared.into_iter().collect::<BTreeSet<_>>(), all);
}

#[test]
fn flickr_makes_batches_with_little_padding() {
    let Some(dev) = flickr("dev-0000.tar", Captions::Each) else {
        return;
    };
    assert_eq!(dev.samples().unwrap(), Some(5000));
    let source: Arc<dyn DataSource> = Arc::new(dev);
    let pictures = PicturePlan {
        size: 64,
        normalisation: Normalisation::CLIP,
        augment: Some(Augment::default()),
        limits: Limits::default(),
    };
    let run = |pool: usize, pictures: Option<PicturePlan>, from: &Position| -> Vec<Batch> {
        let plan = LoadPlan {
            batch: 32,
            pool,
            epochs: Some(1),
            ..LoadPlan::default()
        };
        let (source, encoder) = (Arc::clone(&source), Arc::new(encoder(96)));
        let loader = Loader::new(source, encoder, pictures, &plan, from, strict()).unwrap();
        let mut batches = Vec::new();
        for loaded in loader {
            if let Loaded::Batch(batch) = loaded.unwrap() {
                batches.push(*batch);
            }
        }
        batches
    };
    let mean =
        |batches: &[Batch]| batches.iter().map(Batch::padding).sum::<f64>() / batches.len() as f64;
    let pooled = run(32, None, &Position::default());
    assert_eq!(pooled.iter().map(|b| b.examples.len()).sum::<usize>(), 5000);
    let (before, after) = (mean(&run(1, None, &Position::default())), mean(&pooled));
    say(&format!(
        "flickr8k dev: {:.1} % padding as drawn, {:.1} % in buckets",
        100.0 * before,
        100.0 * after
    ));
    assert!(after < 0.25 * before, "{after} of {before}");

    let seen = run(32, Some(pictures), &pooled[129].position);
    assert_eq!(seen.len(), pooled.len() - 130);
    assert!(run(32, Some(pictures), &seen[9].position) == seen[10..]);
    assert!(seen.iter().flat_map(|b| &b.examples).all(|e| e.has_picture));
}
