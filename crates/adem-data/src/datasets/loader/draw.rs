//! Samples drawn from a data set, encoded, and put into batches; everything but the pictures.

use std::collections::VecDeque;
use std::sync::Arc;

use super::readers::Readers;
use super::{LoadPlan, Position};
use crate::datasets::bad::BadRows;
use crate::datasets::encode::Encoder;
use crate::datasets::error::DataError;
use crate::datasets::sample::Sample;
use crate::datasets::source::DataSource;
use crate::rows::Row;

/// A batch whose pictures are not decoded yet.
pub(super) struct Draft {
    pub epoch: u64,
    pub rows: Vec<(Sample, Row)>,
    /// The place after it.
    pub position: Position,
}

/// What is drawn.
pub(super) enum Drawn {
    Batch(Draft),
    EpochEnd { epoch: u64, position: Position },
}

/// Draws batches and ends of epochs; ends after the last epoch or an error.
pub(super) struct Draw {
    source: Arc<dyn DataSource>,
    encoder: Arc<Encoder>,
    plan: LoadPlan,
    bad: Arc<BadRows>,
    readers: Option<Readers>,
    /// The place after what was drawn last.
    at: Position,
    /// Batches of the current pool that are still to come.
    ready: VecDeque<Vec<(Sample, Row)>>,
    /// Where the readers stand after the current pool.
    after_pool: Position,
    over: bool,
}

impl Draw {
    pub(super) fn new(
        source: Arc<dyn DataSource>,
        encoder: Arc<Encoder>,
        plan: LoadPlan,
        from: Position,
        bad: Arc<BadRows>,
    ) -> Self {
        Self {
            source,
            encoder,
            plan,
            bad,
            readers: None,
            at: from.clone(),
            ready: VecDeque::new(),
            after_pool: from,
            over: false,
        }
    }

    fn draw(&mut self) -> Result<Option<Drawn>, DataError> {
        if self.ready.is_empty() && !self.fill()? {
            return Ok(None);
        }
        let epoch = self.at.epoch;
        let Some(rows) = self.ready.pop_front() else {
            // The pool is empty: the epoch is over.
            self.readers = None;
            self.at = Position {
                epoch: epoch + 1,
                plan: self.at.plan.clone(),
                ..Position::default()
            };
            let position = self.at.clone();
            return Ok(Some(Drawn::EpochEnd { epoch, position }));
        };
        if self.ready.is_empty() {
            self.at = self.after_pool.clone();
        } else {
            self.at.batches += 1;
        }
        Ok(Some(Drawn::Batch(Draft {
            epoch,
            rows,
            position: self.at.clone(),
        })))
    }

    /// Reads the next pool, less the batches of it that were given before. False after the last
    /// epoch.
    fn fill(&mut self) -> Result<bool, DataError> {
        if self
            .plan
            .epochs
            .is_some_and(|epochs| self.at.epoch >= epochs)
        {
            return Ok(false);
        }
        let readers = match &mut self.readers {
            Some(readers) => readers,
            closed => closed.insert(Readers::open(
                &self.source,
                &self.plan,
                self.at.epoch,
                (&self.at.readers, self.at.turn),
                &self.bad,
            )?),
        };
        let buckets = self.plan.buckets();
        let mut rows = Vec::new();
        while rows.len() < buckets.pool_rows() {
            let Some(sample) = readers.next()? else {
                break;
            };
            match self.encoder.row(&sample)? {
                Ok(row) => rows.push(Some((sample, row))),
                Err(fault) => self.bad.add(sample.origin, fault)?,
            }
        }
        let (marks, turn) = readers.place();
        self.after_pool = Position {
            pool: self.at.pool + 1,
            batches: 0,
            readers: marks,
            turn,
            ..self.at.clone()
        };
        let lengths: Vec<_> = rows.iter().flatten().map(|(_, row)| row.len).collect();
        let given = usize::try_from(self.at.batches).unwrap_or(usize::MAX);
        for batch in buckets
            .batches(&lengths, self.at.epoch, self.at.pool)
            .iter()
            .skip(given)
        {
            let take = |&row: &usize| rows.get_mut(row).and_then(Option::take);
            self.ready
                .push_back(batch.iter().filter_map(take).collect());
        }
        Ok(true)
    }
}

impl Iterator for Draw {
    type Item = Result<Drawn, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let drawn = self.draw().transpose();
        self.over = !matches!(drawn, Some(Ok(_)));
        drawn
    }
}
