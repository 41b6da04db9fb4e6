//! Batches made ahead of their use, on threads of their own, in order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::error::TrainError;
use crate::stage::{Batches, Start};

/// A source of batches each of which follows from its number alone.
pub trait Numbered: Send + Sync + 'static {
    /// A batch.
    type Batch: Send + 'static;

    /// The batch of this number. Called on several threads.
    ///
    /// # Errors
    /// When the data cannot be had.
    fn batch(&self, number: u64) -> Result<Self::Batch, TrainError>;
}

/// Batches a thread may be ahead.
const AHEAD: usize = 2;

/// Makes batches ahead. Thread i of n makes every n-th batch, so that their order does not depend
/// on which one is faster.
pub struct Loader<B> {
    threads: Vec<Receiver<Result<B, TrainError>>>,
    next: usize,
}

impl<B: Send + 'static> Loader<B> {
    /// The batches of `source` from a place on.
    pub fn start<S: Numbered<Batch = B>>(source: &Arc<S>, from: &Start) -> Self {
        let threads = from.threads.max(1);
        let make = |first: usize| {
            let (send, batches) = sync_channel(AHEAD);
            let source = Arc::clone(source);
            let numbers = (from.number + first as u64..from.end).step_by(threads);
            std::thread::spawn(move || {
                for number in numbers {
                    // A closed channel means that the run has ended.
                    if send.send(source.batch(number)).is_err() {
                        break;
                    }
                }
            });
            batches
        };
        Self {
            threads: (0..threads).map(make).collect(),
            next: 0,
        }
    }
}

impl<B> Batches<B> for Loader<B> {
    fn next(&mut self) -> Result<B, TrainError> {
        let thread = self.threads.get(self.next).ok_or(TrainError::Loader)?;
        self.next = (self.next + 1) % self.threads.len();
        thread.recv().map_err(|_| TrainError::Loader)?
    }
}

/// Threads that prepare batches: one a core.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
