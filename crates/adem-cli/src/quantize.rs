//! `adem quantize`.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use adem_eval::{Align, Table};
use adem_package::quant::{Method, QuantProgress, QuantReport, QuantizeOptions, Scheme, quantize};
use adem_package::{Package, PackageError};

use crate::args::{QuantizeArgs, ScaleName, SchemeName};
use crate::error::CliError;
use crate::{output, package, stop};

/// Writes a quantised package and prints what became of each tensor.
pub fn run(args: QuantizeArgs) -> Result<(), CliError> {
    let options = QuantizeOptions {
        method: args.scale.into(),
        keep_float: args.keep_float,
        ..QuantizeOptions::new(args.scheme.into())
    };
    let terminal = io::stderr().is_terminal();
    let stop = stop::listen("this part").flag;
    let working = async {
        let source = package::source(&args.package).map_err(PackageError::from)?;
        let package = Package::open(source).await?;
        let progress = |now| {
            if terminal {
                show(&now);
            }
        };
        quantize(&package, &args.out, &options, progress, &stop).await
    };
    let done = pollster::block_on(working);
    if terminal {
        eprintln!();
    }
    let report = done.map_err(|source| CliError::Quantize {
        package: args.package,
        source,
    })?;
    if args.json {
        return output::json(&report);
    }
    let shown = Shown {
        report: &report,
        out: &args.out,
    };
    output::line(shown.to_string().trim_end())
}

impl From<SchemeName> for Scheme {
    fn from(name: SchemeName) -> Self {
        match name {
            SchemeName::Q4 => Self::Q4,
            SchemeName::Q8 => Self::Q8,
        }
    }
}

impl From<ScaleName> for Method {
    fn from(name: ScaleName) -> Self {
        match name {
            ScaleName::Rtn => Self::Rtn,
            ScaleName::Search => Self::Search,
        }
    }
}

/// One line on the terminal, over the one before.
fn show(now: &QuantProgress) {
    let percent = 100 * now.bytes / now.total_bytes.max(1);
    let what = match now.total_tensors {
        0 => "checking digests".to_owned(),
        all => format!("{} of {all} tensors", now.tensors),
    };
    // Progress that cannot be shown is no reason to stop.
    let _ = write!(io::stderr(), "\r\x1b[K{percent} %  {what}");
    let _ = io::stderr().flush();
}

/// The report as a person reads it.
struct Shown<'a> {
    report: &'a QuantReport,
    out: &'a Path,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, out } = self;
        let mut table = Table::new([
            ("tensor", Align::Left),
            ("stored", Align::Left),
            ("bits", Align::Right),
            ("largest error", Align::Right),
            ("rms error", Align::Right),
            ("relative", Align::Right),
        ]);
        for tensor in &report.tensors {
            let errors = [tensor.max_abs_error, tensor.rms_error];
            let [largest, rms] = match tensor.kept {
                Some(_) => [String::new(), String::new()],
                None => errors.map(|error| format!("{error:.2e}")),
            };
            let relative = match tensor.kept {
                Some(_) => String::new(),
                None => format!("{:.2} %", 100.0 * tensor.relative_error),
            };
            table.row([
                tensor.name.clone(),
                tensor.kind.to_owned(),
                format!("{:.2}", tensor.bits_per_weight),
                largest,
                rms,
                relative,
            ]);
        }
        writeln!(f, "{table}")?;
        let (before, after) = (report.bytes_before as f64, report.bytes_after as f64);
        writeln!(
            f,
            "{} of {} tensors in {}; weights {:.2} MB before, {:.2} MB now ({:.1} %)",
            report.quantised(),
            report.tensors.len(),
            report.scheme.name(),
            before / 1e6,
            after / 1e6,
            100.0 * after / before
        )?;
        writeln!(f, "wrote the package {}", out.display())
    }
}
