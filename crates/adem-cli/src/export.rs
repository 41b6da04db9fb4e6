//! `adem export`.

use crate::args::ExportArgs;
use crate::error::CliError;
use crate::output;

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
