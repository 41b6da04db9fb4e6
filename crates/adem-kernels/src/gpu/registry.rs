//! Which form of each kernel a device runs: what its self-test switched off and what its timing
//! chose.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use burn_cubecl::CubeDevice;

use super::probe;
use crate::check::{Disagreement, Report};
use crate::variant::{Task, Variant};

#[derive(Debug, Default)]
struct State {
    off: HashSet<(Task, Variant)>,
    chosen: HashMap<Task, Variant>,
    /// What start-up has checked, and found.
    begun: HashSet<Task>,
    tuned: bool,
    report: Report,
    /// What the device has refused since somebody last asked.
    refusal: Option<String>,
    /// Text that tests put in place of other text of a file.
    #[cfg(test)]
    edits: Vec<(super::shader::File, &'static str, &'static str)>,
}

static DEVICES: LazyLock<Mutex<HashMap<CubeDevice, State>>> = LazyLock::new(Mutex::default);

fn devices() -> MutexGuard<'static, HashMap<CubeDevice, State>> {
    // The map is whole after any panic: every change is one insertion.
    DEVICES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The form of `task` to run on `device`: the chosen one, else the first in order; `None` where
/// all are switched off.
pub(crate) fn variant(device: &CubeDevice, task: Task) -> Option<Variant> {
    let devices = devices();
    let Some(state) = devices.get(device) else {
        return task.variants().first().copied();
    };
    let usable = |v: &Variant| !state.off.contains(&(task, *v)) && probe::has(device, *v);
    let chosen = state.chosen.get(&task).copied().filter(usable);
    chosen.or_else(|| task.variants().iter().copied().find(usable))
}

/// Switches a form off on `device`.
pub(crate) fn switch_off(device: &CubeDevice, task: Task, variant: Variant) {
    let mut devices = devices();
    let state = devices.entry(device.clone()).or_default();
    state.off.insert((task, variant));
}

/// The forms of `task` that `device` has the features for.
pub(crate) fn forms(device: &CubeDevice, task: Task) -> Vec<Variant> {
    let all = task.variants().iter().copied();
    all.filter(|variant| probe::has(device, *variant)).collect()
}

/// Whether a form is switched off on `device`.
pub(crate) fn is_off(device: &CubeDevice, task: Task, variant: Variant) -> bool {
    let devices = devices();
    let state = devices.get(device);
    state.is_some_and(|state| state.off.contains(&(task, variant)))
}

/// Keeps what `device` has said of something it refused. Later ones follow from the first.
pub(crate) fn note_refusal(device: &CubeDevice, message: &str) {
    let mut devices = devices();
    let state = devices.entry(device.clone()).or_default();
    state.refusal.get_or_insert_with(|| message.to_owned());
}

/// What `device` has refused since this was last asked.
pub(crate) fn take_refusal(device: &CubeDevice) -> Option<String> {
    devices().get_mut(device)?.refusal.take()
}

/// Whether `task` has yet to be checked on `device`; from now on it has not.
pub(crate) fn begin_check(device: &CubeDevice, task: Task) -> bool {
    let mut devices = devices();
    devices
        .entry(device.clone())
        .or_default()
        .begun
        .insert(task)
}

/// Whether forms have yet to be chosen by timing on `device`; from now on they have not.
pub(crate) fn begin_tuning(device: &CubeDevice) -> bool {
    let mut devices = devices();
    let state = devices.entry(device.clone()).or_default();
    !std::mem::replace(&mut state.tuned, true)
}

/// Notes that start-up has checked one more form.
pub(crate) fn checked(device: &CubeDevice, found: Option<Disagreement>) {
    let mut devices = devices();
    let report = &mut devices.entry(device.clone()).or_default().report;
    report.checked += 1;
    report.switched_off.extend(found);
}

/// What start-up has found on `device` so far.
pub(crate) fn report(device: &CubeDevice) -> Report {
    let devices = devices();
    let state = devices.get(device);
    state.map(|state| state.report.clone()).unwrap_or_default()
}

/// Makes `variant` the form of `task` on `device`.
pub(crate) fn choose(device: &CubeDevice, task: Task, variant: Variant) {
    let mut devices = devices();
    let state = devices.entry(device.clone()).or_default();
    state.chosen.insert(task, variant);
}

/// What tests replace in shader files on `device`.
#[cfg(test)]
pub(crate) fn edits(device: &CubeDevice) -> Vec<(super::shader::File, &'static str, &'static str)> {
    let devices = devices();
    let state = devices.get(device);
    state.map(|state| state.edits.clone()).unwrap_or_default()
}

/// Replaces text of a shader file on `device` from now on.
#[cfg(test)]
pub(crate) fn edit(
    device: &CubeDevice,
    file: super::shader::File,
    old: &'static str,
    new: &'static str,
) {
    let mut devices = devices();
    let state = devices.entry(device.clone()).or_default();
    state.edits.push((file, old, new));
}
