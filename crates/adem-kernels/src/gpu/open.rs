//! Opening a device so that what it refuses is an error of whoever reads next, and no panic.

use std::sync::Arc;

use burn::tensor::Device;
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::wgpu::wgpu;

use super::registry;
use crate::reading::DeviceError;

/// Opens wgpu's preferred device.
///
/// # Errors
/// Where there is none, or it is open already.
pub(crate) async fn open() -> Result<Device, DeviceError> {
    let opened = Device::wgpu_options().init_with_setup_async().await;
    let (device, setup) = opened.map_err(|error| DeviceError(error.to_string()))?;
    if let Some(cube) = super::device(&device) {
        hear(&cube, &setup.device);
    }
    Ok(device)
}

/// Keeps what `handle`, which is `device`, refuses. In a browser nobody is told of a shader that a
/// driver does not take but through this; CubeCL, which hears it before, panics.
pub(crate) fn hear(device: &CubeDevice, handle: &wgpu::Device) {
    let device = device.clone();
    handle.on_uncaptured_error(Arc::new(move |error| {
        registry::note_refusal(&device, &error.to_string());
    }));
}
