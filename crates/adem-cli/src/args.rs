//! The command line.

use adem_pipeline::{Beams, Sampling};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::ablate::AblateArgs;
use crate::average::AverageArgs;
use crate::bench::BenchArgs;
use crate::describe::{AskArgs, CaptionArgs};
use crate::doctor::DoctorArgs;
use crate::draw::DrawArgs;
use crate::eval::EvalCommand;
use crate::export::ExportArgs;
use crate::import::{ImportArgs, InspectArgs, VerifyArgs};
use crate::quantize::QuantizeArgs;
use crate::train::TrainArgs;

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
    /// Tune variants of a model, as the paper's studies do, and say how good each is; the same
    /// command continues.
    Ablate(AblateArgs),
    /// Merge what a run has trained and its frozen weights into a package that can be run.
    Export(ExportArgs),
    /// Store a model's weights in four or eight bits each.
    Quantize(QuantizeArgs),
    /// Write the mean of packages of one model, of runs that began at the same weights.
    Average(AverageArgs),
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
    /// Say what a device is, and check every kernel on it.
    Doctor(DoctorArgs),
}

/// Which model runs where.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// The model: a package's folder or http(s):// address. Otherwise $ADEM_PACKAGE, or a shipped
    /// one beside this program or in its source: `package` for photographs, `scenes` for drawn
    /// scenes and questions about them.
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

/// How widely texts are searched.
#[derive(Debug, Clone, Args)]
pub struct BeamArgs {
    /// Keep the N most likely texts at a time instead of taking token after token.
    #[arg(long, value_name = "N")]
    beams: Option<usize>,
    /// With --beams: above 1 for longer texts, towards 0 for shorter ones.
    #[arg(long, value_name = "P", default_value_t = 1.0, requires = "beams")]
    length_penalty: f64,
}

impl BeamArgs {
    /// The search, where one was asked for.
    pub fn beams(&self) -> Option<Beams> {
        self.beams.map(|count| Beams {
            count,
            length_penalty: self.length_penalty,
        })
    }
}
