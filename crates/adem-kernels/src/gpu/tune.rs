//! Timing the forms of each kernel.

use std::time::Duration;

use burn::tensor::{Device, Tensor};
use burn_cubecl::CubeDevice;
use web_time::Instant;

use super::attend::Attend;
use super::case::Seeded;
use super::product::{Product, Size, Weights};
use super::{floats, registry, tensor, weights};
use crate::clock;
use crate::cross_attention::CrossAttention;
use crate::tune::Timing;
use crate::variant::{Format, Rows, Task, Variant};

/// Timings of a form.
const RUNS: usize = 3;
/// Launches of a timing.
const REPEATS: u32 = 8;
/// A device that takes longer for a product of [`CLASSES`] is a software one, or as slow.
const SLOW: Duration = Duration::from_millis(4);
/// What timing at start-up may take, compiling included, before the forms not yet timed are left
/// out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Times all forms on `device`, which `plain` is without gradients, and keeps the fastest.
pub(crate) async fn run(device: &CubeDevice, plain: &Device) -> Vec<Timing> {
    let mut all = Vec::new();
    // The products come before what is built of them.
    let mut tasks = Task::all();
    tasks.sort_by_key(|task| !matches!(task, Task::Product(..)));
    registry::begin_tuning(device);
    for task in tasks {
        let mut timings = Vec::new();
        let forms = registry::forms(device, task);
        let several = forms.len() > 1;
        for variant in forms {
            if !several || registry::is_off(device, task, variant) {
                continue;
            }
            if let Some(time) = accepted(device, task, variant, plain).await {
                timings.push(Timing {
                    task,
                    variant,
                    time,
                    chosen: false,
                });
            }
        }
        if let Some(best) = timings.iter_mut().min_by_key(|timing| timing.time) {
            best.chosen = true;
            registry::choose(device, task, best.variant);
        }
        all.extend(timings);
    }
    all
}

/// Products that are bound by the same, so that a timing of one speaks for all.
struct Class {
    rows: &'static [Rows],
    /// m, k and n of the one that is timed.
    size: [usize; 3],
    /// Launches of a timing.
    repeats: u32,
    /// By how many percent threads that work alone must be faster to be taken: less may be chance.
    lead: u32,
}

const CLASSES: [Class; 2] = [
    // Bound by memory. A matrix large enough that a launch is little of it, small enough for a
    // software device.
    Class {
        rows: &[Rows::One, Rows::Few],
        size: [1, 1024, 1024],
        repeats: 2 * REPEATS,
        lead: 100,
    },
    // Bound by arithmetic.
    Class {
        rows: &[Rows::Many],
        size: [64, 256, 256],
        repeats: REPEATS,
        lead: 30,
    },
];

impl Class {
    /// How long the usual form takes, and whether threads that work alone are clearly faster.
    async fn compare(&self, device: &CubeDevice, plain: &Device) -> Option<(Duration, bool)> {
        let rows = *self.rows.first()?;
        let usual = registry::variant(device, Task::Product(rows, Format::Float))?;
        let together = product(self.size, self.repeats, usual, plain).await?;
        let apart = product(self.size, self.repeats, alone(rows, Format::Float), plain).await?;
        let alone = apart * (100 + self.lead) < together * 100;
        Some((together, alone))
    }
}

/// Takes, of each class of products with rows of weights, the forms without shared sums where those
/// are clearly faster. Where no class is and the device is quick, as graphics cards are, the forms
/// with shared work are timed beside one another for weights stored as `formats` say. A software
/// GPU would need minutes to compile them.
pub(crate) async fn once(device: &CubeDevice, plain: &Device, formats: &[Format]) {
    if !registry::begin_tuning(device) {
        return;
    }
    let begin = Instant::now();
    let mut together = true;
    for class in &CLASSES {
        let Some((time, alone_wins)) = class.compare(device, plain).await else {
            together = false;
            continue;
        };
        together &= !alone_wins && time < SLOW;
        if !alone_wins {
            continue;
        }
        for rows in class.rows {
            for format in [Format::Float, Format::Q4, Format::Q8] {
                let task = Task::Product(*rows, format);
                registry::choose(device, task, alone(*rows, format));
            }
        }
    }
    if !together {
        return;
    }
    choose_shared(device, plain, Task::CrossAttention, begin).await;
    // Packed weights, named last, are most of a model that has them.
    let by_rows = formats.iter().rev().filter(|f| **f != Format::Across);
    for format in by_rows {
        for rows in [Rows::One, Rows::Many] {
            choose_shared(device, plain, Task::Product(rows, *format), begin).await;
        }
    }
}

