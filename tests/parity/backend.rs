//! The backends that run here and how closely each must agree with the golden values.

use std::sync::LazyLock;

use burn::tensor::{Device, DeviceKind, DeviceType};

use crate::compare::say;

/// Largest differences allowed.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// Logits, hidden states, features, scores: absolute.
    pub logits: f64,
    /// Losses: absolute.
    pub loss: f64,
    /// Gradients: relative to the tensor's largest value.
    pub gradients: f64,
    /// Parameters after AdamW steps: absolute.
    pub parameters: f64,
}

/// One backend.
#[derive(Debug, Clone)]
pub struct Backend {
    pub name: &'static str,
    pub device: Device,
    pub tolerances: Tolerances,
}

impl Backend {
    /// Burn's CPU backend.
    pub fn cpu() -> Option<Self> {
        Some(Self {
            name: "cpu",
            device: Device::flex(),
            tolerances: Tolerances {
                logits: 2e-5,
                loss: 1e-5,
                gradients: 1e-4,
                parameters: 1e-5,
            },
        })
    }

    /// The default GPU, software Vulkan included; `None`, said aloud, where there is none.
    ///
    /// GPUs may be off by a few units in the last place in exponentials, roots and divisions.
    pub fn wgpu() -> Option<Self> {
        // Drivers are asked once a process.
        static MISSING: LazyLock<bool> =
            LazyLock::new(|| Device::enumerate(DeviceType::Wgpu).is_empty());
        if *MISSING {
            let message = "no GPU adapter: install a Vulkan driver (Debian: mesa-vulkan-drivers)";
            assert!(std::env::var_os("CI").is_none(), "{message}");
            say(&format!("\n*** SKIPPED on wgpu: {message} ***\n"));
            return None;
        }
        Some(Self {
            name: "wgpu",
            device: Device::wgpu(DeviceKind::DefaultDevice),
            tolerances: Tolerances {
                logits: 1e-3,
                loss: 1e-4,
                gradients: 1e-4,
                parameters: 1e-4,
            },
        })
    }

    /// The same device, recording for gradients.
    pub fn training(&self) -> Device {
        self.device.clone().autodiff()
    }
}

/// Makes each function `fn(&Backend)` a test on every backend.
#[macro_export]
macro_rules! on_every_backend {
    ($($test:ident),+ $(,)?) => {
        mod cpu {
            $(#[test] fn $test() {
                $crate::backend::Backend::cpu().iter().for_each(super::$test);
            })+
        }
        mod wgpu {
            $(#[test] fn $test() {
                $crate::backend::Backend::wgpu().iter().for_each(super::$test);
            })+
        }
    };
}
