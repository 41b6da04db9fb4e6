//! Choosing the form of each kernel by a short timing.

use std::time::Duration;

use burn::tensor::Device;

use crate::variant::{Format, Task, Variant};

/// What one form took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// What it is for.
    pub task: Task,
    /// The form.
    pub variant: Variant,
    /// What one call more costs, the least of a few.
    pub time: Duration,
    /// It is now the device's form of the task.
    pub chosen: bool,
}

/// Chooses between two families of matrix products by one timing, once a process: threads that
/// share sums, which real GPUs prefer, and threads that work alone, which software ones do; of the
/// first, then, the fastest form for weights stored as `formats` say, and of the cross-attention. A
/// fraction of what [`tune`] takes; without effect on a device without kernels.
pub async fn tune_once(device: &Device, formats: &[Format]) {
    #[cfg(feature = "wgpu")]
    if let Some(cube) = crate::gpu::device(device) {
        crate::gpu::tune::once(&cube, &device.clone().inner(), formats).await;
    }
    let _ = (device, formats);
}

/// Times the forms of every kernel that has several and that the self-test left on, at sizes of a
/// small decoder, and makes the fastest the device's own. Without it the first of
/// [`Task::variants`] is run.
///
/// Empty on a device without kernels.
pub async fn tune(device: &Device) -> Vec<Timing> {
    #[cfg(feature = "wgpu")]
    if let Some(cube) = crate::gpu::device(device) {
        return crate::gpu::tune::run(&cube, &device.clone().inner()).await;
    }
    let _ = device;
    Vec::new()
}
