//! `adem ablate`.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use adem_train::ablation::{Ablation, Turn};
use adem_train::scenes::Stopped;
use adem_train::task::Reporter;
use adem_train::{Log, Recipe, TrainError, single_process};

use crate::args::AblateArgs;
use crate::error::CliError;
use crate::{device, output, stop, train};

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
