//! The training loss.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use crate::language::Llama;

/// Mean cross-entropy of the next token over all labelled places; see [`token_losses`].
pub fn token_loss(
    llama: &Llama,
    hidden: Tensor<3>,
    labels: &[Vec<Option<u32>>],
) -> Option<Tensor<1>> {
    token_losses(llama, hidden, labels).map(|(losses, _)| losses.mean())
}

/// Cross-entropy of the next token at every labelled place `[places]`, row after row, and the row of
/// each.
///
/// `hidden` is the decoder's normalised output `[batch, tokens, dim]`, `labels` has one entry a
/// token of each row: the label at place t is predicted from place t - 1. Only the places that are
/// learned from reach the output head, so a large vocabulary costs nothing elsewhere. `None` when
/// no place is labelled.
pub fn token_losses(
    llama: &Llama,
    hidden: Tensor<3>,
    labels: &[Vec<Option<u32>>],
) -> Option<(Tensor<1>, Vec<usize>)> {
    let [batch, tokens, dim] = hidden.dims();
    let mut places = Vec::new();
    let mut targets = Vec::new();
    let mut rows = Vec::new();
    for (b, row) in labels.iter().enumerate().take(batch) {
        for (t, label) in row.iter().enumerate().take(tokens).skip(1) {
            if let Some(label) = label {
                places.push((b * tokens + t - 1) as i32);
                targets.push(*label as i32);
                rows.push(b);
            }
        }
    }
    let n = places.len();
    if n == 0 {
        return None;
    }
    let device = hidden.device();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [n]), &device);
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [n, 1]), &device);
    let learned = hidden
        .reshape([batch * tokens, dim])
        .select(0, places)
        .unsqueeze::<3>();
    let logits = llama.logits(learned).squeeze_dim::<2>(0);
    let chosen = log_softmax(logits, 1)
        .gather(1, targets)
        .squeeze_dim::<1>(1);
    Some((chosen.neg(), rows))
}
