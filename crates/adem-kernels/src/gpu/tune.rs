//! Timing the forms of each kernel.

use std::time::Duration;

use burn::tensor::{Device, Tensor};
use burn_cubecl::CubeDevice;

use super::attend::Attend;
use super::case::Seeded;
use super::product::{Product, Size, Weights};
use super::{floats, registry, tensor, weights};
use crate::clock;
use crate::cross_attention::CrossAttention;
use crate::tune::Timing;
use crate::variant::{Format, Rows, Task, Variant};

/// Timed calls of a form.
const RUNS: usize = 3;
/// Launches of a call.
const REPEATS: u32 = 4;

/// Times all forms on `device`, which `plain` is without gradients, and keeps the fastest.
pub(crate) async fn run(device: &CubeDevice, plain: &Device) -> Vec<Timing> {
    let mut all = Vec::new();
    // The products come before what is built of them.
    let mut tasks = Task::all();
    tasks.sort_by_key(|task| !matches!(task, Task::Product(..)));
    registry::begin_tuning(device);
    for task in tasks {
        let mut timings = Vec::new();
        for variant in task.variants() {
            if task.variants().len() < 2 || registry::is_off(device, task, *variant) {
                continue;
            }
            if let Some(time) = time(task, *variant, plain).await {
                timings.push(Timing {
                    task,
                    variant: *variant,
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

/// Takes the forms without shared sums for products with rows of weights where one of those is
/// clearly faster so: once for one row and few, which are bound by memory, once for many, which are
/// bound by arithmetic.
pub(crate) async fn once(device: &CubeDevice, plain: &Device) {
    /// One row and few, on a matrix large enough that a launch is little of it, small enough for a
    /// software device; how many times faster its form must be, for less may be chance.
    const SMALL: ([usize; 3], u32, u32) = ([1, 1024, 1024], 4 * REPEATS, 200);
    const MANY: ([usize; 3], u32, u32) = ([64, 256, 256], 1, 130);
    if !registry::begin_tuning(device) {
        return;
    }
    for (rows, (size, repeats, percent)) in [(Rows::One, SMALL), (Rows::Many, MANY)] {
        let Some(shared) = registry::variant(device, Task::Product(rows, Format::Float)) else {
            continue;
        };
        let together = product(size, repeats, shared, plain).await;
        let apart = product(size, repeats, alone(rows, Format::Float), plain).await;
        let (Some(together), Some(apart)) = (together, apart) else {
            continue;
        };
        if apart * percent >= together * 100 {
            continue;
        }
        for alike in [Rows::One, Rows::Few, Rows::Many] {
            if (alike == Rows::Many) != (rows == Rows::Many) {
                continue;
            }
            for format in [Format::Float, Format::Q4, Format::Q8] {
                let task = Task::Product(alike, format);
                registry::choose(device, task, alone(alike, format));
            }
        }
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
    match m {
        1 => clock::brief(RUNS, repeats, run).await,
        // Closer than a single call could tell.
        _ => clock::median(RUNS, repeats, run).await,
    }
}

/// The form of a product in which each thread works alone. Each would unpack the same weights again;
/// for many rows that is done once before.
fn alone(rows: Rows, format: Format) -> Variant {
    let (rows, columns) = match (rows, format) {
        (Rows::One, _) => (1, 4),
        (Rows::Few, _) => (4, 4),
        (Rows::Many, Format::Float | Format::Across) => (8, 4),
        (Rows::Many, Format::Q4 | Format::Q8) => {
            return Variant::Unpacked {
                rows: 8,
                columns: 4,
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
            median(|| tensor(attend.run(variant))).await
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
            median(|| tensor(product.clone().run(variant))).await
        }
        _ => None,
    }
}

async fn median(work: impl FnMut() -> Tensor<3>) -> Option<Duration> {
    clock::median(RUNS, REPEATS, work).await
}
