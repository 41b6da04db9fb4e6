//! What a device with kernels says of itself.

use burn::tensor::Device;

/// A graphics adapter as kernels see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its name; empty where a browser keeps it to itself.
    pub name: String,
    /// What its shaders are compiled for.
    pub target: String,
    /// Limits that matter, by what they limit.
    pub limits: Vec<(&'static str, u64)>,
    /// Optional features that variants of kernels may use, and whether they are there.
    pub features: Vec<(&'static str, bool)>,
}

/// The adapter behind `device`; `None` for devices without kernels.
pub fn adapter(device: &Device) -> Option<Adapter> {
    #[cfg(feature = "wgpu")]
    {
        crate::gpu::device(device).map(|cube| crate::gpu::adapter(&cube))
    }
    #[cfg(not(feature = "wgpu"))]
    {
        let _ = device;
        None
    }
}
