//! What can be wrong with a package, and where.

use crate::digest::Digest;
use crate::manifest::FORMAT_VERSION;

/// Why bytes could not be had from a [`WeightSource`](crate::WeightSource).
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A name that is more than a file of the package.
    #[error(
        "`{file}` is not a plain file name; a package names its files with letters, digits, `.`, `_` and `-` only"
    )]
    Name {
        /// The name as asked for.
        file: String,
    },
    /// The file is not there.
    #[error("`{file}` is missing from {place}; copy the whole package there")]
    NotFound {
        /// The file.
        file: String,
        /// The folder or address searched.
        place: String,
    },
    /// The file ends before the bytes asked for.
    #[error(
        "`{file}` is short: bytes up to {wanted} were asked for, it ends at {found}; copy it again"
    )]
    Short {
        /// The file.
        file: String,
        /// End of the range asked for.
        wanted: u64,
        /// Where the bytes ended.
        found: u64,
    },
    /// The file became longer or shorter while it was read.
    #[error(
        "`{file}` changed from {before} to {after} bytes while it was read; load the package again"
    )]
    Changed {
        /// The file.
        file: String,
        /// Length seen first.
        before: u64,
        /// Length seen now.
        after: u64,
    },
    /// More than any file of a package may hold.
    #[error("`{file}` is longer than the {limit} bytes a file of a package may hold")]
    TooLong {
        /// The file.
        file: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// The operating system refused.
    #[error("cannot read `{file}`: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An address this build cannot read.
    #[error("cannot read packages from `{url}`: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it, and what to use instead.
        reason: &'static str,
    },
    /// The server answered with something other than the file.
    #[error("`{url}` answered with HTTP status {status}")]
    Status {
        /// The file's address.
        url: String,
        /// The status code.
        status: u16,
    },
    /// A partial answer that is not the part asked for.
    #[error(
        "`{url}` answered a request for bytes {wanted} with Content-Range `{found}`; serve the files with a server that honours range requests, or one that ignores them"
    )]
    ContentRange {
        /// The file's address.
        url: String,
        /// The range asked for, as in the request.
        wanted: String,
        /// The header of the answer; empty when there was none.
        found: String,
    },
    /// No answer, after several attempts.
    #[error("no complete answer from `{url}` in {attempts} attempts: {reason}")]
    Transport {
        /// The file's address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
}

