//! The page's times in a real browser, printed: `cargo xtask bench page`.

use super::{ENDS, PATIENCE, audit::OBSERVERS, driver::Browser, page, samples};
use serde_json::Value;

/// Browsers started for each engine.
const RUNS: usize = 5;

#[test]
#[ignore = "measures; `cargo xtask bench page` runs it"]
fn print_the_times_of_both_engines() {
    let Some(url) = page() else { return };
    println!("median (least to most) of {RUNS} fresh browsers, model in the HTTP cache of none");
    for (engine, address, webgpu) in [
        ("CPU engine", "?engine=cpu", false),
        ("WebGPU engine", "?engine=gpu", true),
    ] {
        let runs: Vec<Vec<(String, f64)>> = (0..RUNS)
            .map(|_| figures(&format!("{url}{address}"), webgpu))
            .collect();
        println!("\n{engine}");
        for (row, (name, _)) in runs[0].iter().enumerate() {
            let mut values: Vec<f64> = runs.iter().map(|run| run[row].1).collect();
            values.sort_by(f64::total_cmp);
            let (least, most) = (values[0], values[RUNS - 1]);
            println!(
                "  {name}: {:.1} ({least:.1} to {most:.1})",
                values[RUNS / 2]
            );
        }
    }
}

/// Name and value of every figure of one visit: the page opens, two pictures are given. The first
/// shows what waiting feels like, the second what is left when everything is warm.
fn figures(url: &str, webgpu: bool) -> Vec<(String, f64)> {
    let browser = Browser::start(webgpu);
    browser.before_each_page(OBSERVERS);
    browser.open(url);
    let mut all = Vec::new();
    for (turn, picture) in ["first", "second"].into_iter().zip(samples()) {
        super::choose(&browser, &picture);
        let end = browser.wait("#caption", "data-state", &ENDS, PATIENCE);
        assert_eq!(end, "done", "{}", browser.text("#problem"));
        let script = "return [...document.querySelectorAll('#timings dt')]
            .map(name => [name.innerText, name.nextElementSibling.innerText])";
        let Value::Array(rows) = browser.run(script, &[]) else {
            panic!("the page shows no times");
        };
        for row in rows {
            let (name, value) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
            all.extend(number(value).map(|(n, unit)| (format!("{turn}: {name}{unit}"), n)));
        }
    }
    let first = browser
        .attribute("#timings", "data-first-caption-ms")
        .unwrap();
    all.push((
        "navigation to first caption, ms".into(),
        first.parse().unwrap(),
    ));
    let script = "const [paint] = performance.getEntriesByName('first-contentful-paint');
        return [paint.startTime, window.seen.largest, window.seen.blocked, window.seen.shift]";
    let names = [
        "first contentful paint, ms",
        "largest contentful paint, ms",
        "total blocking time, ms",
        "cumulative layout shift",
    ];
    let Value::Array(values) = browser.run(script, &[]) else {
        panic!("the page has no paint");
    };
    all.extend(
        names
            .into_iter()
            .zip(values)
            .map(|(name, value)| (name.to_owned(), value.as_f64().unwrap())),
    );
    all
}

/// A figure as the page writes it, seconds as milliseconds, with its unit.
fn number(text: &str) -> Option<(f64, &'static str)> {
    let (value, unit) = text.split_once(' ').unwrap_or((text, ""));
    let value: f64 = value.parse().ok()?;
    Some(match unit {
        "s" => (value * 1000.0, ", ms"),
        "ms" => (value, ", ms"),
        "MB" => (value, ", MB"),
        _ => (value, ""),
    })
}
