//! The pictures of a data set, decoded, with what people wrote about them.

use std::sync::Arc;

use adem_data::datasets::{
    BadRows, DataError, DataSource, Mark, Order, Part, Prompt, Records, Sample,
};
use adem_data::image::{Limits, RgbImage};

/// The pictures of a data set that have captions, in its order.
pub struct Pictures<'a> {
    records: Box<dyn Records>,
    bad: &'a Arc<BadRows>,
    left: u64,
}

impl<'a> Pictures<'a> {
    /// The first `limit` pictures of `data`, or all. Rows that cannot be used go to `bad`; questions
    /// are passed over.
    ///
    /// # Errors
    /// [`DataError`] when the data cannot be read.
    pub fn new(
        data: &dyn DataSource,
        bad: &'a Arc<BadRows>,
        limit: Option<u64>,
    ) -> Result<Self, DataError> {
        let order = Order {
            seed: 0,
            epoch: 0,
            shuffle: false,
            part: Part::WHOLE,
        };
        Ok(Self {
            records: data.records(&order, &Mark::default(), bad)?,
            bad,
            left: limit.unwrap_or(u64::MAX),
        })
    }

    /// The next pictures, at most `size`; none at the end.
    ///
    /// # Errors
    /// [`DataError`] when the data cannot be read or has too many bad rows.
    pub fn batch(&mut self, size: usize) -> Result<Vec<(Sample, RgbImage)>, DataError> {
        let mut rows = Vec::new();
        while rows.len() < size && self.left > 0 {
            let Some(sample) = self.records.next()? else {
                break;
            };
            let (Prompt::Caption, Some(picture)) = (&sample.prompt, &sample.picture) else {
                continue;
            };
            match picture.decode(&Limits::default()) {
                Ok(picture) => {
                    rows.push((sample, picture));
                    self.left -= 1;
                }
                Err(fault) => self.bad.add(sample.origin, fault)?,
            }
        }
        Ok(rows)
    }
}
