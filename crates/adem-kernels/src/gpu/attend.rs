//! Parameter-free cross-attention: `shaders/cross_attention.wgsl`, `shaders/cross_scores.wgsl` and
//! `shaders/cross_mix.wgsl`, or products and `shaders/mask_scores.wgsl`.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::DType;

use super::launch::{Launch, bindable, empty, folded};
use super::product::{Product, Size, Weights};
use super::registry;
use super::shader::{self, Element};
use crate::cross_attention::CrossAttention;
use crate::variant::{Format, Rows, Task, Variant};

/// Most visual tokens of the forms for few rows.
pub(crate) const FUSED_TOKENS: usize = 1024;

/// Vectors of the query staged at once.
const STAGE: u32 = 256;

/// Rows up to which the forms for few are taken: beyond, keys and values are better read in tiles.
pub(crate) const FUSED_ROWS: usize = 8;

/// One cross-attention; all tensors contiguous f32 on one device.
#[derive(Debug, Clone)]
pub(crate) struct Attend {
    /// Queries before phi, `[batch, rows, D]`.
    pub x: CubeTensor,
    /// Projected keys, `[batch, N, D]`.
    pub keys: CubeTensor,
    /// Values, `[batch, N, D]`.
    pub values: CubeTensor,
    /// Added to the result, `[batch, rows, D]`.
    pub residual: Option<CubeTensor>,
    pub settings: CrossAttention,
}

/// Masked scores and the map of those kept (1 or 0), each `[batch, rows, N]`.
pub(crate) struct Scores {
    pub masked: CubeTensor,
    pub kept: CubeTensor,
}

impl Attend {
    fn size(&self) -> [usize; 4] {
        let x = self.x.meta.shape();
        [x[0], x[1], self.keys.meta.shape()[1], x[2]]
    }

    /// The form to run on this device, where the kernels hold it and none of its parts is
    /// switched off.
    pub fn variant(&self) -> Option<Variant> {
        let [batch, rows, tokens, _] = self.size();
        let device = &self.x.device;
        let split = self.scoring().fits() && self.mixing(&self.x).fits() && {
            let rows = Rows::of(rows);
            registry::variant(device, Task::Product(rows, Format::Float)).is_some()
                && registry::variant(device, Task::Product(rows, Format::Across)).is_some()
                && registry::variant(device, Task::MaskScores).is_some()
        };
        if batch * rows > FUSED_ROWS || tokens > FUSED_TOKENS {
            return split.then_some(Variant::Split);
        }
        match registry::variant(device, Task::CrossAttention) {
            Some(Variant::Split) | None => split.then_some(Variant::Split),
            fused => fused.filter(|_| bindable(&[&self.x, &self.keys, &self.values])),
        }
    }

    /// The result, `[batch, rows, D]`.
    pub fn run(&self, variant: Variant) -> CubeTensor {
        match variant {
            Variant::Fused { lanes } => self.fused(lanes, None),
            Variant::Spread { lanes } => self.spread(lanes, None),
            _ => self.mix(mask(&run(self.scoring()), self.needed(), None)),
        }
    }

    /// The result and the map of kept scores.
    pub fn run_with_map(&self, variant: Variant) -> (CubeTensor, CubeTensor) {
        match variant {
            Variant::Fused { lanes } => {
                let kept = self.empty_map();
                (self.fused(lanes, Some(&kept)), kept)
            }
            Variant::Spread { lanes } => {
                let kept = self.empty_map();
                (self.spread(lanes, Some(&kept)), kept)
            }
            _ => {
                let scores = self.scores();
                (self.mix(scores.masked), scores.kept)
            }
        }
    }

    fn empty_map(&self) -> CubeTensor {
        let [batch, rows, tokens, _] = self.size();
        empty(&self.x, [batch, rows, tokens], DType::F32)
    }

    fn fused(&self, lanes: u32, kept: Option<&CubeTensor>) -> CubeTensor {
        let [batch, rows, tokens, dim] = self.size();
        let (vectors, vector) = vectors(dim);
        let out = empty(&self.x, [batch, rows, dim], DType::F32);
        let mut launch = Launch::new(shader::CROSS_ATTENTION, 256, &self.x)
            .part(vector)
            .constant("LANES", lanes)
            .constant("STAGE", STAGE)
            .constant("TOKENS", FUSED_TOKENS as u32)
            .flag("SHARED", lanes > 1)
            .flag("RESIDUAL", self.residual.is_some())
            .flag("KEPT", kept.is_some())
            .read("x", Element::Vector, &self.x)
            .read("keys", Element::Vector, &self.keys)
            .read("values", Element::Vector, &self.values);
        if let Some(residual) = &self.residual {
            launch = launch.read("residual", Element::Vector, residual);
        }
        if let Some(kept) = kept {
            launch = launch.write("kept", Element::F32, kept);
        }
        let [x, y] = folded(batch * rows);
        launch.write("out", Element::Vector, &out).dispatch(
            [x, y, 1],
            [
                [batch * rows, rows, tokens, vectors].map(|v| v as u32),
                [self.needed(), (self.settings.alpha as f32).to_bits(), 0, 0],
            ],
        );
        out
    }

