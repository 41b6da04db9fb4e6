//! ScienceQA: problems in one file, the split in another, pictures in a folder for each problem.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Annotations, row};
use crate::datasets::bad::BadRows;
use crate::datasets::error::{DataError, RowFault};
use crate::datasets::json::{Elements, Kind, parse, read_text};
use crate::datasets::sample::{Captions, Origin, Place, Prompt};
use crate::datasets::table::{Row, Table, inside};
use crate::tasks::science_qa::{CHOICES, Format, Problem};

/// Where ScienceQA lies, and how its problems are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScienceQaFiles {
    /// Folder with `problems.json`, `pid_splits.json` and `images/<split>/<id>/image.png`.
    pub root: PathBuf,
    /// A split of `pid_splits.json`: `train`, `val`, `test`, `minitrain`, …
    pub split: String,
    /// Order of the parts. Published checkpoints were trained with `CQM-A` and evaluated with `QCM-A`.
    #[serde(default)]
    pub format: Format,
    /// A file with `captions`, an object of captions by problem, which join the context.
    #[serde(default)]
    pub captions: Option<PathBuf>,
    /// Solution and lecture change places after the answer, as published checkpoints were trained.
    #[serde(default)]
    pub swapped: bool,
}

/// A split of ScienceQA.
#[derive(Debug, Clone)]
pub struct ScienceQa {
    /// The samples; their ids are those of the problems.
    pub table: Table,
    /// The problems by id, for what an evaluation tells apart.
    pub problems: BTreeMap<String, Problem>,
}

/// Reads a split of ScienceQA.
///
/// # Errors
/// [`DataError`]: not readable, of another layout, no such split, too many bad rows, or no usable one.
pub fn science_qa(files: &ScienceQaFiles, bad: &BadRows) -> Result<ScienceQa, DataError> {
    let path = files.root.join("problems.json");
    let content = read_text(&path)?;
    let file = Annotations::new(&path, bad);
    let captions = captions(files)?;
    let mut elements = HashMap::new();
    for element in file.elements(&content, Kind::Object, "object of problems by id")? {
        match element {
            Ok(element) => {
                elements.insert(element.key.clone(), element);
            }
            Err(broken) => file.bad(broken.line, broken.fault)?,
        }
    }

    let mut rows = Vec::new();
    let mut problems = BTreeMap::new();
    for id in ids(files)? {
        let Some(element) = elements.get(&id) else {
            let origin = Origin {
                file: file.file.clone(),
                place: Place::Key(id),
            };
            bad.add(origin, RowFault::Missing("such problem"))?;
            continue;
        };
        let caption = captions.get(&id).map(String::as_str);
        match problem_row(files, &file, &id, element.line, element.text, caption) {
            Ok((row, problem)) => {
                rows.push(row);
                problems.insert(id, problem);
            }
            Err(fault) => file.bad(element.line, fault)?,
        }
    }
    let name = format!("{} ({})", file.file, files.split);
    Ok(ScienceQa {
        table: Table::new(name, rows, Captions::All, bad)?,
        problems,
    })
}

fn problem_row(
    files: &ScienceQaFiles,
    file: &Annotations<'_>,
    id: &str,
    line: u64,
    json: &str,
    caption: Option<&str>,
) -> Result<(Row, Problem), RowFault> {
    let mut problem: Problem = parse(json)?;
    if let Some(caption) = caption {
        problem.caption = caption.to_owned();
    }
    if problem.question.trim().is_empty() {
        return Err(RowFault::Empty("question"));
    }
    if problem.choices.len() > CHOICES.len() {
        return Err(RowFault::Field {
            field: "choices",
            message: format!(
                "has {} choices, at most {} can be named",
                problem.choices.len(),
                CHOICES.len()
            ),
        });
    }
    let answer = files
        .format
        .answer(&problem, files.swapped)
        .ok_or_else(|| RowFault::Field {
            field: "answer",
            message: format!(
                "is {}, but there are {} choices",
                problem.answer,
                problem.choices.len()
            ),
        })?;
    let picture = match &problem.image {
        Some(name) => {
            let folder = files.root.join("images");
            let folder = inside(&inside(&folder, &files.split)?, id)?;
            Some(inside(&folder, name)?)
        }
        None => None,
    };
    let prompt = files.format.prompt(&problem, files.captions.is_some());
    let asked = (Prompt::Exact(prompt), vec![answer]);
    Ok((
        row(&file.file, line, id.to_owned(), picture, asked)?,
        problem,
    ))
}

/// The split's problems.
fn ids(files: &ScienceQaFiles) -> Result<Vec<String>, DataError> {
    let path = files.root.join("pid_splits.json");
    let mut splits: BTreeMap<String, Vec<String>> = serde_json::from_str(&read_text(&path)?)
        .map_err(|e| DataError::layout(&path, e.to_string()))?;
    splits.remove(&files.split).ok_or_else(|| {
        let known: Vec<_> = splits.keys().map(String::as_str).collect();
        let message = format!(
            "has no split `{}`; it has {}",
            files.split,
            known.join(", ")
        );
        DataError::layout(&path, message)
    })
}

/// Captions of pictures by problem.
fn captions(files: &ScienceQaFiles) -> Result<HashMap<String, String>, DataError> {
    let Some(path) = &files.captions else {
        return Ok(HashMap::new());
    };
    let content = read_text(path)?;
    let member = Elements::new(&content, 1)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .find(|member| member.key == "captions")
        .ok_or_else(|| DataError::layout(path, "has no object `captions`"))?;
    serde_json::from_str(member.text).map_err(|e| DataError::layout(path, e.to_string()))
}
