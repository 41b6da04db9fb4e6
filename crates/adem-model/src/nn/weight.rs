//! Weight matrices: parameters, or fixed ones.

use adem_kernels::{Epilogue, Matrix};
use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param,
};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor};

/// A weight `[out, in, ..]` that multiplies activations.
///
/// As a module it is its parameter, under the weight's own name; a fixed weight is not trained, not
/// saved, and stays on the device it was loaded to.
#[derive(Debug, Clone)]
pub enum Weight<const D: usize = 2> {
    /// A parameter.
    Float(Param<Tensor<D>>),
    /// A matrix with `out` rows: blocks as a quantised package stores them, or several weights
    /// below one another.
    Fixed(Box<Matrix>),
}

impl<const D: usize> Weight<D> {
    /// The weight as a matrix `[out, in * ..]`.
    pub fn matrix(&self) -> Matrix {
        match self {
            Self::Float(weight) => Matrix::float(flat(weight.val())),
            Self::Fixed(matrix) => Matrix::clone(matrix),
        }
    }

    /// `x W^T + b` for activations `[.., in]` and bias `[out]`, `[.., out]`.
    ///
    /// A parameter kept in another precision multiplies in that one; the result is in the
    /// activations' again.
    pub fn multiply<const X: usize>(&self, x: Tensor<X>, bias: Option<Tensor<1>>) -> Tensor<X> {
        match self {
            Self::Float(weight) if is_plain(&x.device()) => product(x, flat(weight.val()), bias),
            _ => {
                let mut shape = x.dims();
                let width = shape[X - 1];
                let rows = shape.iter().product::<usize>() / width.max(1);
                let matrix = self.matrix();
                let epilogue = Epilogue {
                    bias: bias.as_ref(),
                    ..Epilogue::default()
                };
                shape[X - 1] = matrix.shape()[0];
                let x = x.reshape([1, rows, width]);
                adem_kernels::linear(x, &matrix, epilogue).reshape(shape)
            }
        }
    }
}

/// Whether float parameters are multiplied in Burn's operations.
fn is_plain(device: &Device) -> bool {
    !adem_kernels::keeps_packed(device)
}

/// `[out, in, ..]` as `[out, in * ..]`.
pub(super) fn flat<const D: usize>(weight: Tensor<D>) -> Tensor<2> {
    let rows = weight.dims()[0];
    weight.reshape([rows as i64, -1])
}

fn product<const X: usize>(x: Tensor<X>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<X> {
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

impl<const D: usize> Weight<D> {
    fn mapped(self, f: impl FnOnce(Param<Tensor<D>>) -> Param<Tensor<D>>) -> Self {
        match self {
            Self::Float(weight) => Self::Float(f(weight)),
            fixed => fixed,
        }
    }
}

impl<const D: usize> Module for Weight<D> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        match self {
            Self::Float(weight) => weight.collect_devices(devices),
            Self::Fixed(_) => devices,
        }
    }

    fn fork(self, device: &Device) -> Self {
        self.mapped(|weight| Module::fork(weight, device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.mapped(|weight| Module::to_device(weight, device))
    }

    fn train(self) -> Self {
        self.mapped(Module::train)
    }

    fn valid(&self) -> Self {
        self.clone().mapped(|weight| weight.valid())
    }

    fn materialize(self) -> Self {
        self.mapped(Module::materialize)
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        if let Self::Float(weight) = self {
            weight.visit(visitor);
        }
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        self.mapped(|weight| Module::map(weight, mapper))
    }
}

impl<const D: usize> ModuleDisplayDefault for Weight<D> {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::Float(weight) => weight.content(content),
            Self::Fixed(matrix) => content
                .add_formatted(&format!("{:?} {:?}", matrix.format(), matrix.shape()))
                .optional(),
        }
    }
}

impl<const D: usize> ModuleDisplay for Weight<D> {}