    fn spread(&self, lanes: u32, kept: Option<&CubeTensor>) -> CubeTensor {
        const SCORING: u32 = 64;
        const MIXING: u32 = 256;
        const COLUMNS: u32 = 16;
        let [batch, rows, tokens, dim] = self.size();
        let (vectors, vector) = vectors(dim);
        let all = batch * rows;
        // Few shaders, as there are at most FUSED_TOKENS; comparing scores is quadratic.
        let own = (tokens as u32).div_ceil(MIXING);
        let sizes = [rows, tokens, vectors, 0].map(|v| v as u32);
        let scores = self.empty_map();
        Launch::new(shader::CROSS_SCORES, SCORING, &self.x)
            .part(vector)
            .constant("LANES", lanes)
            .read("x", Element::Vector, &self.x)
            .read("keys", Element::Vector, &self.keys)
            .write("scores", Element::F32, &scores)
            .dispatch(
                [tokens.div_ceil((SCORING / lanes) as usize), all, 1],
                [sizes],
            );
        let out = empty(&self.x, [batch, rows, dim], DType::F32);
        let mut launch = Launch::new(shader::CROSS_MIX, MIXING, &self.x)
            .part(vector)
            .constant("COLUMNS", COLUMNS)
            .constant("TOKENS", own * MIXING)
            .constant("OWN", own)
            .flag("RESIDUAL", self.residual.is_some())
            .flag("KEPT", kept.is_some())
            .read("scores", Element::F32, &scores)
            .read("values", Element::Vector, &self.values);
        if let Some(residual) = &self.residual {
            launch = launch.read("residual", Element::Vector, residual);
        }
        if let Some(kept) = kept {
            launch = launch.write("kept", Element::F32, kept);
        }
        launch.write("out", Element::Vector, &out).dispatch(
            [vectors.div_ceil(COLUMNS as usize), all, 1],
            [
                sizes,
                [self.needed(), (self.settings.alpha as f32).to_bits(), 0, 0],
            ],
        );
        out
    }

    /// How many scores of a row a kept one is not below.
    fn needed(&self) -> u32 {
        self.settings.drop_index.map_or(0, |index| index as u32 + 1)
    }

    fn scoring(&self) -> Product {
        let [batch, m, n, k] = self.size();
        let weights = Weights::float(Format::Float, self.keys.clone());
        Product {
            own_weights: true,
            silu: true,
            ..Product::new(self.x.clone(), Size { batch, m, k, n }, weights)
        }
    }

    fn mixing(&self, scores: &CubeTensor) -> Product {
        let [batch, m, k, n] = self.size();
        let weights = Weights::float(Format::Across, self.values.clone());
        Product {
            own_weights: true,
            alpha: Some(self.settings.alpha as f32),
            residual: self.residual.clone(),
            ..Product::new(scores.clone(), Size { batch, m, k, n }, weights)
        }
    }

    /// Masked scores and their map.
    pub fn scores(&self) -> Scores {
        let kept = self.empty_map();
        let masked = mask(&run(self.scoring()), self.needed(), Some(&kept));
        Scores { masked, kept }
    }

    /// `alpha * A U + residual` of masked scores.
    pub fn mix(&self, masked: CubeTensor) -> CubeTensor {
        run(self.mixing(&masked))
    }
}

/// Vectors in rows of `width` numbers, and the part that says what one is.
fn vectors(width: usize) -> (usize, shader::File) {
    match width.is_multiple_of(4) {
        true => (width / 4, shader::VECTOR_WIDE),
        false => (width, shader::VECTOR_NARROW),
    }
}

/// Runs a product in its device's form.
pub(crate) fn run(product: Product) -> CubeTensor {
    let task = Task::Product(Rows::of(product.size.m), product.weights.format);
    // Callers have asked whether there is one; a form switched off meanwhile runs once more.
    let variant = registry::variant(&product.x.device, task).unwrap_or(task.variants()[0]);
    product.run(variant)
}

/// The scores `[.., N]` with 0 for those that fewer than `needed` of their row are not above; the
/// map is written to `kept`.
pub(crate) fn mask(scores: &CubeTensor, needed: u32, kept: Option<&CubeTensor>) -> CubeTensor {
    const WORKGROUP: u32 = 64;
    let shape = scores.meta.shape();
    let tokens = shape[shape.num_dims() - 1];
    let wide = tokens.is_multiple_of(4);
    let (width, vector) = vectors(tokens);
    let count = shape.num_elements() / tokens * width;
    let masked = empty(scores, shape.clone(), DType::F32);
    let mut launch = Launch::new(shader::MASK_SCORES, WORKGROUP, scores)
        .part(vector)
        .flag("WIDE", wide)
        .flag("KEPT", kept.is_some())
        .read("scores", Element::Vector, scores);
    if let Some(kept) = kept {
        launch = launch.write("kept", Element::Vector, kept);
    }
    let [x, y] = folded(count.div_ceil(WORKGROUP as usize));
    launch
        .write("masked", Element::Vector, &masked)
        .dispatch([x, y, 1], [[count as u32, width as u32, needed, 0]]);
    masked
}
