//! The command line of `adem import`, `adem inspect` and `adem verify`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use adem_package::limits;
use clap::{Args, ValueEnum};

use crate::quantize::ScaleName;

/// How imported weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StorageName {
    /// Four bits, and half a bit for the scale of its block of 32.
    Q4,
    /// Eight bits, and half a bit for the scale of its block of 32.
    Q8,
    /// Each by itself, also those that come in blocks.
    Float,
}

/// Type of a weight that is stored by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FloatName {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
}

/// How a picture's channels are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NormalisationName {
    /// CLIP's constants: captions.
    Clip,
    /// ImageNet's constants: ADEM-VL's ScienceQA, instruction and MME checkpoints.
    Imagenet,
}

/// What ADEM-VL's authors trained a checkpoint on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompatName {
    /// COCO captions.
    CocoCaption,
    /// ScienceQA.
    Scienceqa,
    /// Instructions.
    Instruction,
}

#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Files and folders: of Hugging Face's or Meta's LLaMA, GGUF, llama2.c, CLIP (Hugging Face's
    /// or OpenAI's), ADEM-VL's adapters, a tokenizer, or a package to which the others are added.
    /// Or a model of the Hugging Face hub, hf:OWNER/NAME[/FILE][@REVISION], which is fetched into
    /// Hugging Face's own cache unless it is there; HF_HOME moves that, HF_TOKEN opens gated models.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// The new package's folder; a package there is replaced once the new one is complete. Until
    /// then its shards are gathered in DIR.partial: an import that was interrupted goes on where it
    /// was when the same command is given again.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// How weights are stored; otherwise as they come, GGUF's blocks as blocks.
    #[arg(long, value_enum)]
    pub scheme: Option<StorageName>,
    /// Type of the weights that are stored by themselves; otherwise the type they come in.
    #[arg(long, value_enum)]
    pub dtype: Option<FloatName>,
    /// How scales are chosen.
    #[arg(long, value_enum, default_value_t = ScaleName::Search)]
    pub scale: ScaleName,
    /// tokenizer.json, SentencePiece's or Llama 3's tokenizer.model or llama2.c's tokenizer.bin;
    /// otherwise the language model's own.
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// The package's name; otherwise that of the language model's file or folder.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The adapters are those of ADEM-VL's authors, or trained as theirs, on this task: the package
    /// gets their prompts and their normalisation.
    #[arg(long, value_enum, value_name = "TASK")]
    pub compat: Option<CompatName>,
    /// How pictures are normalised; otherwise as the vision tower's folder says, else as CLIP does.
    #[arg(long, value_enum)]
    pub normalisation: Option<NormalisationName>,
    /// Context window in tokens; otherwise the language model's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub context: Option<u64>,
    /// Heads of the vision tower, where its file does not say and they are not 64 channels wide.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub vision_heads: Option<u64>,
    /// Weight of the fusion's output; otherwise the paper's 0.1. A checkpoint does not say its own.
    #[arg(long, value_name = "A")]
    pub alpha: Option<f64>,
    /// Scale of the visual features; otherwise the paper's 0.01.
    #[arg(long, value_name = "B")]
    pub beta: Option<f64>,
    /// Share of the visual tokens that are dropped; otherwise the paper's 0.1.
    #[arg(long, value_name = "G")]
    pub gamma: Option<f64>,
    /// Leave out tensors that are not known, whose whole name fits: `*` stands for any characters,
    /// `?` for one.
    #[arg(long, value_name = "PATTERN")]
    pub ignore: Vec<String>,
    /// Shards that are made at once; otherwise as many as the processor has cores.
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Longest shard, bytes; a weight that is longer by itself has one alone only at the 64 MiB that
    /// are usual.
    #[arg(long, value_name = "N", default_value_t = limits::SHARD_BYTES,
        value_parser = clap::value_parser!(u64).range(1 << 10..=limits::SHARD_BYTES))]
    pub shard_bytes: u64,
    /// Take the hub's models from the cache alone, and ask nothing of the network.
    #[arg(long)]
    pub offline: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// A checkpoint file, a folder of them, or a package's folder.
    #[arg(value_name = "FILE|FOLDER")]
    pub path: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A package's folder or http(s):// address.
    #[arg(value_name = "PACKAGE")]
    pub package: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
