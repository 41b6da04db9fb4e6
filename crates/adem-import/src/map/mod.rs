//! Which tensors of a checkpoint make which tensors of the package.

pub(crate) mod adapters;
pub(crate) mod language;
pub(crate) mod vision;
pub(crate) mod vit;

/// One tensor of the package and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its name in the package.
    pub name: String,
    pub shape: Vec<u64>,
    /// Names in the source, each with its shape; one below the other they are the tensor.
    pub parts: Vec<(String, Vec<u64>)>,
    /// Where several files share the tensors among them, the dimension of the package's tensor
    /// that they divide; `None` where each file has it whole.
    pub divided: Option<usize>,
}

impl Wanted {
    /// The tensor `from` as it is.
    pub fn whole(name: impl Into<String>, from: impl Into<String>, shape: Vec<u64>) -> Self {
        Self {
            name: name.into(),
            parts: vec![(from.into(), shape.clone())],
            shape,
            divided: None,
        }
    }
}

/// What becomes of a source.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    pub wanted: Vec<Wanted>,
    /// Names that are known and not needed, each with the reason.
    pub known: Vec<Known>,
}

/// Names of a kind that the model has no use for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub is: fn(&str) -> bool,
    pub reason: &'static str,
}
