//! Data sets whose rows are known beforehand: an annotation file in memory, pictures in files.

use std::collections::HashSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::bad::BadRows;
use super::error::{DataError, RowFault};
use super::sample::{Captions, Origin, Picture, Place, Prompt, Sample};
use super::seeds::{derive, text_word};
use super::source::{DataSource, Mark, Order, Records};
use crate::dice::Dice;

/// Pictures looked for before a table is taken for usable.
const PROBES: usize = 64;

/// A row of an annotation file.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub id: String,
    pub picture: Option<PathBuf>,
    pub prompt: Prompt,
    /// What may be answered, and the line where it stands.
    pub targets: Vec<(String, u64)>,
    pub file: Arc<str>,
}

/// A data set with random access.
#[derive(Clone)]
pub struct Table {
    name: String,
    content: Arc<Content>,
}

struct Content {
    rows: Vec<Row>,
    /// Each sample: index of its row and, where it has one caption of several, which.
    slots: Vec<(u32, Option<u32>)>,
    captions: Captions,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("rows", &self.content.rows.len())
            .field("samples", &self.content.slots.len())
            .finish()
    }
}

impl Table {
    pub(super) fn new(
        name: String,
        rows: Vec<Row>,
        captions: Captions,
        bad: &BadRows,
    ) -> Result<Self, DataError> {
        if rows.is_empty() {
            let message = match bad.count() {
                0 => "it holds no row; is it the right file and split?".to_owned(),
                n => format!("{n} of its rows are bad; see their messages"),
            };
            return Err(DataError::NoUsableRows {
                source_name: name,
                message,
            });
        }
        look_for_pictures(&name, &rows)?;
        let mut slots = Vec::with_capacity(rows.len());
        for (index, row) in (0u32..).zip(&rows) {
            match captions {
                Captions::Each => {
                    slots.extend((0u32..).zip(&row.targets).map(|(t, _)| (index, Some(t))));
                }
                Captions::One | Captions::All => slots.push((index, None)),
            }
        }
        Ok(Self {
            name,
            content: Arc::new(Content {
                rows,
                slots,
                captions,
            }),
        })
    }

    /// Samples of an epoch.
    pub fn len(&self) -> usize {
        self.content.slots.len()
    }

    /// Never: a table without rows is an error.
    pub fn is_empty(&self) -> bool {
        self.content.slots.is_empty()
    }

    /// The sample `index` in the file's order; `epoch` chooses the caption where one is drawn.
    pub fn get(&self, index: usize, seed: u64, epoch: u64) -> Option<Sample> {
        let &slot = self.content.slots.get(index)?;
        self.content.sample(slot, seed, epoch)
    }
}

impl Content {
    fn sample(&self, (row, target): (u32, Option<u32>), seed: u64, epoch: u64) -> Option<Sample> {
        let row = self.rows.get(row as usize)?;
        let target = match self.captions {
            Captions::Each => target,
            Captions::One => Some(draw_target(seed, epoch, &row.id, row.targets.len())),
            Captions::All => None,
        };
        let chosen = match target {
            Some(target) => std::slice::from_ref(row.targets.get(target as usize)?),
            None => &row.targets,
        };
        Some(Sample {
            id: row.id.clone(),
            turn: target.unwrap_or(0),
            picture: row.picture.clone().map(Picture::File),
            prompt: row.prompt.clone(),
            targets: chosen.iter().map(|(text, _)| text.clone()).collect(),
            origin: Origin {
                file: Arc::clone(&row.file),
                place: Place::Line(chosen.first().map_or(0, |&(_, line)| line)),
            },
        })
    }
}

/// Which of `count` captions an epoch learns.
pub(super) fn draw_target(seed: u64, epoch: u64, id: &str, count: usize) -> u32 {
    Dice::new(derive(seed, &[epoch, text_word(id)]), 0u64).below(count) as u32
}

impl DataSource for Table {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> String {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        format!(
            "{file}, {} samples, {:?}",
            self.len(),
            self.content.captions
        )
    }

