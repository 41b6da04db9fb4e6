//! WebDataset shards: tar files, local or over HTTP, read front to back and never unpacked.
//!
//! The shards of an epoch are put in a random order and dealt whole to the parts (workers of ranks);
//! those that are left over when the numbers do not divide are read by every part, which takes its
//! share of their records. Within a part the records are shuffled window by window: a window of some
//! thousand records is read, shuffled and handed out before the next is read. A place in an epoch is
//! thus a byte of a shard and a place in a window, and resuming there reads no more than that window
//! again.

mod deal;
mod fetch;
mod group;
mod names;
mod record;
mod tar;
mod window;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

pub use group::{MAX_PICTURE_BYTES, MAX_TEXT_BYTES};
pub use names::{MAX_SHARDS, expand};

use super::bad::BadRows;
use super::error::DataError;
use super::sample::Captions;
use super::source::{DataSource, Mark, Order, Part, Records};
use fetch::Location;
use window::ShardRecords;

/// Records shuffled together unless the config says otherwise.
pub const SHUFFLE_BUFFER: usize = 2000;

/// A data set in shards.
#[derive(Clone)]
pub struct Shards {
    content: Arc<Content>,
}

struct Content {
    name: String,
    locations: Vec<Location>,
    captions: Captions,
    buffer: usize,
    /// Samples of an epoch, once known.
    samples: OnceLock<u64>,
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("name", &self.content.name)
            .field("shards", &self.content.locations.len())
            .finish_non_exhaustive()
    }
}

impl Shards {
    /// The shards that `patterns` name: paths or `https://` addresses, with braces as in
    /// `train-{0000..0005}.tar`. Paths that are not absolute start at `base`. Up to `buffer` records
    /// are shuffled together; `samples` is the length of an epoch, where it is known.
    ///
    /// # Errors
    /// [`DataError::Config`] for impossible patterns and sizes, [`DataError::File`] for a local shard
    /// that is not there.
    pub fn new(
        patterns: &[String],
        base: &Path,
        captions: Captions,
        buffer: usize,
        samples: Option<u64>,
    ) -> Result<Self, DataError> {
        let refuse = |field, message: &str| {
            Err(DataError::Config {
                field,
                message: message.to_owned(),
            })
        };
        if buffer == 0 {
            return refuse("source.shuffle_buffer", "is 0, must be at least 1");
        }
        if samples == Some(0) {
            return refuse("source.samples", "is 0; leave it out to have it counted");
        }
        let mut locations = Vec::new();
        for pattern in patterns {
            for name in expand(pattern)? {
                locations.push(Location::new(&name, base)?);
            }
            if locations.len() > MAX_SHARDS {
                return refuse("source.shards", "names too many shards");
            }
        }
        if locations.is_empty() {
            return refuse("source.shards", "names no shard");
        }
        Ok(Self {
            content: Arc::new(Content {
                name: patterns.join(", "),
                locations,
                captions,
                buffer,
                samples: samples.map(OnceLock::from).unwrap_or_default(),
            }),
        })
    }

    /// Reads everything once to count it; bad rows are reported when they are trained on.
    fn count(&self) -> Result<u64, DataError> {
        let order = Order {
            seed: 0,
            epoch: 0,
            shuffle: false,
            part: Part::WHOLE,
        };
        let silent = BadRows::new(u64::MAX, |_| ());
        let mut records = self.records(&order, &Mark::default(), &silent)?;
        let mut count = 0;
        while records.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

impl DataSource for Shards {
    fn name(&self) -> &str {
        &self.content.name
    }

    fn identity(&self) -> String {
        let files: Vec<_> = self.content.name.split(", ").collect();
        let files: Vec<_> = files.iter().filter_map(|f| f.rsplit('/').next()).collect();
        format!(
            "{}, {} shards, windows of {}, {:?}",
            files.join(", "),
            self.content.locations.len(),
            self.content.buffer,
            self.content.captions
        )
    }

    /// Counted by reading local shards once, unless the config says it.
    fn samples(&self) -> Result<Option<u64>, DataError> {
        if let Some(&samples) = self.content.samples.get() {
            return Ok(Some(samples));
        }
        if self.content.locations.iter().any(|l| !l.is_local()) {
            return Ok(None);
        }
        let counted = self.count()?;
        Ok(Some(*self.content.samples.get_or_init(|| counted)))
    }

    fn records(
        &self,
        order: &Order,
        from: &Mark,
        bad: &Arc<BadRows>,
    ) -> Result<Box<dyn Records>, DataError> {
        let content = Arc::clone(&self.content);
        Ok(Box::new(ShardRecords::new(content, order, from, bad)?))
    }
}
