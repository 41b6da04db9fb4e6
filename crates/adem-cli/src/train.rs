//! `adem train`.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use adem_train::scenes::{ScenesConfig, Stopped};
use adem_train::{Log, Report, scenes};

use crate::args::{Recipe, TrainArgs};
use crate::error::CliError;
use crate::{device, output, stop};

pub fn run(args: TrainArgs) -> Result<(), CliError> {
    match args.recipe {
        Recipe::Scenes => train_scenes(&args),
    }
}

fn train_scenes(args: &TrainArgs) -> Result<(), CliError> {
    let config = match &args.config {
        None => ScenesConfig::default(),
        Some(path) => read_settings(path)?,
    };
    let device = device::open(args.device)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|error| adem_train::TrainError::file(&args.out, error))?;
    let terminal = io::stderr().is_terminal();
    let mut log = Log::new(&args.out, move |report| show(report, terminal))?;
    let stop = stop::flag("this step and a checkpoint");
    let ended = scenes::train(&config, &args.out, &[device], &mut log, &stop)?;
    if terminal {
        eprintln!();
    }
    match ended {
        Stopped::Yes => Err(CliError::Stopped),
        Stopped::No => output::line(&format!(
            "wrote the package {}",
            args.out.join("package").display()
        )),
    }
}

fn read_settings(path: &Path) -> Result<ScenesConfig, CliError> {
    let settings = |message: String| CliError::Settings {
        path: path.to_owned(),
        message,
    };
    let text = std::fs::read_to_string(path).map_err(|error| settings(error.to_string()))?;
    toml::from_str(&text).map_err(|error| settings(error.to_string()))
}

/// One line on the terminal, a line a report elsewhere.
fn show(report: &Report, terminal: bool) {
    let Report {
        stage,
        step,
        steps,
        loss,
        lr,
        skipped: _,
        samples_per_second,
        seconds_left,
    } = report;
    let left = output::duration(*seconds_left);
    let (start, end) = match terminal {
        true => ("\r\x1b[K", ""),
        false => ("", "\n"),
    };
    // Progress that cannot be shown is no reason to stop.
    let _ = write!(
        io::stderr(),
        "{start}{stage} {step}/{steps}  loss {loss:.4}  lr {lr:.2e}  {samples_per_second:.0}/s  \
         about {left} left{end}"
    );
    let _ = io::stderr().flush();
}
