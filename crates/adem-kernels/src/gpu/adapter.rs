//! What wgpu tells of a device.

use burn_cubecl::CubeDevice;

use super::probe;
use crate::adapter::Adapter;

/// What `device` says of itself.
pub(crate) fn adapter(device: &CubeDevice) -> Adapter {
    let client = device.client();
    let properties = client.properties();
    let hardware = &properties.hardware;
    let features = probe::features(device);
    Adapter {
        name: properties.identity.name.clone(),
        target: properties.identity.fingerprint.clone(),
        limits: vec![
            ("bytes of a buffer", properties.memory.max_page_size),
            ("buffers of a kernel", u64::from(hardware.max_bindings)),
            (
                "bytes a workgroup shares",
                hardware.max_shared_memory_size as u64,
            ),
            (
                "threads of a workgroup",
                u64::from(hardware.max_units_per_cube),
            ),
            ("workgroups in a row", u64::from(hardware.max_cube_count.0)),
            ("threads of a subgroup", u64::from(hardware.plane_size_max)),
        ],
        features: vec![
            ("subgroups", features.subgroup.is_some()),
            ("f16", features.half),
            ("packed dot product", features.packed_dot),
        ],
    }
}
