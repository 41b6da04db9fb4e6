//! Layers shared by the encoder, the decoder and the projectors.
//!
//! Every layer asks a [`TensorSource`] for its weights; `name` is the path it stands under in a
//! checkpoint.

mod weight;

use adem_kernels::{Matrix, Watches, host, ops};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::adem::AdemVl;
use crate::source::{Placed, SourceError, TensorSource};
pub use weight::Weight;

/// What layers are built from: the tensors and the device they go to.
pub struct Builder<'a> {
    source: &'a mut dyn TensorSource,
    device: &'a Device,
    frozen: DType,
    inference: bool,
    watches: Option<&'a mut Watches>,
    numbers: usize,
}

impl<'a> Builder<'a> {
    /// Layers with the tensors of `source` on `device`.
    pub fn new(source: &'a mut dyn TensorSource, device: &'a Device) -> Self {
        Self {
            source,
            device,
            frozen: DType::F32,
            inference: false,
            watches: None,
            numbers: 0,
        }
    }

    /// Keeps the matrices that are never trained in `dtype`: half the memory, and matrix products
    /// in that precision. Everything else stays `f32`.
    #[must_use]
    pub fn with_frozen(mut self, dtype: DType) -> Self {
        self.frozen = dtype;
        self
    }

    /// The model is for inference alone: matrices that multiply the same activations are laid
    /// together where the device has kernels that gain by it, and on the CPU backend all lie where
    /// products with them are fastest. Such are no parameters.
    #[must_use]
    pub fn for_inference(mut self) -> Self {
        self.inference = true;
        self
    }

    /// What meets each float matrix of a model [for inference](Self::for_inference) on the CPU
    /// backend goes to `watches`, under the weight's name.
    #[must_use]
    pub fn watched(mut self, watches: Option<&'a mut Watches>) -> Self {
        self.watches = watches;
        self
    }

    /// Numbers in all tensors handed out so far.
    pub fn numbers(&self) -> usize {
        self.numbers
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
        let placed = self.placed(name, &shape)?;
        self.param_from(placed, name, shape)
    }

