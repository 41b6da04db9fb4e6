//! Batches: complete, the same every time, and the same again from any of their positions.

use std::collections::BTreeSet;
use std::sync::Arc;

use adem_data::datasets::{
    BadRows, Batch, CaptionStyle, Captions, DataError, DataSource, Encoder, LoadPlan, Loaded,
    Loader, PicturePlan, Position, captions_file,
};
use adem_data::image::{Augment, Limits, Normalisation};
use adem_data::rows::IGNORE;

use crate::support::{Folder, bad_rows, encoder, jpeg, shards, strict, write_shards};

fn pictures() -> PicturePlan {
    PicturePlan {
        size: 16,
        normalisation: Normalisation::CLIP,
        augment: Some(Augment::default()),
        limits: Limits::default(),
    }
}

fn plan(readers: u32, epochs: u64) -> LoadPlan {
    LoadPlan {
        seed: 7,
        readers,
        epochs: Some(epochs),
        batch: 4,
        pool: 3,
        threads: 2,
        ..LoadPlan::default()
    }
}

/// What a loader gives, as far as it can be compared.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Batch(Batch),
    End(u64, Position),
}

impl Event {
    fn position(&self) -> &Position {
        match self {
            Self::Batch(batch) => &batch.position,
            Self::End(_, position) => position,
        }
    }
}

fn load(
    source: &Arc<dyn DataSource>,
    plan: &LoadPlan,
    from: &Position,
    bad: &Arc<BadRows>,
) -> Result<Vec<Event>, DataError> {
    let encoder = Arc::new(encoder(64));
    let loader = Loader::new(
        Arc::clone(source),
        encoder,
        Some(pictures()),
        plan,
        from,
        Arc::clone(bad),
    )?;
    let mut events = Vec::new();
    for loaded in loader {
        events.push(match loaded? {
            Loaded::Batch(batch) => Event::Batch(*batch),
            Loaded::EpochEnd { epoch, position } => Event::End(epoch, position),
        });
    }
    Ok(events)
}

fn batches(events: &[Event]) -> impl Iterator<Item = &Batch> {
    events.iter().filter_map(|event| match event {
        Event::Batch(batch) => Some(batch),
        Event::End(..) => None,
    })
}

fn streamed(folder: &Folder) -> Arc<dyn DataSource> {
    let names = write_shards(folder, &[9, 7, 6], 2, &jpeg(24));
    Arc::new(shards(folder, &names, Captions::Each, 5).unwrap())
}

