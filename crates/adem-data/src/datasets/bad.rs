//! Bad rows: reported, counted, and too many of them an error.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::{DataError, RowFault};
use super::sample::Origin;

/// A row that is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Where it stands.
    pub origin: Origin,
    /// What is wrong with it.
    pub fault: RowFault,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.fault)
    }
}

/// Gathers the bad rows of a data set, from any thread.
///
/// A row counts once, however often it is met: in every epoch, or again after resuming.
pub struct BadRows {
    limit: u64,
    report: Box<dyn Fn(&BadRow) + Send + Sync>,
    seen: Mutex<HashSet<Origin>>,
}

impl fmt::Debug for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BadRows")
            .field("limit", &self.limit)
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl BadRows {
    /// Calls `report` with each bad row, and allows `limit` of them.
    pub fn new(limit: u64, report: impl Fn(&BadRow) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            limit,
            report: Box::new(report),
            seen: Mutex::default(),
        })
    }

    /// Rows found bad so far.
    pub fn count(&self) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.len() as u64
    }

    /// Takes note of a bad row.
    ///
    /// # Errors
    /// [`DataError::TooManyBadRows`] when it is one too many.
    pub fn add(&self, origin: Origin, fault: RowFault) -> Result<(), DataError> {
        let count = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.insert(origin.clone()) {
                return Ok(());
            }
            seen.len() as u64
        };
        let row = BadRow { origin, fault };
        (self.report)(&row);
        if count > self.limit {
            return Err(DataError::TooManyBadRows {
                limit: self.limit,
                last: Box::new(row),
            });
        }
        Ok(())
    }
}
