//! Which optional features of a device kernels may use.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use burn_cubecl::cubecl::wgpu::wgpu;

use crate::variant::{Need, Variant};

/// What a device has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// Threads of its smallest subgroup; `None` where shaders cannot use subgroups. Never in a
    /// browser: wgpu does not ask for them there.
    pub subgroup: Option<u32>,
    /// `enable f16`.
    pub half: bool,
    /// `dot4I8Packed` and `pack4xI8`, which are a part of the language and not of the device.
    pub packed_dot: bool,
}

static KNOWN: LazyLock<Mutex<HashMap<CubeDevice, Features>>> = LazyLock::new(Mutex::default);

/// The features of `device`; looked up once a process.
pub(crate) fn features(device: &CubeDevice) -> Features {
    // The map is whole after any panic: every change is one insertion.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(device.clone()).or_insert_with(|| ask(device))
}

/// Whether `device` has what `variant` needs.
pub(crate) fn has(device: &CubeDevice, variant: Variant) -> bool {
    match variant.needs() {
        None => true,
        Some(Need::Subgroups { lanes }) => {
            features(device).subgroup.is_some_and(|size| size >= lanes)
        }
        Some(Need::Half) => features(device).half,
        Some(Need::PackedDot) => features(device).packed_dot,
    }
}

fn ask(device: &CubeDevice) -> Features {
    let client = device.client();
    let properties = client.properties();
    // CubeCL keeps the subgroups of software devices to itself, which are as right as any.
    let software = properties.identity.physical.is_none();
    let subgroups = !properties.features.plane.is_empty()
        || software && software_has_subgroups(&properties.identity.name);
    let half = ElemType::Float(FloatKind::F16);
    // Natively naga translates it for every device.
    let packed_dot = cfg!(not(target_family = "wasm"))
        || wgpu::Instance::default()
            .wgsl_language_features()
            .contains(wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct);
    Features {
        subgroup: subgroups.then_some(properties.hardware.plane_size_min),
        half: properties.features.types.elem.contains_key(&half),
        packed_dot,
    }
}

/// What wgpu, which switches on all that an adapter has, says of the adapter `name`.
#[cfg(not(target_family = "wasm"))]
fn software_has_subgroups(name: &str) -> bool {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let instance = wgpu::Instance::default();
    let adapters = pin!(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    // Natively they are there at once.
    let Poll::Ready(adapters) = adapters.poll(&mut Context::from_waker(Waker::noop())) else {
        return false;
    };
    adapters.iter().any(|adapter| {
        adapter.get_info().name == name && adapter.features().contains(wgpu::Features::SUBGROUP)
    })
}

#[cfg(target_family = "wasm")]
fn software_has_subgroups(_: &str) -> bool {
    false
}
