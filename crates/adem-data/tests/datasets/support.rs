//! Data sets written for a test, and how they are drawn from.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use adem_data::datasets::{
    BadRows, CaptionStyle, Captions, DataError, DataSource, Encoder, Mark, Order, Part, Sample,
    Shards,
};
use adem_data::prompt::PromptTemplates;
use adem_data::rows::{RowLayout, Truncation};
use adem_data::tokenizer::Tokenizer;
use image::{DynamicImage, ImageFormat};
use tempfile::TempDir;

use crate::common::{golden, pictures};

/// A small JPEG.
pub fn jpeg(side: u32) -> Vec<u8> {
    let image = DynamicImage::from(pictures::busy(side, side));
    pictures::encode(&image, ImageFormat::Jpeg)
}

/// A folder to write to.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

/// The entries of a tar file, by name.
pub fn tar(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, &content[..])
            .unwrap();
    }
    builder.into_inner().unwrap()
}

/// A record with captions "caption 0 of KEY", "caption 1 of KEY", …
pub fn record(key: &str, captions: usize, picture: &[u8]) -> [(String, Vec<u8>); 2] {
    let captions: Vec<_> = (0..captions)
        .map(|c| format!("caption {c} of {key}"))
        .collect();
    let json = serde_json::json!({ "image": format!("{key}.jpg"), "captions": captions });
    [
        (format!("{key}.jpg"), picture.to_vec()),
        (format!("{key}.json"), json.to_string().into_bytes()),
    ]
}

/// Writes shards with so many records each; keys are `SHARD-RECORD`. Returns their names.
pub fn write_shards(
    folder: &Folder,
    sizes: &[usize],
    captions: usize,
    picture: &[u8],
) -> Vec<String> {
    (0..)
        .zip(sizes)
        .map(|(shard, &size): (usize, _)| {
            let records =
                (0..size).flat_map(|r| record(&format!("{shard:03}-{r:03}"), captions, picture));
            let name = format!("s-{shard:03}.tar");
            folder.write(&name, tar(&records.collect::<Vec<_>>()));
            name
        })
        .collect()
}

pub fn shards(
    folder: &Folder,
    names: &[String],
    captions: Captions,
    buffer: usize,
) -> Result<Shards, DataError> {
    Shards::new(names, folder.path(), captions, buffer, None)
}

/// Messages about bad rows.
#[derive(Clone, Default)]
pub struct Messages(Arc<Mutex<Vec<String>>>);

impl Messages {
    pub fn get(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Room for `limit` bad rows, and what is said about them.
pub fn bad_rows(limit: u64) -> (Arc<BadRows>, Messages) {
    let messages = Messages::default();
    let kept = messages.clone();
    let bad = BadRows::new(limit, move |row| {
        kept.0.lock().unwrap().push(row.to_string())
    });
    (bad, messages)
}

/// No bad row is allowed.
pub fn strict() -> Arc<BadRows> {
    bad_rows(0).0
}

pub fn order(seed: u64, epoch: u64, shuffle: bool, part: Part) -> Order {
    Order {
        seed,
        epoch,
        shuffle,
        part,
    }
}

/// Everything from a mark on, each sample with the mark after it.
pub fn draw(
    source: &dyn DataSource,
    order: &Order,
    from: &Mark,
    bad: &Arc<BadRows>,
) -> Vec<(Sample, Mark)> {
    let mut records = source.records(order, from, bad).unwrap();
    let mut drawn = Vec::new();
    while let Some(sample) = records.next().unwrap() {
        drawn.push((sample, records.mark()));
    }
    drawn
}

/// The samples of a source in its own order.
pub fn in_order(source: &dyn DataSource, bad: &Arc<BadRows>) -> Vec<Sample> {
    let order = order(0, 0, false, Part::WHOLE);
    let drawn = draw(source, &order, &Mark::default(), bad);
    drawn.into_iter().map(|(sample, _)| sample).collect()
}

/// What names a sample.
pub fn name(sample: &Sample) -> (String, u32) {
    (sample.id.clone(), sample.turn)
}

/// The golden tokeniser with the default prompts.
pub fn encoder(width: usize) -> Encoder {
    let json = fs::read(golden("tokenizer").join("tokenizer.json")).unwrap();
    Encoder {
        tokenizer: Tokenizer::from_bytes(&json).unwrap(),
        prompts: PromptTemplates::default(),
        layout: RowLayout {
            width,
            reserve: 4,
            pad: 3,
            truncation: Truncation::KeepEos,
        },
        captions: CaptionStyle::default(),
    }
}

/// Says something even where the output of passing tests is not shown.
pub fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}
