//! A decoder's loss on texts alone.

use adem_model::language::{Llama, Positions};
use adem_model::{TrainRow, token_loss};
use burn::tensor::{Int, Tensor, TensorData};

use crate::error::TrainError;
use crate::stage::{Context, Part, shares};

/// Mean loss of texts without pictures.
pub(crate) fn language_loss(
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
pub(crate) fn split_rows(mut batch: Vec<TrainRow>, parts: usize) -> Vec<Part<Vec<TrainRow>>> {
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