fn known(folder: &Folder) -> Arc<dyn DataSource> {
    folder.write("a.jpg", jpeg(24));
    let lines: Vec<_> = (0..31)
        .map(|i| match i % 3 {
            0 => format!(
                r#"{{"question": "{i}?", "answer": "{}"}}"#,
                "word ".repeat(i + 1)
            ),
            _ => format!(r#"{{"image": "a.jpg", "question": "{i}?", "answer": "word"}}"#),
        })
        .collect();
    let file = folder.write("q.jsonl", lines.join("\n"));
    Arc::new(captions_file(&file, folder.path(), Captions::Each, &strict()).unwrap())
}

#[test]
fn continuing_from_any_position_gives_the_same_rest() {
    let folder = Folder::new();
    for (source, readers) in [
        (streamed(&folder), 1),
        (streamed(&folder), 2),
        (known(&folder), 1),
        (known(&folder), 3),
    ] {
        let plan = plan(readers, 2);
        let whole = load(&source, &plan, &Position::default(), &strict()).unwrap();
        for (done, event) in (1..).zip(&whole) {
            let saved = serde_json::to_string(event.position()).unwrap();
            assert!(saved.len() < 1000, "{saved}");
            let position = serde_json::from_str(&saved).unwrap();
            let rest = load(&source, &plan, &position, &strict()).unwrap();
            assert!(
                rest == whole[done..],
                "after event {done} of {} with {readers} readers",
                source.name()
            );
        }
    }
}

#[test]
fn every_sample_comes_once_an_epoch_and_other_epochs_differ() {
    let folder = Folder::new();
    for (source, all) in [(streamed(&folder), 44), (known(&folder), 31)] {
        let events = load(&source, &plan(2, 2), &Position::default(), &strict()).unwrap();
        let of_epoch = |epoch: u64| -> Vec<_> {
            batches(&events)
                .filter(|b| b.epoch == epoch)
                .flat_map(|b| {
                    b.examples
                        .iter()
                        .map(|e| (e.sample.id.clone(), e.sample.turn))
                })
                .collect()
        };
        for epoch in [0, 1] {
            let names = of_epoch(epoch);
            assert_eq!(
                (names.len(), names.iter().collect::<BTreeSet<_>>().len()),
                (all, all)
            );
        }
        assert_ne!(of_epoch(0), of_epoch(1));
        let ends: Vec<_> = events
            .iter()
            .filter(|e| matches!(e, Event::End(..)))
            .collect();
        assert_eq!(ends.len(), 2);
        assert_eq!(ends[1].position().epoch, 2);
    }
}

#[test]
fn ranks_share_an_epoch() {
    let folder = Folder::new();
    let source = streamed(&folder);
    let mut names = Vec::new();
    for rank in 0..3 {
        let plan = LoadPlan {
            rank,
            ranks: 3,
            ..plan(2, 1)
        };
        let events = load(&source, &plan, &Position::default(), &strict()).unwrap();
        names.extend(batches(&events).flat_map(|b| {
            b.examples
                .iter()
                .map(|e| (e.sample.id.clone(), e.sample.turn))
        }));
    }
    assert_eq!(
        (names.len(), names.iter().collect::<BTreeSet<_>>().len()),
        (44, 44)
    );
}

#[test]
fn the_number_of_decoding_threads_changes_nothing() {
    let folder = Folder::new();
    let source = streamed(&folder);
    let with = |threads| {
        let plan = LoadPlan {
            threads,
            ..plan(1, 1)
        };
        load(&source, &plan, &Position::default(), &strict()).unwrap()
    };
    assert!(with(1) == with(5));
}

#[test]
fn pictures_change_with_epoch_and_caption_and_rows_without_one_are_zero() {
    let folder = Folder::new();
    let events = load(
        &known(&folder),
        &plan(1, 2),
        &Position::default(),
        &strict(),
    )
    .unwrap();
    let mut seen = Vec::new();
    for batch in batches(&events) {
        assert_eq!(batch.pixels.len(), batch.examples.len() * 3 * 16 * 16);
        for (example, planes) in batch.examples.iter().zip(batch.pixels.chunks(3 * 16 * 16)) {
            assert_eq!(example.has_picture, planes.iter().any(|&x| x != 0.0));
            if example.has_picture {
                seen.push(planes.to_vec());
            }
        }
    }
    let count = seen.len();
    seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
    seen.dedup();
    assert!(
        count == 40 && seen.len() > 30,
        "{} of {count} differ",
        seen.len()
    );
}

#[test]
fn batches_hold_rows_of_similar_length() {
    let folder = Folder::new();
    let mean = |pool| {
        let plan = LoadPlan { pool, ..plan(1, 1) };
        let events = load(&known(&folder), &plan, &Position::default(), &strict()).unwrap();
        let all: Vec<_> = batches(&events).map(Batch::padding).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let (plain, pooled) = (mean(1), mean(8));
    assert!(pooled < 0.5 * plain, "{pooled} of {plain}");
}

#[test]
fn a_picture_that_cannot_be_decoded_costs_its_rows() {
    let folder = Folder::new();
    let good = folder.write("good.jpg", jpeg(24));
    let bytes = std::fs::read(good).unwrap();
    folder.write("cut.jpg", &bytes[..bytes.len() / 2]);
    folder.write("text.jpg", "no picture");
    let lines = ["good", "cut", "text", "missing"]
        .map(|name| format!(r#"{{"image": "{name}.jpg", "caption": "a {name} one"}}"#));
    let file = folder.write("c.jsonl", lines.join("\n"));
    let read = |limit| {
        let (bad, messages) = bad_rows(limit);
        let source = captions_file(&file, folder.path(), Captions::Each, &bad).unwrap();
        let source: Arc<dyn DataSource> = Arc::new(source);
        (
            load(&source, &plan(1, 2), &Position::default(), &bad),
            messages.get(),
        )
    };
    let (events, messages) = read(3);
    let events = events.unwrap();
    let ids: Vec<_> = batches(&events)
        .flat_map(|b| b.examples.iter().map(|e| e.sample.id.clone()))
        .collect();
    assert_eq!(ids, ["good.jpg", "good.jpg"]);
    // Each is reported once, though it was met in both epochs.
    let mut messages = messages;
    messages.sort();
    assert_eq!(messages.len(), 3, "{messages:#?}");
    for (message, (line, words)) in
        messages
            .iter()
            .zip([(2, "cut short"), (3, "not a PNG"), (4, "missing.jpg")])
    {
        assert!(
            message.contains(&format!("c.jsonl, line {line}: ")) && message.contains(words),
            "{message}"
        );
    }
    let error = read(2).0.unwrap_err();
    assert!(
        matches!(error, DataError::TooManyBadRows { limit: 2, .. }),
        "{error}"
    );
}

#[test]
fn rows_that_do_not_fit_are_bad_and_an_epoch_of_them_is_an_error() {
    let folder = Folder::new();
    let long = "why ".repeat(200);
    let mut lines = vec![
        format!(r#"{{"question": "{long}", "answer": "so"}}"#),
        r#"{"question": " x", "answer": "?"}"#.to_owned(),
    ];
    let read = |lines: &[String]| {
        let (bad, messages) = bad_rows(9);
        let file = folder.write("q.jsonl", lines.join("\n"));
        let source: Arc<dyn DataSource> =
            Arc::new(captions_file(&file, folder.path(), Captions::Each, &bad).unwrap());
        (
            load(&source, &plan(1, 1), &Position::default(), &bad),
            messages.get(),
        )
    };
    let (events, messages) = read(&lines);
    assert_eq!(batches(&events.unwrap()).count(), 1);
    assert!(
        messages[0].contains("leave no room for an answer"),
        "{messages:?}"
    );
    lines.truncate(1);
    let error = read(&lines).0.unwrap_err();
    assert!(matches!(error, DataError::NoUsableRows { .. }), "{error}");
}

#[test]
fn a_position_of_something_else_is_refused() {
    let folder = Folder::new();
    let source = streamed(&folder);
    let events = load(&source, &plan(1, 1), &Position::default(), &strict()).unwrap();
    let position = events[2].position();
    let changed = |change: fn(&mut LoadPlan)| {
        let mut plan = plan(1, 1);
        change(&mut plan);
        load(&source, &plan, position, &strict())
    };
    for result in [
        changed(|p| p.seed = 8),
        changed(|p| p.batch = 5),
        changed(|p| p.pool = 2),
        changed(|p| p.readers = 2),
        changed(|p| p.ranks = 2),
        changed(|p| p.shuffle = false),
        load(&known(&folder), &plan(1, 1), position, &strict()),
    ] {
        assert!(
            matches!(result, Err(DataError::Position { .. })),
            "{result:?}"
        );
    }
    let names = ["s-000.tar", "s-001.tar", "s-002.tar"].map(str::to_owned);
    for (captions, buffer) in [(Captions::Each, 6), (Captions::One, 5)] {
        let other: Arc<dyn DataSource> =
            Arc::new(shards(&folder, &names, captions, buffer).unwrap());
        let result = load(&other, &plan(1, 1), position, &strict());
        assert!(
            matches!(result, Err(DataError::Position { .. })),
            "{result:?}"
        );
    }
    // The same data in another folder is the same data.
    let moved = Folder::new();
    assert!(load(&streamed(&moved), &plan(1, 1), position, &strict()).is_ok());
    // More threads or epochs are the same run.
    assert!(
        changed(|p| {
            p.threads = 1;
            p.epochs = Some(3)
        })
        .is_ok()
    );
    for result in [
        changed(|p| p.batch = 0),
        changed(|p| p.pool = 0),
        changed(|p| p.readers = 0),
        changed(|p| p.rank = 1),
    ] {
        assert!(
            matches!(result, Err(DataError::Config { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn a_loader_that_is_dropped_ends() {
    let folder = Folder::new();
    let source = streamed(&folder);
    let endless = LoadPlan {
        epochs: None,
        ..plan(2, 1)
    };
    let encoder = Arc::new(encoder(64));
    let mut loader = Loader::new(
        Arc::clone(&source),
        encoder,
        Some(pictures()),
        &endless,
        &Position::default(),
        strict(),
    )
    .unwrap();
    assert!(loader.next().unwrap().is_ok());
    drop(loader);
    // Its threads let go of the source.
    for _ in 0..1000 {
        if Arc::strong_count(&source) == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} still hold the source", Arc::strong_count(&source) - 1);
}

#[test]
fn a_caption_is_learned_after_its_prompt_and_as_the_authors_did_when_asked() {
    let folder = Folder::new();
    folder.write("a.jpg", jpeg(8));
    let file = folder.write("c.jsonl", r#"{"image": "a.jpg", "caption": " A Dog. "}"#);
    let table = captions_file(&file, folder.path(), Captions::Each, &strict()).unwrap();
    let sample = table.get(0, 0, 0).unwrap();
    let mut encoder: Encoder = encoder(32);
    assert_eq!(
        encoder.texts(&sample).unwrap(),
        ("a picture of".into(), " a dog".into())
    );
    let row = encoder.row(&sample).unwrap().unwrap();
    assert!(row.prompt_is_prefix);
    let learned: Vec<_> = row
        .labels
        .iter()
        .copied()
        .filter(|&l| l != IGNORE)
        .collect();
    assert_eq!(
        encoder
            .tokenizer
            .decode(&learned[..learned.len() - 1])
            .unwrap()
            .trim(),
        "a dog"
    );

    encoder.captions = CaptionStyle {
        doubled: true,
        ..CaptionStyle::default()
    };
    let doubled = ("a picture of ".into(), "a picture of a dog".into());
    assert_eq!(encoder.texts(&sample).unwrap(), doubled);
    encoder.captions = CaptionStyle {
        clean: false,
        ..CaptionStyle::default()
    };
    assert_eq!(encoder.texts(&sample).unwrap().1, " A Dog.");
}
