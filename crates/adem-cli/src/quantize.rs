//! `adem quantize`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use adem_eval::{Align, Table, calibrate};
use adem_package::quant::{
    Activations, Method, QuantProgress, QuantReport, QuantizeOptions, Scheme, TensorReport,
    quantize,
};
use adem_package::{Package, PackageError, WeightSource};
use adem_pipeline::{Captioner, Sums, Watches};
use clap::{Args, ValueEnum};

use crate::args::DeviceName;
use crate::dataset::{bad_rows, open};
use crate::error::CliError;
use crate::progress::ProgressLine;
use crate::{device, output, package, stop};

/// Bits of a quantised weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemeName {
    /// Four, and half a bit for the scale of its block of 32.
    Q4,
    /// Eight, and half a bit for the scale of its block of 32.
    Q8,
}

/// How the scales of quantised weights are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScaleName {
    /// By the largest weight of each block: rounding to nearest.
    Rtn,
    /// By search for the least squared error.
    Search,
}

#[derive(Debug, Clone, Args)]
pub struct QuantizeArgs {
    /// The model: a package's folder or http(s):// address, its weights float.
    #[arg(value_name = "PACKAGE")]
    pub package: String,
    /// The new package's folder; a package there is replaced once the new one is complete.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// The new package's name; otherwise the old one's.
    #[arg(long)]
    pub name: Option<String>,
    /// Bits of a weight.
    #[arg(long, value_enum)]
    pub scheme: SchemeName,
    /// Leave weights float whose whole name fits: `*` stands for any characters, `?` for one.
    /// Biases, norms, positional and adapter embeddings stay float in any case.
    #[arg(long, value_name = "PATTERN")]
    pub keep_float: Vec<String>,
    /// With --scheme q4: eight bits for weights whose whole name fits. A layer's wq, wk and wv are
    /// fastest alike, and so are w1 and w3.
    #[arg(long, value_name = "PATTERN")]
    pub q8: Vec<String>,
    /// Spare what the model needs to caption these pictures: it captions some of them first, and
    /// every weight's columns then make up for one another's errors in what it computed (GPTQ). Of
    /// the data it was trained on; WebDataset shards or a file of captions, as `adem eval caption`
    /// takes them.
    #[arg(long, num_args = 1.., value_name = "SHARD")]
    pub calibrate: Vec<String>,
    /// Where the pictures of a file of captions lie; otherwise beside it.
    #[arg(long, value_name = "DIR", requires = "calibrate")]
    pub images: Option<PathBuf>,
    /// How many pictures to calibrate with.
    #[arg(long, value_name = "N", default_value_t = 512, requires = "calibrate")]
    pub count: u64,
    /// How scales are chosen.
    #[arg(long, value_enum, default_value_t = ScaleName::Search)]
    pub scale: ScaleName,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Writes a quantised package and prints what became of each tensor.
pub fn run(args: QuantizeArgs) -> Result<(), CliError> {
    if args.scheme == SchemeName::Q8 && !args.q8.is_empty() {
        return Err(CliError::Usage(
            "--q8 names exceptions from --scheme q4; with --scheme q8 all weights have eight bits"
                .to_owned(),
        ));
    }
    let stop = stop::listen("this part").flag;
    let refused = |source| CliError::Quantize {
        package: args.package.clone(),
        source,
    };
    let opening = async {
        let source = package::source(&args.package).map_err(PackageError::from)?;
        Package::open(source).await
    };
    let package = pollster::block_on(opening).map_err(refused)?;
    let mut options = QuantizeOptions {
        name: args.name.clone(),
        method: args.scale.into(),
        keep_float: args.keep_float.clone(),
        eight_bits: args.q8.clone(),
        ..QuantizeOptions::new(args.scheme.into())
    };
    if !args.calibrate.is_empty() {
        let manifest = package.manifest();
        manifest.check_float().map_err(refused)?;
        options.check_patterns(manifest).map_err(refused)?;
        options.activations = pollster::block_on(activations(&package, &args, &stop))?;
    }
    let terminal = io::stderr().is_terminal();
    let working = async {
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
    let report = done.map_err(refused)?;
    if args.json {
        return output::json(&report);
    }
    let shown = Shown {
        report: &report,
        out: &args.out,
    };
    output::line(shown.to_string().trim_end())
}

/// Bytes that what is known of activations may take: X^T X of an encoder and a decoder of a billion
/// weights. Weights for which there is no room are calibrated by the squares of their activations.
const ACTIVATION_BYTES: usize = 4 << 30;

/// What meets the weights of `package` that will be quantised, on pictures.
async fn activations<S: WeightSource>(
    package: &Package<S>,
    args: &QuantizeArgs,
    stop: &AtomicBool,
) -> Result<BTreeMap<String, Activations>, CliError> {
    let refused = |source| CliError::Quantize {
        package: args.package.clone(),
        source,
    };
    let bad = bad_rows();
    let data = open(&args.calibrate, args.images.as_deref(), &bad)?;
    let device = device::open(DeviceName::Cpu)?;
    let mut watches = Watches::new(ACTIVATION_BYTES);
    let model = Captioner::watched(package, |_| {}, &device, &mut watches).await;
    let model = model.map_err(|source| CliError::Package {
        package: args.package.clone(),
        source,
    })?;
    let progress = ProgressLine::default();
    let show = |now| progress.pictures(now, stop);
    let seen = calibrate(&model, watches, &*data, &bad, args.count, show).await;
    progress.clear();
    let seen = seen?.ok_or(PackageError::Stopped).map_err(refused)?;
    let named = seen.into_iter().map(|(name, sums)| (name, mean(sums)));
    Ok(named.collect())
}

fn mean(sums: Sums) -> Activations {
    let Sums {
        columns,
        rows,
        mut values,
    } = sums;
    values.iter_mut().for_each(|value| *value /= rows as f32);
    match values.len() == columns {
        true => Activations::Squares(values),
        false => Activations::Products(values),
    }
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

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
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
            ("in products", Align::Right),
        ]);
        for tensor in &report.tensors {
            let errors = [tensor.max_abs_error, tensor.rms_error];
            let [largest, rms] = match tensor.kept {
                Some(_) => [String::new(), String::new()],
                None => errors.map(|error| format!("{error:.2e}")),
            };
            let relative = match tensor.kept {
                Some(_) => String::new(),
                None => percent(tensor.relative_error),
            };
            table.row([
                tensor.name.clone(),
                tensor.kind.to_owned(),
                format!("{:.2}", tensor.bits_per_weight),
                largest,
                rms,
                relative,
                (tensor.product_error).map_or_else(String::new, percent),
            ]);
        }
        writeln!(f, "{table}")?;
        let (before, after) = (report.bytes_before as f64, report.bytes_after as f64);
        let in_eight = |tensor: &&TensorReport| tensor.kind == Scheme::Q8.name();
        let eight = match report.scheme {
            Scheme::Q4 => report.tensors.iter().filter(in_eight).count(),
            Scheme::Q8 => 0,
        };
        let beside = match eight {
            0 => String::new(),
            _ => format!(" and {eight} in q8"),
        };
        writeln!(
            f,
            "{} of {} tensors in {}{beside}; weights {:.2} MB before, {:.2} MB now ({:.1} %)",
            report.quantised() - eight,
            report.tensors.len(),
            report.scheme.name(),
            before / 1e6,
            after / 1e6,
            100.0 * after / before
        )?;
        writeln!(f, "wrote the package {}", out.display())
    }
}
