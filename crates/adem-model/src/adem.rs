//! The whole model: encoder, projectors, fusion and decoder.

use adem_kernels::{host, ops};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::assemble::{Labels, Prefix, Slot, TrainRow, assemble_rows, slot_tensors};
use crate::config::{AdemConfig, ModelConfig};
use crate::error::ModelError;
use crate::fusion::VisualMemory;
use crate::language::{Llama, Positions, Vision};
use crate::loss::token_loss;
use crate::nn::{Builder, Projector};
use crate::source::TensorSource;
use crate::vision::{ClipVision, Dropout, pool_grid};

/// ADEM-VL. Trainable are `adapter_*` and the encoder's `adapter_mlp`; the rest stays frozen.
#[derive(Module, Debug)]
pub struct AdemVl {
    /// The decoder.
    pub llama: Llama,
    /// The encoder.
    pub visual: ClipVision,
    /// Position embedding of the keys, `[1, N, D]`, shared by all blocks.
    pub adapter_emb1: Param<Tensor<3>>,
    /// Position embedding of the values, `[1, N, D]`, shared by all blocks.
    pub adapter_emb2: Param<Tensor<3>>,
    /// Patch features to the decoder's width.
    pub adapter_proj: Projector,
    /// `[cls]` (and input-stage patches) to the decoder's width.
    pub adapter_proj_cls: Option<Projector>,
    #[module(skip)]
    config: ModelConfig,
    #[module(skip)]
    parameters: usize,
}

/// What the decoder sees of a batch of pictures; computed once per picture.
#[derive(Debug, Clone)]
pub struct VisualPrompt {
    /// K and U of every row.
    pub memory: VisualMemory,
    /// Tokens placed in the text, `[batch, M, D]`.
    pub tokens: Option<Tensor<3>>,
    /// Which rows have a picture.
    pub pictures: Vec<bool>,
}

impl VisualPrompt {
    /// Checks that `rows` texts can be about these pictures, as many about each.
    pub(crate) fn serves(&self, rows: usize) -> Result<(), ModelError> {
        let pictures = self.pictures.len();
        if rows == 0 || pictures != self.memory.batch() || !rows.is_multiple_of(pictures) {
            return Err(ModelError::argument(
                "rows",
                format!("{rows} texts for {pictures} pictures"),
            ));
        }
        Ok(())
    }

    /// Whether the text `row` of `rows` has a picture.
    pub(crate) fn has_picture(&self, row: usize, rows: usize) -> bool {
        self.pictures
            .get(row * self.pictures.len() / rows.max(1))
            .copied()
            .unwrap_or(false)
    }
}

