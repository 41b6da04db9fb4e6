//! Data sets as config files name them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bad::BadRows;
use super::encode::CaptionStyle;
use super::error::DataError;
use super::layouts::{
    CocoSplit, InstructionPictures, ScienceQaFiles, captions_file, coco_blip, coco_karpathy,
    instructions, science_qa,
};
use super::sample::Captions;
use super::shards::{SHUFFLE_BUFFER, Shards};
use super::source::DataSource;
use crate::image::Augment;

/// A data set and what becomes of it on the way to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Layout and place.
    pub source: SourceConfig,
    /// What becomes of a picture's several captions.
    #[serde(default)]
    pub captions: Captions,
    /// How captions are learned.
    #[serde(default)]
    pub caption_style: CaptionStyle,
    /// Random changes of the pictures; none when left out, the COCO recipe's when empty.
    #[serde(default)]
    pub augment: Option<Augment>,
    /// Rows that may be bad before reading stops with an error.
    #[serde(default = "max_bad_rows")]
    pub max_bad_rows: u64,
}

fn max_bad_rows() -> u64 {
    100
}

fn shuffle_buffer() -> usize {
    SHUFFLE_BUFFER
}

/// A public layout, and where the user's copy lies. Paths that are not absolute start at the config
/// file's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceConfig {
    /// Karpathy's `dataset_coco.json`.
    CocoKarpathy {
        /// The file.
        annotations: PathBuf,
        /// Folder that holds `train2014` and `val2014`.
        images: PathBuf,
        /// Part of the split.
        #[serde(default)]
        split: CocoSplit,
    },
    /// BLIP's or LAVIS's `coco_karpathy_*.json`.
    CocoBlip {
        /// The file of one split.
        annotations: PathBuf,
        /// Folder that holds `train2014` and `val2014`.
        images: PathBuf,
    },
    /// ScienceQA.
    ScienceQa(ScienceQaFiles),
    /// LaVIN's `all_data.json`, LLaVA's and Alpaca's lists.
    Instruction {
        /// The files, read as one.
        files: Vec<PathBuf>,
        /// Where their pictures lie.
        images: InstructionPictures,
    },
    /// A folder of pictures with a file of captions.
    Captions {
        /// The file: CSV, TSV, JSON lines or a JSON list.
        file: PathBuf,
        /// The folder.
        images: PathBuf,
    },
    /// WebDataset shards.
    Webdataset {
        /// Paths or `http://` and `https://` addresses, with braces as in `train-{0000..0005}.tar`.
        shards: Vec<String>,
        /// Records that are shuffled together.
        #[serde(default = "shuffle_buffer")]
        shuffle_buffer: usize,
        /// Samples of an epoch, where counting them takes too long.
        #[serde(default)]
        samples: Option<u64>,
    },
}

impl DatasetConfig {
    /// Opens the data set. Relative paths start at `base`. Bad rows of annotation files are found
    /// here, those of shards and pictures later; `bad` should allow `max_bad_rows` of them.
    ///
    /// # Errors
    /// [`DataError`]: impossible settings, missing files, another layout, too many bad rows, or
    /// ([`DataError::NoUsableRows`]) nothing to train on.
    pub fn open(&self, base: &Path, bad: &Arc<BadRows>) -> Result<Arc<dyn DataSource>, DataError> {
        if let Some(augment) = &self.augment {
            augment.validate()?;
        }
        if self.caption_style.clean && self.caption_style.max_words == 0 {
            return Err(DataError::Config {
                field: "caption_style.max_words",
                message: "is 0, must be at least 1".to_owned(),
            });
        }
        let at = |path: &PathBuf| base.join(path);
        Ok(match &self.source {
            SourceConfig::CocoKarpathy {
                annotations,
                images,
                split,
            } => {
                let (annotations, images) = (at(annotations), at(images));
                Arc::new(coco_karpathy(
                    &annotations,
                    &images,
                    *split,
                    self.captions,
                    bad,
                )?)
            }
            SourceConfig::CocoBlip {
                annotations,
                images,
            } => Arc::new(coco_blip(
                &at(annotations),
                &at(images),
                self.captions,
                bad,
            )?),
            SourceConfig::ScienceQa(files) => {
                let files = ScienceQaFiles {
                    root: at(&files.root),
                    captions: files.captions.as_ref().map(at),
                    ..files.clone()
                };
                Arc::new(science_qa(&files, bad)?.table)
            }
            SourceConfig::Instruction { files, images } => {
                let files: Vec<_> = files.iter().map(at).collect();
                let images = InstructionPictures {
                    coco: at(&images.coco),
                    science_qa: images.science_qa.as_ref().map(at),
                    ..images.clone()
                };
                Arc::new(instructions(&files, &images, bad)?)
            }
            SourceConfig::Captions { file, images } => {
                Arc::new(captions_file(&at(file), &at(images), self.captions, bad)?)
            }
            SourceConfig::Webdataset {
                shards,
                shuffle_buffer,
                samples,
            } => Arc::new(Shards::new(
                shards,
                base,
                self.captions,
                *shuffle_buffer,
                *samples,
            )?),
        })
    }
}
