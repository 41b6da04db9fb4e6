//! Several parts of an epoch read at the same time and taken in turns.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::LoadPlan;
use crate::datasets::bad::BadRows;
use crate::datasets::error::DataError;
use crate::datasets::sample::Sample;
use crate::datasets::source::{DataSource, Mark, Order, Part, Records};

/// Samples that a reader on a thread of its own reads ahead.
const AHEAD: usize = 64;

/// A sample, or the end, and the place after it.
type Read = Result<Option<(Sample, Mark)>, DataError>;

/// One reader.
enum Reader {
    /// Read when asked.
    Here(Box<dyn Records>),
    /// Read ahead on a thread.
    Ahead(Receiver<Read>),
    /// At its end.
    Done,
}

/// The readers of a process, in turns: one sample from each that is not at its end.
pub(super) struct Readers {
    readers: Vec<Reader>,
    marks: Vec<Mark>,
    turn: usize,
}

impl Readers {
    /// Opens the plan's parts of an epoch at `marks` (none: at its beginning).
    pub(super) fn open(
        source: &Arc<dyn DataSource>,
        plan: &LoadPlan,
        epoch: u64,
        (marks, turn): (&[Mark], u32),
        bad: &Arc<BadRows>,
    ) -> Result<Self, DataError> {
        let mut readers = Vec::new();
        let mut places = Vec::new();
        for worker in 0..plan.readers {
            let order = Order {
                seed: plan.seed,
                epoch,
                shuffle: plan.shuffle,
                part: Part {
                    rank: plan.rank,
                    ranks: plan.ranks,
                    worker,
                    workers: plan.readers,
                },
            };
            let mark = marks.get(worker as usize).copied().unwrap_or_default();
            places.push(mark);
            readers.push(if plan.readers == 1 {
                Reader::Here(source.records(&order, &mark, bad)?)
            } else {
                Reader::Ahead(read_ahead(
                    Arc::clone(source),
                    order,
                    mark,
                    Arc::clone(bad),
                )?)
            });
        }
        Ok(Self {
            readers,
            marks: places,
            turn: turn as usize,
        })
    }

    /// The next sample.
    pub(super) fn next(&mut self) -> Result<Option<Sample>, DataError> {
        for _ in 0..self.readers.len() {
            let turn = self.turn % self.readers.len();
            self.turn = turn + 1;
            let (Some(reader), Some(mark)) = (self.readers.get_mut(turn), self.marks.get_mut(turn))
            else {
                continue;
            };
            let read = match reader {
                Reader::Here(records) => records.next()?.map(|sample| (sample, records.mark())),
                Reader::Ahead(receiver) => receiver.recv().map_err(|_| DataError::Thread)??,
                Reader::Done => None,
            };
            match read {
                Some((sample, after)) => {
                    *mark = after;
                    return Ok(Some(sample));
                }
                None => *reader = Reader::Done,
            }
        }
        Ok(None)
    }

    /// Where each reader stands, and whose turn it is.
    pub(super) fn place(&self) -> (Vec<Mark>, u32) {
        (
            self.marks.clone(),
            (self.turn % self.readers.len().max(1)) as u32,
        )
    }
}

/// Reads on a thread, which ends when nobody listens any more.
fn read_ahead(
    source: Arc<dyn DataSource>,
    order: Order,
    from: Mark,
    bad: Arc<BadRows>,
) -> Result<Receiver<Read>, DataError> {
    let (sender, receiver) = sync_channel(AHEAD);
    let read = move || {
        let mut records = match source.records(&order, &from, &bad) {
            Ok(records) => records,
            Err(error) => {
                let _ = sender.send(Err(error));
                return;
            }
        };
        loop {
            let read = records
                .next()
                .map(|sample| sample.map(|sample| (sample, records.mark())));
            let last = !matches!(read, Ok(Some(_)));
            if sender.send(read).is_err() || last {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("adem-read".to_owned())
        .spawn(read)
        .map_err(|_| DataError::Thread)?;
    Ok(receiver)
}