impl AdemVl {
    /// Builds the model of `config` on `device` from the tensors of `source`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for impossible sizes, [`ModelError::Source`] for missing or
    /// mis-shaped tensors.
    pub fn new(
        config: &ModelConfig,
        source: &mut dyn TensorSource,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, &mut Builder::new(source, device))
    }

    /// [`new`](Self::new) with a builder that may keep the frozen matrices in half precision.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn build(config: &ModelConfig, b: &mut Builder) -> Result<Self, ModelError> {
        config.validate()?;
        let before = b.numbers();
        let (a, dim, width) = (&config.adem, config.llama.dim, config.clip.width);
        let widths = [width, a.hidden_proj, dim];
        let emb = [1, a.visual_tokens(), dim];
        let mut model = Self {
            llama: Llama::new(b, &config.llama)?,
            visual: ClipVision::new(b, "backbone.visual", config)?,
            adapter_emb1: b.param("adapter_emb1", emb)?,
            adapter_emb2: b.param("adapter_emb2", emb)?,
            adapter_proj: Projector::new(b, "adapter_proj", widths)?,
            adapter_proj_cls: match a.text_tokens() {
                0 => None,
                _ => Some(Projector::new(b, "adapter_proj_cls", widths)?),
            },
            config: config.clone(),
            parameters: 0,
        };
        model.parameters = b.numbers() - before;
        Ok(model)
    }

    /// Number of parameters, those in fixed weights included.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// What the model is made of.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Changes the fusion's numbers (alpha, beta, gamma, projection, placement) of a built model.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the new settings are impossible or would need other tensors.
    pub fn set_fusion(&mut self, fusion: AdemConfig) -> Result<(), ModelError> {
        let config = ModelConfig {
            adem: fusion,
            ..self.config.clone()
        };
        config.validate()?;
        let (old, new) = (&self.config.adem, &config.adem);
        if (old.visual_tokens(), old.hidden_proj, old.clip_adapter_dim)
            != (new.visual_tokens(), new.hidden_proj, new.clip_adapter_dim)
            || (new.text_tokens() > 0 && self.adapter_proj_cls.is_none())
        {
            return Err(ModelError::config(
                "adem",
                "the model was built with tensors of other sizes",
            ));
        }
        self.config = config;
        Ok(())
    }

    /// Whether ADEM-VL trains the tensor of this name; all others stay frozen.
    pub fn is_trained(name: &str) -> bool {
        name.contains("adapter")
    }

    /// Name of a parameter in checkpoints, from its path in this module.
    pub fn tensor_name(path: &str) -> String {
        match path.strip_prefix("llama.") {
            Some(rest) => rest.to_owned(),
            None if path.starts_with("visual.") => format!("backbone.{path}"),
            None => path.to_owned(),
        }
    }

    /// Pictures `[batch, 3, side, side]`, normalised, to features `[batch, 1 + G*G, width]`.
    pub fn encode(&self, pixels: Tensor<4>, dropout: Option<Dropout>) -> Tensor<3> {
        self.visual.forward(pixels, dropout)
    }

    /// Features of [`encode`](Self::encode) to what the decoder sees. Rows whose `pictures` entry
    /// is false are text alone: their features count for nothing.
    pub fn see(&self, features: Tensor<3>, pictures: &[bool]) -> VisualPrompt {
        let a = &self.config.adem;
        let [batch, all, width] = features.dims();
        let device = features.device();
        let cls = features.clone().narrow(1, 0, 1);
        let patches = features.narrow(1, 1, all - 1);
        let v = self
            .adapter_proj
            .forward(pool_grid(patches.clone(), &a.down_sample, a.pool));
        let scale: Vec<f32> = pictures
            .iter()
            .map(|on| if *on { a.beta as f32 } else { 0.0 })
            .collect();
        let v = ops::mul(v, host::tensor(scale, [batch, 1, 1], &device));
        let tokens = self
            .adapter_proj_cls
            .as_ref()
            .filter(|_| a.text_tokens() > 0)
            .map(|proj| {
                let mut rows = Vec::new();
                if a.with_cls {
                    rows.push(cls.reshape([batch, 1, width]));
                }
                if a.input_tokens > 0 {
                    rows.push(pool_grid(patches, &[a.input_tokens], a.pool));
                }
                proj.forward(ops::cat(rows, 1))
            });
        VisualPrompt {
            memory: self.remember(v),
            tokens,
            pictures: pictures.to_vec(),
        }
    }

    /// What the decoder sees of `batch` rows without pictures.
    pub fn see_nothing(&self, batch: usize) -> VisualPrompt {
        let [_, n, dim] = self.adapter_emb1.dims();
        let v = Tensor::zeros([batch, n, dim], &self.adapter_emb1.val().device());
        VisualPrompt {
            memory: self.remember(v),
            tokens: None,
            pictures: vec![false; batch],
        }
    }

    fn remember(&self, v: Tensor<3>) -> VisualMemory {
        let phi = self.config.adem.phi;
        VisualMemory::new(v, self.adapter_emb1.val(), self.adapter_emb2.val(), phi)
    }

    /// Decoder's view of a prompt's pictures.
    pub fn vision<'a>(&'a self, prompt: &'a VisualPrompt) -> Vision<'a> {
        Vision {
            memory: &prompt.memory,
            config: &self.config.adem,
            trace: None,
        }
    }

    /// Visual tokens in the text of a row with a picture.
    pub fn text_tokens(&self) -> usize {
        self.config.adem.text_tokens()
    }

    /// Embeddings `[batch, tokens, dim]` of assembled rows, all of one length.
    pub(crate) fn embed(&self, slots: &[Vec<Slot>], tokens: Option<&Tensor<3>>) -> Tensor<3> {
        let device = self.adapter_emb1.val().device();
        let [pictures, visual, _] = tokens.map_or([1, 0, 0], |t| t.dims());
        let share = (slots.len() / pictures.max(1)).max(1);
        let places = slot_tensors(slots, visual, share, &device);
        let text = self.llama.embed(places.ids);
        match (places.visual, tokens) {
            (Some(places), Some(tokens)) => places.fill(text, tokens.clone()),
            _ => text,
        }
    }

    /// Embeddings `[rows, tokens, dim]` of a training batch and the labels of every place: the
    /// decoder's input. Rows that follow one another may share a picture: there are as many for
    /// each.
    ///
    /// # Errors
    /// Those of [`forward`](Self::forward).
    pub fn assemble(
        &self,
        prompt: &VisualPrompt,
        rows: &[TrainRow],
        prefix: &Prefix,
        max_tokens: usize,
    ) -> Result<(Tensor<3>, Labels), ModelError> {
        prompt.serves(rows.len())?;
        let batch = assemble_rows(rows, self.text_tokens(), prefix, max_tokens)?;
        let embeddings = self.embed(&batch.slots, prompt.tokens.as_ref());
        Ok((embeddings, batch.labels))
    }

    /// Runs a training batch. Returns normalised hidden states `[rows, tokens, dim]` and the
    /// labels of every place. Rows that follow one another may share a picture: there are as many
    /// for each.
    ///
    /// # Errors
    /// [`ModelError::Argument`] for rows without anything to learn, of mismatched lengths or not
    /// as many for each picture.
    pub fn forward(
        &self,
        prompt: &VisualPrompt,
        rows: &[TrainRow],
        prefix: &Prefix,
        max_tokens: usize,
    ) -> Result<(Tensor<3>, Labels), ModelError> {
        let (embeddings, labels) = self.assemble(prompt, rows, prefix, max_tokens)?;
        let positions = Positions::new(embeddings.dims()[1], 0, &[]);
        let hidden = self
            .llama
            .hidden(embeddings, Some(self.vision(prompt)), &positions, None);
        Ok((hidden, labels))
    }

    /// Mean cross-entropy over the labelled tokens of a training batch; see
    /// [`forward`](Self::forward).
    ///
    /// # Errors
    /// Those of [`forward`](Self::forward).
    pub fn loss(
        &self,
        prompt: &VisualPrompt,
        rows: &[TrainRow],
        prefix: &Prefix,
        max_tokens: usize,
    ) -> Result<Tensor<1>, ModelError> {
        let (hidden, labels) = self.forward(prompt, rows, prefix, max_tokens)?;
        token_loss(&self.llama, hidden, &labels)
            .ok_or_else(|| ModelError::argument("rows", "no token to learn"))
    }
}
