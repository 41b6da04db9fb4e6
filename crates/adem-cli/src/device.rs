//! The device that was asked for, or why it is not to be had.

use burn::tensor::Device;

use crate::args::DeviceName;
use crate::error::CliError;

/// Opens a device. A graphics adapter is looked for here, as Burn would only panic at the first
/// tensor on one that is not there.
pub fn open(name: DeviceName) -> Result<Device, CliError> {
    match name {
        DeviceName::Cpu => Ok(Device::flex()),
        DeviceName::Wgpu => wgpu(),
        DeviceName::Cuda => cuda(),
    }
}

/// Opens `count` devices of a kind, for a training that spreads over them.
pub fn open_many(name: DeviceName, count: u16) -> Result<Vec<Device>, CliError> {
    match (name, count) {
        (_, 1) => Ok(vec![open(name)?]),
        (DeviceName::Cpu, n) => Ok(vec![Device::flex(); usize::from(n)]),
        (DeviceName::Cuda, n) => cards(n),
        (DeviceName::Wgpu, _) => Err(refused(
            DeviceName::Wgpu,
            "one card is used through WebGPU; leave --devices out, or use --device cuda",
        )),
    }
}

/// The first `count` NVIDIA cards.
fn cards(count: u16) -> Result<Vec<Device>, CliError> {
    #[cfg(feature = "cuda")]
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda).to_vec();
    #[cfg(not(feature = "cuda"))]
    let found: Vec<Device> = Vec::new();
    match found.get(..usize::from(count)) {
        Some(cards) => Ok(cards.to_vec()),
        None => Err(refused(
            DeviceName::Cuda,
            format!(
                "--devices {count}, but there are {} NVIDIA cards",
                found.len()
            ),
        )),
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, CliError> {
    use burn::tensor::DeviceType;
    Device::enumerate(DeviceType::Cuda)
        .into_iter()
        .next()
        .ok_or_else(|| {
            refused(
                DeviceName::Cuda,
                "no NVIDIA card with its driver was found; use --device wgpu or --device cpu",
            )
        })
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, CliError> {
    Err(refused(
        DeviceName::Cuda,
        "this build has no CUDA engine; build it with the feature `cuda`, or use --device wgpu for the same card",
    ))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, CliError> {
    Device::wgpu_options().init().map_err(|error| {
        let reason = format!(
            "no graphics adapter can be used ({error}); install a Vulkan driver, or use --device cpu"
        );
        refused(DeviceName::Wgpu, reason)
    })
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, CliError> {
    Err(refused(
        DeviceName::Wgpu,
        "this build has no WebGPU engine; build it with the feature `wgpu`, or use --device cpu",
    ))
}

fn refused(device: DeviceName, reason: impl Into<String>) -> CliError {
    CliError::Device {
        device: device.word(),
        reason: reason.into(),
    }
}
