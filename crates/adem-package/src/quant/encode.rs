//! Rows of floats to rows of blocks.

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use super::choose::{choose, largest, nearest};
use super::feedback::Feedback;
use super::pack::pack;
use super::view::decode_row;
use super::{BLOCK, Geometry, Method, ScaleType, Scheme};

/// How blocks are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe<'a> {
    /// Bits of a code.
    pub scheme: Scheme,
    /// Type of the scales.
    pub scale: ScaleType,
    /// How scales are chosen.
    pub method: Method,
    /// What errors cost; equally much everywhere where nothing is known.
    pub importance: Option<Importance<'a>>,
}

/// What errors of a weight cost. [`Method::Search`] minimises them so weighted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Importance<'a> {
    /// In each column, `[cols]`, finite and not negative: the mean square of the activation that
    /// meets it, say.
    Columns(&'a [f32]),
    /// In the product with the activations; columns make up for one another's errors.
    Product(&'a Feedback),
}

/// Quantised rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// Codes, `[rows, Geometry::row_words]`.
    pub words: Vec<u32>,
    /// Scales as stored, `[rows, blocks]`.
    pub scales: Vec<f32>,
    /// How far off the blocks are.
    pub errors: Errors,
}

impl Blocks {
    /// The weights in single precision, `[rows, cols]`, padding left out.
    pub fn to_f32(&self, scheme: Scheme, geometry: Geometry) -> Vec<f32> {
        let mut values = Vec::with_capacity(geometry.rows * geometry.cols);
        let words = self.words.chunks_exact(geometry.row_words(scheme));
        for (words, scales) in words.zip(self.scales.chunks_exact(geometry.blocks())) {
            decode_row(scheme, words, scales, geometry.cols, &mut values);
        }
        values
    }
}

/// Differences between weights and their blocks.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    /// Largest `|w - c * s|`.
    pub max_abs: f64,
    /// Sum of `(w - c * s)^2`.
    pub squares: f64,
    /// Sum of `w^2`.
    pub weight_squares: f64,
    /// Squared error of the product with the activations, and the squared product, in the mean;
    /// 0 where no [`Importance::Product`] was known.
    pub product: (f64, f64),
}

impl Errors {
    /// Adds those of more weights.
    pub fn add(&mut self, more: &Self) {
        self.max_abs = self.max_abs.max(more.max_abs);
        self.squares += more.squares;
        self.weight_squares += more.weight_squares;
        self.product.0 += more.product.0;
        self.product.1 += more.product.1;
    }
}

/// Why weights cannot be quantised.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// A weight that is not finite, or too large for its scale.
    #[error("{value} at element {index} cannot be quantised; the largest magnitude is {largest}")]
    Unfit {
        /// Row-major index.
        index: usize,
        /// The weight.
        value: f32,
        /// What the type of the scales allows.
        largest: f32,
    },
    /// Values that are no rows.
    #[error("{values} values are no rows of {cols}")]
    Ragged {
        /// Number of values.
        values: usize,
        /// Length of a row.
        cols: usize,
    },
    /// An importance that is not one number a column, finite and not negative.
    #[error("the importance must be {cols} finite numbers, none negative, one a column")]
    Importance {
        /// Number of columns.
        cols: usize,
    },
}

/// Quantises `values`, rows of `cols` weights each. Rows are spread over the processor's cores,
/// except in a browser, and do not depend on one another.
///
/// # Errors
/// [`EncodeError`]; of several weights that do not fit, the first.
pub fn encode(values: &[f32], cols: usize, recipe: &Recipe) -> Result<Blocks, EncodeError> {
    if cols == 0 || !values.len().is_multiple_of(cols) {
        return Err(EncodeError::Ragged {
            values: values.len(),
            cols,
        });
    }
    let sound =
        |each: &[f32]| each.len() == cols && each.iter().all(|v| v.is_finite() && *v >= 0.0);
    let fits = match recipe.importance {
        None => true,
        Some(Importance::Columns(each)) => sound(each),
        Some(Importance::Product(feedback)) => feedback.cols() == cols,
    };
    if !fits {
        return Err(EncodeError::Importance { cols });
    }
    let largest = largest(recipe.scheme, recipe.scale);
    // Written so that NaN is refused too.
    let fits = |value: &f32| value.abs() <= largest;
    if let Some(index) = values.iter().position(|value| !fits(value)) {
        return Err(EncodeError::Unfit {
            index,
            value: values[index],
            largest,
        });
    }
    let blocks = cols.div_ceil(BLOCK);
    let rows = values.len() / cols;
    let mut words = vec![0; rows * blocks * recipe.scheme.words()];
    let mut scales = vec![0.0; rows * blocks];
    let row_words = blocks * recipe.scheme.words();
    let work: Vec<_> = values
        .chunks_exact(cols)
        .zip(words.chunks_exact_mut(row_words))
        .zip(scales.chunks_exact_mut(blocks))
        .collect();
    let row = |((values, words), scales): ((&[f32], &mut [u32]), &mut [f32])| {
        encode_row(values, words, scales, recipe)
    };
    #[cfg(not(target_arch = "wasm32"))]
    let each: Vec<Errors> = work.into_par_iter().map(row).collect();
    #[cfg(target_arch = "wasm32")]
    let each: Vec<Errors> = work.into_iter().map(row).collect();
    // Summed in order: the same weights give the same report.
    let mut errors = Errors::default();
    each.iter().for_each(|more| errors.add(more));
    Ok(Blocks {
        words,
        scales,
        errors,
    })
}

