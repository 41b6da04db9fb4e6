//! A run's losses and learning rates as a picture, from its `metrics.jsonl`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::checkpoint::write_atomically;
use crate::error::TrainError;
use crate::stage::Quality;

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
struct Line {
    stage: String,
    step: u64,
    loss: Option<f64>,
    lr: Option<f64>,
    validation: Option<Quality>,
}

/// What is drawn of a stage, by step. A step that was done twice, after a kill, counts once.
#[derive(Default)]
struct Curves {
    loss: BTreeMap<u64, f64>,
    lr: BTreeMap<u64, f64>,
    held_out: BTreeMap<u64, f64>,
    cider: BTreeMap<u64, f64>,
}

/// Draws the losses and learning rates of the run in `folder` to `loss.svg` there; `None` where
/// nothing has been measured yet.
///
/// # Errors
/// [`TrainError::File`] when `metrics.jsonl` cannot be read or the picture not be written.
pub fn plot(folder: &Path) -> Result<Option<PathBuf>, TrainError> {
    let path = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&path).map_err(|e| TrainError::file(&path, e))?;
    let Some(svg) = svg(&text) else {
        return Ok(None);
    };
    let path = folder.join("loss.svg");
    write_atomically(&path, svg.as_bytes())?;
    Ok(Some(path))
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 64.0;
const TOP: f64 = 34.0;
const GAP: f64 = 36.0;

/// One panel a stage, in the order of the file.
fn svg(metrics: &str) -> Option<String> {
    let mut stages: Vec<(String, Curves)> = Vec::new();
    // A line that was cut short by a kill is passed over.
    for line in metrics
        .lines()
        .filter_map(|l| serde_json::from_str::<Line>(l).ok())
    {
        let at = stages.iter().position(|(name, _)| *name == line.stage);
        let at = at.unwrap_or_else(|| {
            stages.push((line.stage.clone(), Curves::default()));
            stages.len() - 1
        });
        let curves = &mut stages[at].1;
        let found = [
            (&mut curves.loss, line.loss),
            (&mut curves.lr, line.lr),
            (&mut curves.held_out, line.validation.map(|v| v.loss)),
            (&mut curves.cider, line.validation.and_then(|v| v.cider)),
        ];
        for (curve, value) in found {
            curve.extend(value.filter(|v| v.is_finite()).map(|v| (line.step, v)));
        }
    }
    stages.retain(|(_, curves)| !curves.loss.is_empty());
    if stages.is_empty() {
        return None;
    }
    let (all, panel) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + GAP);
    let height = panel * stages.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{all}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (at, (name, curves)) in stages.iter().enumerate() {
        draw(&mut out, name, curves, panel * at as f64 + TOP);
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// Draws a panel whose upper edge is at `top`.
fn draw(out: &mut String, name: &str, curves: &Curves, top: f64) {
    let steps = curves.loss.keys().next_back().copied().unwrap_or(1).max(1);
    let x = |step: u64| LEFT + WIDTH * step as f64 / steps as f64;
    // The first losses of a model that knows nothing are far above all others; they are cut off.
    let low = range(curves.loss.values().chain(curves.held_out.values())).0;
    let later = curves.loss.range(steps / 20..).map(|(_, loss)| loss);
    let high = range(later.chain(curves.held_out.values())).1;
    let rate = range(curves.lr.values()).1;
    let scale = |low: f64, high: f64| {
        move |value: f64| {
            let share = (value - low) / (high - low).max(1e-12);
            top + HEIGHT * (1.0 - share.min(1.0))
        }
    };
    let mut put = |line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{line}");
    };
    put(format_args!(
        "<text x=\"{LEFT}\" y=\"{:.1}\"><tspan font-weight=\"bold\">{name}</tspan> \
         <tspan fill=\"#1f5fbf\">loss</tspan> {} <tspan fill=\"#999\">learning rate</tspan> {}</text>",
        top - 12.0,
        match curves.held_out.is_empty() {
            true => "",
            false => "<tspan fill=\"#c2410c\">validation loss</tspan>",
        },
        match curves.cider.is_empty() {
            true => "",
            false => "<tspan fill=\"#15803d\">CIDEr-D x 100</tspan>",
        },
    ));
    put(format_args!(
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" \
         stroke=\"#ccc\"/>"
    ));
    for i in 0..=4 {
        let value = low + (high - low) * f64::from(i) / 4.0;
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.2}</text>",
            LEFT - 6.0,
            scale(low, high)(value) + 4.0
        ));
        let step = steps * i as u64 / 4;
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{step}</text>",
            x(step),
            top + HEIGHT + 16.0
        ));
    }
    put(format_args!(
        "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#999\">{rate:.1e}</text>",
        LEFT + WIDTH + 6.0,
        top + 4.0
    ));
    let mut line = |curve: &BTreeMap<u64, f64>, y: &dyn Fn(f64) -> f64, style: &str| {
        let points: Vec<String> = curve
            .iter()
            .map(|(step, value)| format!("{:.1},{:.1}", x(*step), y(*value)))
            .collect();
        put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" {style}/>",
            points.join(" ")
        ));
    };
    let thin = "stroke=\"#bbb\"";
    line(&curves.lr, &scale(0.0, rate), thin);
    line(&curves.loss, &scale(low, high), "stroke=\"#1f5fbf\"");
    let held_out = "stroke=\"#c2410c\" stroke-width=\"2\"";
    line(&curves.held_out, &scale(low, high), held_out);
    for (step, value) in &curves.cider {
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#15803d\" text-anchor=\"end\" \
             font-size=\"10\">{:.1}</text>",
            x(*step),
            top + HEIGHT - 6.0,
            100.0 * value
        ));
    }
}

/// Lowest and highest value.
fn range<'a>(values: impl Iterator<Item = &'a f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stage_is_a_panel_and_a_repeated_step_one_point() {
        let metrics = r#"
{"stage":"see","step":1,"steps":100,"loss":83.5,"lr":0.0}
{"stage":"see","step":50,"steps":100,"loss":3.5,"lr":0.001}
{"stage":"see","step":100,"steps":100,"loss":2.5,"lr":0.0}
{"stage":"tune","step":5,"steps":10,"loss":2.0,"lr":0.001}
{"stage":"tune","step":5,"steps":10,"loss":1.5,"lr":0.001}
{"stage":"tune","step":5,"steps":10,"validation":{"loss":1.7,"cider":0.25}}
{"stage":"tune","step":10,"st"#;
        let picture = svg(metrics).unwrap();
        assert_eq!(picture.matches("<rect x=").count(), 2);
        assert!(picture.contains("CIDEr-D x 100") && picture.contains(">25.0</text>"));
        let point = |line: &str| {
            line.split("points=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        };
        let lines: Vec<String> = picture
            .lines()
            .filter(|l| l.contains("<polyline"))
            .map(point)
            .collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(
            lines[1], "71.6,34.0 444.0,34.0 824.0,234.0",
            "cut off at the top"
        );
        assert_eq!(lines[4].split(' ').count(), 1);
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert!(svg("").is_none());
    }
}
