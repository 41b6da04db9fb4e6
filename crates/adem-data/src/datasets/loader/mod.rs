//! From a data set to batches: rows are drawn, encoded and bucketed on one thread, pictures decoded
//! on others, and batches come out in an order that follows from seed and position alone.

mod batch;
mod draw;
mod pipeline;
mod readers;

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use batch::{Batch, Example, PicturePlan};

use super::bad::BadRows;
use super::buckets::Buckets;
use super::encode::Encoder;
use super::error::DataError;
use super::source::{DataSource, Mark};
use batch::Maker;
use draw::{Draw, Drawn};
use pipeline::Pipeline;

/// How a data set is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPlan {
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Index of this process, below `ranks`.
    pub rank: u32,
    /// Processes that train together; each reads its own share.
    pub ranks: u32,
    /// Shards read at the same time; 1 is enough for local files. Another number gives shards another
    /// order.
    pub readers: u32,
    /// Whether the order is random.
    pub shuffle: bool,
    /// Epochs in all; `None` goes on for ever.
    pub epochs: Option<u64>,
    /// Rows of a batch.
    pub batch: usize,
    /// Batches whose rows are sorted by length together.
    pub pool: usize,
    /// Threads that decode pictures; 0 for as many as there are cores. Any number gives the same.
    pub threads: usize,
}

impl Default for LoadPlan {
    fn default() -> Self {
        Self {
            seed: 0,
            rank: 0,
            ranks: 1,
            readers: 1,
            shuffle: true,
            epochs: None,
            batch: 32,
            pool: 32,
            threads: 0,
        }
    }
}

/// A place in a run: after the batches it was given with. The default is the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Pools of the epoch before the current one.
    pub pool: u64,
    /// Batches of that pool that were given.
    pub batches: u64,
    /// Where each reader stood at the pool's beginning; empty at an epoch's.
    pub readers: Vec<Mark>,
    /// Whose turn it was.
    pub turn: u32,
    /// What the place was saved with; empty fits everything.
    pub plan: String,
}

/// What a loader gives.
#[derive(Debug)]
pub enum Loaded {
    /// The next batch.
    Batch(Box<Batch>),
    /// The end of an epoch.
    EpochEnd {
        /// The epoch that ended.
        epoch: u64,
        /// The beginning of the next one.
        position: Position,
    },
}

/// Yields the batches of a data set, epoch by epoch, up to the last epoch or the first error
/// ([`DataError`]: reading failed, too many rows are bad, or a whole epoch gave no row). A batch whose
/// every row is bad is left out.
///
/// Dropping it ends its threads.
pub struct Loader {
    pipeline: Pipeline<Result<Loaded, DataError>>,
    name: String,
    /// Rows given in this epoch; `None` where it did not begin with it.
    given: Option<usize>,
    over: bool,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Loader {
    /// Starts reading `source` at `from`. `pictures` says what becomes of the pictures; with `None`
    /// they are not looked at.
    ///
    /// # Errors
    /// [`DataError::Config`] for impossible numbers, [`DataError::Position`] for a position of another
    /// data set or plan, [`DataError::Thread`] where no thread can be started.
    pub fn new(
        source: Arc<dyn DataSource>,
        encoder: Arc<Encoder>,
        pictures: Option<PicturePlan>,
        plan: &LoadPlan,
        from: &Position,
        bad: Arc<BadRows>,
    ) -> Result<Self, DataError> {
        plan.validate()?;
        let identity = plan.identity(&source.identity());
        if !from.plan.is_empty() && from.plan != identity {
            return Err(DataError::Position {
                saved: from.plan.clone(),
                now: identity,
            });
        }
        if !from.readers.is_empty() && from.readers.len() != plan.readers as usize {
            return Err(DataError::Position {
                saved: format!("{} readers", from.readers.len()),
                now: format!("{} readers", plan.readers),
            });
        }
        let from = Position {
            plan: identity,
            ..from.clone()
        };
        let threads = match plan.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads,
        };
        let maker = Maker {
            pictures,
            seed: plan.seed,
            bad: Arc::clone(&bad),
        };
        let name = source.name().to_owned();
        let at_start = from.pool == 0 && from.batches == 0;
        let draw = Draw::new(source, encoder, plan.clone(), from, bad);
        let pipeline = Pipeline::start(threads, draw, move |drawn| match drawn? {
            Drawn::Batch(draft) => Ok(Loaded::Batch(Box::new(maker.make(draft)?))),
            Drawn::EpochEnd { epoch, position } => Ok(Loaded::EpochEnd { epoch, position }),
        })?;
        Ok(Self {
            pipeline,
            name,
            given: at_start.then_some(0),
            over: false,
        })
    }

    /// The next batch that has a row, or end of an epoch.
    fn load(&mut self) -> Result<Option<Loaded>, DataError> {
        loop {
            let Some(loaded) = self.pipeline.next().transpose()? else {
                return self.pipeline.finished().map(|()| None);
            };
            match &loaded {
                Loaded::Batch(batch) if batch.examples.is_empty() => continue,
                Loaded::Batch(batch) => {
                    self.given = self.given.map(|given| given + batch.examples.len());
                }
                Loaded::EpochEnd { epoch, .. } => {
                    if self.given == Some(0) {
                        return Err(DataError::NoUsableRows {
                            source_name: self.name.clone(),
                            message: format!(
                                "epoch {epoch} gave none to this process; see the messages about bad rows"
                            ),
                        });
                    }
                    self.given = Some(0);
                }
            }
            return Ok(Some(loaded));
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Loaded, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let loaded = self.load().transpose();
        self.over = !matches!(loaded, Some(Ok(_)));
        loaded
    }
}

impl LoadPlan {
    fn validate(&self) -> Result<(), DataError> {
        let refuse = |field, message: String| Err(DataError::Config { field, message });
        if self.batch == 0 {
            return refuse("batch", "is 0, must be at least 1".to_owned());
        }
        if self.pool == 0 {
            return refuse("pool", "is 0, must be at least 1".to_owned());
        }
        if self.readers == 0 || self.readers > 1024 {
            return refuse(
                "readers",
                format!("is {}, must be in 1..=1024", self.readers),
            );
        }
        if self.rank >= self.ranks {
            let message = format!("is {}, must be below ranks ({})", self.rank, self.ranks);
            return refuse("rank", message);
        }
        Ok(())
    }

    fn buckets(&self) -> Buckets {
        Buckets {
            batch: self.batch,
            pool: self.pool,
            seed: self.seed,
            shuffle: self.shuffle,
        }
    }

    /// Everything that the order of the batches depends on.
    fn identity(&self, source: &str) -> String {
        format!(
            "{source}; seed {}, rank {} of {}, {} readers, batches of {} from pools of {}{}",
            self.seed,
            self.rank,
            self.ranks,
            self.readers,
            self.batch,
            self.pool,
            if self.shuffle { ", shuffled" } else { "" }
        )
    }
}
