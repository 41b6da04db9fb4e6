//! The self-test, and the search for cases on which kernels are wrong.

use std::ops::Range;

use burn::tensor::Device;
use burn_cubecl::CubeDevice;

use super::case::Case;
use super::compare::check;
use super::registry;
use crate::Kernels;
use crate::check::{Disagreement, Examination, Report};
use crate::variant::{Format, Task, Variant};

/// Checks all forms on `device`, which `plain` is without gradients.
pub(crate) async fn run(device: &CubeDevice, plain: &Device) -> Report {
    let mut report = Report::default();
    for task in Task::all() {
        for variant in registry::forms(device, task) {
            if registry::is_off(device, task, variant) {
                continue;
            }
            report.checked += 1;
            if let Err(reason) = accepted(device, task, variant, Case::usual(plain)).await {
                registry::switch_off(device, task, variant);
                report.switched_off.push(Disagreement {
                    task,
                    variant,
                    reason,
                    proof: Kernels(()),
                });
            }
        }
    }
    report
}

/// Checks on `device` what it runs of every kernel that was not checked before.
pub(crate) async fn run_once(device: &CubeDevice, plain: &Device, formats: &[Format]) -> Report {
    let needed = |task: &Task| match task {
        Task::Product(_, format) | Task::NextToken(format) => formats.contains(format),
        _ => true,
    };
    for task in Task::all().into_iter().filter(needed) {
        if !registry::begin_check(device, task) {
            continue;
        }
        while let Some(variant) = registry::variant(device, task) {
            let case = Case::usual(plain);
            let disagreement = accepted(device, task, variant, case).await.err();
            let fine = disagreement.is_none();
            if !fine {
                registry::switch_off(device, task, variant);
            }
            let found = disagreement.map(|reason| Disagreement {
                task,
                variant,
                reason,
                proof: Kernels(()),
            });
            registry::checked(device, found);
            if fine {
                break;
            }
        }
    }
    registry::report(device)
}

/// Whether the device takes the form, and it computes what it should.
async fn accepted(
    device: &CubeDevice,
    task: Task,
    variant: Variant,
    mut case: Case<'_>,
) -> Result<(), String> {
    let checked = check(task, variant, &mut case).await;
    match registry::take_refusal(device) {
        Some(message) => Err(message),
        None => checked,
    }
}

/// Runs every form that is not switched off on the cases of `seeds`.
pub(crate) async fn examine(device: &CubeDevice, plain: &Device, seeds: Range<u64>) -> Examination {
    let mut found = Examination::default();
    for seed in seeds {
        for task in Task::all() {
            for variant in registry::forms(device, task) {
                if registry::is_off(device, task, variant) {
                    continue;
                }
                found.cases += 1;
                let case = Case::of(seed, plain);
                if let Err(reason) = accepted(device, task, variant, case).await {
                    found.disagreements.push(Disagreement {
                        task,
                        variant,
                        reason: format!("seed {seed}: {reason}"),
                        proof: Kernels(()),
                    });
                }
            }
        }
    }
    found
}
