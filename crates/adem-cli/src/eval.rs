//! `adem eval`.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adem_data::datasets::{
    BadRows, CaptionStyle, Captions, DataSource, DatasetConfig, SourceConfig,
};
use adem_eval::captions::{CaptionEval, CaptionProgress};
use adem_eval::scenes::{ScenesEval, Setting, settings};
use adem_eval::{Agreement, EvalError};

use crate::args::{AgreementArgs, CaptionEvalArgs, EvalCommand, ScenesArgs};
use crate::error::CliError;
use crate::package::Wanted;
use crate::{device, output, package, stop};

pub fn run(command: EvalCommand) -> Result<(), CliError> {
    match command {
        EvalCommand::Scenes(args) => scenes(args),
        EvalCommand::Caption(args) => captions(args),
        EvalCommand::Agreement(args) => agreement(args),
    }
}

fn agreement(args: AgreementArgs) -> Result<(), CliError> {
    /// Generated scenes, unless a number is given.
    const SCENES: usize = 300;
    let bad = bad_rows();
    let (wanted, agreement) = match args.data.as_slice() {
        [] => {
            let count = args.count.unwrap_or(SCENES);
            (Wanted::Scenes, Agreement::on_scenes(count, args.seed))
        }
        data => {
            let data = open(data, args.images.as_deref(), &bad)?;
            let limit = args.count.map(|count| count as u64);
            (Wanted::Photo, Agreement::on_data(&*data, &bad, limit)?)
        }
    };
    let device = device::open(args.model.device)?;
    let model = package::load_onto(&package::locate(&args.model, wanted)?, &device)?;
    let against = package::load_onto(&args.against, &device)?;
    let stopped = stop::listen("this batch").flag;
    let progress = ProgressLine::default();
    let running = agreement.run(&model, &against, args.batch, |now| {
        progress.pictures(now, &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    output::report(&report, args.json)
}

fn scenes(args: ScenesArgs) -> Result<(), CliError> {
    let captioner = package::load(&args.model, Wanted::Scenes)?;
    let eval = ScenesEval {
        count: args.count,
        seed: args.seed,
        batch: args.batch,
        settings: match args.no_ablation {
            true => vec![Setting::trained()],
            false => settings(&captioner),
        },
        failures: args.failures,
    };
    let stopped = stop::listen("this batch").flag;
    let progress = ProgressLine::default();
    let running = eval.run(&captioner, |now| {
        let done = format!("{} of {} scenes", now.scenes, now.count);
        progress.show(&done, now.seconds_left(), &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    output::report(&report, args.json)
}

/// Rows of an evaluated data set that may be bad before it ends with an error.
const MAX_BAD_ROWS: u64 = 100;

fn captions(args: CaptionEvalArgs) -> Result<(), CliError> {
    let bad = bad_rows();
    let data = open(&args.data, args.images.as_deref(), &bad)?;
    let captioner = package::load(&args.model, Wanted::Photo)?;
    let eval = CaptionEval {
        batch: args.batch,
        limit: args.limit,
        beams: args.beams.beams(),
        pictures: args.report.is_some(),
        compat: args.compat,
    };
    let stopped = stop::listen("this batch").flag;
    let progress = ProgressLine::default();
    let running = eval.run(&captioner, &*data, &bad, |now| {
        progress.pictures(now, &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let mut report = report?;
    if let Some(path) = &args.report {
        output::file(path, report.html().as_bytes())?;
    }
    report.show(args.captions);
    output::report(&report, args.json)
}

/// Where bad rows are told.
fn bad_rows() -> Arc<BadRows> {
    BadRows::new(MAX_BAD_ROWS, |row| eprintln!("adem: {row}; skipped"))
}

/// The data set of these files, each picture with all its captions.
fn open(
    files: &[String],
    images: Option<&Path>,
    bad: &Arc<BadRows>,
) -> Result<Arc<dyn DataSource>, CliError> {
    let config = DatasetConfig {
        source: source(files, images)?,
        captions: Captions::All,
        caption_style: CaptionStyle::default(),
        augment: None,
        max_bad_rows: MAX_BAD_ROWS,
    };
    Ok(config.open(Path::new(""), bad).map_err(EvalError::from)?)
}

/// Shards, or a file of captions, by the ending.
fn source(files: &[String], images: Option<&Path>) -> Result<SourceConfig, CliError> {
    const TABLES: [&str; 5] = ["csv", "tsv", "json", "jsonl", "ndjson"];
    let is_table = |name: &String| {
        let ending = Path::new(name).extension();
        ending.is_some_and(|e| TABLES.contains(&e.to_string_lossy().to_lowercase().as_str()))
    };
    match files {
        [file] if is_table(file) => {
            let beside = || Path::new(file).parent().map(PathBuf::from);
            Ok(SourceConfig::Captions {
                file: file.into(),
                images: (images.map(PathBuf::from).or_else(beside)).unwrap_or_default(),
            })
        }
        many if many.iter().any(is_table) => Err(CliError::Usage(
            "--data takes one file of captions, or shards".to_owned(),
        )),
        _ if images.is_some() => Err(CliError::Usage(
            "--images goes with a file of captions; shards hold their pictures".to_owned(),
        )),
        shards => Ok(SourceConfig::Webdataset {
            shards: shards.to_vec(),
            shuffle_buffer: 1,
            samples: None,
        }),
    }
}

/// One line of progress on the terminal; nothing elsewhere.
#[derive(Debug)]
struct ProgressLine {
    terminal: bool,
}

impl Default for ProgressLine {
    fn default() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
        }
    }
}

impl ProgressLine {
    /// Shows what is done, and says whether to go on.
    fn show(&self, done: &str, seconds_left: Option<f64>, stopped: &AtomicBool) -> ControlFlow<()> {
        if self.terminal {
            let left = match seconds_left {
                Some(seconds) => format!("about {} left", output::duration(seconds)),
                None => "started".to_owned(),
            };
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{done}, {left}");
            let _ = io::stderr().flush();
        }
        match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Shows how many pictures are done, and says whether to go on.
    fn pictures(&self, now: CaptionProgress, stopped: &AtomicBool) -> ControlFlow<()> {
        let of = now.count.map(|n| format!(" of {n}")).unwrap_or_default();
        let done = format!("{}{of} pictures", now.done);
        self.show(&done, now.seconds_left(), stopped)
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
