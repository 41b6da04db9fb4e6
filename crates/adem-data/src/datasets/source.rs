//! The seam between data sets and whoever trains on them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bad::BadRows;
use super::error::DataError;
use super::sample::Sample;

/// A data set, wherever it lies: rows known beforehand ([`super::Table`]) or shards that are streamed
/// ([`super::Shards`]).
pub trait DataSource: Send + Sync {
    /// A name for messages.
    fn name(&self) -> &str;

    /// Everything about the source that the order of its samples depends on, but no folders: data
    /// may be moved between stopping and going on.
    fn identity(&self) -> String;

    /// Samples of one epoch, over all parts; `None` where that is known only by reading everything
    /// over a network. Rows that turn out bad when their picture is decoded are counted.
    ///
    /// # Errors
    /// [`DataError`] when it has to be counted and cannot be.
    fn samples(&self) -> Result<Option<u64>, DataError>;

    /// The samples of one part of one epoch from a place in it on. The same order and mark always
    /// give the same samples; the parts of an epoch are disjoint, and together they are all of it.
    ///
    /// # Errors
    /// [`DataError`] when what is asked for cannot be read.
    fn records(
        &self,
        order: &Order,
        from: &Mark,
        bad: &Arc<BadRows>,
    ) -> Result<Box<dyn Records>, DataError>;
}

/// Samples one after the other.
pub trait Records: Send {
    /// The next sample, `None` at the end. Bad rows are reported and skipped.
    ///
    /// # Errors
    /// [`DataError`] when reading cannot go on.
    fn next(&mut self) -> Result<Option<Sample>, DataError>;

    /// The place after the last sample.
    fn mark(&self) -> Mark;
}

/// Which epoch is read, in which order, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Seed of the run.
    pub seed: u64,
    /// The epoch, from 0; each has another order.
    pub epoch: u64,
    /// Whether the order is random. If not, it is the files'.
    pub shuffle: bool,
    /// Whose part.
    pub part: Part,
}

/// One of the parts that an epoch is dealt into: one for every worker of every rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the process, below `ranks`.
    pub rank: u32,
    /// Processes that train together.
    pub ranks: u32,
    /// Index of the reader within the process, below `workers`.
    pub worker: u32,
    /// Readers of each process.
    pub workers: u32,
}

impl Part {
    /// The only part.
    pub const WHOLE: Self = Self {
        rank: 0,
        ranks: 1,
        worker: 0,
        workers: 1,
    };

    /// Index of the part, below [`Part::count`]. Taking turns among the workers of a rank gives that
    /// rank's share in the order of the whole.
    pub fn index(self) -> u64 {
        u64::from(self.worker) * u64::from(self.ranks) + u64::from(self.rank)
    }

    /// Parts in all.
    pub fn count(self) -> u64 {
        u64::from(self.ranks) * u64::from(self.workers)
    }
}

/// A place in a part of an epoch; the default is its beginning. What the numbers mean is the
/// source's affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Window of shuffled records, from 0.
    pub window: u64,
    /// Shard, in the part's order, in which the window begins.
    pub shard: u64,
    /// Byte of that shard at which the window begins.
    pub byte: u64,
    /// Records of that shard before the window.
    pub record: u64,
    /// Samples already taken from the window; in a table, from the part.
    pub taken: u64,
}
