//! Kernels on whatever a seed makes: the same cases that the browser test asks its engine for.

use adem_kernels::variant::Task;
use adem_kernels::{examine, forms};
use burn::tensor::Device;
use proptest::prelude::*;

use crate::gpu::gpu;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn no_form_is_wrong_on_any_case(seed: u32) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let seed = u64::from(seed);
        let found = pollster::block_on(examine(&gpu.device, seed..seed + 1));
        prop_assert_eq!(found.disagreements, []);
        let count: usize = Task::all()
            .into_iter()
            .map(|task| forms(&gpu.device, task).len())
            .sum();
        prop_assert_eq!(found.cases, count);
    }
}

#[test]
fn there_is_nothing_to_search_on_the_cpu() {
    let found = pollster::block_on(examine(&Device::flex(), 0..4));
    assert_eq!(found.cases, 0);
}
