//! What quantising did.

use serde::Serialize;

use super::encode::Errors;
use super::{Kept, Method, Scheme};

/// What became of a package's tensors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantReport {
    /// Bits of a code.
    pub scheme: Scheme,
    /// How scales were chosen.
    pub method: Method,
    /// Every tensor, sorted by name.
    pub tensors: Vec<TensorReport>,
    /// Length of all shards before.
    pub bytes_before: u64,
    /// Length of all shards now.
    pub bytes_after: u64,
}

impl QuantReport {
    /// How many tensors were quantised.
    pub fn quantised(&self) -> usize {
        let kept = self.tensors.iter().filter(|tensor| tensor.kept.is_some());
        self.tensors.len() - kept.count()
    }
}

/// What became of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// How it is stored now: `q4`, `q8`, `F32`, `F16` or `BF16`.
    pub kind: &'static str,
    /// Why it stayed float, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Bits stored for each of its elements, scales and padding included.
    pub bits_per_weight: f64,
    /// Largest difference from its value before.
    pub max_abs_error: f64,
    /// Root of the mean squared difference.
    pub rms_error: f64,
    /// Root of the squared differences over the squared values.
    pub relative_error: f64,
    /// Root of the squared differences of its products with the activations it was calibrated with,
    /// over the squared products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_error: Option<f64>,
}

impl TensorReport {
    /// The report of a tensor of which `bytes` are stored.
    pub(super) fn new(
        name: &str,
        shape: &[usize],
        kind: &'static str,
        kept: Option<Kept>,
        bytes: usize,
        errors: &Errors,
    ) -> Self {
        let elements = shape.iter().product::<usize>() as f64;
        let over = |sum: f64, whole: f64| if whole > 0.0 { sum / whole } else { 0.0 };
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            kind,
            kept,
            bits_per_weight: over(8.0 * bytes as f64, elements),
            max_abs_error: errors.max_abs,
            rms_error: over(errors.squares, elements).sqrt(),
            relative_error: over(errors.squares, errors.weight_squares).sqrt(),
            product_error: (errors.product.1 > 0.0)
                .then(|| (errors.product.0 / errors.product.1).sqrt()),
        }
    }
}
