//! `adem train`.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adem_package::MANIFEST_FILE;
use adem_train::scenes::{self, ScenesConfig, Stopped};
use adem_train::task::{self, Reporter, StepTime};
use adem_train::{Log, Look, Recipe, Report, Source, Told, plot, single_process};
use burn::tensor::Device;
use clap::Args;
use serde::Serialize;

use crate::args::DeviceName;
use crate::dashboard::{self, Dashboard, Notes};
use crate::error::CliError;
use crate::{device, memory, output, stop};

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

pub fn run(args: TrainArgs) -> Result<(), CliError> {
    single_process(|name| std::env::var(name).ok())?;
    let recipe = args.recipe.source().read()?;
    if args.dry_run {
        return output::line(dry_run(&recipe, usize::from(args.devices))?.trim_end());
    }
    if let Some(steps) = args.bench {
        return bench(&recipe, &args, steps);
    }
    if args.tui {
        dashboard::check()?;
    }
    recipe.validate()?;
    let out = folder(&args);
    if out.join(MANIFEST_FILE).exists() {
        return Err(CliError::Usage(format!(
            "--out {}: is a package's folder; name another",
            out.display()
        )));
    }
    let devices = device::open_many(args.device, args.devices)?;
    std::fs::create_dir_all(&out).map_err(|error| adem_train::TrainError::file(&out, error))?;
    let ended = learn(&recipe, &out, &devices, args.tui)?;
    if let Some(path) = plot(&out)? {
        eprintln!("adem: losses and learning rates: {}", path.display());
    }
    show_captions(&out)?;
    let package = out.join("package");
    match ended {
        Stopped::Yes => Err(CliError::Stopped),
        Stopped::No if package.is_dir() => {
            output::line(&format!("wrote the package {}", package.display()))
        }
        Stopped::No => {
            let adapters = out.join("tune.safetensors");
            output::line(&format!(
                "trained; the adapters are in {}",
                adapters.display()
            ))
        }
    }
}

/// Trains, and shows how it goes.
fn learn(recipe: &Recipe, out: &Path, devices: &[Device], tui: bool) -> Result<Stopped, CliError> {
    let stop = stop::listen("this step and a checkpoint");
    let notes = Notes::default();
    let line = !tui && io::stderr().is_terminal();
    let (mut log, report): (Log, Reporter) = if tui {
        let mut dashboard = Dashboard::new(&stop.flag);
        stop.screen_taken(dashboard.terminal());
        let kept = notes.clone();
        (
            Log::new(out, move |told| dashboard.tell(told))?,
            Arc::new(move |text| kept.add(text)),
        )
    } else {
        (
            Log::new(out, move |told| show(told, line))?,
            Arc::new(|text| eprintln!("adem: {text}")),
        )
    };
    let ended = match recipe {
        Recipe::Scenes(config) => scenes::train(config, out, devices, &mut log, &stop.flag),
        Recipe::Task(config) => task::train(config, out, devices, &mut log, &report, &stop.flag),
    };
    // The terminal is given back before anything else is printed.
    drop(log);
    notes.print();
    if line {
        eprintln!();
    }
    Ok(ended?)
}

/// A measurement, and the most memory of the processor's that it held.
#[derive(Serialize)]
struct Measured {
    device: &'static str,
    peak_bytes: Option<u64>,
    #[serde(flatten)]
    step: StepTime,
}

fn bench(recipe: &Recipe, args: &TrainArgs, steps: u64) -> Result<(), CliError> {
    let Recipe::Task(config) = recipe else {
        return Err(CliError::Usage(
            "--bench is for recipes on a data set; name another than scenes".to_owned(),
        ));
    };
    let step = task::bench(config, &device::open(args.device)?, steps)?;
    output::json(&Measured {
        device: args.device.word(),
        peak_bytes: memory::peak_bytes(),
        step,
    })
}

/// Some of what the run says of pictures it was not trained on.
fn show_captions(out: &Path) -> Result<(), CliError> {
    const SHOWN: usize = 5;
    let written = task::captions(out)?;
    if written.is_empty() {
        return Ok(());
    }
    let all = out.join(task::CAPTIONS);
    eprintln!(
        "adem: captions of validation pictures, all in {}:",
        all.display()
    );
    for one in written.iter().take(SHOWN) {
        eprintln!("  {}: {}", one.picture, one.caption);
    }
    Ok(())
}

/// Where a run goes that was not told.
fn folder(args: &TrainArgs) -> PathBuf {
    let name = match (&args.recipe.config, &args.recipe.recipe) {
        (Some(config), _) => config.file_stem().map(|s| s.to_string_lossy().into_owned()),
        (None, recipe) => recipe.clone(),
    };
    args.out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs").join(name.unwrap_or_else(|| "run".to_owned())))
}

fn dry_run(recipe: &Recipe, devices: usize) -> Result<String, CliError> {
    match recipe {
        Recipe::Task(config) => Ok(task::describe(config, devices)?),
        Recipe::Scenes(config) => {
            config.validate()?;
            Ok(scenes_stages(config))
        }
    }
}

/// The stages of the recipe `scenes`: its data are drawn, its sizes those of its model card.
fn scenes_stages(config: &ScenesConfig) -> String {
    let stages = [
        ("see", &config.see),
        ("read", &config.read),
        ("tune", &config.tune),
    ];
    let lines = stages.map(|(name, s)| {
        format!(
            "{name}: {} steps of {} samples, lr {} after {} steps of warm-up",
            s.steps, s.batch, s.lr, s.warmup
        )
    });
    let p = adem_train::Parameters::of(&config.model);
    format!(
        "{}\nparameters: {} frozen and {} trained while tuning",
        lines.join("\n"),
        p.frozen(),
        p.trained()
    )
}

/// One line on the terminal, a line a report elsewhere; what is found on other data stays.
pub(crate) fn show(told: Told<'_>, terminal: bool) {
    let report = match told {
        Told::Report(report) => report,
        Told::Look(look) => return show_look(look, terminal),
    };
    let Report {
        stage,
        step,
        steps,
        loss,
        lr,
        skipped,
        samples_per_second,
        seconds_left,
    } = report;
    let left = output::duration(*seconds_left);
    let (start, end) = match terminal {
        true => ("\r\x1b[K", ""),
        false => ("", "\n"),
    };
    let skipped = match skipped {
        0 => String::new(),
        n => format!("  {n} skipped"),
    };
    let memory = memory::peak_bytes().map_or_else(String::new, |bytes| {
        format!("  memory {}", output::size(bytes))
    });
    // Progress that cannot be shown is no reason to stop.
    let _ = write!(
        io::stderr(),
        "{start}{stage} {step}/{steps}  loss {loss:.4}  lr {lr:.2e}  {samples_per_second:.0}/s  \
         about {left} left{memory}{skipped}{end}"
    );
    let _ = io::stderr().flush();
}

fn show_look(look: &Look, terminal: bool) {
    let start = if terminal { "\r\x1b[K" } else { "" };
    let cider = match look.validation.cider {
        Some(cider) => format!(", CIDEr-D {:.1}", 100.0 * cider),
        None => String::new(),
    };
    eprintln!(
        "{start}{} {}/{}  validation loss {:.4}{cider}",
        look.stage, look.step, look.steps, look.validation.loss
    );
}
