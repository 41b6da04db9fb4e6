//! The kernels' property cases on the browser's own WebGPU: those of `adem_kernels::examine`, which
//! the native tests draw from too.

use super::{PATIENCE, driver::Browser, is_possible, peers::copy, root, serve};
use adem_kernels::variant::Task;
use std::fs;

/// Each is a case for every form of every kernel.
const SEEDS: usize = 3;

#[test]
fn kernels_are_right_on_seeded_cases() {
    if !is_possible() {
        return;
    }
    let site = tempfile::tempdir().unwrap();
    copy(&root().join("dist"), site.path());
    for name in ["search.html", "search.js"] {
        let from = root().join("tests/browser").join(name);
        fs::copy(from, site.path().join(name)).unwrap();
    }
    let browser = Browser::start(true);
    browser.open(&format!("{}search.html?seeds={SEEDS}", serve(site.path())));
    let end = browser.wait("body", "data-state", &["done", "failed"], 2 * PATIENCE);
    assert_eq!((end.as_str(), browser.text("body").as_str()), ("done", ""));
    let forms: Vec<_> = Task::all()
        .iter()
        .flat_map(|task| task.variants())
        .collect();
    let plain = forms.iter().filter(|form| form.needs().is_none()).count();
    let cases = browser.attribute("body", "data-cases");
    let cases: usize = cases.unwrap_or_default().parse().unwrap();
    // What else there is depends on the browser.
    assert!((plain..=forms.len()).contains(&(cases / SEEDS)) && cases.is_multiple_of(SEEDS));
}
