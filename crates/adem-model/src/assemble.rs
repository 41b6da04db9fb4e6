//! Putting text and visual tokens in one sequence:
//! `BOS "Image: " <visual tokens> rest` with a picture, `BOS "Image: N/A" rest` without.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::error::ModelError;

/// The words before the text, as token ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix {
    /// `"Image: "`, before a picture's tokens.
    pub with_picture: Vec<u32>,
    /// `"Image: N/A"`, in rows without a picture.
    pub without_picture: Vec<u32>,
}

/// One row to train on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrainRow {
    /// Token ids, `BOS` first; prompt, answer, `EOS`.
    pub ids: Vec<u32>,
    /// Per token, the id it must be predicted as; `None` where nothing is learned (prompt, pads).
    pub labels: Vec<Option<u32>>,
    /// The row has a picture.
    pub picture: bool,
}

impl TrainRow {
    /// Tokens that are learned from when the row gets `prefix` and `visual` tokens inserted and is
    /// cut to `max_tokens`: a row's weight in the mean of a batch's loss.
    pub fn learned(&self, visual: usize, prefix: &Prefix, max_tokens: usize) -> usize {
        let inserted = with_prefix(&[], self.picture, visual, prefix).len();
        let kept = max_tokens.saturating_sub(inserted);
        let learned = self.labels.iter().take(kept).skip(1);
        learned.filter(|label| label.is_some()).count()
    }
}

/// For every row and place, the id that must be predicted there; `None` where nothing is learned.
pub type Labels = Vec<Vec<Option<u32>>>;

/// What stands at one place of an assembled sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A token of the vocabulary.
    Token(u32),
    /// A visual token of the row, by index.
    Visual(u32),
    /// Nothing: its embedding is never looked at.
    Pad,
}

/// Inserts prefix and `visual` tokens after a row's first id (`BOS`).
///
/// With no visual tokens at all the text stays as it is (paper, Table X, "0 without [cls]").
pub(crate) fn with_prefix(ids: &[u32], picture: bool, visual: usize, prefix: &Prefix) -> Vec<Slot> {
    let text = ids.iter().map(|id| Slot::Token(*id));
    if visual == 0 {
        return text.collect();
    }
    let (words, tokens) = match picture {
        true => (&prefix.with_picture, visual),
        false => (&prefix.without_picture, 0),
    };
    text.clone()
        .take(1)
        .chain(words.iter().map(|id| Slot::Token(*id)))
        .chain((0..tokens as u32).map(Slot::Visual))
        .chain(text.skip(1))
        .collect()
}

/// Rows of a training batch, all of one length.
pub(crate) struct Assembled {
    pub slots: Vec<Vec<Slot>>,
    pub labels: Labels,
}

/// Assembles a batch: inserts prefixes and visual tokens, cuts every row to `max_tokens` and the
/// batch to its last label, pads on the right.
pub(crate) fn assemble_rows(
    rows: &[TrainRow],
    visual: usize,
    prefix: &Prefix,
    max_tokens: usize,
) -> Result<Assembled, ModelError> {
    let mut slots = Vec::with_capacity(rows.len());
    let mut labels = Vec::with_capacity(rows.len());
    for row in rows {
        if row.ids.is_empty() || row.ids.len() != row.labels.len() {
            return Err(ModelError::argument(
                "rows",
                format!("{} ids with {} labels", row.ids.len(), row.labels.len()),
            ));
        }
        let mut s = with_prefix(&row.ids, row.picture, visual, prefix);
        let inserted = s.len() - row.ids.len();
        let mut l = vec![row.labels[0]];
        l.extend(std::iter::repeat_n(None, inserted));
        l.extend(&row.labels[1..]);
        s.truncate(max_tokens);
        l.truncate(max_tokens);
        slots.push(s);
        labels.push(l);
    }
    let last = labels
        .iter()
        .filter_map(|l| l.iter().rposition(Option::is_some))
        .max();
    let length = last.ok_or_else(|| {
        ModelError::argument(
            "rows",
            "no token to learn: every label is masked or cut off",
        )
    })? + 1;
    for (s, l) in slots.iter_mut().zip(&mut labels) {
        s.resize(length, Slot::Pad);
        l.resize(length, None);
    }
    Ok(Assembled { slots, labels })
}

/// Token ids `[batch, tokens]` of assembled rows (pads and visual places hold 0), and the visual
/// tokens' places, where there are any.
pub(crate) struct SlotTensors {
    pub ids: Tensor<2, Int>,
    pub visual: Option<VisualPlaces>,
}

/// Where visual tokens stand.
pub(crate) struct VisualPlaces {
    /// True at a visual token, `[batch, tokens]`.
    pub mask: Tensor<2, Bool>,
    /// Row of the flattened visual tokens that stands there, `[batch * tokens]`.
    pub index: Tensor<1, Int>,
}

/// Uploads the places of assembled rows, all of one length; `visual` tokens a picture, each picture
/// shared by `share` rows that follow one another.
pub(crate) fn slot_tensors(
    rows: &[Vec<Slot>],
    visual: usize,
    share: usize,
    device: &Device,
) -> SlotTensors {
    let shape = [rows.len(), rows.first().map_or(0, Vec::len)];
    let flat = || {
        rows.iter()
            .enumerate()
            .flat_map(|(b, r)| r.iter().map(move |s| (b, *s)))
    };
    let ids: Vec<i32> = flat()
        .map(|(_, s)| match s {
            Slot::Token(id) => id as i32,
            _ => 0,
        })
        .collect();
    let index: Vec<i32> = flat()
        .map(|(b, s)| match s {
            Slot::Visual(m) => (b / share * visual) as i32 + m as i32,
            _ => 0,
        })
        .collect();
    let mask: Vec<bool> = flat().map(|(_, s)| matches!(s, Slot::Visual(_))).collect();
    let visual = mask.contains(&true).then(|| VisualPlaces {
        mask: Tensor::from_data(TensorData::new(mask, shape), device),
        index: Tensor::from_data(TensorData::new(index, [shape[0] * shape[1]]), device),
    });
    SlotTensors {
        ids: Tensor::from_data(TensorData::new(ids, shape), device),
        visual,
    }
}
