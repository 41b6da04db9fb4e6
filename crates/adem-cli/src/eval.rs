//! `adem eval`.

use adem_eval::Agreement;
use adem_eval::captions::CaptionEval;
use adem_eval::scenes::{ScenesEval, Setting, settings};

use crate::args::{AgreementArgs, CaptionEvalArgs, EvalCommand, ScenesArgs};
use crate::dataset::{bad_rows, open};
use crate::error::CliError;
use crate::package::Wanted;
use crate::progress::ProgressLine;
use crate::{device, output, package, stop};

pub fn run(command: EvalCommand) -> Result<(), CliError> {
    match command {
        EvalCommand::Scenes(args) => scenes(args),
        EvalCommand::Caption(args) => captions(args),
        EvalCommand::Agreement(args) => agreement(args),
    }
}

fn agreement(args: AgreementArgs) -> Result<(), CliError> {
    /// Generated scenes, unless a number is given.
    const SCENES: usize = 300;
    let bad = bad_rows();
    let (wanted, agreement) = match args.data.as_slice() {
        [] => {
            let count = args.count.unwrap_or(SCENES);
            (Wanted::Scenes, Agreement::on_scenes(count, args.seed))
        }
        data => {
            let data = open(data, args.images.as_deref(), &bad)?;
            let limit = args.count.map(|count| count as u64);
            (Wanted::Photo, Agreement::on_data(&*data, &bad, limit)?)
        }
    };
    let device = device::open(args.model.device)?;
    let model = package::load_onto(&package::locate(&args.model, wanted)?, &device)?;
    let against = package::load_onto(&args.against, &device)?;
    let stopped = stop::listen("this batch").flag;
    let progress = ProgressLine::default();
    let running = agreement.run(&model, &against, args.batch, |now| {
        progress.pictures(now, &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    output::report(&report, args.json)
}

fn scenes(args: ScenesArgs) -> Result<(), CliError> {
    let captioner = package::load(&args.model, Wanted::Scenes)?;
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
    let stopped = stop::listen("this batch").flag;
    let progress = ProgressLine::default();
    let running = eval.run(&captioner, |now| {
        let done = format!("{} of {} scenes", now.scenes, now.count);
        progress.show(&done, now.seconds_left(), &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let report = report?;
    output::report(&report, args.json)
}

fn captions(args: CaptionEvalArgs) -> Result<(), CliError> {
    let bad = bad_rows();
    let data = open(&args.data, args.images.as_deref(), &bad)?;
    let captioner = package::load(&args.model, Wanted::Photo)?;
    let eval = CaptionEval {
        batch: args.batch,
        limit: args.limit,
        beams: args.beams.beams(),
        pictures: args.report.is_some(),
        compat: args.compat,
    };
    let stopped = stop::listen("this batch").flag;
    let progress = ProgressLine::default();
    let running = eval.run(&captioner, &*data, &bad, |now| {
        progress.pictures(now, &stopped)
    });
    let report = pollster::block_on(running);
    progress.clear();
    let mut report = report?;
    if let Some(path) = &args.report {
        output::file(path, report.html().as_bytes())?;
    }
    report.show(args.captions);
    output::report(&report, args.json)
}
