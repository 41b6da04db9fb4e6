//! A part of an epoch of shards, shuffled window by window.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Content;
use super::deal::{Share, deal};
use super::group::{Group, Groups};
use super::record::samples;
use super::tar::{Entries, TarError};
use crate::datasets::bad::BadRows;
use crate::datasets::error::{DataError, RowFault};
use crate::datasets::sample::{Origin, Picture, Place, Sample};
use crate::datasets::seeds::derive;
use crate::datasets::source::{Mark, Order, Records};
use crate::dice::Dice;

/// Bytes of pictures that close a window before it has its number of records.
const MAX_WINDOW_BYTES: usize = 512 << 20;

/// Reads a part of an epoch.
pub(super) struct ShardRecords {
    content: Arc<Content>,
    order: Order,
    bad: Arc<BadRows>,
    shares: Vec<Share>,
    /// Where the next window begins; `taken` is not used.
    next: Mark,
    /// The shard that is being read.
    open: Option<Groups>,
    /// Where the current window began, and how much of it was taken.
    mark: Mark,
    window: VecDeque<Sample>,
}

impl ShardRecords {
    /// # Errors
    /// [`DataError`] when the window of `from` cannot be read again.
    pub(super) fn new(
        content: Arc<Content>,
        order: &Order,
        from: &Mark,
        bad: &Arc<BadRows>,
    ) -> Result<Self, DataError> {
        let shares = deal(content.locations.len(), order);
        let next = Mark { taken: 0, ..*from };
        let mut records = Self {
            content,
            order: *order,
            bad: Arc::clone(bad),
            shares,
            next,
            open: None,
            mark: next,
            window: VecDeque::new(),
        };
        if from.taken > 0 {
            records.fill()?;
            let taken = usize::try_from(from.taken).unwrap_or(usize::MAX);
            records.window.drain(..taken.min(records.window.len()));
            records.mark.taken = from.taken;
        }
        Ok(records)
    }

    /// Reads the next window. It stays empty at the end of the part.
    fn fill(&mut self) -> Result<(), DataError> {
        self.mark = self.next;
        let Order { seed, epoch, .. } = self.order;
        let part = [epoch, self.order.part.index(), self.order.part.count()];
        let mut dice = Dice::new(derive(seed, &part), self.next.window);
        let records = match (self.order.shuffle, self.next.window) {
            (false, _) => 1,
            // The first window's length is drawn, so that windows end elsewhere in every epoch.
            (true, 0) => 1 + dice.below(self.content.buffer),
            (true, _) => self.content.buffer,
        };
        let (mut count, mut bytes) = (0, 0);
        while count < records && bytes < MAX_WINDOW_BYTES {
            let Some((group, origin)) = self.read()? else {
                break;
            };
            let drawn = (seed, epoch);
            match samples(group, self.content.captions, drawn, &origin) {
                Ok(found) => {
                    count += 1;
                    if let Some(Picture::Bytes(picture)) =
                        found.first().and_then(|s| s.picture.as_ref())
                    {
                        bytes += picture.len();
                    }
                    self.window.extend(found);
                }
                Err(fault) => self.bad.add(origin, fault)?,
            }
        }
        self.next.window += 1;
        if self.order.shuffle {
            dice.shuffle(self.window.make_contiguous());
        }
        Ok(())
    }

    /// The next record of the part, with its place.
    fn read(&mut self) -> Result<Option<(Group, Origin)>, DataError> {
        loop {
            let share = usize::try_from(self.next.shard)
                .ok()
                .and_then(|i| self.shares.get(i));
            let Some(&share) = share else {
                return Ok(None);
            };
            let Some(location) = self.content.locations.get(share.shard) else {
                return Ok(None);
            };
            let groups = match &mut self.open {
                Some(groups) => groups,
                closed => {
                    let entries = Entries::new(location.open(self.next.byte)?, self.next.byte);
                    closed.insert(Groups::new(entries))
                }
            };
            let origin = |place| Origin {
                file: location.name().into(),
                place,
            };
            match groups.next() {
                Ok(Some(group)) => {
                    let record = self.next.record;
                    self.next.record += 1;
                    self.next.byte = groups.at();
                    if share.holds(record) {
                        let origin = origin(Place::Key(group.key.clone()));
                        return Ok(Some((group, origin)));
                    }
                }
                Ok(None) => self.close_shard(),
                Err(TarError::Read(message)) => return Err(location.failed(message)),
                Err(TarError::Damaged { at, message }) => {
                    let origin = origin(Place::Byte(at));
                    self.bad.add(origin, RowFault::Shard(message))?;
                    self.close_shard();
                }
            }
        }
    }

    fn close_shard(&mut self) {
        self.open = None;
        self.next = Mark {
            shard: self.next.shard + 1,
            window: self.next.window,
            ..Mark::default()
        };
    }
}

impl Records for ShardRecords {
    fn next(&mut self) -> Result<Option<Sample>, DataError> {
        if self.window.is_empty() {
            self.fill()?;
        }
        let sample = self.window.pop_front();
        self.mark.taken += u64::from(sample.is_some());
        Ok(sample)
    }

    fn mark(&self) -> Mark {
        if self.window.is_empty() {
            self.next
        } else {
            self.mark
        }
    }
}
