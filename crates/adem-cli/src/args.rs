//! The command line.

use std::path::PathBuf;

use adem_pipeline::Sampling;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::import::{ImportArgs, InspectArgs, VerifyArgs};

/// Vision and language on your own machine.
#[derive(Debug, Parser)]
#[command(name = "adem", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Describe pictures.
    Caption(CaptionArgs),
    /// Ask a question about a picture.
    Ask(AskArgs),
    /// Draw scenes of the kind the shipped model knows, none of which it was trained on.
    Draw(DrawArgs),
    /// Train a model; the same command continues a run that was stopped.
    Train(TrainArgs),
    /// Store a model's weights in four or eight bits each.
    Quantize(QuantizeArgs),
    /// Make a package of other people's weights.
    Import(ImportArgs),
    /// List what is in a checkpoint or a package.
    Inspect(InspectArgs),
    /// Check every byte of a package.
    Verify(VerifyArgs),
    /// Measure how good a model is.
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Measure how fast a model is.
    Bench(BenchArgs),
}

/// Which model runs where.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// The model: a package's folder or http:// address. Otherwise $ADEM_PACKAGE, the folder
    /// `package` beside this program, or the one that is shipped with its source.
    #[arg(long, value_name = "DIR")]
    pub package: Option<String>,
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// A graphics card through Vulkan, Metal or DirectX.
    Wgpu,
    /// An NVIDIA card through CUDA.
    Cuda,
}

impl DeviceName {
    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }
}

/// How texts are written.
#[derive(Debug, Clone, Args)]
pub struct TextArgs {
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Draw tokens at random: above 1 bolder, towards 0 safer. Without this, --top-p or --seed the
    /// most probable token is taken.
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Draw only from the most probable tokens that make up this share.
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Equal seeds draw equal texts.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Most tokens to write; otherwise the package's number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
}

impl TextArgs {
    /// How tokens are chosen.
    pub fn sampling(&self) -> Sampling {
        if self.temperature.is_none() && self.top_p.is_none() && self.seed.is_none() {
            return Sampling::Greedy;
        }
        Sampling::TopP {
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            seed: self.seed.unwrap_or(0),
        }
    }

    /// Most tokens to write, where that was said.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_tokens.map(|most| most as usize)
    }
}

#[derive(Debug, Clone, Args)]
pub struct CaptionArgs {
    /// PNG, JPEG, WebP or GIF files; `-` reads one from standard input.
    #[arg(required = true, value_name = "PICTURE")]
    pub pictures: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
}

#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// A PNG, JPEG, WebP or GIF file; `-` reads it from standard input.
    #[arg(value_name = "PICTURE")]
    pub picture: PathBuf,
    /// What to ask.
    #[arg(value_name = "QUESTION")]
    pub question: String,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub enum EvalCommand {
    /// Captions and answers about generated scenes that were not trained on, judged fact by fact;
    /// then the same with parts of the model taken away.
    Scenes(ScenesArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ScenesArgs {
    /// How many scenes.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub count: usize,
    /// Which set of scenes; every number is another set, and none is trained on.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Texts written at once.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// Show this many failures of the model as trained.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub failures: usize,
    /// Only the model as trained, without the rows that take parts away.
    #[arg(long)]
    pub no_ablation: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// How often everything is measured; the median is shown.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(5..))]
    pub runs: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Bits of a quantised weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemeName {
    /// Four, and half a bit for the scale of its block of 32.
    Q4,
    /// Eight, and half a bit for the scale of its block of 32.
    Q8,
}

/// How the scales of quantised weights are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScaleName {
    /// By the largest weight of each block: rounding to nearest.
    Rtn,
    /// By search for the least squared error.
    Search,
}

#[derive(Debug, Clone, Args)]
pub struct QuantizeArgs {
    /// The model: a package's folder or http:// address, its weights float.
    #[arg(value_name = "PACKAGE")]
    pub package: String,
    /// The new package's folder; a package there is replaced once the new one is complete.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// Bits of a weight.
    #[arg(long, value_enum)]
    pub scheme: SchemeName,
    /// Leave weights float whose whole name fits: `*` stands for any characters, `?` for one.
    /// Biases, norms, positional and adapter embeddings stay float in any case.
    #[arg(long, value_name = "PATTERN")]
    pub keep_float: Vec<String>,
    /// How scales are chosen.
    #[arg(long, value_enum, default_value_t = ScaleName::Search)]
    pub scale: ScaleName,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Settings that differ from a recipe's own, as TOML; its key `recipe` names the recipe.
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// A recipe of this program: scenes (the shipped model), coco-caption, scienceqa, instruction,
    /// flickr8k.
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// A single setting over recipe and file, as `tune.batch=16` or `data.source.root=/data/sqa`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where checkpoints, metrics.jsonl and, at the end, the package go; otherwise runs/RECIPE or
    /// runs/CONFIG.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print parameters, memory, arithmetic, schedule and the first samples, and train nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Devices that share every batch: graphics cards of this machine, or threads of the processor,
    /// one each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub devices: u16,
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

#[derive(Debug, Clone, Args)]
pub struct DrawArgs {
    /// Where the PNG files go.
    #[arg(value_name = "DIR")]
    pub out: PathBuf,
    /// The first scene's number; the others follow.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// How many scenes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub count: usize,
    /// Side of a picture in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1024))]
    pub side: u32,
}