    fn param_from<const D: usize>(
        &mut self,
        placed: Option<Placed>,
        name: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<D>>, SourceError> {
        Ok(Param::from_tensor(self.tensor(placed, name, shape)?))
    }

    /// The tensor `name` on the device, in single precision.
    fn tensor<const D: usize>(
        &mut self,
        placed: Option<Placed>,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<D>, SourceError> {
        Ok(match placed {
            Some(Placed::Float(values)) => values.reshape(shape),
            Some(Placed::Packed(matrix)) => matrix.unpacked().reshape(shape),
            None => upload(self.data(name, &shape)?, self.device),
        })
    }

    /// The weight `name` of `shape` that multiplies activations: in blocks where the source has it
    /// so and the device multiplies those, fixed where the model is
    /// [for inference](Self::for_inference) on the CPU backend, else a parameter, kept in the
    /// precision of [`with_frozen`](Self::with_frozen) unless it is trained.
    ///
    /// # Errors
    /// Those of [`TensorSource`].
    pub fn weight<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Weight<D>, SourceError> {
        let placed = match self.placed(name, &shape)? {
            Some(Placed::Packed(matrix)) => return Ok(Weight::Fixed(Box::new(matrix))),
            placed => placed,
        };
        if placed.is_none()
            && adem_kernels::keeps_packed(self.device)
            && let Some(blocks) = self.source.packed(name, &shape)?
        {
            let expected = [shape[0], shape[1..].iter().product()];
            if blocks.shape() != expected {
                return Err(SourceError::Shape {
                    name: name.to_owned(),
                    expected: expected.to_vec(),
                    found: blocks.shape().to_vec(),
                });
            }
            self.numbers += shape.iter().product::<usize>();
            return Ok(Weight::Fixed(Box::new(Matrix::packed(blocks, self.device))));
        }
        if self.inference && adem_kernels::on_host(self.device) {
            let values = self.tensor(placed, name, shape)?;
            let matrix = Matrix::fixed(weight::flat(values));
            let matrix = match &mut self.watches {
                Some(watches) => matrix.watched(watches.of(name, shape[1..].iter().product())),
                None => matrix,
            };
            return Ok(Weight::Fixed(Box::new(matrix)));
        }
        // Convolutions are small, and the first to see the picture.
        if D != 2 || self.frozen == DType::F32 || AdemVl::is_trained(name) {
            return self.param_from(placed, name, shape).map(Weight::Float);
        }
        let tensor = match placed.is_none() && !adem_kernels::on_host(self.device) {
            // The device never holds it in single precision.
            true => {
                let data = self.data(name, &shape)?.convert_dtype(self.frozen);
                Tensor::from_data(data, (self.device, self.frozen))
            }
            false => self.tensor(placed, name, shape)?.cast(self.frozen),
        };
        Ok(Weight::Float(Param::from_tensor(tensor)))
    }

    /// The tensor `name` where it is on the device already.
    fn placed(&mut self, name: &str, shape: &[usize]) -> Result<Option<Placed>, SourceError> {
        let placed = self.source.placed(name, shape)?;
        let expected = [shape[0], shape[1..].iter().product()];
        let numbers = shape.iter().product::<usize>();
        let fits = match &placed {
            Some(Placed::Float(values)) => values.dims() == [numbers],
            Some(Placed::Packed(matrix)) => matrix.shape() == expected,
            None => return Ok(None),
        };
        match fits {
            true => {
                self.numbers += numbers;
                Ok(placed)
            }
            false => Err(SourceError::Unreadable {
                name: name.to_owned(),
                message: "it was brought here in another shape".to_owned(),
            }),
        }
    }

    fn data(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let data = self.source.tensor(name, shape)?;
        match data.shape().as_slice() == shape {
            true => {
                self.numbers += shape.iter().product::<usize>();
                Ok(data)
            }
            false => Err(SourceError::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: data.shape().to_vec(),
            }),
        }
    }
}

/// `data`, in single precision, on `device`: where weights lie that stay.
pub fn upload<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    match adem_kernels::on_host(device) {
        true => host::from_data(data, device),
        false => device.memory_persistent_allocations(data, |data| Tensor::from_data(data, device)),
    }
}

/// `y = x W^T + b`, weight `[out, in]` as checkpoints store it.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Weight,
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
            weight: b.weight(&format!("{name}.weight"), [outputs, inputs])?,
            bias: match bias {
                true => Some(b.param(&format!("{name}.bias"), [outputs])?),
                false => None,
            },
        })
    }

    /// The outputs of layers without biases below one another, where the
    /// [builder](Builder::for_inference) lays them together and they are stored alike.
    pub(crate) fn joined(b: &Builder, parts: &[Self]) -> Option<Self> {
        if !b.inference || !adem_kernels::multiplies(b.device) {
            return None;
        }
        let parts: Vec<Matrix> = parts.iter().map(|part| part.weight.matrix()).collect();
        Some(Self {
            weight: Weight::Fixed(Box::new(Matrix::stacked(&parts)?)),
            bias: None,
        })
    }

    /// `[.., in]` to `[.., out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.weight.multiply(x, self.bias.as_ref().map(|b| b.val()))
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
        let (gain, shift) = (self.weight.val(), self.bias.val());
        if adem_kernels::multiplies(&x.device()) {
            let (shape, width) = (x.dims(), gain.dims()[0]);
            let rows = shape.iter().product::<usize>() / width.max(1);
            let x = x.reshape([1, rows, width]);
            return adem_kernels::layer_norm(x, &gain, &shift, self.eps).reshape(shape);
        }
        ops::layer_norm(x, &gain, &shift, self.eps)
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

    /// Added to the mean square.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// `[batch, tokens, dim]` to the same shape.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        adem_kernels::rms_norm(x, &self.weight.val(), self.eps)
    }
}

/// A table of token embeddings.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocabulary, dim]`.
    pub weight: Weight,
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
            weight: b.weight(&format!("{name}.weight"), [vocabulary, dim])?,
        })
    }

    /// Token ids `[batch, tokens]` to `[batch, tokens, dim]`.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.weight.matrix().rows(ids).cast(DType::F32)
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
        self.fc2.forward(ops::silu(self.fc1.forward(x)))
    }
}