fn encode_row(values: &[f32], words: &mut [u32], scales: &mut [f32], recipe: &Recipe) -> Errors {
    let mut errors = Errors::default();
    let mut row = match recipe.importance {
        None => Row::chosen(values, recipe, None, None),
        Some(Importance::Columns(each)) => Row::chosen(values, recipe, Some(each), None),
        Some(Importance::Product(feedback)) => {
            let costs = Some(feedback.costs());
            let fed = Row::chosen(values, recipe, costs, Some(feedback));
            let alone = Row::chosen(values, recipe, costs, None);
            let [with, without] = [&fed, &alone].map(|row| feedback.cost(&row.off(values)));
            errors.product = (with.min(without), feedback.cost(values));
            if with <= without { fed } else { alone }
        }
    };
    for (value, found) in values.iter().zip(row.values()) {
        let off = f64::from(*value) - found;
        errors.max_abs = errors.max_abs.max(off.abs());
        errors.squares += off * off;
        errors.weight_squares += f64::from(*value) * f64::from(*value);
    }
    let places = words.chunks_exact_mut(recipe.scheme.words());
    for (words, codes) in places.zip(&row.codes) {
        pack(recipe.scheme, codes, words);
    }
    scales.swap_with_slice(&mut row.scales);
    errors
}

/// A row's blocks.
#[derive(Default)]
struct Row {
    codes: Vec<[i8; BLOCK]>,
    scales: Vec<f32>,
}

impl Row {
    /// The blocks of `values`, chosen from left to right, errors weighted by `costs`; with `feedback`
    /// each column makes up for the errors of those before it.
    fn chosen(
        values: &[f32],
        recipe: &Recipe,
        costs: Option<&[f32]>,
        feedback: Option<&Feedback>,
    ) -> Self {
        let largest = largest(recipe.scheme, recipe.scale);
        let mut row = Self::default();
        // How far off the columns are that are done.
        let mut off = vec![0.0; if feedback.is_some() { values.len() } else { 0 }];
        for start in (0..values.len()).step_by(BLOCK) {
            let mut block = padded(values, start);
            let columns = start..values.len().min(start + BLOCK);
            if let Some(feedback) = feedback {
                for (value, k) in block.iter_mut().zip(columns.clone()) {
                    *value = (*value + feedback.onto(k, 0..start, &off)).clamp(-largest, largest);
                }
            }
            let costs = costs.map(|costs| padded(costs, start));
            let mut choice = choose(&block, costs.as_ref(), recipe);
            let scale = choice.scale;
            if let Some(feedback) = feedback {
                for (column, k) in columns.enumerate() {
                    let wanted = block[column] + feedback.onto(k, start..k, &off);
                    let code = match scale {
                        0.0 => 0,
                        scale => nearest(wanted / scale, recipe.scheme) as i8,
                    };
                    choice.codes[column] = code;
                    off[k] = values[k] - f32::from(code) * scale;
                }
            }
            row.codes.push(choice.codes);
            row.scales.push(scale);
        }
        row
    }

    /// What the blocks stand for, padding included.
    fn values(&self) -> impl Iterator<Item = f64> {
        let blocks = self.codes.iter().zip(&self.scales);
        blocks.flat_map(|(codes, scale)| codes.map(|code| f64::from(f32::from(code) * scale)))
    }

    /// How far `values` are from that.
    fn off(&self, values: &[f32]) -> Vec<f32> {
        let both = values.iter().zip(self.values());
        both.map(|(value, found)| (f64::from(*value) - found) as f32)
            .collect()
    }
}

/// The block that starts at `start`, filled up with zeros.
fn padded(values: &[f32], start: usize) -> [f32; BLOCK] {
    let end = values.len().min(start + BLOCK);
    let mut block = [0.0; BLOCK];
    block[..end - start].copy_from_slice(&values[start..end]);
    block
}
