//! `adem verify`.

use std::io::{self, IsTerminal, Write};

use adem_package::{PackageError, Progress, verify};
use serde_json::json;

use super::VerifyArgs;
use crate::error::CliError;
use crate::{output, package};

/// Reads a whole package and says whether it is sound.
pub fn run(args: VerifyArgs) -> Result<(), CliError> {
    let terminal = io::stderr().is_terminal();
    let verifying = async {
        let source = package::source(&args.package).map_err(PackageError::from)?;
        verify(source, |now| {
            if terminal {
                show(&now);
            }
        })
        .await
    };
    let done = pollster::block_on(verifying);
    if terminal {
        eprintln!();
    }
    let manifest = done.map_err(|source| CliError::Verify {
        package: args.package.clone(),
        source,
    })?;
    let (shards, bytes) = (manifest.shards.len(), manifest.weight_bytes());
    if args.json {
        return output::json(&json!({
            "package": args.package,
            "name": manifest.name,
            "sound": true,
            "tensors": manifest.tensors,
            "shards": shards,
            "bytes": bytes,
        }));
    }
    output::line(&format!(
        "{} is sound: {} tensors in {shards} shards, {:.2} MB",
        args.package,
        manifest.tensors,
        bytes as f64 / 1e6
    ))
}

/// One line on the terminal, over the one before.
fn show(now: &Progress) {
    let percent = 100 * now.bytes / now.total_bytes.max(1);
    // Progress that cannot be shown is no reason to stop.
    let _ = write!(
        io::stderr(),
        "\r\x1b[K{percent} %  {} of {} shards",
        now.shards,
        now.total_shards
    );
    let _ = io::stderr().flush();
}