/// How long the form takes; one that the device refuses is switched off. What was launched together
/// with it is lost, so that nothing else may be under way.
async fn accepted(
    device: &CubeDevice,
    task: Task,
    variant: Variant,
    plain: &Device,
) -> Option<Duration> {
    if variant.needs().is_some() {
        let settled = Tensor::<1>::ones([1], plain).into_data_async().await;
        settled.ok()?;
    }
    let time = time(task, variant, plain).await;
    if registry::take_refusal(device).is_some() {
        registry::switch_off(device, task, variant);
        return None;
    }
    time
}

/// Takes the fastest of the forms of `task` whose threads share work, where it is faster than the
/// default by a tenth. None is begun when timing has taken [`PATIENCE`] since `begin`.
async fn choose_shared(device: &CubeDevice, plain: &Device, task: Task, begin: Instant) {
    let mut best: Option<(Duration, Variant)> = None;
    for variant in registry::forms(device, task) {
        let alone = matches!(
            variant,
            Variant::Direct { lanes: 1, .. }
                | Variant::Unpacked { .. }
                | Variant::Fused { lanes: 1 }
                | Variant::Split
        );
        if alone || registry::is_off(device, task, variant) || begin.elapsed() > PATIENCE {
            continue;
        }
        let Some(time) = accepted(device, task, variant, plain).await else {
            continue;
        };
        // The default comes first.
        if best.is_none_or(|(least, _)| time * 10 < least * 9) {
            best = Some((time, variant));
        }
    }
    if let Some((_, variant)) = best {
        registry::choose(device, task, variant);
    }
}

/// How long a product of float weights takes in the form `variant`.
async fn product(
    [m, k, n]: [usize; 3],
    repeats: u32,
    variant: Variant,
    plain: &Device,
) -> Option<Duration> {
    let x: Tensor<3> = Tensor::ones([1, m, k], plain);
    let w: Tensor<2> = Tensor::ones([n, k], plain);
    let weights = Weights::float(Format::Float, floats(&w)?);
    let product = Product::new(floats(&x)?, Size { batch: 1, m, k, n }, weights);
    let run = || tensor::<3>(product.clone().run(variant));
    clock::marginal(RUNS, repeats, run).await
}

/// The form of a product in which each thread works alone. Each would unpack the same weights again;
/// for many rows that is done once before.
fn alone(rows: Rows, format: Format) -> Variant {
    let (rows, columns) = match (rows, format) {
        (Rows::One, _) => (1, 4),
        (Rows::Few, _) => (4, 4),
        (Rows::Many, Format::Float | Format::Across) => (8, 8),
        (Rows::Many, Format::Q4 | Format::Q8) => {
            return Variant::Unpacked {
                rows: 8,
                columns: 8,
            };
        }
    };
    Variant::Direct {
        lanes: 1,
        rows,
        columns,
    }
}

async fn time(task: Task, variant: Variant, device: &Device) -> Option<Duration> {
    let mut seeded = Seeded { state: 1, device };
    match task {
        Task::CrossAttention => {
            let (tokens, dim) = (320, 512);
            let attend = Attend {
                x: floats(&seeded.floats([1, 1, dim]))?,
                keys: floats(&seeded.floats([1, tokens, dim]))?,
                values: floats(&seeded.floats([1, tokens, dim]))?,
                residual: None,
                settings: CrossAttention {
                    alpha: 0.1,
                    drop_index: crate::drop_index(0.1, tokens),
                },
            };
            timed(|| tensor(attend.run(variant))).await
        }
        Task::Product(rows, format) => {
            let m = match rows {
                Rows::One => 1,
                Rows::Few => 4,
                Rows::Many => 64,
            };
            let (k, n) = (512, 512);
            let x = floats(&seeded.floats([1, m, k]))?;
            let weights = match format {
                Format::Across => Weights::float(format, floats(&seeded.floats([1, k, n]))?),
                _ => weights(&seeded.matrix(format, [n, k])?)?,
            };
            let product = Product::new(x, Size { batch: 1, m, k, n }, weights);
            timed(|| tensor(product.clone().run(variant))).await
        }
        _ => None,
    }
}

async fn timed(work: impl FnMut() -> Tensor<3>) -> Option<Duration> {
    clock::marginal(RUNS, REPEATS, work).await
}
