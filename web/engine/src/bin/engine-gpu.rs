//! The WebGPU engine.

use burn::tensor::Device;

fn main() {
    adem_engine::run(async {
        let device = Device::wgpu_options().init_async().await;
        device.map_err(|error| error.to_string())
    });
}
