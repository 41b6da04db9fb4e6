//! Putting text and visual tokens in one sequence:
//! `BOS "Image: " <visual tokens> rest` with a picture, `BOS "Image: N/A" rest` without.

use adem_kernels::host;
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

/// Where visual tokens stand: for every place the row of the flattened visual tokens that stands
/// there, `[batch * tokens]`.
pub(crate) struct VisualPlaces(Vec<Option<i32>>);

/// Uploads the places of assembled rows, all of one length; `visual` tokens a picture, each picture
/// shared by `share` rows that follow one another.
pub(crate) fn slot_tensors(
    rows: &[Vec<Slot>],
    visual: usize,
    share: usize,
    device: &Device,
) -> SlotTensors {
    let shape = [rows.len(), rows.first().map_or(0, Vec::len)];
    let ids = rows.iter().flatten().map(|slot| match slot {
        Slot::Token(id) => *id as i32,
        _ => 0,
    });
    let ids = host::int_tensor(ids.collect(), shape, device);
    let places = rows.iter().enumerate().flat_map(|(b, row)| {
        row.iter().map(move |slot| match slot {
            Slot::Visual(m) => Some((b / share * visual) as i32 + *m as i32),
            _ => None,
        })
    });
    let places: Vec<_> = places.collect();
    let visual = places.iter().any(Option::is_some);
    SlotTensors {
        ids,
        visual: visual.then_some(VisualPlaces(places)),
    }
}

impl VisualPlaces {
    /// Embeddings `text` `[batch, tokens, dim]` with the visual `tokens` `[pictures, M, dim]` in
    /// their places.
    pub fn fill(self, text: Tensor<3>, tokens: Tensor<3>) -> Tensor<3> {
        let (device, [batch, length, dim]) = (text.device(), text.dims());
        if adem_kernels::on_host(&device) {
            return host::rows_into(text, &tokens, &self.0);
        }
        let index = self.0.iter().map(|place| place.unwrap_or(0)).collect();
        let picked = tokens
            .reshape([-1, dim as i64])
            .select(0, host::int_tensor(index, [batch * length], &device))
            .reshape([batch, length, dim]);
        let mask: Vec<bool> = self.0.iter().map(Option::is_some).collect();
        let mask = TensorData::new(mask, [batch, length, 1]);
        let mask = Tensor::<3, Bool>::from_data(mask, &device).expand([batch, length, dim]);
        text.mask_where(mask, picked)
    }
}
