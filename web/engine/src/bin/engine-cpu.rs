//! The CPU engine: WebAssembly with SIMD, on one thread. Small, and there at once.

use burn::tensor::Device;

fn main() {
    adem_engine::run(async { Ok(Device::flex()) });
}
