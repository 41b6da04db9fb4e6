//! The command line.

use std::path::PathBuf;

use adem_pipeline::{Beams, Sampling};
use adem_train::Source;
use adem_train::ablation::Study;
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

#[derive(Debug, Clone, Args)]
pub struct AverageArgs {
    /// The packages: folders or http(s):// addresses, float or quantised.
    #[arg(required = true, num_args = 1.., value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// The new package's folder, in half precision; a package there is replaced once the new one is
    /// complete.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// How much each counts, as 0.6,0.2,0.2; otherwise all alike.
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    pub shares: Vec<f64>,
}

#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Which device.
    #[arg(long, value_enum, default_value_t = DeviceName::Wgpu)]
    pub device: DeviceName,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
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
    /// Captions of a data set's pictures against those of people: BLEU, ROUGE-L and CIDEr-D as
    /// COCO's evaluation computes them.
    Caption(CaptionEvalArgs),
    /// How often a model says what another one says: a quantised one beside the float one it was
    /// made of.
    Agreement(AgreementArgs),
}

#[derive(Debug, Clone, Args)]
pub struct CaptionEvalArgs {
    /// WebDataset shards, paths or http(s):// addresses, also as val-{0000..0003}.tar; or one file of
    /// captions: .csv, .tsv, .jsonl or .json.
    #[arg(long, required = true, num_args = 1.., value_name = "SHARD")]
    pub data: Vec<String>,
    /// Where the pictures of a file of captions lie; otherwise beside it.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Only the first N pictures.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Captions written at once.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    #[command(flatten)]
    pub beams: BeamArgs,
    /// Show this many captions beside those of people.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub captions: usize,
    /// Judge what stands after "picture of " alone, as ADEM-VL's authors do: their COCO checkpoints
    /// say the prompt again.
    #[arg(long)]
    pub compat: bool,
    /// Write a page of all pictures, captions and scores, which needs no other file.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Clone, Args)]
pub struct AgreementArgs {
    /// The model to compare with: a package's folder or http(s):// address.
    #[arg(long, value_name = "DIR")]
    pub against: String,
    /// Compare on captions of a data set's pictures: WebDataset shards or a file of captions, as
    /// `adem eval caption` takes them. Otherwise on captions of generated scenes and answers about
    /// them.
    #[arg(long, num_args = 1.., value_name = "SHARD")]
    pub data: Vec<String>,
    /// Where the pictures of a file of captions lie; otherwise beside it.
    #[arg(long, value_name = "DIR", requires = "data")]
    pub images: Option<PathBuf>,
    /// How many pictures; otherwise all of the data, or 300 scenes.
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// Which set of scenes; every number is another set, and none is trained on.
    #[arg(long, value_name = "S", default_value_t = 0, conflicts_with = "data")]
    pub seed: u64,
    /// Texts written at once.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
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
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub what: Option<BenchCommand>,
    /// How often everything is measured; the median is shown.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(5..))]
    pub runs: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// Every form of the kernels beside the same in Burn's operations; on the processor, products
    /// with packed weights.
    Kernels(KernelsArgs),
    /// Decoding and encoding at the sizes of known models, with random weights.
    Shapes(ShapesArgs),
}

#[derive(Debug, Clone, Args)]
pub struct KernelsArgs {
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

#[derive(Debug, Clone, Args)]
pub struct ShapesArgs {
    /// Only this shape.
    #[arg(long, value_enum)]
    pub shape: Option<ShapeName>,
    /// Only weights stored so.
    #[arg(long, value_enum)]
    pub weights: Option<WeightsName>,
    /// Tokens to write.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=400))]
    pub tokens: u16,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

/// Sizes of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeName {
    /// A decoder of 7 M parameters: width 256, 6 layers.
    S,
    /// SmolLM-135M's decoder: width 576, 30 layers, 49152 tokens.
    M,
    /// ViT-S/16 on pictures of 224 pixels.
    V,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightsName {
    /// Single precision.
    Float,
    /// Eight bits.
    Q8,
    /// Four bits.
    Q4,
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
    /// The model: a package's folder or http(s):// address, its weights float.
    #[arg(value_name = "PACKAGE")]
    pub package: String,
    /// The new package's folder; a package there is replaced once the new one is complete.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// The new package's name; otherwise the old one's.
    #[arg(long)]
    pub name: Option<String>,
    /// Bits of a weight.
    #[arg(long, value_enum)]
    pub scheme: SchemeName,
    /// Leave weights float whose whole name fits: `*` stands for any characters, `?` for one.
    /// Biases, norms, positional and adapter embeddings stay float in any case.
    #[arg(long, value_name = "PATTERN")]
    pub keep_float: Vec<String>,
    /// With --scheme q4: eight bits for weights whose whole name fits. A layer's wq, wk and wv are
    /// fastest alike, and so are w1 and w3.
    #[arg(long, value_name = "PATTERN")]
    pub q8: Vec<String>,
    /// Spare what the model needs to caption these pictures: it captions some of them first, and
    /// every weight's columns then make up for one another's errors in what it computed (GPTQ). Of
    /// the data it was trained on; WebDataset shards or a file of captions, as `adem eval caption`
    /// takes them.
    #[arg(long, num_args = 1.., value_name = "SHARD")]
    pub calibrate: Vec<String>,
    /// Where the pictures of a file of captions lie; otherwise beside it.
    #[arg(long, value_name = "DIR", requires = "calibrate")]
    pub images: Option<PathBuf>,
    /// How many pictures to calibrate with.
    #[arg(long, value_name = "N", default_value_t = 512, requires = "calibrate")]
    pub count: u64,
    /// How scales are chosen.
    #[arg(long, value_enum, default_value_t = ScaleName::Search)]
    pub scale: ScaleName,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What is trained.
#[derive(Debug, Clone, Args)]
pub struct RecipeArgs {
    /// Settings that differ from a recipe's own, as TOML; its key `recipe` names the recipe.
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// A recipe of this program: scenes (the shipped model), coco-caption, scienceqa, instruction,
    /// flickr8k, photo.
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// A single setting over recipe and file, as `tune.batch=16` or `data.source.root=/data/sqa`;
    /// `see=false` leaves out what a recipe adds.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl RecipeArgs {
    /// Where the settings come from.
    pub fn source(&self) -> Source {
        Source {
            recipe: self.recipe.clone(),
            file: self.config.clone(),
            set: self.set.clone(),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Where checkpoints, metrics.jsonl and, at the end, the package go; otherwise runs/RECIPE or
    /// runs/CONFIG.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print parameters, memory, arithmetic, schedule and the first samples, and train nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Time N steps of ADEM-VL tuning at the config's sizes, on random weights and pictures, and
    /// print one JSON object; nothing is read or written.
    #[arg(long, value_name = "N", conflicts_with = "dry_run", value_parser = clap::value_parser!(u64).range(1..))]
    pub bench: Option<u64>,
    /// Show curves on the whole terminal (Burn's interface: tabs and arrows choose, q stops) instead
    /// of a line.
    #[arg(long, conflicts_with_all = ["dry_run", "bench"])]
    pub tui: bool,
    /// Devices that share every batch: graphics cards of this machine, or threads of the processor,
    /// one each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub devices: u16,
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

#[derive(Debug, Clone, Args)]
pub struct AblateArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// What is varied, as often as there are studies: ladder, places, projections, scales,
    /// input-tokens (the paper's Tables VI to X), alpha, beta, gamma (its Figure 2).
    #[arg(long, required = true, value_name = "STUDY", value_parser = study)]
    pub study: Vec<Study>,
    /// How often each setting is tuned, with another seed each time.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Where the settings' runs, the frozen encoder's features and the plots go.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

fn study(name: &str) -> Result<Study, String> {
    let found = Study::ALL.into_iter().find(|study| study.name() == name);
    found.ok_or_else(|| {
        let names = Study::ALL.map(Study::name);
        format!("there are {}", names.join(", "))
    })
}

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The folder of a run, finished or not, that has reached ADEM-VL tuning.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The package's folder; a package there is replaced once the new one is complete.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// Which checkpoint of the run's folder: tune-best.safetensors has the lowest validation loss,
    /// tune-best-cider.safetensors the highest CIDEr-D; otherwise the newest.
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<String>,
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
