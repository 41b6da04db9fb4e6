//! Samples of a record.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::group::Group;
use crate::datasets::error::RowFault;
use crate::datasets::fields::{CAPTION, find, prompt_and_targets, target_name};
use crate::datasets::json::parse;
use crate::datasets::sample::{Captions, Origin, Picture, Prompt, Sample};
use crate::datasets::table::draw_target;

/// The samples of a record: a picture (`.jpg`, `.jpeg`, `.png`, `.webp`) with a `.json` of captions
/// or of a question and its answer, or else with a `.txt` of one caption. `seed` and `epoch` choose
/// the caption where one is drawn.
///
/// # Errors
/// [`RowFault`] for a record without picture or text, or with a broken one.
pub(super) fn samples(
    group: Group,
    captions: Captions,
    (seed, epoch): (u64, u64),
    origin: &Origin,
) -> Result<Vec<Sample>, RowFault> {
    if let Some(fault) = group.fault {
        return Err(fault);
    }
    let object: Option<Map<String, Value>> = match &group.json {
        Some(json) => Some(parse(utf8(json, "json")?)?),
        None => None,
    };
    // img2dataset writes both, and a json that may hold no caption.
    let speaks = |object: &Map<String, Value>| {
        find(object, &CAPTION).is_some() || find(object, &["question"]).is_some()
    };
    let (prompt, mut targets) = match (object.filter(speaks), &group.text) {
        (Some(object), _) => prompt_and_targets(&object)?,
        (None, Some(text)) => (Prompt::Caption, vec![utf8(text, "txt")?.trim().to_owned()]),
        (None, None) => return Err(RowFault::Missing("caption")),
    };
    targets.retain(|text| !text.trim().is_empty());
    if targets.is_empty() {
        return Err(RowFault::Empty(target_name(&prompt)));
    }
    let picture: Arc<[u8]> = group.picture.ok_or(RowFault::Missing("picture"))?.into();
    let sample = |turn: u32, targets: Vec<String>| Sample {
        id: group.key.clone(),
        turn,
        picture: Some(Picture::Bytes(Arc::clone(&picture))),
        prompt: prompt.clone(),
        targets,
        origin: origin.clone(),
    };
    Ok(match captions {
        Captions::All => vec![sample(0, targets)],
        Captions::Each => (0..)
            .zip(targets)
            .map(|(turn, text)| sample(turn, vec![text]))
            .collect(),
        Captions::One => {
            let turn = draw_target(seed, epoch, &group.key, targets.len());
            let text = targets.swap_remove(turn as usize);
            vec![sample(turn, vec![text])]
        }
    })
}

fn utf8<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, RowFault> {
    std::str::from_utf8(bytes).map_err(|_| RowFault::Field {
        field,
        message: "is not UTF-8".to_owned(),
    })
}
