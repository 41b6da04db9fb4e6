//! Readers of the public layouts whose annotations are files: each yields a [`Table`].

mod captions;
mod coco;
mod instruction;
mod science_qa;

use std::path::Path;
use std::sync::Arc;

pub use captions::captions_file;
pub use coco::{CocoSplit, coco_blip, coco_karpathy};
pub use instruction::{InstructionPictures, instructions};
pub use science_qa::{ScienceQa, ScienceQaFiles, science_qa};

use super::bad::BadRows;
use super::error::{DataError, RowFault};
use super::fields::target_name;
use super::json::{Broken, Element, Elements, Kind};
use super::sample::{Origin, Place, Prompt};
use super::table::Row;

/// An annotation file while it is read: where rows come from and where bad ones go.
struct Annotations<'a> {
    path: &'a Path,
    file: Arc<str>,
    bad: &'a BadRows,
}

impl<'a> Annotations<'a> {
    fn new(path: &'a Path, bad: &'a BadRows) -> Self {
        Self {
            path,
            file: path.to_string_lossy().into(),
            bad,
        }
    }

    fn bad(&self, line: u64, fault: RowFault) -> Result<(), DataError> {
        let origin = Origin {
            file: Arc::clone(&self.file),
            place: Place::Line(line),
        };
        self.bad.add(origin, fault)
    }

    /// Calls `read` with every element of a list; what it refuses, and what is broken, is a bad row.
    fn each<'t>(
        &self,
        elements: Elements<'t>,
        mut read: impl FnMut(&Element<'t>) -> Result<(), RowFault>,
    ) -> Result<(), DataError> {
        for element in elements {
            match element {
                Ok(element) => {
                    if let Err(fault) = read(&element) {
                        self.bad(element.line, fault)?;
                    }
                }
                Err(Broken { line, fault }) => self.bad(line, fault)?,
            }
        }
        Ok(())
    }

    /// The elements of a file that must be a list or an object.
    fn elements<'t>(
        &self,
        text: &'t str,
        kind: Kind,
        what: &str,
    ) -> Result<Elements<'t>, DataError> {
        Elements::new(text, 1)
            .filter(|elements| elements.kind() == kind)
            .ok_or_else(|| DataError::layout(self.path, format!("is no {what}")))
    }
}

/// A row without its blank targets.
///
/// # Errors
/// [`RowFault::Empty`] when none is left.
fn row(
    file: &Arc<str>,
    line: u64,
    id: String,
    picture: Option<std::path::PathBuf>,
    (prompt, targets): (Prompt, Vec<String>),
) -> Result<Row, RowFault> {
    let targets: Vec<_> = targets
        .into_iter()
        .filter(|text| !text.trim().is_empty())
        .map(|text| (text, line))
        .collect();
    if targets.is_empty() {
        return Err(RowFault::Empty(target_name(&prompt)));
    }
    Ok(Row {
        id,
        picture,
        prompt,
        targets,
        file: Arc::clone(file),
    })
}
