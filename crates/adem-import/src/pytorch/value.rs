//! What a pickle of tensors can hold.

use crate::dtype::Dtype;

/// Index of a value in its pickle's list.
pub(super) type Id = usize;

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number or bytes that nothing here looks at, or nothing.
    Plain,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    /// A dictionary, or a record of settings.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
}

/// The only names a pickle may ask for. All stand for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    /// `argparse.Namespace`: a record of settings, which training programs save beside weights.
    Namespace,
    /// `torch.Size`: a tuple.
    Size,
    /// `_rebuild_tensor` and `_rebuild_tensor_v2`: a view of a storage.
    Tensor,
    /// `_rebuild_parameter`: a tensor.
    Parameter,
    /// `torch.FloatStorage` and its like.
    Storage(Dtype),
}

impl Global {
    /// The name `module.name`, where it stands for data.
    pub fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("argparse", "Namespace") => Self::Namespace,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch", storage) => Self::Storage(match storage {
                "DoubleStorage" => Dtype::F64,
                "FloatStorage" => Dtype::F32,
                "HalfStorage" => Dtype::F16,
                "BFloat16Storage" => Dtype::BF16,
                "LongStorage" => Dtype::I64,
                "IntStorage" => Dtype::I32,
                "ShortStorage" => Dtype::I16,
                "CharStorage" => Dtype::I8,
                "ByteStorage" => Dtype::U8,
                "BoolStorage" => Dtype::Bool,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// Numbers that lie in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub key: String,
    pub dtype: Dtype,
    pub elements: u64,
}

/// A view of a storage, within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub storage: Storage,
    /// First element.
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

impl Tensor {
    /// Elements of the storage from the first it uses to after the last; `None` where that is
    /// outside the storage.
    pub fn extent(&self) -> Option<u64> {
        if self.shape.len() != self.strides.len() {
            return None;
        }
        let mut last = 0u64;
        if !self.shape.contains(&0) {
            for (dim, stride) in self.shape.iter().zip(&self.strides) {
                last = last.checked_add((dim - 1).checked_mul(*stride)?)?;
            }
            last = last.checked_add(1)?;
        }
        let end = self.offset.checked_add(last)?;
        (end <= self.storage.elements).then_some(last)
    }

    /// Whether its elements lie row after row.
    pub fn is_contiguous(&self) -> bool {
        let mut wanted = 1u64;
        for (&dim, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if dim != 1 && stride != wanted {
                return false;
            }
            wanted = wanted.saturating_mul(dim);
        }
        true
    }
}
