//! Timing the forms of kernels.

use std::collections::HashMap;
use std::time::Duration;

use adem_kernels::variant::{Rows, Task};
use adem_kernels::{bench, forms, self_test, tune};
use burn::tensor::Device;

use crate::gpu::gpu;

#[test]
fn one_form_of_each_task_is_chosen() {
    let Some(gpu) = gpu() else { return };
    let timings = pollster::block_on(tune(&gpu.device));
    let mut chosen: HashMap<Task, (usize, usize)> = HashMap::new();
    for timing in &timings {
        assert!(timing.time > Duration::ZERO);
        let (seen, best) = chosen.entry(timing.task).or_default();
        *seen += 1;
        *best += usize::from(timing.chosen);
    }
    let several = |task: &Task| forms(&gpu.device, *task).len() > 1;
    assert_eq!(
        chosen.len(),
        Task::all().iter().filter(|t| several(t)).count()
    );
    for (task, counts) in chosen {
        assert_eq!(counts, (forms(&gpu.device, task).len(), 1), "{task:?}");
    }
}

#[test]
fn the_bench_has_a_row_for_every_form_of_what_it_times() {
    let Some(gpu) = gpu() else { return };
    let rows = pollster::block_on(bench::cross_attention_rows(&gpu.device));
    for row in &rows {
        println!("{row}");
        assert!(row.kernel > Duration::ZERO && row.reference > Duration::ZERO);
    }
    let count: usize = Task::all()
        .into_iter()
        .filter(|task| match task {
            Task::CrossAttention => true,
            Task::Product(rows, format) => {
                use adem_kernels::variant::Format::{Across, Float};
                matches!(
                    (rows, format),
                    (Rows::One, Float) | (Rows::Many, Float | Across)
                )
            }
            _ => false,
        })
        .map(|task| forms(&gpu.device, task).len())
        .sum();
    assert_eq!(rows.len(), count);
}

/// A device without kernels has nothing to test or choose.
#[test]
fn nothing_to_do_on_the_cpu() {
    let device = Device::flex();
    assert!(!adem_kernels::has_kernels(&device));
    assert_eq!(pollster::block_on(self_test(&device)).checked, 0);
    assert!(pollster::block_on(tune(&device)).is_empty());
}
