//! A graphics device that can be lost.

use burn::backend::wgpu::{RuntimeOptions, WgpuSetup, try_init_device, wgpu};
use burn::tensor::Device;

/// A device of its own, and the handle by which it is lost.
pub struct Fragile {
    pub device: Device,
    handle: wgpu::Device,
}

impl Fragile {
    pub async fn new() -> Self {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = instance.request_adapter(&Default::default()).await.unwrap();
        let wanted = wgpu::DeviceDescriptor {
            required_features: adapter
                .features()
                .difference(wgpu::Features::all_experimental_mask()),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (handle, queue) = adapter.request_device(&wanted).await.unwrap();
        let setup = WgpuSetup {
            backend: adapter.get_info().backend,
            instance,
            adapter,
            device: handle.clone(),
            queue,
        };
        let own = try_init_device(setup, RuntimeOptions::default()).unwrap();
        Self {
            device: Device::new(own),
            handle,
        }
    }

    /// Loses the device. That is told when it is polled, where a driver's reset is told at once; until
    /// then CubeCL takes its refusals for faults of its own, and panics.
    pub fn lose(&self) {
        self.handle.destroy();
        let _ = self.handle.poll(wgpu::PollType::wait_indefinitely());
    }
}