/// Why a package is refused, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The bytes could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The manifest is not JSON.
    #[error(
        "`{file}` is not a package manifest: {reason}; check that the folder or address is that of a package"
    )]
    NotAManifest {
        /// The manifest file.
        file: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A format this build does not know.
    #[error(
        "the package has format version {found}, this build reads version {FORMAT_VERSION}; use a build that knows the package's version"
    )]
    Version {
        /// The version as written.
        found: String,
    },
    /// A field of the manifest with a value it cannot have.
    #[error("manifest field `{field}`: {reason}")]
    Field {
        /// Path of the field, e.g. `shards[1].sha256`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file longer than its kind may be.
    #[error("`{file}` has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// The file.
        file: String,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file whose length is not the manifest's.
    #[error(
        "`{file}` has {found} bytes where the manifest says {expected}; copy the package again"
    )]
    Length {
        /// The file.
        file: String,
        /// Length in the manifest.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// A file whose bytes are not those the manifest was written for.
    #[error(
        "`{file}` was altered: its SHA-256 is {found} where the manifest says {expected}; copy the package again"
    )]
    Altered {
        /// The file.
        file: String,
        /// Digest in the manifest.
        expected: Digest,
        /// Digest of the file.
        found: Digest,
    },
    /// A shard that is not a safetensors file.
    #[error("`{file}` is not a safetensors shard: {reason}")]
    Header {
        /// The shard.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor whose header entry is impossible.
    #[error("tensor `{tensor}` in `{file}`: {reason}")]
    Entry {
        /// The shard.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of a type that is not one of the three floats, nor U32 where the manifest names
    /// it as blocks.
    #[error(
        "tensor `{tensor}` in `{file}` has dtype {found}; a package holds F32, F16 or BF16, and U32 for the weights its manifest names as quantised"
    )]
    Dtype {
        /// The shard.
        file: String,
        /// The tensor.
        tensor: String,
        /// The type in the header.
        found: String,
    },
    /// A weight that is NaN or infinite.
    #[error(
        "tensor `{tensor}` in `{file}` holds {value} at element {index}; the training run that made it diverged, use an earlier checkpoint"
    )]
    NonFinite {
        /// The shard, or the dtype being written.
        file: String,
        /// The tensor.
        tensor: String,
        /// Row-major index of the first such element.
        index: usize,
        /// NaN, inf or -inf.
        value: f32,
    },
    /// A name that occurs twice.
    #[error("tensor `{tensor}` occurs twice, the second time in `{file}`")]
    Duplicate {
        /// The file where it occurs again.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor the manifest lists and its shard does not hold.
    #[error("tensor `{tensor}` is listed for `{file}` but is not in it; write the package again")]
    NotInShard {
        /// The shard.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor a shard holds and the manifest does not list.
    #[error(
        "`{file}` holds tensor `{tensor}`, which the manifest does not list; write the package again"
    )]
    NotListed {
        /// The shard.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor the model needs and the package does not have.
    #[error(
        "the package has no tensor `{tensor}`; its weights do not belong to its model configuration"
    )]
    MissingTensor {
        /// The tensor.
        tensor: String,
    },
    /// A tensor asked for twice; its memory went with the first.
    #[error("tensor `{tensor}` was already taken; load the weights again to build a second model")]
    Taken {
        /// The tensor.
        tensor: String,
    },
    /// A tensor of another shape than the model has.
    #[error("tensor `{tensor}` has shape {found:?} where the model needs {expected:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The package's shape.
        found: Vec<usize>,
    },
    /// A value to be written that the chosen type cannot hold.
    #[error(
        "tensor `{tensor}` holds {value} at element {index}, beyond the range of {dtype}; write the package in BF16 or F32"
    )]
    Overflow {
        /// The tensor.
        tensor: String,
        /// Row-major index of the first such element.
        index: usize,
        /// The value.
        value: f32,
        /// The type that cannot hold it.
        dtype: &'static str,
    },
    /// A tensor to be written whose data is not of its shape, or whose name is none.
    #[error("cannot write tensor `{tensor}`: {reason}")]
    Unwritable {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A package to be quantised that is quantised.
    #[error(
        "the package is quantised, to {scheme}; quantise the float package it was made from instead"
    )]
    Quantised {
        /// Scheme of its first quantised weight.
        scheme: &'static str,
    },
    /// A pattern that keeps nothing float, misspelt perhaps.
    #[error(
        "pattern `{pattern}` matches no weight that would be quantised; names are like `layers.0.attention.wq.weight`, `*` stands for any characters and `?` for one"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// A package of which nothing would be quantised.
    #[error("no tensor of the package would be quantised; leave out some of the patterns")]
    NothingToQuantise,
    /// A package that has no mean with others.
    #[error("package {number} (the first is 0) {what}; only packages of one model have a mean")]
    Unlike {
        /// Which one.
        number: usize,
        /// How it differs from the first.
        what: String,
    },
    /// Shares of packages that have no mean.
    #[error("{packages} packages with the shares {shares:?}; each needs one, above 0")]
    Shares {
        /// How many packages.
        packages: usize,
        /// Their shares.
        shares: Vec<f64>,
    },
    /// Importances that do not belong to a weight.
    #[error("importance of tensor `{tensor}`: {reason}")]
    Importance {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// A weight too large for the type of its scale.
    #[error(
        "tensor `{tensor}` in `{file}` holds {value} at element {index}, beyond the {largest} that scales of this type reach; keep it float, or store scales in single precision"
    )]
    Unscalable {
        /// The shard.
        file: String,
        /// The tensor.
        tensor: String,
        /// Row-major index of the first such element.
        index: usize,
        /// The value.
        value: f32,
        /// Largest magnitude possible.
        largest: f32,
    },
    /// The caller asked to stop.
    #[error("stopped; nothing was changed")]
    Stopped,
    /// Somebody else writes the same package.
    #[error(
        "another program is writing this package: it holds `{path}`; wait until it ends, or write to another folder"
    )]
    Busy {
        /// The folder of its shards.
        path: String,
    },
    /// The folder for shards that are not yet a package is somebody else's.
    #[error(
        "`{path}` is where shards would be gathered, and holds `{found}`, which is none; move it away"
    )]
    Occupied {
        /// The folder.
        path: String,
        /// A file in it.
        found: String,
    },
    /// A folder to be written to that holds something else than a package.
    #[error("`{path}` is no package's folder: it holds `{found}`; name a new or an empty one")]
    Foreign {
        /// The folder.
        path: String,
        /// What is in it.
        found: String,
    },
    /// The operating system refused to write; what was there before is untouched.
    #[error("cannot write `{path}`: {source}; nothing was changed")]
    Write {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}
