//! The device that was asked for, or why it is not to be had.

#[cfg(feature = "cuda")]
use std::{ffi::OsStr, path::Path};

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
        Some(cards) => cuda().map(|_| cards.to_vec()),
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
    let Some(card) = Device::enumerate(DeviceType::Cuda).into_iter().next() else {
        return Err(refused(
            DeviceName::Cuda,
            "no NVIDIA card with its driver was found; use --device wgpu or --device cpu",
        ));
    };
    let named = std::env::var_os("CUDA_PATH");
    match has_headers(named.as_deref(), |path| path.exists()) {
        true => Ok(card),
        false => Err(refused(
            DeviceName::Cuda,
            "the headers of NVIDIA's toolkit, with which kernels are compiled here, were not found \
             at CUDA_PATH, /usr/local/cuda or /opt/cuda; name the toolkit's folder in CUDA_PATH, or \
             use --device wgpu for the same card",
        )),
    }
}

/// Whether CubeCL will find the toolkit; it panics where it does not.
#[cfg(feature = "cuda")]
fn has_headers(named: Option<&OsStr>, exists: impl Fn(&Path) -> bool) -> bool {
    match named {
        Some(folder) => exists(&Path::new(folder).join("include")),
        // It looks for others on other systems.
        None if !cfg!(target_os = "linux") => true,
        None => ["/usr/local/cuda", "/opt/cuda", "/usr/bin/nvcc"]
            .iter()
            .any(|place| exists(Path::new(place))),
    }
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
    pollster::block_on(adem_kernels::open_wgpu()).map_err(|error| {
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

#[cfg(all(test, feature = "cuda", target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_toolkit_is_looked_for_where_it_will_be_used() {
        let found = |named: Option<&str>, there: &str| {
            has_headers(named.map(OsStr::new), |path| path == Path::new(there))
        };
        assert!(found(Some("/cuda"), "/cuda/include"));
        assert!(!found(Some("/cuda"), "/usr/local/cuda"));
        assert!(found(None, "/usr/local/cuda"));
        assert!(found(None, "/usr/bin/nvcc"));
        assert!(!found(None, "/cuda/include"));
    }
}
