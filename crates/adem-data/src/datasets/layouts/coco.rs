//! COCO captions in the Karpathy split, in both public layouts.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Annotations, row};
use crate::datasets::bad::BadRows;
use crate::datasets::error::{DataError, RowFault};
use crate::datasets::fields::{find, text, texts};
use crate::datasets::json::{Elements, Kind, parse, read_text};
use crate::datasets::sample::{Captions, Prompt};
use crate::datasets::table::{ByPicture, Table, inside};

/// A part of the Karpathy split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CocoSplit {
    /// `train` and `restval` together, as everyone trains.
    #[default]
    Train,
    /// 5,000 pictures to choose a checkpoint by.
    Val,
    /// 5,000 pictures to report on.
    Test,
}

impl CocoSplit {
    fn holds(self, name: &str) -> bool {
        match self {
            Self::Train => matches!(name, "train" | "restval"),
            Self::Val => name == "val",
            Self::Test => name == "test",
        }
    }
}

/// A picture of `dataset_coco.json`.
#[derive(Deserialize)]
struct Image {
    #[serde(default)]
    filepath: String,
    filename: String,
    split: String,
    sentences: Vec<Sentence>,
    cocoid: Option<u64>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
}

/// Karpathy's own file (`dataset_coco.json`, also `dataset_flickr8k.json` and `dataset_flickr30k.json`):
/// an object with `images`, each with its split and sentences. Pictures lie in
/// `images/<filepath>/<filename>`.
///
/// # Errors
/// [`DataError`]: not readable, of another layout, too many bad rows, or no usable one.
pub fn coco_karpathy(
    annotations: &Path,
    images: &Path,
    split: CocoSplit,
    captions: Captions,
    bad: &BadRows,
) -> Result<Table, DataError> {
    let text = read_text(annotations)?;
    let file = Annotations::new(annotations, bad);
    let mut rows = Vec::new();
    let mut found = false;
    let members = file.elements(
        &text,
        Kind::Object,
        "object with `images` (a list is BLIP's layout: set kind to coco-blip)",
    )?;
    for member in members {
        let member = match member {
            Ok(member) => member,
            Err(broken) => {
                file.bad(broken.line, broken.fault)?;
                continue;
            }
        };
        if member.key == "images"
            && let Some(list) = Elements::new(member.text, member.line)
        {
            found = true;
            file.each(list, |element| {
                let image: Image = parse(element.text)?;
                if !split.holds(&image.split) {
                    return Ok(());
                }
                let folder = images.join(inside_or_root(&image.filepath)?);
                let picture = inside(&folder, &image.filename)?;
                let id = match image.cocoid {
                    Some(id) => id.to_string(),
                    None => coco_id(&image.filename),
                };
                let texts = image.sentences.into_iter().map(|s| s.raw).collect();
                let asked = (Prompt::Caption, texts);
                rows.push(row(&file.file, element.line, id, Some(picture), asked)?);
                Ok(())
            })?;
        }
    }
    if !found {
        return Err(DataError::layout(
            annotations,
            "has no list `images`; is it dataset_coco.json?",
        ));
    }
    Table::new(file.file.to_string(), rows, captions, bad)
}

/// The folder of a picture, which may be none.
fn inside_or_root(folder: &str) -> Result<std::path::PathBuf, RowFault> {
    if folder.is_empty() {
        return Ok(std::path::PathBuf::new());
    }
    inside(Path::new(""), folder)
}

/// BLIP's and LAVIS's files (`coco_karpathy_train.json`, `_val`, `_test`): a list of `{image, caption,
/// image_id}`, where `caption` is a text or a list of them. Pictures lie in `images/<image>`.
///
/// # Errors
/// [`DataError`]: not readable, of another layout, too many bad rows, or no usable one.
pub fn coco_blip(
    annotations: &Path,
    images: &Path,
    captions: Captions,
    bad: &BadRows,
) -> Result<Table, DataError> {
    let content = read_text(annotations)?;
    let file = Annotations::new(annotations, bad);
    let mut rows = ByPicture::default();
    let list = file.elements(
        &content,
        Kind::List,
        "list of {image, caption} (an object with `images` is Karpathy's layout: set kind to coco-karpathy)",
    )?;
    file.each(list, |element| {
        let object: Map<String, Value> = parse(element.text)?;
        let (field, name) = find(&object, &["image"]).ok_or(RowFault::Missing("image"))?;
        let name = text(field, name)?;
        let picture = inside(images, &name)?;
        let (field, caption) = find(&object, &["caption"]).ok_or(RowFault::Missing("caption"))?;
        let asked = (Prompt::Caption, texts(field, caption)?);
        rows.add(row(
            &file.file,
            element.line,
            coco_id(&name),
            Some(picture),
            asked,
        )?);
        Ok(())
    })?;
    Table::new(file.file.to_string(), rows.rows(), captions, bad)
}

/// The number at the end of a COCO file name, as COCO's own tools name pictures; of other files the
/// name without its ending.
fn coco_id(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let number = stem.rsplit('_').next().and_then(|n| n.parse::<u64>().ok());
    match number {
        Some(number) if stem.starts_with("COCO_") => number.to_string(),
        _ => stem.to_owned(),
    }
}
