//! `adem export`.

use std::path::PathBuf;

use clap::Args;

use crate::error::CliError;
use crate::output;

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

/// Merges what a run trained and what it left as it was into a package.
pub fn run(args: ExportArgs) -> Result<(), CliError> {
    let done = adem_train::export(&args.run, args.checkpoint.as_deref(), &args.out)?;
    output::line(&format!(
        "wrote the package {} from {}, step {}",
        args.out.display(),
        done.checkpoint.display(),
        done.step
    ))
}
