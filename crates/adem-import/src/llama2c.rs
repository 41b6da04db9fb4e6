//! llama2.c's `export.py`, version 0: seven numbers, then float32 tensors in a fixed order, those
//! of one kind for all layers together (karpathy/llama2.c, `run.c`: `memory_map_weights`).

use crate::dtype::Dtype;
use crate::error::ImportError;
use crate::input::Input;
use crate::tensors::{Entry, Metadata};

/// Bytes of the header.
const HEADER_BYTES: usize = 28;
/// Largest number that is believed in a header.
const LARGEST: i32 = 1 << 20;

/// Sizes of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the format's.
pub struct Header {
    pub dim: u64,
    pub hidden_dim: u64,
    pub n_layers: u64,
    pub n_heads: u64,
    pub n_kv_heads: u64,
    pub vocab_size: u64,
    pub seq_len: u64,
    /// The output head is the token embedding.
    pub shared: bool,
}

impl Header {
    /// The header of a file that begins with `first` and has the length its sizes ask for; `None`
    /// where it is no such file.
    pub(crate) fn of(first: &[u8], input: &Input) -> Result<Option<Self>, ImportError> {
        let mut first = first.to_vec();
        if first.len() < HEADER_BYTES {
            first = input.first(HEADER_BYTES as u64)?;
        }
        if first.len() < HEADER_BYTES {
            return Ok(None);
        }
        let words: Vec<i32> = first[..HEADER_BYTES]
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| i32::from_le_bytes(*word))
            .collect();
        let sizes: Option<Vec<u64>> = words
            .iter()
            .map(|size| size.checked_abs().filter(|it| (1..=LARGEST).contains(it)))
            .map(|size| size.and_then(|it| u64::try_from(it).ok()))
            .collect();
        let Some(sizes) = sizes else {
            return Ok(None);
        };
        // Only the vocabulary may be negative, which says that the output head is its own.
        let positive = words
            .iter()
            .enumerate()
            .all(|(i, size)| i == 5 || *size > 0);
        let header = Self {
            dim: sizes[0],
            hidden_dim: sizes[1],
            n_layers: sizes[2],
            n_heads: sizes[3],
            n_kv_heads: sizes[4],
            vocab_size: sizes[5],
            seq_len: sizes[6],
            shared: words[5] > 0,
        };
        let divides = header.dim.is_multiple_of(2 * header.n_heads)
            && header.n_heads.is_multiple_of(header.n_kv_heads);
        Ok((positive && divides && header.length() == Some(input.length())).then_some(header))
    }

    fn kv_dim(&self) -> u64 {
        self.dim / self.n_heads * self.n_kv_heads
    }

    /// Kinds of tensors in the order of the file: name, shape of one layer's, layers; no name for
    /// numbers that are not used.
    fn kinds(&self) -> Vec<(Option<&'static str>, Vec<u64>, u64)> {
        let (d, h, n) = (self.dim, self.hidden_dim, self.n_layers);
        let mut kinds = vec![
            (Some("tok_embeddings.weight"), vec![self.vocab_size, d], 1),
            (Some("attention_norm.weight"), vec![d], n),
            (Some("attention.wq.weight"), vec![d, d], n),
            (Some("attention.wk.weight"), vec![self.kv_dim(), d], n),
            (Some("attention.wv.weight"), vec![self.kv_dim(), d], n),
            (Some("attention.wo.weight"), vec![d, d], n),
            (Some("ffn_norm.weight"), vec![d], n),
            (Some("feed_forward.w1.weight"), vec![h, d], n),
            (Some("feed_forward.w2.weight"), vec![d, h], n),
            (Some("feed_forward.w3.weight"), vec![h, d], n),
            (Some("norm.weight"), vec![d], 1),
            // Sines and cosines, which follow from the sizes.
            (None, vec![self.seq_len, d / self.n_heads], 1),
        ];
        if !self.shared {
            kinds.push((Some("output.weight"), vec![self.vocab_size, d], 1));
        }
        kinds
    }

    /// Length of the file; `None` where it cannot be counted.
    fn length(&self) -> Option<u64> {
        self.kinds()
            .iter()
            .try_fold(HEADER_BYTES as u64, |sum, (_, shape, layers)| {
                let elements = shape
                    .iter()
                    .try_fold(*layers, |n, dim| n.checked_mul(*dim))?;
                sum.checked_add(elements.checked_mul(4)?)
            })
    }
}

/// Reads the header and names the tensors as Meta does.
pub(crate) fn parse(input: &Input) -> Result<(Vec<Entry>, Metadata), ImportError> {
    let refuse = || {
        let reason = "its length is not what its header asks for";
        ImportError::malformed(input.name(), "llama2.c", reason)
    };
    let header = Header::of(&[], input)?.ok_or_else(refuse)?;
    let mut entries = Vec::new();
    let mut start = HEADER_BYTES as u64;
    for (kind, shape, layers) in header.kinds() {
        for layer in 0..layers {
            // The length has been checked: nothing is beyond the file's end.
            let bytes = 4 * shape.iter().product::<u64>();
            if let Some(kind) = kind {
                let name = match layers_have(kind) {
                    true => format!("layers.{layer}.{kind}"),
                    false => kind.to_owned(),
                };
                entries.push(Entry::new(input, name, Dtype::F32, shape.clone(), start)?);
            }
            start += bytes;
        }
    }
    Ok((entries, Metadata::Llama2c(header)))
}

/// Whether each layer has one of this kind.
fn layers_have(kind: &str) -> bool {
    !matches!(
        kind,
        "tok_embeddings.weight" | "norm.weight" | "output.weight"
    )
}
