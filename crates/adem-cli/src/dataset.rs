//! Data sets that a command line names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adem_data::datasets::{
    BadRows, CaptionStyle, Captions, DataSource, DatasetConfig, SourceConfig,
};
use adem_eval::EvalError;

use crate::error::CliError;

/// Rows of an data set that may be bad before it ends with an error.
const MAX_BAD_ROWS: u64 = 100;

/// Where bad rows are told.
pub fn bad_rows() -> Arc<BadRows> {
    BadRows::new(MAX_BAD_ROWS, |row| eprintln!("adem: {row}; skipped"))
}

/// The data set of these files, each picture with all its captions.
pub fn open(
    files: &[String],
    images: Option<&Path>,
    bad: &Arc<BadRows>,
) -> Result<Arc<dyn DataSource>, CliError> {
    let config = DatasetConfig {
        source: source(files, images)?,
        captions: Captions::All,
        caption_style: CaptionStyle::default(),
        augment: None,
        max_bad_rows: MAX_BAD_ROWS,
    };
    Ok(config.open(Path::new(""), bad).map_err(EvalError::from)?)
}

/// Shards, or a file of captions, by the ending.
fn source(files: &[String], images: Option<&Path>) -> Result<SourceConfig, CliError> {
    const TABLES: [&str; 5] = ["csv", "tsv", "json", "jsonl", "ndjson"];
    let is_table = |name: &String| {
        let ending = Path::new(name).extension();
        ending.is_some_and(|e| TABLES.contains(&e.to_string_lossy().to_lowercase().as_str()))
    };
    // What an address leads to is known once it answers.
    let is_shard = |name: &String| name.contains("://") || name.to_lowercase().ends_with(".tar");
    match files {
        [file] if is_table(file) => {
            let beside = || Path::new(file).parent().map(PathBuf::from);
            Ok(SourceConfig::Captions {
                file: file.into(),
                images: (images.map(PathBuf::from).or_else(beside)).unwrap_or_default(),
            })
        }
        many if many.iter().any(is_table) => Err(CliError::Usage(
            "give one file of captions, or shards".to_owned(),
        )),
        _ if images.is_some() => Err(CliError::Usage(
            "--images goes with a file of captions; shards hold their pictures".to_owned(),
        )),
        shards => match shards.iter().find(|name| !is_shard(name)) {
            Some(other) => Err(CliError::Usage(format!(
                "`{other}`: shards end in .tar, files of captions in .csv, .tsv, .json or .jsonl"
            ))),
            None => Ok(SourceConfig::Webdataset {
                shards: shards.to_vec(),
                shuffle_buffer: 1,
                samples: None,
            }),
        },
    }
}
