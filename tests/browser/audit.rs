//! What an auditor of pages asks for: accessibility, good practice, installability, stability. The
//! times are printed by `cargo xtask bench page`.

use super::{PATIENCE, SCENES, ask, caption, driver::Browser, page, root, samples};
use serde_json::{Value, json};

/// Finds faults in the page as it stands.
const AUDIT: &str = include_str!("audit.js");

/// Notes what is moved while nobody acts, from the first line of the page on.
pub const OBSERVERS: &str = "
    window.seen = { shift: 0, blocked: 0, largest: 0 };
    const watch = (type, each) => new PerformanceObserver((list) => list.getEntries().forEach(each))
        .observe({ type, buffered: true });
    watch('layout-shift', (entry) => { if (!entry.hadRecentInput) window.seen.shift += entry.value });
    watch('longtask', (entry) => { window.seen.blocked += Math.max(0, entry.duration - 50) });
    watch('largest-contentful-paint', (entry) => { window.seen.largest = entry.startTime });
";

/// Widths of a phone, a tablet and a desk, in pixels.
const WIDTHS: [u32; 3] = [360, 820, 1280];

/// Faults in every width, by day and by night.
fn faults(browser: &Browser, state: &str) -> Vec<String> {
    let mut all = Vec::new();
    for scheme in ["light", "dark"] {
        // Without transitions, whose colours are neither the one nor the other.
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        browser.devtools("Emulation.setEmulatedMedia", &features);
        for width in WIDTHS {
            let size =
                json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
            browser.devtools("Emulation.setDeviceMetricsOverride", &size);
            let found = browser.run(AUDIT, &[]);
            let found = found.as_array().expect("a list of faults");
            let line = |fault: &Value| format!("{state}, {scheme}, {width} px: {fault}");
            all.extend(found.iter().map(line));
        }
    }
    all
}

#[test]
fn an_auditor_finds_no_fault_in_any_width_and_light() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.before_each_page(OBSERVERS);
    browser.open(&format!("{url}{SCENES}"));
    browser.wait("#engine", "data-model", &["ready"], PATIENCE);
    let shift = browser.run("return window.seen.shift", &[]);
    assert!(shift.as_f64().unwrap() < 0.1, "moved about: {shift}");
    let mut all = faults(&browser, "empty");
    caption(&browser, &samples()[0]);
    ask(&browser, "how many shapes are there?");
    all.extend(faults(&browser, "captioned"));
    browser.run(
        "document.querySelectorAll('details').forEach((part) => { part.open = true })",
        &[],
    );
    all.extend(faults(&browser, "all open"));
    assert!(all.is_empty(), "{}", all.join("\n"));
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn the_page_can_be_installed() {
    let Some(url) = page() else { return };
    let browser = Browser::start(false);
    browser.open(&url);
    browser.until(
        "the service worker",
        "return navigator.serviceWorker.ready.then((worker) => worker.active?.state === 'activated')",
        PATIENCE,
    );
    // The browser's own opinion first.
    let manifest = browser.devtools("Page.getAppManifest", &json!({}));
    assert_eq!(manifest["errors"], json!([]), "{manifest}");
    let told = browser.devtools("Page.getInstallabilityErrors", &json!({}));
    let errors = told["installabilityErrors"].as_array().unwrap();
    // A window without a profile on disk cannot install anything, and says so.
    let own = |error: &&Value| error["errorId"] != "in-incognito";
    assert_eq!(errors.iter().filter(own).count(), 0, "{told}");
    // What it does not look at: icons are what the manifest says.
    let text = std::fs::read_to_string(root().join("dist/manifest.webmanifest")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let icons = manifest["icons"].as_array().unwrap();
    for icon in icons.iter().filter(|icon| icon["type"] == "image/png") {
        let path = root().join("dist").join(icon["src"].as_str().unwrap());
        let (width, height) = image::image_dimensions(&path).unwrap();
        assert_eq!(icon["sizes"], format!("{width}x{height}"), "{path:?}");
    }
    let purposes = icons.iter().filter(|icon| icon["purpose"] == "maskable");
    assert_eq!(purposes.count(), 1);
}
