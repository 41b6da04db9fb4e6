//! `adem bench kernels`: forms of kernels beside one another.

use std::time::Instant;

use adem_kernels::cpu::{self, Shape};
use adem_kernels::{bench, tune};
use burn::tensor::Device;
use clap::Args;

use crate::args::DeviceName;
use crate::error::CliError;
use crate::{device, output};

#[derive(Debug, Clone, Args)]
pub struct KernelsArgs {
    /// What computes.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
}

/// Seconds a product on the processor is repeated for.
const SECONDS: f64 = 0.2;

pub fn run(args: KernelsArgs) -> Result<(), CliError> {
    let device = device::open(args.device)?;
    if let Some(times) = pollster::block_on(bench::cross_attention_recorded(&device)) {
        output::line(&times.to_string())?;
    }
    match adem_kernels::has_kernels(&device) {
        true => on_device(&device),
        false => on_processor(),
    }
}

/// The fused cross-attention beside Burn's operations, then the forms of all kernels.
fn on_device(device: &Device) -> Result<(), CliError> {
    for row in pollster::block_on(bench::cross_attention_rows(device)) {
        output::line(&row.to_string())?;
    }
    for timing in pollster::block_on(tune(device)) {
        let ms = timing.time.as_secs_f64() * 1e3;
        let chosen = if timing.chosen { ", chosen" } else { "" };
        output::line(&format!(
            "{:?} as {:?}: {ms:.3} ms{chosen}",
            timing.task, timing.variant
        ))?;
    }
    Ok(())
}

/// Products of decoding and of prefill at SmolLM-135M's sizes, on one thread.
fn on_processor() -> Result<(), CliError> {
    let start = Instant::now();
    for (rows, cols, tokens) in [(1536, 576, 1), (576, 1536, 1), (1536, 576, 64)] {
        let shape = Shape { rows, cols, tokens };
        for figure in cpu::bench(shape, SECONDS, &|| start.elapsed().as_secs_f64()) {
            output::line(&format!(
                "{rows} x {cols}, {tokens} rows, {} weights, {} activations, {}: {:.4} ms, {:.1} GB/s, {:.1} GFLOP/s",
                figure.weights,
                figure.activations,
                figure.level,
                figure.seconds * 1e3,
                figure.gigabytes_per_second,
                2.0 * figure.gigaproducts_per_second,
            ))?;
        }
    }
    Ok(())
}
