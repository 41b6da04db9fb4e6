//! `adem bench`: where the time goes, stage by stage.

mod kernels;
mod shapes;

use std::fmt;
use std::io::Cursor;

use adem_data::scenes::Scene;
use adem_eval::{Align, Table};
use adem_pipeline::{Captioner, PipelineError, Request, Stopwatch, Timings};
use burn::tensor::Device;
use clap::{Args, Subcommand};
use image::ImageFormat;
use serde::Serialize;

use crate::args::ModelArgs;
use crate::error::CliError;
use crate::package::Wanted;
use crate::{device, memory, output, package};

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub what: Option<BenchCommand>,
    /// How often everything is measured; the median is shown.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(5..))]
    pub runs: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// Every form of the kernels beside the same in Burn's operations; on the processor, products
    /// with packed weights.
    Kernels(kernels::KernelsArgs),
    /// Decoding and encoding at the sizes of known models, with random weights.
    Shapes(shapes::ShapesArgs),
}

/// Side of the measured pictures, pixels.
const SIDE: u32 = 512;

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    parameters: usize,
    device: &'static str,
    runs: u32,
    /// From opening the package to a model that can be asked, milliseconds.
    load_ms: Spread,
    /// The first caption after loading, with all that is done once only, milliseconds.
    first_caption_ms: f64,
    /// Decoding, resizing and normalising a PNG of `picture_side` squared, milliseconds.
    picture_ms: Spread,
    picture_side: u32,
    /// Encoder and visual prompt, milliseconds.
    vision_ms: Spread,
    /// The prompt up to the first token, milliseconds.
    prefill_ms: Spread,
    /// Tokens a second after the first; none where every caption ended at once.
    tokens_per_second: Option<Spread>,
    /// Kernels launched for a token; none where Burn's own operations have part in it.
    dispatches_per_token: Option<u64>,
    /// Most memory of the whole process; none where the system does not say.
    peak_bytes: Option<u64>,
}

/// Measurements of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// `None` of nothing.
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self {
            median,
            least,
            most,
        })
    }
}

pub fn run(args: BenchArgs) -> Result<(), CliError> {
    match args.what {
        Some(BenchCommand::Kernels(args)) => kernels::run(args),
        Some(BenchCommand::Shapes(args)) => shapes::run(args),
        None => model(args),
    }
}

/// Measures a package's model, stage by stage.
fn model(args: BenchArgs) -> Result<(), CliError> {
    let device = device::open(args.model.device)?;
    let place = package::locate(&args.model, Wanted::Photo)?;
    let (captioner, loads) = load_repeatedly(&place, &device, args.runs)?;
    let clock = Stopwatch::start();
    caption(&captioner, 0)?;
    let first_caption_ms = clock.ms();
    // A picture of its own for every run, or its features would be remembered.
    let timings = (1..=args.runs).map(|run| caption(&captioner, u64::from(run)));
    let timings = timings.collect::<Result<Vec<Timings>, _>>()?;
    let stage = |of: fn(&Timings) -> f64| Spread::of(timings.iter().map(of));
    let measured = || {
        Some(Report {
            model: captioner.manifest().name.clone(),
            parameters: captioner.parameters(),
            device: args.model.device.word(),
            runs: args.runs,
            load_ms: Spread::of(loads)?,
            first_caption_ms,
            picture_ms: stage(|t| t.picture_ms)?,
            picture_side: SIDE,
            vision_ms: stage(|t| t.vision_ms)?,
            prefill_ms: stage(|t| t.prefill_ms)?,
            tokens_per_second: Spread::of(timings.iter().filter_map(Timings::tokens_per_second)),
            dispatches_per_token: timings.iter().find_map(|t| t.launches),
            peak_bytes: memory::peak_bytes(),
        })
    };
    let report = measured().ok_or_else(|| CliError::Usage("nothing was measured".to_owned()))?;
    output::report(&report, args.json)
}

/// Loads the package `runs` times; at no time are two models held.
fn load_repeatedly(
    place: &str,
    device: &Device,
    runs: u32,
) -> Result<(Captioner, Vec<f64>), CliError> {
    let timed = || {
        let clock = Stopwatch::start();
        package::load_onto(place, device).map(|captioner| (captioner, clock.ms()))
    };
    let mut times = Vec::new();
    for _ in 1..runs {
        let (captioner, ms) = timed()?;
        drop(captioner);
        times.push(ms);
    }
    let (captioner, ms) = timed()?;
    times.push(ms);
    Ok((captioner, times))
}

/// Captions the scene of `seed`, whose drawing and encoding is not measured.
fn caption(captioner: &Captioner, seed: u64) -> Result<Timings, CliError> {
    let mut png = Cursor::new(Vec::new());
    Scene::sample(seed)
        .render(SIDE)
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| CliError::Input(std::io::Error::other(error)))?;
    let session = captioner.start(Request::caption(png.into_inner()))?;
    let outcome: Result<_, PipelineError> = pollster::block_on(session.finish());
    Ok(outcome?.timings)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            parameters,
            device,
            runs,
            picture_side: side,
            ..
        } = self;
        writeln!(
            f,
            "{model}: {parameters} parameters, {device}, median of {runs} runs\n"
        )?;
        let mut table = Table::new([
            ("stage", Align::Left),
            ("median", Align::Right),
            ("least", Align::Right),
            ("most", Align::Right),
        ]);
        let mut row = |name: String,
                       Spread {
                           median,
                           least,
                           most,
                       }: Spread| {
            table.row(
                [name]
                    .into_iter()
                    .chain([median, least, most].map(|v| format!("{v:.1}"))),
            );
        };
        row("load, ms".to_owned(), self.load_ms);
        row(format!("picture ({side}x{side} PNG), ms"), self.picture_ms);
        row("vision, ms".to_owned(), self.vision_ms);
        row("prefill, ms".to_owned(), self.prefill_ms);
        if let Some(rate) = self.tokens_per_second {
            row("decode, tokens/s".to_owned(), rate);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "first caption after loading: {:.1} ms",
            self.first_caption_ms
        )?;
        if let Some(dispatches) = self.dispatches_per_token {
            writeln!(f, "dispatches a token: {dispatches}")?;
        }
        match self.peak_bytes {
            Some(bytes) => writeln!(f, "peak memory: {:.1} MB", bytes as f64 / 1e6),
            None => writeln!(f, "peak memory: not told by this system"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        let even = spread(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((even.least, even.median, even.most), (1.0, 2.5, 4.0));
        assert_eq!(spread(&[]), None);
    }
}
