//! `adem eval`.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use adem_eval::scenes::{Agreement, ScenesEval, ScenesProgress, Setting, settings};

use crate::args::{AgreementArgs, EvalCommand, ScenesArgs};
use crate::error::CliError;
use crate::{device, output, package, stop};

pub fn run(command: EvalCommand) -> Result<(), CliError> {
    match command {
        EvalCommand::Scenes(args) => scenes(args),
        EvalCommand::Agreement(args) => agreement(args),
    }
}

fn agreement(args: AgreementArgs) -> Result<(), CliError> {
    let device = device::open(args.model.device)?;
    let model = package::load_onto(&package::locate(&args.model)?, &device)?;
    let against = package::load_onto(&args.against, &device)?;
    let eval = Agreement {
        count: args.count,
        seed: args.seed,
        batch: args.batch,
    };
    let stopped = stop::flag("this batch");
    let mut progress = ProgressLine::default();
    let running = eval.run(&model, &against, |now| {
        progress.show(&now);
        match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    match args.json {
        true => output::json(&report),
        false => output::line(report.to_string().trim_end()),
    }
}

fn scenes(args: ScenesArgs) -> Result<(), CliError> {
    let captioner = package::load(&args.model)?;
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
    let stopped = stop::flag("this batch");
    let mut progress = ProgressLine::default();
    let running = eval.run(&captioner, |now| {
        progress.show(&now);
        match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    match args.json {
        true => output::json(&report),
        false => output::line(report.to_string().trim_end()),
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
    fn show(&mut self, now: &ScenesProgress) {
        if !self.terminal {
            return;
        }
        let left = match now.seconds_left() {
            Some(seconds) => format!("about {} left", output::duration(seconds)),
            None => "started".to_owned(),
        };
        let ScenesProgress { scenes, count, .. } = now;
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(io::stderr(), "\r\x1b[K{scenes} of {count} scenes, {left}");
        let _ = io::stderr().flush();
    }

    fn clear(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
