//! The program `adem`: captions for pictures, answers to questions about them, and measurements.
//!
//! Exit status: 0 when everything was done, 1 when a picture, a package or a device failed, 2 for
//! a command line or settings that make no sense, 130 when the user stopped it.

mod ablate;
mod args;
mod average;
mod bench;
mod dashboard;
mod dataset;
mod describe;
mod device;
mod doctor;
mod draw;
mod error;
mod eval;
mod export;
mod file;
mod import;
mod memory;
mod output;
mod package;
mod progress;
mod quantize;
mod stop;
mod terminal;
mod train;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use error::CliError;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Caption(args) => describe::caption(args),
        Command::Ask(args) => describe::ask(args),
        Command::Draw(args) => draw::run(args),
        Command::Train(args) => train::run(args),
        Command::Ablate(args) => ablate::run(args),
        Command::Export(args) => export::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Average(args) => average::run(args),
        Command::Import(args) => import::run(args),
        Command::Inspect(args) => import::inspect::run(args),
        Command::Verify(args) => import::verify::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Doctor(args) => doctor::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has had enough; that is no failure of ours to report.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::FAILURE
        }
        Err(error) => {
            if !error.is_reported() {
                eprintln!("adem: {error}");
            }
            ExitCode::from(error.status())
        }
    }
}
