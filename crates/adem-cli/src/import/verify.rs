//! `adem verify`.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use adem_import::check;
use adem_package::{Package, PackageError, Progress};
use serde_json::json;

use super::VerifyArgs;
use crate::error::CliError;
use crate::{output, package};

/// Reads a whole package and says whether it is sound.
pub fn run(args: VerifyArgs) -> Result<(), CliError> {
    let terminal = io::stderr().is_terminal();
    let verifying = async {
        let source = package::source(&args.package).map_err(PackageError::from)?;
        let package = Package::open(source).await?;
        let progress = |now| {
            if terminal {
                show(&now);
            }
        };
        package.verify_weights(progress).await?;
        Ok::<_, PackageError>(package)
    };
    let done = pollster::block_on(verifying);
    if terminal {
        eprintln!();
    }
    let package = done.map_err(|source| CliError::Verify {
        package: args.package.clone(),
        source,
    })?;
    // What lies elsewhere would be fetched again for it.
    let lacking = match Path::new(&args.package) {
        folder if folder.is_dir() => check(folder)?,
        _ => Vec::new(),
    };
    let manifest = package.manifest();
    // A package that is still to be completed has no adapters yet.
    let mut names = manifest.shards.iter().flat_map(|shard| &shard.tensors);
    if names.any(|name| name == "adapter_emb1") {
        adem_pipeline::check(&package).map_err(|source| CliError::Package {
            package: args.package.clone(),
            source,
        })?;
    }
    let (shards, bytes) = (manifest.shards.len(), manifest.weight_bytes());
    if args.json {
        return output::json(&json!({
            "package": args.package,
            "name": manifest.name,
            "sound": true,
            "lacks": lacking,
            "tensors": manifest.tensors,
            "shards": shards,
            "bytes": bytes,
        }));
    }
    output::line(&format!(
        "{} is sound: {} tensors in {}, {:.2} MB",
        args.package,
        manifest.tensors,
        output::count(shards, "shard"),
        bytes as f64 / 1e6
    ))?;
    for part in lacking {
        output::line(&format!("it has no {part}: it does not caption yet"))?;
    }
    Ok(())
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
