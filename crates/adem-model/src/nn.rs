//! Layers shared by the encoder, the decoder and the projectors.
//!
//! Every layer asks a [`TensorSource`] for its weights; `name` is the path it stands under in a
//! checkpoint.

use burn::module::{Module, Param};
use burn::tensor::activation::silu;
use burn::tensor::module::{layer_norm, linear};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::adem::AdemVl;

use crate::source::{SourceError, TensorSource};

/// What layers are built from: the tensors and the device they go to.
pub struct Builder<'a> {
    source: &'a mut dyn TensorSource,
    device: &'a Device,
    frozen: DType,
}

impl<'a> Builder<'a> {
    /// Layers with the tensors of `source` on `device`.
    pub fn new(source: &'a mut dyn TensorSource, device: &'a Device) -> Self {
        Self {
            source,
            device,
            frozen: DType::F32,
        }
    }

    /// Keeps the matrices that are never trained in `dtype`: half the memory, and matrix products
    /// in that precision. Everything else stays `f32`.
    #[must_use]
    pub fn with_frozen(mut self, dtype: DType) -> Self {
        self.frozen = dtype;
        self
    }

    /// The device layers are built on.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// The parameter `name` of `shape`.
    ///
    /// # Errors
    /// Those of [`TensorSource::tensor`].
    pub fn param<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<D>>, SourceError> {
        let data = self.data(name, &shape)?;
        Ok(Param::from_data(data, self.device))
    }

    /// The parameter `name` of `shape` that multiplies activations: kept in the precision of
    /// [`with_frozen`](Self::with_frozen) unless it is trained.
    ///
    /// # Errors
    /// Those of [`TensorSource::tensor`].
    pub fn matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
    ) -> Result<Param<Tensor<2>>, SourceError> {
        if self.frozen == DType::F32 || AdemVl::is_trained(name) {
            return self.param(name, shape);
        }
        let data = self.data(name, &shape)?.convert_dtype(self.frozen);
        let tensor = Tensor::from_data(data, (self.device, self.frozen));
        Ok(Param::from_tensor(tensor))
    }

    fn data(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let data = self.source.tensor(name, shape)?;
        match data.shape().as_slice() == shape {
            true => Ok(data),
            false => Err(SourceError::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: data.shape().to_vec(),
            }),
        }
    }
}

/// `y = x W^T + b`, weight `[out, in]` as checkpoints store it.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// The layer `name` from `inputs` to `outputs` channels.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(
        b: &mut Builder,
        name: &str,
        [inputs, outputs]: [usize; 2],
        bias: bool,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            weight: b.matrix(&format!("{name}.weight"), [outputs, inputs])?,
            bias: match bias {
                true => Some(b.param(&format!("{name}.bias"), [outputs])?),
                false => None,
            },
        })
    }

    /// `[.., in]` to `[.., out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(|b| b.val());
        product(x, self.weight.val(), bias)
    }
}

/// `x W^T + b` for activations `[.., in]`, weight `[out, in]` and bias `[out]`. A weight kept in
/// another precision multiplies in that one; the result is in the activations' again.
pub(crate) fn product<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let (outer, inner) = (x.dtype(), weight.dtype());
    if outer == inner {
        return linear(x, weight.transpose(), bias);
    }
    let y = linear(x.cast(inner), weight.transpose(), None).cast(outer);
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// Layer normalisation over the last dimension.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`.
    pub weight: Param<Tensor<1>>,
    /// `[width]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// The layer `name` over `width` channels.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &mut Builder, name: &str, width: usize, eps: f64) -> Result<Self, SourceError> {
        Ok(Self {
            weight: b.param(&format!("{name}.weight"), [width])?,
            bias: b.param(&format!("{name}.bias"), [width])?,
            eps,
        })
    }

    /// `[.., width]` to the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        layer_norm(x, self.weight.val(), Some(self.bias.val()), self.eps)
    }
}

/// Root-mean-square normalisation over the last dimension (arXiv 1910.07467).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[dim]`.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    /// The layer `name` over `dim` channels.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &mut Builder, name: &str, dim: usize, eps: f64) -> Result<Self, SourceError> {
        Ok(Self {
            weight: b.param(&format!("{name}.weight"), [dim])?,
            eps,
        })
    }

    /// `[batch, tokens, dim]` to the same shape.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let scale = (x.clone().square().mean_dim(2) + self.eps).sqrt().recip();
        x * scale * self.weight.val().unsqueeze()
    }
}

/// A table of token embeddings.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocabulary, dim]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// The table `name`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(
        b: &mut Builder,
        name: &str,
        [vocabulary, dim]: [usize; 2],
    ) -> Result<Self, SourceError> {
        Ok(Self {
            weight: b.matrix(&format!("{name}.weight"), [vocabulary, dim])?,
        })
    }

    /// Token ids `[batch, tokens]` to `[batch, tokens, dim]`.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        burn::tensor::module::embedding(self.weight.val(), ids).cast(DType::F32)
    }
}

/// `Linear - SiLU - Linear`: from the encoder's width to the decoder's (paper, section 3.2).
#[derive(Module, Debug)]
pub struct Projector {
    /// To the hidden width.
    pub fc1: Linear,
    /// To the decoder's width.
    pub fc2: Linear,
}

impl Projector {
    /// The projector `name` with widths `[inputs, hidden, outputs]`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(
        b: &mut Builder,
        name: &str,
        [inputs, hidden, outputs]: [usize; 3],
    ) -> Result<Self, SourceError> {
        Ok(Self {
            fc1: Linear::new(b, &format!("{name}.fc1"), [inputs, hidden], true)?,
            fc2: Linear::new(b, &format!("{name}.fc2"), [hidden, outputs], true)?,
        })
    }

    /// `[batch, tokens, in]` to `[batch, tokens, out]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(silu(self.fc1.forward(x)))
    }
}
