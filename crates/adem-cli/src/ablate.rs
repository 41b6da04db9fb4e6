//! `adem ablate`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use adem_train::ablation::{Ablation, Study, Turn};
use adem_train::scenes::Stopped;
use adem_train::task::Reporter;
use adem_train::{Log, Recipe, TrainError, single_process};
use clap::Args;

use crate::args::DeviceName;
use crate::error::CliError;
use crate::train::RecipeArgs;
use crate::{device, output, stop, train};

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

pub fn run(args: AblateArgs) -> Result<(), CliError> {
    single_process(|name| std::env::var(name).ok())?;
    let Recipe::Task(config) = args.recipe.source().read()? else {
        return Err(CliError::Usage(
            "studies are of recipes on a data set; name another than scenes".to_owned(),
        ));
    };
    let ablation = Ablation {
        studies: args.study,
        seeds: args.seeds,
    };
    let devices = [device::open(args.device)?];
    let out = &args.out;
    std::fs::create_dir_all(out).map_err(|error| TrainError::file(out, error))?;
    let stop = stop::listen("this step and a checkpoint");
    let line = io::stderr().is_terminal();
    let report: Reporter = Arc::new(|text| eprintln!("adem: {text}"));
    let log = |folder: &std::path::Path, turn: Turn<'_>| {
        eprintln!(
            "adem: {} of {}: {}, {}, seed {}",
            turn.number,
            turn.of,
            turn.study.name(),
            turn.name,
            turn.seed
        );
        Log::new(folder, move |told| train::show(told, line))
    };
    let (studied, stopped) = ablation.run(&config, out, &devices, log, &report, &stop.flag)?;
    match args.json {
        true => output::json(&studied)?,
        false => {
            for study in &studied {
                output::line(&study.to_string())?;
            }
        }
    }
    match stopped {
        Stopped::Yes => Err(CliError::Stopped),
        Stopped::No => Ok(()),
    }
}
