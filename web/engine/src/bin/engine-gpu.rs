//! The WebGPU engine.

fn main() {
    register();
    adem_engine::run(async {
        let device = adem_kernels::open_wgpu().await;
        device.map_err(|error| error.to_string())
    });
}

/// Runs what CubeCL registers before `main`, once.
///
/// A linker that finds no such call has every function which JavaScript can call run all of it
/// first: each callback and each allocation, thousands of times a token.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
fn register() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker makes this function; it takes nothing, and each registration it runs
    // happens at most once.
    unsafe { __wasm_call_ctors() }
}

#[cfg(not(target_arch = "wasm32"))]
fn register() {}
