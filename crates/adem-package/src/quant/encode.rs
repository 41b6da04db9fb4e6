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
    let mut row = Row::new(values, recipe);
    let places = words.chunks_exact_mut(recipe.scheme.words()).zip(scales);
    for (index, (words, scale)) in places.enumerate() {
        let start = index * BLOCK;
        let (codes, chosen) = row.block(start, &mut errors);
        pack(recipe.scheme, &codes, words);
        *scale = chosen;
        for (value, code) in padded(values, start).iter().zip(codes) {
            let off = f64::from(*value) - f64::from(f32::from(code) * chosen);
            errors.max_abs = errors.max_abs.max(off.abs());
            errors.squares += off * off;
            errors.weight_squares += f64::from(*value) * f64::from(*value);
        }
    }
    errors
}

/// A row whose blocks are chosen from left to right.
struct Row<'a> {
    values: &'a [f32],
    recipe: &'a Recipe<'a>,
    /// How far off the columns are that are done, where others make up for it.
    off: Vec<f32>,
}

impl<'a> Row<'a> {
    fn new(values: &'a [f32], recipe: &'a Recipe<'a>) -> Self {
        let off = match recipe.importance {
            Some(Importance::Product(_)) => vec![0.0; values.len()],
            _ => Vec::new(),
        };
        Self {
            values,
            recipe,
            off,
        }
    }

    /// Codes and scale of the block at `start`.
    fn block(&mut self, start: usize, errors: &mut Errors) -> ([i8; BLOCK], f32) {
        let mut block = padded(self.values, start);
        let columns = start..self.values.len().min(start + BLOCK);
        let (importance, feedback) = match self.recipe.importance {
            None => (None, None),
            Some(Importance::Columns(each)) => (Some(padded(each, start)), None),
            Some(Importance::Product(feedback)) => {
                (Some(padded(feedback.costs(), start)), Some(feedback))
            }
        };
        if let Some(feedback) = feedback {
            let largest = largest(self.recipe.scheme, self.recipe.scale);
            for (value, k) in block.iter_mut().zip(columns.clone()) {
                *value = (*value + feedback.onto(k, 0..start, &self.off)).clamp(-largest, largest);
            }
        }
        let choice = choose(&block, importance.as_ref(), self.recipe);
        let scale = choice.scale;
        let Some(feedback) = feedback else {
            return (choice.codes, scale);
        };
        let mut codes = [0; BLOCK];
        for (column, k) in columns.enumerate() {
            let wanted = block[column] + feedback.onto(k, start..k, &self.off);
            if scale != 0.0 {
                codes[column] = nearest(wanted / scale, self.recipe.scheme) as i8;
            }
            let found = f32::from(codes[column]) * scale;
            self.off[k] = self.values[k] - found;
            let cost = f64::from(feedback.costs()[k]);
            let whole = self.values[k] + feedback.onto(k, 0..k, self.values);
            errors.product.0 += cost * f64::from(wanted - found).powi(2);
            errors.product.1 += cost * f64::from(whole).powi(2);
        }
        (codes, scale)
    }
}

/// The block that starts at `start`, filled up with zeros.
fn padded(values: &[f32], start: usize) -> [f32; BLOCK] {
    let end = values.len().min(start + BLOCK);
    let mut block = [0.0; BLOCK];
    block[..end - start].copy_from_slice(&values[start..end]);
    block
}
