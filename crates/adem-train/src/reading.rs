//! A decoder that learns from texts alone.

use std::sync::Arc;

use adem_model::language::{Llama, Positions};
use adem_model::{TrainRow, token_loss};
use burn::tensor::{Int, Tensor, TensorData};

use crate::error::TrainError;
use crate::loader::{Loader, Numbered};
use crate::stage::{Batches, Context, Forward, Part, Stage, Start, shares};

/// The stage in which a decoder learns, whatever its texts are.
pub(crate) struct Reading<S> {
    pub texts: Arc<S>,
    /// The token that fills short texts up; it is not learned.
    pub pad: u32,
}

impl<S: Numbered<Batch = Vec<TrainRow>>> Stage for Reading<S> {
    type Model = Llama;
    type Batch = Vec<TrainRow>;

    fn name(&self) -> &'static str {
        "read"
    }

    fn batches(
        self: Arc<Self>,
        from: &Start,
    ) -> Result<Box<dyn Batches<Vec<TrainRow>>>, TrainError> {
        Ok(Box::new(Loader::start(&self.texts, from)))
    }

    fn samples(&self, batch: &Vec<TrainRow>) -> usize {
        batch.len()
    }

    fn forward(
        &self,
        model: &Llama,
        batch: Vec<TrainRow>,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        Ok(language_loss(model, &batch, self.pad, context)?.into())
    }

    fn split(&self, batch: Vec<TrainRow>, parts: usize) -> Vec<Part<Vec<TrainRow>>> {
        split_rows(batch, parts)
    }

    fn trains(&self, _: &str) -> bool {
        true
    }
}

/// Mean loss of texts without pictures.
fn language_loss(
    model: &Llama,
    batch: &[TrainRow],
    pad: u32,
    context: &Context,
) -> Result<Tensor<1>, TrainError> {
    let longest = batch.iter().map(|r| r.ids.len()).max().unwrap_or(0);
    let mut ids = Vec::with_capacity(batch.len() * longest);
    let mut labels = Vec::with_capacity(batch.len());
    for row in batch {
        let real = row.ids.iter().map(|id| *id as i32);
        ids.extend(real.chain(std::iter::repeat(pad as i32)).take(longest));
        labels.push(row.labels.clone());
    }
    let ids = TensorData::new(ids, [batch.len(), longest]);
    let ids = Tensor::<2, Int>::from_data(ids, &context.device);
    let positions = Positions::new(longest, 0, &[]);
    let hidden = model.hidden(model.embed(ids), None, &positions, None);
    token_loss(model, hidden, &labels).ok_or(TrainError::Config {
        field: "read.batch",
        message: "a batch has nothing to learn".to_owned(),
    })
}

/// Texts in parts, each weighed by its learned tokens.
fn split_rows(mut batch: Vec<TrainRow>, parts: usize) -> Vec<Part<Vec<TrainRow>>> {
    let learned = |rows: &[TrainRow]| -> usize {
        let labels = rows.iter().flat_map(|row| row.labels.iter().skip(1));
        labels.filter(|label| label.is_some()).count()
    };
    let all = learned(&batch);
    let lengths = shares(batch.len(), parts);
    lengths
        .into_iter()
        .map(|n| {
            let rest = batch.split_off(n);
            let part = std::mem::replace(&mut batch, rest);
            Part {
                share: learned(&part) as f64 / all.max(1) as f64,
                batch: part,
            }
        })
        .collect()
}
