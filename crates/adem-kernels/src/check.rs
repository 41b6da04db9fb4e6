//! The self-test: every form of every kernel, on this very device, beside what it should compute.
//!
//! Drivers miscompile: a kernel that is right on one GPU can be silently wrong on another.

use std::fmt;
use std::ops::Range;

use burn::tensor::Device;

use crate::Kernels;
use crate::variant::{Format, Task, Variant};

/// A form that is not what it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// What it is for.
    pub task: Task,
    /// The form.
    pub variant: Variant,
    /// How far it is off, or what the device said.
    pub reason: String,
    /// That there are kernels to disagree.
    pub(crate) proof: Kernels,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proof.attest();
        write!(f, "{:?} as {:?}: {}", self.task, self.variant, self.reason)
    }
}

/// What the self-test found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Forms that were run. None on a device without kernels.
    pub checked: usize,
    /// Forms that disagreed and are now switched off for this device.
    pub switched_off: Vec<Disagreement>,
}

/// What a search for cases on which kernels are wrong has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examination {
    /// Runs of one form on one case. None on a device without kernels.
    pub cases: usize,
    /// Those that were not what they should be; each names its seed.
    pub disagreements: Vec<Disagreement>,
}

/// Runs every form of every kernel on inputs that follow from each of `seeds`: sizes that are odd
/// or one, rows that tie or are all alike, -0.0, large numbers. Nothing is switched off.
pub async fn examine(device: &Device, seeds: Range<u64>) -> Examination {
    #[cfg(feature = "wgpu")]
    if let Some(cube) = crate::gpu::device(device) {
        return crate::gpu::check::examine(&cube, &device.clone().inner(), seeds).await;
    }
    let _ = (device, seeds);
    Examination::default()
}

/// Checks the forms that `device` runs by default, for weights stored as `formats` say, as
/// [`self_test`] does; where one disagrees its successors are checked until one is right. Each
/// kernel is checked once a process: the report tells what all calls for this device have found.
pub async fn self_test_once(device: &Device, formats: &[Format]) -> Report {
    #[cfg(feature = "wgpu")]
    if let Some(cube) = crate::gpu::device(device) {
        return crate::gpu::check::run_once(&cube, &device.clone().inner(), formats).await;
    }
    let _ = (device, formats);
    Report::default()
}

/// Runs every form of every kernel once on small inputs, compares it with the same formula in double
/// precision on the processor, and switches off those that disagree: operations then take another
/// form, or the reference. A form once switched off stays off and is not run again.
pub async fn self_test(device: &Device) -> Report {
    #[cfg(feature = "wgpu")]
    if let Some(cube) = crate::gpu::device(device) {
        return crate::gpu::check::run(&cube, &device.clone().inner()).await;
    }
    let _ = device;
    Report::default()
}
