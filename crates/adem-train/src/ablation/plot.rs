//! A sweep as a picture.

use std::fmt::Write;
use std::path::Path;

use super::outcome::{Studied, mean};
use crate::checkpoint::write_atomically;
use crate::error::TrainError;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 20.0;
const BOTTOM: f64 = 40.0;

/// Draws the study to a file of its name in `folder`: CIDEr-D over the number that is varied. A
/// study of something else is not drawn.
pub(super) fn write(studied: &Studied, folder: &Path) -> Result<(), TrainError> {
    let Some(svg) = svg(studied) else {
        return Ok(());
    };
    let path = folder.join(format!("{}.svg", studied.study.name()));
    write_atomically(&path, svg.as_bytes())
}

fn svg(studied: &Studied) -> Option<String> {
    let study = studied.study;
    let place = |value: f64| match study.is_logarithmic() {
        true => value.ln(),
        false => value,
    };
    let points: Vec<(f64, Vec<f64>)> = studied
        .settings
        .iter()
        .filter_map(|s| Some((s.value?, s.ciders().map(|c| 100.0 * c).collect())))
        .filter(|(_, ciders): &(f64, Vec<f64>)| !ciders.is_empty())
        .collect();
    let (low, high) = range(points.iter().map(|(value, _)| place(*value)));
    let (worst, best) = range(points.iter().flat_map(|(_, ciders)| ciders.iter().copied()));
    if points.len() < 2 {
        return None;
    }
    // A little air above and below.
    let air = (0.1 * (best - worst)).max(0.5);
    let (worst, best) = ((worst - air).max(0.0), best + air);
    let x = |value: f64| LEFT + WIDTH * (place(value) - low) / (high - low).max(1e-12);
    let y = |cider: f64| TOP + HEIGHT * (best - cider) / (best - worst);
    let (width, height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\">CIDEr-D x 100 by {}</text>\n\
         <rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" \
         stroke=\"#ccc\"/>\n",
        study.name()
    );
    let mut put = |line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{line}");
    };
    for i in 0..=4 {
        let value = worst + (best - worst) * f64::from(i) / 4.0;
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
            LEFT - 6.0,
            y(value) + 4.0
        ));
    }
    let mut line = Vec::new();
    for (value, ciders) in &points {
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            x(*value),
            TOP + HEIGHT + 18.0
        ));
        for cider in ciders {
            put(format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#1f5fbf\"/>",
                x(*value),
                y(*cider)
            ));
        }
        let middle = mean(ciders.iter().copied());
        line.extend(middle.map(|cider| format!("{:.1},{:.1}", x(*value), y(cider))));
    }
    put(format_args!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5fbf\"/>",
        line.join(" ")
    ));
    out.push_str("</svg>\n");
    Some(out)
}

/// Lowest and highest value.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ablation::{Outcome, Setting, Study};

    #[test]
    fn every_seed_is_a_dot_and_what_diverged_is_none() {
        let judged = |cider| Outcome::Judged {
            loss: 2.0,
            cider,
            speed: 80.0,
        };
        let setting = |value, outcomes| Setting {
            name: String::new(),
            value: Some(value),
            trained: 12,
            outcomes,
        };
        let mut studied = Studied {
            study: Study::Alpha,
            settings: vec![
                setting(0.01, vec![judged(0.1), judged(0.2)]),
                setting(0.1, vec![judged(0.3), judged(0.3)]),
                setting(1.0, vec![Outcome::Diverged { step: 3 }, judged(0.2)]),
                setting(10.0, vec![Outcome::Diverged { step: 3 }]),
            ],
        };
        let picture = svg(&studied).unwrap();
        assert_eq!(picture.matches("<circle").count(), 5);
        // The middle of three numbers that are told apart by their ratio.
        assert!(picture.contains(&format!("cx=\"{:.1}\"", LEFT + WIDTH / 2.0)));
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        studied.settings.truncate(1);
        assert!(svg(&studied).is_none());
    }
}
