//! Hand-written WGSL kernels for Burn's wgpu backend, natively and in a browser.
//!
//! Every operation is a function of plain Burn tensors. On a wgpu device it launches a shader of
//! `shaders/`; on every other backend, and for what its shader does not hold (other number types,
//! sizes past WebGPU's limits), it is the same arithmetic in Burn's own operations, which is also
//! what the kernels are tested against.
//!
//! Kernels come in [variants](variant): [`tune`] times them on a device and keeps the fastest,
//! [`self_test`] compares each with its formula and switches off those that disagree.

mod activation;
mod adapter;
pub mod bench;
mod blocks;
mod check;
mod clock;
pub mod cpu;
mod cross_attention;
mod decode;
#[cfg(feature = "wgpu")]
mod gpu;
mod gram;
pub mod host;
mod linear;
mod matrix;
mod norm;
pub mod ops;
mod reading;
#[cfg(feature = "autodiff")]
mod recorded;
pub mod reference;
mod threshold;
mod tune;
mod unpack;
pub mod variant;

pub use activation::quick_gelu;
pub use adapter::{Adapter, adapter};
pub use blocks::{BLOCK, Blocks, BlocksError, Scales, Scheme};
pub use check::{Disagreement, Examination, Report, examine, self_test, self_test_once};
pub use cross_attention::{
    CrossAttention, cross_attention, cross_attention_map, cross_attention_onto,
};
pub use decode::{
    Heads, RopeStyle, attention, next_token, rope_append, rope_attention, self_attention,
};
pub use gram::{Gram, Sums, Watches};
pub use linear::{Epilogue, linear};
pub use matrix::Matrix;
pub use norm::{layer_norm, rms_norm};
pub use reading::{DeviceError, IdReading, read_floats};
pub use threshold::{drop_index, keep_mask};
pub use tune::{Timing, tune, tune_once};

use burn::tensor::Device;

/// Makes `variant` the form in which `device` runs `task`, in place of what [`tune`] chose or the
/// default; without effect on devices without kernels.
pub fn choose(device: &Device, task: variant::Task, variant: variant::Variant) {
    #[cfg(feature = "wgpu")]
    if let Some(device) = gpu::device(device) {
        gpu::registry::choose(&device, task, variant);
    }
    #[cfg(not(feature = "wgpu"))]
    let _ = (device, task, variant);
}

/// Opens the graphics device that wgpu prefers. Should it refuse something later, a shader or memory,
/// then whoever reads from it next is told ([`DeviceError`]), and the self-test switches a refused form
/// off.
///
/// # Errors
/// Where there is no such device, or it is open already.
#[cfg(feature = "wgpu")]
pub async fn open_wgpu() -> Result<Device, DeviceError> {
    gpu::open().await
}

/// The forms in which `device` can run `task`: those of
/// [`Task::variants`](variant::Task::variants) whose needs it meets. Empty on devices without
/// kernels.
pub fn forms(device: &Device, task: variant::Task) -> Vec<variant::Variant> {
    #[cfg(feature = "wgpu")]
    if let Some(device) = gpu::device(device) {
        return gpu::registry::forms(&device, task);
    }
    let _ = (device, task);
    Vec::new()
}

/// Proof that kernels run on some device.
///
/// Without the feature `wgpu` there is no such value, and code that begins with
/// [`attest`](Self::attest) is not compiled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernels(Proof);

#[cfg(feature = "wgpu")]
type Proof = ();
#[cfg(not(feature = "wgpu"))]
type Proof = std::convert::Infallible;

impl Kernels {
    /// The kernels of `device`, where it is a wgpu device.
    pub fn of(device: &Device) -> Option<Self> {
        #[cfg(feature = "wgpu")]
        {
            gpu::device(device).map(|_| Self(()))
        }
        #[cfg(not(feature = "wgpu"))]
        {
            let _ = device;
            None
        }
    }

    /// Says that what follows is for devices with kernels.
    #[inline(always)]
    pub fn attest(self) {
        #[cfg(not(feature = "wgpu"))]
        match self.0 {}
    }
}

/// Whether kernels run on `device`: a wgpu device, with the feature `wgpu`.
pub fn has_kernels(device: &Device) -> bool {
    Kernels::of(device).is_some()
}

/// Whether the CPU backend is the only device of this build, as in the page's CPU engine: what
/// others need is then not compiled.
#[cfg(feature = "flex")]
const ON_HOST_ALONE: bool = !cfg!(any(
    feature = "autodiff",
    feature = "cuda",
    feature = "wgpu"
));

/// Whether `device` is the CPU backend and does not record for gradients: fixed weights are
/// multiplied in the program's own memory.
pub fn on_host(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    {
        // A device equals itself recording.
        ON_HOST_ALONE || *device == Device::flex() && !device.is_autodiff()
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// Whether `device` multiplies packed weights as they are: a wgpu device, or the CPU backend;
/// neither while it records for gradients.
pub fn keeps_packed(device: &Device) -> bool {
    on_host(device) || multiplies(device)
}

/// Whether the kernels' matrix products run on `device`: a wgpu device that does not record for
/// gradients.
pub fn multiplies(device: &Device) -> bool {
    has_kernels(device) && !device.is_autodiff()
}

/// Kernels launched by this thread so far: what a piece of work took is the difference.
pub fn launches() -> u64 {
    #[cfg(feature = "wgpu")]
    {
        gpu::launches()
    }
    #[cfg(not(feature = "wgpu"))]
    {
        0
    }
}
