//! Visual instruction tuning: LaVIN's `all_data.json`, and the lists it is made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Annotations, row};
use crate::datasets::bad::BadRows;
use crate::datasets::error::{DataError, RowFault};
use crate::datasets::fields::{find, text};
use crate::datasets::json::{Element, Elements, Kind, parse, read_text};
use crate::datasets::sample::{Captions, Prompt};
use crate::datasets::table::{Row, Table, inside, unique_ids};
use crate::tasks::instruction::{alpaca_prompt, conversation_prompt};

/// Where the pictures of instructions lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstructionPictures {
    /// Folder of COCO's pictures.
    pub coco: PathBuf,
    /// What stands before a picture's name there: `COCO_train2014_` in COCO 2014, nothing in 2017.
    #[serde(default = "coco_2014")]
    pub prefix: String,
    /// ScienceQA's `images/train`, for rows whose `image_source` is `sqa`.
    #[serde(default)]
    pub science_qa: Option<PathBuf>,
}

fn coco_2014() -> String {
    "COCO_train2014_".to_owned()
}

/// Reads files of instructions into one data set. Each is LaVIN's `all_data.json` (an object whose
/// members are lists of `{instruction, answer, image, image_source, qid}`), LLaVA's list of `{image,
/// conversations}` (each turn of which is a row), or Alpaca's list of `{instruction, input, output}`.
///
/// # Errors
/// [`DataError`]: not readable, of another layout, too many bad rows, or no usable one.
pub fn instructions(
    files: &[PathBuf],
    pictures: &InstructionPictures,
    bad: &BadRows,
) -> Result<Table, DataError> {
    let mut rows = Vec::new();
    for path in files {
        let content = read_text(path)?;
        let file = Annotations::new(path, bad);
        let Some(elements) = Elements::new(&content, 1) else {
            return Err(DataError::layout(path, "is no list of instructions"));
        };
        let mut read = |element: &Element<'_>| read_row(&file, element, pictures, &mut rows);
        if elements.kind() == Kind::List {
            file.each(elements, &mut read)?;
            continue;
        }
        for member in elements {
            match member {
                Ok(member) => match Elements::new(member.text, member.line) {
                    Some(list) if list.kind() == Kind::List => file.each(list, &mut read)?,
                    _ => {
                        let message =
                            format!("its member `{}` is no list of instructions", member.key);
                        return Err(DataError::layout(path, message));
                    }
                },
                Err(broken) => file.bad(broken.line, broken.fault)?,
            }
        }
    }
    unique_ids(&mut rows);
    let names: Vec<_> = files.iter().map(|f| f.to_string_lossy()).collect();
    Table::new(names.join(", "), rows, Captions::All, bad)
}

/// Adds an element's row, or a conversation's rows.
fn read_row(
    file: &Annotations<'_>,
    element: &Element<'_>,
    pictures: &InstructionPictures,
    rows: &mut Vec<Row>,
) -> Result<(), RowFault> {
    let object: Map<String, Value> = parse(element.text)?;
    let field = |name: &'static str| {
        let (name, value) = find(&object, &[name]).ok_or(RowFault::Missing(name))?;
        text(name, value)
    };
    let named = |name: &'static str| find(&object, &[name]).map(|(n, v)| text(n, v)).transpose();
    let line = element.line;
    let id = |name: &str| match object.get(name) {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => format!("line {line}"),
    };
    let picture = |id: &str| -> Result<Option<PathBuf>, RowFault> {
        let Some(name) = named("image")? else {
            return Ok(None);
        };
        if named("image_source")?.as_deref() == Some("sqa") {
            let folder = pictures.science_qa.as_deref().ok_or(RowFault::Field {
                field: "image_source",
                message: "is sqa, but the config names no folder of ScienceQA's pictures"
                    .to_owned(),
            })?;
            return Ok(Some(inside(folder, id)?.join("image.png")));
        }
        in_coco(pictures, &name).map(Some)
    };
    let mut add = |id: String, picture, prompt: String, answer: String| {
        let asked = (Prompt::Exact(prompt), vec![answer]);
        rows.push(row(&file.file, line, id, picture, asked)?);
        Ok(())
    };

    if object.contains_key("conversations") {
        let turns = object.get("conversations").cloned().unwrap_or_default();
        let turns: Vec<Turn> = serde_json::from_value(turns).map_err(|e| RowFault::Field {
            field: "conversations",
            message: e.to_string(),
        })?;
        if turns.is_empty() || !turns.len().is_multiple_of(2) {
            return Err(RowFault::Field {
                field: "conversations",
                message: format!(
                    "has {} turns, must have a reply to each question",
                    turns.len()
                ),
            });
        }
        let id = id("id");
        let picture = picture(&id)?;
        for (turn, pair) in turns.chunks_exact(2).enumerate() {
            let id = if turns.len() == 2 {
                id.clone()
            } else {
                format!("{id}.{turn}")
            };
            add(
                id,
                picture.clone(),
                conversation_prompt(&pair[0].value),
                pair[1].value.clone(),
            )?;
        }
        return Ok(());
    }
    let instruction = field("instruction")?;
    if object.contains_key("output") {
        let prompt = alpaca_prompt(&instruction, &named("input")?.unwrap_or_default());
        return add(id("id"), None, prompt, field("output")?);
    }
    let id = id("qid");
    let picture = picture(&id)?;
    add(id, picture, instruction, field("answer")?)
}

/// What one side of a conversation says.
#[derive(Deserialize)]
struct Turn {
    value: String,
}

/// A picture of COCO: the prefix stands before the file's name, behind its folders.
fn in_coco(pictures: &InstructionPictures, name: &str) -> Result<PathBuf, RowFault> {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let mut path = pictures.coco.clone();
    if !folder.is_empty() {
        path = inside(&path, folder)?;
    }
    let prefixed = if file.starts_with(&pictures.prefix) {
        file.to_owned()
    } else {
        format!("{}{file}", pictures.prefix)
    };
    inside(Path::new(&path), &prefixed)
}
