//! `adem doctor`: what a device is, and whether its kernels compute what they should.

use std::collections::BTreeMap;
use std::fmt;

use adem_eval::{Align, Table};
use adem_kernels::variant::Task;
use adem_pipeline::Stopwatch;
use clap::Args;
use serde::Serialize;

use crate::args::DeviceName;
use crate::error::CliError;
use crate::{device, output};

#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Which device.
    #[arg(long, value_enum, default_value_t = DeviceName::Wgpu)]
    pub device: DeviceName,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    device: &'static str,
    /// Its name; none on devices without kernels.
    adapter: Option<String>,
    /// What shaders are compiled for, or the processor's instructions for packed weights.
    target: String,
    limits: BTreeMap<&'static str, u64>,
    features: BTreeMap<&'static str, bool>,
    /// Time of the self-test, milliseconds.
    check_ms: f64,
    kernels: Vec<Form>,
}

/// One form of a kernel.
#[derive(Debug, Serialize)]
struct Form {
    kernel: String,
    form: String,
    /// What is wrong with it; none where it computes what it should.
    wrong: Option<String>,
    /// Time of a call, where forms were compared.
    ms: Option<f64>,
    /// The form this device runs.
    chosen: bool,
}

/// Prints what the device says of itself, and every form of every kernel with its verdict.
pub fn run(args: DoctorArgs) -> Result<(), CliError> {
    let device = device::open(args.device)?;
    let adapter = adem_kernels::adapter(&device);
    let clock = Stopwatch::start();
    let report = pollster::block_on(adem_kernels::self_test(&device));
    let check_ms = clock.ms();
    let timings = pollster::block_on(adem_kernels::tune(&device));
    let forms = |task: Task| {
        let (report, timings) = (&report, &timings);
        let mut first = true;
        adem_kernels::forms(&device, task)
            .into_iter()
            .map(move |variant| {
                let same = |t: Task, v| t == task && v == variant;
                let off = report
                    .switched_off
                    .iter()
                    .find(|found| same(found.task, found.variant));
                let timing = timings.iter().find(|t| same(t.task, t.variant));
                let chosen = match timing {
                    Some(timing) => timing.chosen,
                    None => off.is_none() && std::mem::take(&mut first),
                };
                Form {
                    kernel: format!("{task:?}"),
                    form: format!("{variant:?}"),
                    wrong: off.map(|found| found.reason.clone()),
                    ms: timing.map(|t| t.time.as_secs_f64() * 1e3),
                    chosen,
                }
            })
    };
    let kernels = match adapter {
        Some(_) => Task::all().into_iter().flat_map(forms).collect(),
        None => Vec::new(),
    };
    let (name, target, limits, features) = match adapter {
        Some(a) => (Some(a.name), a.target, a.limits, a.features),
        None => (
            None,
            adem_kernels::cpu::level().to_owned(),
            Vec::new(),
            Vec::new(),
        ),
    };
    let findings = Findings {
        device: args.device.word(),
        adapter: name,
        target,
        limits: limits.into_iter().collect(),
        features: features.into_iter().collect(),
        check_ms,
        kernels,
    };
    output::report(&findings, args.json)
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(adapter) = &self.adapter else {
            writeln!(f, "{}: no kernels run here", self.device)?;
            return writeln!(f, "packed weights on the processor: {}", self.target);
        };
        writeln!(f, "{}: {adapter} ({})", self.device, self.target)?;
        for (what, limit) in &self.limits {
            writeln!(f, "{what}: {limit}")?;
        }
        for (what, there) in &self.features {
            writeln!(f, "{what}: {}", if *there { "yes" } else { "no" })?;
        }
        let wrong = self.kernels.iter().filter(|form| form.wrong.is_some());
        writeln!(
            f,
            "\n{} forms of kernels checked in {:.0} ms, {} switched off\n",
            self.kernels.len(),
            self.check_ms,
            wrong.count()
        )?;
        let mut table = Table::new([
            ("kernel", Align::Left),
            ("form", Align::Left),
            ("ms", Align::Right),
            ("verdict", Align::Left),
        ]);
        for form in &self.kernels {
            let verdict = match (&form.wrong, form.chosen) {
                (Some(wrong), _) => wrong.as_str(),
                (None, true) => "right, chosen",
                (None, false) => "right",
            };
            table.row([
                form.kernel.clone(),
                form.form.clone(),
                form.ms.map_or_else(String::new, |ms| format!("{ms:.3}")),
                verdict.to_owned(),
            ]);
        }
        write!(f, "{table}")
    }
}