    fn samples(&self) -> Result<Option<u64>, DataError> {
        Ok(Some(self.len() as u64))
    }

    fn records(
        &self,
        order: &Order,
        from: &Mark,
        _: &Arc<BadRows>,
    ) -> Result<Box<dyn Records>, DataError> {
        let mut slots = self.content.slots.clone();
        if order.shuffle {
            Dice::new(derive(order.seed, &[order.epoch]), 0u64).shuffle(&mut slots);
        }
        let (index, count) = (order.part.index() as usize, order.part.count() as usize);
        let part = slots.into_iter().skip(index).step_by(count).collect();
        Ok(Box::new(TableRecords {
            content: Arc::clone(&self.content),
            part,
            order: *order,
            taken: from.taken,
        }))
    }
}

/// A part of an epoch of a table.
struct TableRecords {
    content: Arc<Content>,
    part: Vec<(u32, Option<u32>)>,
    order: Order,
    taken: u64,
}

impl Records for TableRecords {
    fn next(&mut self) -> Result<Option<Sample>, DataError> {
        let slot = usize::try_from(self.taken)
            .ok()
            .and_then(|i| self.part.get(i));
        let Some(&slot) = slot else {
            return Ok(None);
        };
        self.taken += 1;
        Ok(self.content.sample(slot, self.order.seed, self.order.epoch))
    }

    fn mark(&self) -> Mark {
        Mark {
            taken: self.taken,
            ..Mark::default()
        }
    }
}

/// `name` inside `folder`.
///
/// # Errors
/// [`RowFault::Path`] for a name that leads out of the folder.
pub(super) fn inside(folder: &Path, name: &str) -> Result<PathBuf, RowFault> {
    let path = Path::new(name);
    let plain = path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || name.contains('\0') || !plain {
        return Err(RowFault::Path(name.to_owned()));
    }
    Ok(folder.join(path))
}

/// Refuses a table none of whose pictures exists, as with a wrong folder: some are looked for, and
/// all of them only when none of those is there.
fn look_for_pictures(name: &str, rows: &[Row]) -> Result<(), DataError> {
    if rows.iter().any(|row| row.picture.is_none()) {
        return Ok(());
    }
    let step = rows.len().div_ceil(PROBES);
    let exists = |row: &Row| row.picture.as_deref().is_some_and(Path::is_file);
    if rows.iter().step_by(step).any(exists) || rows.iter().any(exists) {
        return Ok(());
    }
    let first = rows
        .first()
        .and_then(|row| row.picture.clone())
        .unwrap_or_default();
    Err(DataError::NoUsableRows {
        source_name: name.to_owned(),
        message: format!(
            "none of its pictures exists (the first is {}); correct the folder of pictures",
            first.display()
        ),
    })
}

/// Gathers captions that stand in rows of their own under their picture, in the order of the
/// pictures' first rows.
#[derive(Default)]
pub(super) struct ByPicture {
    rows: Vec<Row>,
    index: std::collections::HashMap<PathBuf, usize>,
}

impl ByPicture {
    /// Adds a row; its texts join those of an earlier row with the same picture and prompt.
    pub(super) fn add(&mut self, row: Row) {
        let Some(picture) = row
            .picture
            .clone()
            .filter(|_| row.prompt == Prompt::Caption)
        else {
            return self.rows.push(row);
        };
        match self.index.get(&picture).and_then(|&i| self.rows.get_mut(i)) {
            Some(earlier) => earlier.targets.extend(row.targets),
            None => {
                self.index.insert(picture, self.rows.len());
                self.rows.push(row);
            }
        }
    }

    pub(super) fn rows(self) -> Vec<Row> {
        self.rows
    }
}

/// Ids that are not unique are told apart by their line, so that random choices differ.
pub(super) fn unique_ids(rows: &mut [Row]) {
    let mut seen = HashSet::with_capacity(rows.len());
    for row in rows {
        if !seen.insert(row.id.clone()) {
            let line = row.targets.first().map_or(0, |&(_, line)| line);
            row.id = format!("{}@{line}", row.id);
            seen.insert(row.id.clone());
        }
    }
}
