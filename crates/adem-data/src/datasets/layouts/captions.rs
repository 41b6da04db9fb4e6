//! A folder of pictures beside one file of captions: CSV, TSV, JSON lines or a JSON list.

use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::{Annotations, row};
use crate::datasets::bad::BadRows;
use crate::datasets::error::{DataError, RowFault};
use crate::datasets::fields::{CAPTION, PICTURE, find, prompt_and_targets, text};
use crate::datasets::json::{Kind, parse, read_text};
use crate::datasets::sample::{Captions, Prompt};
use crate::datasets::table::{ByPicture, Row, Table, inside, unique_ids};

/// Reads a file of captions by its ending: `.csv` or `.tsv` with a header that names a picture column
/// (`image`, `file_name`, `filename`, `file`, `filepath`, `path`) and a text column (`caption`,
/// `captions`, `text`); `.jsonl` or `.ndjson` with an object a line; `.json` with a list of objects.
/// Objects hold the same names, the caption being a text or a list, or `question` with `answer`. A
/// row without a picture is a question about none. Pictures lie in `images/<name>`.
///
/// # Errors
/// [`DataError`]: not readable, of another layout, too many bad rows, or no usable one.
pub fn captions_file(
    path: &Path,
    images: &Path,
    captions: Captions,
    bad: &BadRows,
) -> Result<Table, DataError> {
    let content = read_text(path)?;
    let file = Annotations::new(path, bad);
    let mut rows = ByPicture::default();
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("csv") => read_csv(&file, &content, b',', images, &mut rows)?,
        Some("tsv") => read_csv(&file, &content, b'\t', images, &mut rows)?,
        Some("jsonl" | "ndjson") => {
            for (number, line) in (1u64..).zip(content.lines()) {
                if line.trim().is_empty() {
                    continue;
                }
                match object_row(&file, number, line, images) {
                    Ok(row) => rows.add(row),
                    Err(fault) => file.bad(number, fault)?,
                }
            }
        }
        Some("json") => {
            let list = file.elements(&content, Kind::List, "list of {image, caption}")?;
            file.each(list, |element| {
                rows.add(object_row(&file, element.line, element.text, images)?);
                Ok(())
            })?;
        }
        _ => {
            return Err(DataError::layout(
                path,
                "ends in none of .csv, .tsv, .jsonl, .ndjson and .json; rename it to what it holds",
            ));
        }
    }
    let mut rows = rows.rows();
    unique_ids(&mut rows);
    Table::new(file.file.to_string(), rows, captions, bad)
}

/// The row of a JSON object.
fn object_row(
    file: &Annotations<'_>,
    line: u64,
    json: &str,
    images: &Path,
) -> Result<Row, RowFault> {
    let object: Map<String, Value> = parse(json)?;
    let asked = prompt_and_targets(&object)?;
    let name = match find(&object, &PICTURE) {
        Some((field, value)) => Some(text(field, value)?),
        None if asked.0 == Prompt::Caption => return Err(RowFault::Missing("image")),
        None => None,
    };
    let picture = name
        .as_deref()
        .map(|name| inside(images, name))
        .transpose()?;
    let id = name.unwrap_or_else(|| format!("line {line}"));
    row(&file.file, line, id, picture, asked)
}

fn read_csv(
    file: &Annotations<'_>,
    content: &str,
    delimiter: u8,
    images: &Path,
    rows: &mut ByPicture,
) -> Result<(), DataError> {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(content.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(DataError::file(file.path, error)),
    };
    let column = |names: &[&str]| {
        let is_named = |cell: &str| names.contains(&cell.trim().to_lowercase().as_str());
        header.iter().position(is_named)
    };
    let (Some(name), Some(caption)) = (column(&PICTURE), column(&CAPTION)) else {
        return Err(DataError::layout(
            file.path,
            format!(
                "its first line must name a column of pictures ({}) and one of captions ({})",
                PICTURE.join(", "),
                CAPTION.join(", ")
            ),
        ));
    };
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {
                let line = record.position().map_or(0, csv::Position::line);
                let start = record.position().map_or(0, csv::Position::byte) as usize;
                let end = reader.position().byte() as usize;
                if let Some(fault) = content
                    .get(start..end)
                    .and_then(|text| misquoted(text, delimiter))
                {
                    file.bad(line, fault)?;
                    continue;
                }
                let cell = |column| record.get(column).unwrap_or_default().trim();
                let made = inside(images, cell(name)).and_then(|picture| {
                    let asked = (Prompt::Caption, vec![cell(caption).to_owned()]);
                    row(
                        &file.file,
                        line,
                        cell(name).to_owned(),
                        Some(picture),
                        asked,
                    )
                });
                match made {
                    Ok(row) => rows.add(row),
                    Err(fault) => file.bad(line, fault)?,
                }
            }
            Ok(false) => return Ok(()),
            Err(error) => {
                let ErrorKind::UnequalLengths {
                    pos,
                    expected_len,
                    len,
                } = error.kind()
                else {
                    return Err(DataError::file(file.path, error));
                };
                let line = pos.as_ref().map_or(0, csv::Position::line);
                let fault = RowFault::Csv(format!(
                    "has {len} cells where the header has {expected_len}; put quotes around cells that hold a comma"
                ));
                file.bad(line, fault)?;
            }
        }
    }
}

/// What is wrong with the quotes of a record of several lines, which has taken rows into a cell that
/// are rows of their own.
fn misquoted(record: &str, delimiter: u8) -> Option<RowFault> {
    let record = record.trim_end_matches(['\r', '\n']).as_bytes();
    let lines = record.iter().filter(|byte| **byte == b'\n').count();
    let (mut at, mut starts) = (0, true);
    while let Some(&byte) = record.get(at) {
        at += 1;
        if !(starts && byte == b'"') {
            starts = byte == delimiter;
            continue;
        }
        // A quote written twice is one of the cell's own.
        let closed = loop {
            let length = record.get(at..)?.iter().position(|byte| *byte == b'"');
            let Some(length) = length else { break false };
            at += length + 1;
            match record.get(at) {
                Some(b'"') => at += 1,
                after => break after.is_none_or(|after| *after == delimiter),
            }
        };
        if !closed && lines > 0 {
            return Some(RowFault::Csv(format!(
                "opens a quote that its cell does not end with; it took {lines} lines after it \
                 into the cell; close the quote, and write one inside a cell twice"
            )));
        }
        starts = false;
    }
    None
}
