//! Tensors that come piece by piece, and how they are stored.

use std::num::NonZeroUsize;

use crate::digest::Digest;
use crate::dtype::Dtype;
use crate::error::{PackageError, SourceError};
use crate::limits;
use crate::quant::{Method, ScaleType, Scheme};

/// Where values that are refused come from, in messages.
pub(super) const ORIGIN: &str = "the tensors to be written";

/// A tensor to be written piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTensor {
    /// Name, different from every other's.
    pub name: String,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Element type, where it is stored as floats.
    pub dtype: Dtype,
    /// Bits of its codes, where it is to be quantised. What [`Kept`](crate::quant::Kept) names stays
    /// float all the same.
    pub scheme: Option<Scheme>,
    /// Type of its scales, where it is quantised.
    pub scale: ScaleType,
}

/// How tensors that come piece by piece are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// How the scales of quantised weights are chosen.
    pub method: Method,
    /// Longest shard, bytes, at most [`limits::SHARD_BYTES`]. There, a weight that alone is longer
    /// has a shard of its own of up to [`limits::LONE_SHARD_BYTES`]; below, it is refused.
    pub shard_bytes: u64,
    /// Shards that are written at once; otherwise as many as the processor has cores.
    pub jobs: Option<NonZeroUsize>,
    /// A digest of everything that decides which values a tensor will be given. With it, complete
    /// shards outlive an interruption, and are taken over by whoever writes the same tensors of the
    /// same origin to the same folder.
    pub origin: Option<Digest>,
}

impl Default for StreamOptions {
    /// Scales by search, shards of 64 MiB, all cores, nothing kept.
    fn default() -> Self {
        Self {
            method: Method::default(),
            shard_bytes: limits::SHARD_BYTES,
            jobs: None,
            origin: None,
        }
    }
}

/// An error that ends the writing of a package.
pub trait StreamError: From<PackageError> + Send {
    /// Whether the same may succeed when it is tried again: somebody stopped it, or the disk was
    /// full. Complete shards are kept then.
    fn may_pass(&self) -> bool;
}

impl StreamError for PackageError {
    fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::Write { .. } | Self::Source(SourceError::Io { .. })
        )
    }
}

/// What an earlier attempt has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Shards of the package.
    pub shards: usize,
    /// Those that are complete.
    pub kept: usize,
    /// Those that were and are no longer what they were; they are written anew.
    pub damaged: usize,
    /// Shards of other tensors or another origin, which were removed.
    pub discarded: usize,
}
