//! What an import did, and what kept it from doing it.

use std::fmt;

use serde::Serialize;

/// Most names of a kind that a message lists.
const SHOWN: usize = 20;

/// Tensors that do not fit the model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Mismatch {
    /// The source they are about.
    pub source: String,
    /// Tensors the model has and the source has not, under the source's names.
    pub missing: Vec<String>,
    /// Tensors of another shape than the model's, with both.
    pub shapes: Vec<String>,
    /// Tensors that nothing here knows.
    pub unused: Vec<String>,
}

impl Mismatch {
    /// Whether there is nothing to complain about.
    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.shapes.is_empty() && self.unused.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` does not fit the model:", self.source)?;
        for (what, names) in [
            ("missing", &self.missing),
            ("of another shape", &self.shapes),
            (
                "not known here (leave them out with --ignore PATTERN)",
                &self.unused,
            ),
        ] {
            if names.is_empty() {
                continue;
            }
            write!(f, "\n  {} {what}: ", names.len())?;
            let shown: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
            f.write_str(&shown.join(", "))?;
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// The sources, in the order given.
    pub sources: Vec<SourceReport>,
    /// Every tensor of the package, sorted by name.
    pub tensors: Vec<TensorReport>,
    /// Tensors of the sources that the model has no use for.
    pub left_out: Vec<LeftOut>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Bytes of weights read; what an earlier run had read is not among them.
    pub bytes_read: u64,
    /// Bytes of all shards together.
    pub bytes_written: u64,
    /// Number of shards.
    pub shards: usize,
    /// Those that an earlier run had written.
    pub shards_kept: usize,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// Its path.
    pub path: String,
    /// What it is.
    pub kind: &'static str,
}

/// One tensor of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Types of what it was made of, in the source's words.
    pub found: &'static str,
    /// How it is stored: `q4`, `q8`, `F32`, `F16` or `BF16`.
    pub stored: &'static str,
    /// Every bit of it is the source's.
    pub exact: bool,
}

/// A tensor that was not needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its file.
    pub file: String,
    /// Its name there.
    pub tensor: String,
    /// Why.
    pub reason: String,
}
