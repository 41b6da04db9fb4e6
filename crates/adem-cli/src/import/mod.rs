//! `adem import`.

mod args;
mod hub;
pub mod inspect;
pub mod verify;

use std::io::{self, IsTerminal, Write};

use adem_data::image::Normalisation;
use adem_import::{
    Compat, FusionNumbers, ImportOptions, ImportProgress, ImportReport, Storage, import,
};
use adem_package::quant::Scheme;
use adem_package::{Dtype, Found, StreamError};

use crate::error::CliError;
use crate::{output, stop};
use args::{CompatName, FloatName, NormalisationName, StorageName};
pub use args::{ImportArgs, InspectArgs, VerifyArgs};

/// Most tensors of a kind that are listed by name.
const SHOWN: usize = 8;

/// Writes a package of the sources' weights and prints what became of them.
pub fn run(args: ImportArgs) -> Result<(), CliError> {
    let options = ImportOptions {
        tokenizer: args.tokenizer,
        name: args.name,
        storage: args.scheme.map_or(Storage::AsFound, Into::into),
        dtype: args.dtype.map(Into::into),
        method: args.scale.into(),
        compat: args.compat.map(Into::into),
        normalisation: args.normalisation.map(Into::into),
        context: args.context,
        vision_heads: args.vision_heads,
        fusion: FusionNumbers {
            alpha: args.alpha,
            beta: args.beta,
            gamma: args.gamma,
        },
        ignore: args.ignore,
        shard_bytes: args.shard_bytes,
        jobs: args.jobs,
    };
    let terminal = io::stderr().is_terminal();
    let stop = stop::listen("this part").flag;
    let sources = hub::fetched(&args.sources, args.offline, terminal, &stop)?;
    let mut last = None;
    let progress = |now: ImportProgress| {
        if last.is_none() {
            say_found(&now.found);
        }
        last = Some(now);
        if terminal {
            show(&now);
        }
    };
    let done = import(&sources, &args.out, &options, progress, &stop);
    if terminal {
        eprintln!();
    }
    let kept = last.filter(|now| now.shards > 0);
    let done = done.map_err(|source| match kept.filter(|_| source.may_pass()) {
        None => source.into(),
        Some(now) => CliError::Interrupted {
            shards: now.shards,
            all: now.found.shards,
            source: Box::new(source),
        },
    });
    let report = done?;
    if args.json {
        return output::json(&report);
    }
    output::line(&told(&report))?;
    output::line(&format!("wrote the package {}", args.out.display()))
}

impl From<StorageName> for Storage {
    fn from(name: StorageName) -> Self {
        match name {
            StorageName::Q4 => Self::Quantised(Scheme::Q4),
            StorageName::Q8 => Self::Quantised(Scheme::Q8),
            StorageName::Float => Self::Float,
        }
    }
}

impl From<FloatName> for Dtype {
    fn from(name: FloatName) -> Self {
        match name {
            FloatName::F32 => Self::F32,
            FloatName::F16 => Self::F16,
            FloatName::Bf16 => Self::BF16,
        }
    }
}

impl From<CompatName> for Compat {
    fn from(name: CompatName) -> Self {
        match name {
            CompatName::CocoCaption => Self::CocoCaption,
            CompatName::Scienceqa => Self::ScienceQa,
            CompatName::Instruction => Self::Instruction,
        }
    }
}

impl From<NormalisationName> for Normalisation {
    fn from(name: NormalisationName) -> Self {
        match name {
            NormalisationName::Clip => Self::CLIP,
            NormalisationName::Imagenet => Self::IMAGENET,
        }
    }
}

/// Says what an earlier run has left, if it has left something.
fn say_found(found: &Found) {
    let Found {
        shards,
        kept,
        damaged,
        discarded,
    } = found;
    if *kept > 0 {
        eprintln!("adem: going on: {kept} of {shards} shards are there");
    }
    if *damaged > 0 {
        eprintln!("adem: {damaged} shards are not as they were written, and are made anew");
    }
    if *discarded > 0 {
        eprintln!(
            "adem: beginning anew: {discarded} shards were there of other sources or options, and were removed"
        );
    }
}

/// One line on the terminal, over the one before.
fn show(now: &ImportProgress) {
    let percent = 100 * now.bytes / now.total_bytes.max(1);
    let (tensors, all) = (now.tensors, now.total_tensors);
    // Progress that cannot be shown is no reason to stop.
    let _ = write!(
        io::stderr(),
        "\r\x1b[K{percent} %  {tensors} of {all} tensors"
    );
    let _ = io::stderr().flush();
}

/// The report as a person reads it.
fn told(report: &ImportReport) -> String {
    let mut lines: Vec<_> = report
        .sources
        .iter()
        .map(|source| format!("{}: {}", source.path, source.kind))
        .collect();
    let mut reasons: Vec<_> = report
        .left_out
        .iter()
        .map(|it| it.reason.as_str())
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        let of_it = report.left_out.iter().filter(|it| it.reason == reason);
        let names: Vec<_> = of_it.map(|it| it.tensor.as_str()).collect();
        let more = names.len().saturating_sub(SHOWN);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let shown = names[..names.len().min(SHOWN)].join(", ");
        lines.push(format!("left out ({reason}): {shown}{more}"));
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    let exact = report.tensors.iter().filter(|tensor| tensor.exact).count();
    lines.push(format!(
        "{} tensors, {exact} of them bit by bit; {:.2} MB read, {:.2} MB in {}",
        report.tensors.len(),
        report.bytes_read as f64 / 1e6,
        report.bytes_written as f64 / 1e6,
        output::count(report.shards, "shard")
    ));
    lines.join("\n")
}
