//! The kernels' property cases on the browser's own WebGPU: those of `adem_kernels::examine`, which
//! the native tests draw from too.

use super::{PATIENCE, driver::Browser, is_possible, peers::copy, root, serve};
use adem_kernels::variant::Task;
use std::fs;

/// Each is a case for every form of every kernel.
const SEEDS: usize = 3;

/// The page of the search: state, its text and the number of cases.
fn search(query: &str) -> (String, String, usize) {
    let site = tempfile::tempdir().unwrap();
    copy(&root().join("dist"), site.path());
    for name in ["search.html", "search.js"] {
        let from = root().join("tests/browser").join(name);
        fs::copy(from, site.path().join(name)).unwrap();
    }
    let browser = Browser::start(true);
    browser.open(&format!("{}search.html?{query}", serve(site.path())));
    let end = browser.wait("body", "data-state", &["done", "failed"], 2 * PATIENCE);
    let cases = browser.attribute("body", "data-cases").unwrap_or_default();
    (end, browser.text("body"), cases.parse().unwrap_or_default())
}

#[test]
fn kernels_are_right_on_seeded_cases() {
    if !is_possible() {
        return;
    }
    let (end, text, cases) = search(&format!("seeds={SEEDS}"));
    assert_eq!((end.as_str(), text.as_str()), ("done", ""));
    let forms: Vec<_> = Task::all()
        .iter()
        .flat_map(|task| task.variants())
        .collect();
    let plain = forms.iter().filter(|form| form.needs().is_none()).count();
    // What else there is depends on the browser.
    assert!((plain..=forms.len()).contains(&(cases / SEEDS)) && cases.is_multiple_of(SEEDS));
}

/// A driver that does not take a shader: its forms are told as wrong, the others are right, and the
/// engine goes on.
#[test]
fn a_refused_shader_is_one_form_less() {
    if !is_possible() {
        return;
    }
    // Of cross_mix.wgsl alone.
    let (end, text, cases) = search("seeds=1&refuse=row_scores");
    assert_eq!(end, "done", "{text}");
    assert!(cases > 0);
    let told: Vec<&str> = text.lines().collect();
    assert_eq!(told.len(), 1, "{text}");
    assert!(told[0].starts_with("CrossAttention as Spread"), "{text}");
}
