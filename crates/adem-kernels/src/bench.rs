//! How fast the kernels are beside their references on a device, for the benches of the command
//! line.

use std::fmt;
use std::time::Duration;

use burn::tensor::{Device, Distribution, Tensor};

use crate::variant::{Format, Rows, Task, Variant};
use crate::{CrossAttention, choose, clock, cross_attention, drop_index, forms, reference};

/// One line of a bench.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was computed.
    pub name: String,
    /// The kernel's form.
    pub variant: Variant,
    /// Median of five.
    pub kernel: Duration,
    /// The same in Burn's own operations, median of five.
    pub reference: Duration,
}

impl Row {
    /// How many times faster the kernel is.
    pub fn ratio(&self) -> f64 {
        self.reference.as_secs_f64() / self.kernel.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{}: {:.3} ms as {:?}, {:.3} ms in Burn's operations, {:.1}x",
            self.name,
            ms(self.kernel),
            self.variant,
            ms(self.reference),
            self.ratio()
        )
    }
}

/// Time of a cross-attention with its gradients, medians of five.
#[cfg(feature = "autodiff")]
#[derive(Debug, Clone)]
pub struct Recorded {
    /// With its own backward pass.
    pub own: Duration,
    /// With the one that Burn derives of the reference.
    pub derived: Duration,
}

#[cfg(feature = "autodiff")]
impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "cross-attention with gradients, T = {TRAINED_ROWS}, N = {TOKENS}, D = {DIM}: {:.3} ms \
             with its own backward pass, {:.3} ms with Burn's",
            ms(self.own),
            ms(self.derived)
        )
    }
}

/// Visual tokens and width of what is timed: the paper's for LLaMA-7B.
const TOKENS: usize = 320;
const DIM: usize = 4096;

/// Queries of a cross-attention with gradients.
#[cfg(feature = "autodiff")]
const TRAINED_ROWS: usize = 128;

/// Times the cross-attention forward and backward, with gradients of queries, keys and values.
///
/// `None` where the device fails.
#[cfg(feature = "autodiff")]
pub async fn cross_attention_recorded(device: &Device) -> Option<Recorded> {
    let device = device.clone().autodiff();
    let random = |rows| {
        let distribution = Distribution::Uniform(-1.0, 1.0);
        Tensor::<3>::random([1, rows, DIM], distribution, &device).require_grad()
    };
    let leaves = [random(TRAINED_ROWS), random(TOKENS), random(TOKENS)];
    let step = |f: fn(Tensor<3>, Tensor<3>, Tensor<3>, CrossAttention) -> Tensor<3>| {
        let [x, keys, values] = leaves.clone();
        let mut found = f(x, keys, values, settings()).sum().backward();
        let gradients = leaves
            .iter()
            .filter_map(|leaf| leaf.grad_remove(&mut found));
        // One number that waits for all three.
        let sums = gradients.map(|gradient| gradient.sum());
        Tensor::cat(sums.collect(), 0)
    };
    Some(Recorded {
        own: clock::median(5, 1, || step(cross_attention)).await?,
        derived: clock::median(5, 1, || step(reference::cross_attention)).await?,
    })
}

fn settings() -> CrossAttention {
    CrossAttention {
        alpha: 0.1,
        drop_index: drop_index(0.1, TOKENS),
    }
}

/// The fused cross-attention forward of 1 and of 64 tokens over 320 visual tokens at width 4096,
/// in every form the rows allow.
///
/// Leaves the forms chosen that were fastest. Empty where the device fails.
pub async fn cross_attention_rows(device: &Device) -> Vec<Row> {
    let (tokens, dim, settings) = (TOKENS, DIM, settings());
    let random = |rows| {
        let distribution = Distribution::Uniform(-1.0, 1.0);
        Tensor::<3>::random([1, rows, dim], distribution, device)
    };
    let (keys, values) = (random(tokens), random(tokens));
    let mut all = Vec::new();
    let product = Task::Product;
    for (rows, repeats, task) in [
        (1, 4, product(Rows::One, Format::Float)),
        (1, 4, Task::CrossAttention),
        (64, 1, product(Rows::Many, Format::Float)),
        (64, 1, product(Rows::Many, Format::Across)),
    ] {
        choose(device, Task::CrossAttention, Variant::Split);
        let x = random(rows);
        let run = |f: fn(Tensor<3>, Tensor<3>, Tensor<3>, CrossAttention) -> Tensor<3>| {
            f(x.clone(), keys.clone(), values.clone(), settings)
        };
        let Some(reference) = clock::median(5, repeats, || run(reference::cross_attention)).await
        else {
            return all;
        };
        let mut best: Option<(Duration, Variant)> = None;
        for variant in forms(device, task) {
            choose(device, task, variant);
            let Some(kernel) = clock::median(5, repeats, || run(cross_attention)).await else {
                return all;
            };
            if best.is_none_or(|(time, _)| kernel < time) {
                best = Some((kernel, variant));
            }
            all.push(Row {
                name: format!("cross-attention, T = {rows}, N = {tokens}, D = {dim}, {task:?}"),
                variant,
                kernel,
                reference,
            });
        }
        if let Some((_, variant)) = best {
            choose(device, task, variant);
        }
    }
    all
}
