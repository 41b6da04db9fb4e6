//! `adem eval`.

use std::path::PathBuf;

use adem_eval::Agreement;
use adem_eval::captions::{CaptionEval, PAGE_BEGINS};
use adem_eval::scenes::{ScenesEval, Setting, settings};
use adem_package::Task;
use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand};

use crate::args::{BeamArgs, ModelArgs};
use crate::dataset::{bad_rows, open};
use crate::error::CliError;
use crate::package::Wanted;
use crate::progress::ProgressLine;
use crate::{device, file, output, package, stop};

/// Reads a number of texts to be written at once. Pictures and caches of all of them are held.
fn batch() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=1024)
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Captions written at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = batch())]
    pub batch: u16,
    #[command(flatten)]
    pub beams: BeamArgs,
    /// Show this many captions beside those of people.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub captions: usize,
    /// Judge what stands after "picture of " alone, as ADEM-VL's authors do: their COCO checkpoints
    /// say the prompt again.
    #[arg(long)]
    pub compat: bool,
    /// Write a page of all pictures, captions and scores, which needs no other file. An earlier page
    /// of that name is replaced, any other file is not.
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Which set of scenes; every number is another set, and none is trained on.
    #[arg(long, value_name = "S", default_value_t = 0, conflicts_with = "data")]
    pub seed: u64,
    /// Texts written at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = batch())]
    pub batch: u16,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ScenesArgs {
    /// How many scenes.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Which set of scenes; every number is another set, and none is trained on.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Texts written at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = batch())]
    pub batch: u16,
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

pub fn run(command: EvalCommand) -> Result<(), CliError> {
    match command {
        EvalCommand::Scenes(args) => scenes(args),
        EvalCommand::Caption(args) => captions(args),
        EvalCommand::Agreement(args) => agreement(args),
    }
}

fn agreement(args: AgreementArgs) -> Result<(), CliError> {
    /// Generated scenes, unless a number is given.
    const SCENES: u32 = 300;
    let stopped = stop::listen("this batch").flag;
    let bad = bad_rows();
    let (wanted, agreement) = match args.data.as_slice() {
        [] => {
            let count = args.count.unwrap_or(SCENES);
            (
                Wanted::Scenes,
                Agreement::on_scenes(count as usize, args.seed),
            )
        }
        data => {
            let data = open(data, args.images.as_deref(), &bad)?;
            let limit = args.count.map(u64::from);
            (Wanted::Photo, Agreement::on_data(&*data, &bad, limit)?)
        }
    };
    let device = device::open(args.model.device)?;
    let model = package::load_onto(&package::locate(&args.model, wanted)?, &device)?;
    if args.data.is_empty() && !model.manifest().tasks.contains(&Task::Question) {
        return Err(CliError::Usage(
            "generated scenes are asked about, and this model answers no questions; name pictures \
             with --data"
                .to_owned(),
        ));
    }
    let against = package::load_onto(&args.against, &device)?;
    let progress = ProgressLine::default();
    let running = agreement.run(&model, &against, args.batch.into(), |now| {
        progress.pictures(now, &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    output::report(&report, args.json)?;
    whole(report.stopped)
}

fn scenes(args: ScenesArgs) -> Result<(), CliError> {
    let stopped = stop::listen("this batch").flag;
    let captioner = package::load(&args.model, Wanted::Scenes)?;
    let eval = ScenesEval {
        count: args.count as usize,
        seed: args.seed,
        batch: args.batch.into(),
        settings: match args.no_ablation {
            true => vec![Setting::trained()],
            false => settings(&captioner),
        },
        failures: args.failures,
    };
    let progress = ProgressLine::default();
    let running = eval.run(&captioner, |now| {
        let done = format!("{} of {} scenes", now.scenes, now.count);
        progress.show(&done, now.seconds_left(), &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    output::report(&report, args.json)?;
    whole(report.scenes < report.count)
}

fn captions(args: CaptionEvalArgs) -> Result<(), CliError> {
    if let Some(path) = &args.report {
        file::may_write(path, PAGE_BEGINS, "page of captions")?;
    }
    let stopped = stop::listen("this batch").flag;
    let bad = bad_rows();
    let data = open(&args.data, args.images.as_deref(), &bad)?;
    let captioner = package::load(&args.model, Wanted::Photo)?;
    let eval = CaptionEval {
        batch: args.batch.into(),
        limit: args.limit,
        beams: args.beams.beams(),
        pictures: args.report.is_some(),
        compat: args.compat,
    };
    let progress = ProgressLine::default();
    let running = eval.run(&captioner, &*data, &bad, |now| {
        progress.pictures(now, &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let mut report = report?;
    let page = args.report.as_ref().map(|path| (path, report.html()));
    report.show(args.captions);
    // A page that cannot be written takes no score with it.
    output::report(&report, args.json)?;
    if let Some((path, page)) = page {
        file::replace(path, page.as_bytes())?;
    }
    whole(report.stopped)
}

/// An error for a measurement that the user stopped, once it has been told.
fn whole(stopped: bool) -> Result<(), CliError> {
    match stopped {
        true => Err(CliError::Partial),
        false => Ok(()),
    }
}
