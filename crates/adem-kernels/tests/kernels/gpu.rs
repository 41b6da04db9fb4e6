//! The device under test and what all tests need.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Device, DeviceKind, DeviceType, Tensor, TensorData};

/// The GPU, one test at a time: which variant it runs is a setting of the device.
pub struct Gpu {
    pub device: Device,
    _turn: MutexGuard<'static, ()>,
}

/// The default GPU; `None`, said aloud, where there is none.
pub fn gpu() -> Option<Gpu> {
    static MISSING: LazyLock<bool> =
        LazyLock::new(|| Device::enumerate(DeviceType::Wgpu).is_empty());
    static TURN: Mutex<()> = Mutex::new(());
    if *MISSING {
        let message = "no GPU adapter: install a Vulkan driver (Debian: mesa-vulkan-drivers)";
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("\n*** SKIPPED on wgpu: {message} ***\n");
        return None;
    }
    Some(Gpu {
        device: Device::wgpu(DeviceKind::DefaultDevice),
        _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
    })
}

/// Uploads values.
pub fn upload<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// Reads a tensor back.
pub fn download<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data().convert_dtype(DType::F32);
    data.try_to_vec().unwrap()
}

/// Fills memory that the device will hand out again with NaN, so that a kernel that leaves a
/// number unwritten is found out.
pub fn poison(device: &Device, counts: &[usize]) {
    let tensors: Vec<Tensor<1>> = counts
        .iter()
        .map(|n| Tensor::full([*n], f32::NAN, device))
        .collect();
    device.sync().unwrap();
    drop(tensors);
}

/// A stream of numbers that follows from its seed.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next_u32(&mut self) -> u32 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    /// In -1..1.
    pub fn signed(&mut self) -> f32 {
        self.next_u32() as f32 / (u32::MAX as f32 / 2.0) - 1.0
    }

    pub fn many(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.signed()).collect()
    }
}
