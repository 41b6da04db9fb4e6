//! Data sets: one seam ([`DataSource`]) over annotation files in their public layouts and over
//! streamed WebDataset shards, and a [`Loader`] that makes batches of either.
//!
//! The order of an epoch follows from seed and epoch; a [`Position`] says where in it a run stands,
//! and everything after it comes out the same when reading starts there. Bad rows are reported with
//! file and line (or shard and key) and skipped, up to a limit ([`BadRows`]).

mod bad;
mod buckets;
mod config;
mod encode;
mod error;
mod fields;
mod json;
mod layouts;
mod loader;
mod sample;
mod seeds;
mod shards;
mod source;
mod table;

pub use bad::{BadRow, BadRows};
pub use buckets::Buckets;
pub use config::{DatasetConfig, SourceConfig};
pub use encode::{CaptionStyle, Encoder};
pub use error::{DataError, RowFault};
pub use layouts::{
    CocoSplit, InstructionPictures, ScienceQa, ScienceQaFiles, captions_file, coco_blip,
    coco_karpathy, instructions, science_qa,
};
pub use loader::{Batch, Example, LoadPlan, Loaded, Loader, PicturePlan, Position};
pub use sample::{Captions, Origin, Picture, Place, Prompt, Sample};
pub use shards::{MAX_PICTURE_BYTES, MAX_SHARDS, MAX_TEXT_BYTES, SHUFFLE_BUFFER, Shards, expand};
pub use source::{DataSource, Mark, Order, Part, Records};
pub use table::Table;
