//! What became of a setting, and the table of a study.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use adem_eval::{Align, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::study::Study;
use crate::checkpoint::write_atomically;
use crate::error::TrainError;
use crate::stage::Quality;
use crate::task::TaskConfig;

/// What became of a setting with one seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was tuned.
    Judged {
        /// Mean loss a token, on data that is not trained on.
        loss: f64,
        /// CIDEr-D of its captions there.
        cider: f64,
        /// Samples a second, the median of its reports.
        speed: f64,
    },
    /// Its loss was not finite.
    Diverged {
        /// At this step.
        step: u64,
    },
}

/// A setting with all seeds that are done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// What it is called.
    pub name: String,
    /// The number that is varied, where it is one.
    pub value: Option<f64>,
    /// Parameters that are tuned.
    pub trained: u64,
    /// In the order of seeds.
    pub outcomes: Vec<Outcome>,
}

/// A study with its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Studied {
    /// The study.
    #[serde(serialize_with = "by_name")]
    pub study: Study,
    /// Its settings.
    pub settings: Vec<Setting>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde gives a reference
fn by_name<S: serde::Serializer>(study: &Study, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(study.name())
}

impl Setting {
    /// CIDEr-D with each seed that did not diverge.
    pub fn ciders(&self) -> impl Iterator<Item = f64> {
        self.judged(|_, cider, _| cider)
    }

    fn judged(&self, which: fn(f64, f64, f64) -> f64) -> impl Iterator<Item = f64> {
        self.outcomes.iter().filter_map(move |o| match o {
            Outcome::Judged { loss, cider, speed } => Some(which(*loss, *cider, *speed)),
            Outcome::Diverged { .. } => None,
        })
    }
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (count > 0).then(|| sum / f64::from(count))
}

impl fmt::Display for Studied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { study, settings } = self;
        writeln!(f, "{} ({})\n", study.name(), study.source())?;
        let seeds = settings.iter().map(|s| s.outcomes.len()).max().unwrap_or(0);
        let mut columns = vec![
            ("setting".to_owned(), Align::Left),
            ("tuned".to_owned(), Align::Right),
            ("samples/s".to_owned(), Align::Right),
            ("loss".to_owned(), Align::Right),
            ("CIDEr-D x 100".to_owned(), Align::Right),
        ];
        columns.extend((0..seeds).map(|seed| (format!("seed {seed}"), Align::Right)));
        let mut table = Table::new(columns);
        for setting in settings {
            let shown = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            let mut cells = vec![
                setting.name.clone(),
                setting.trained.to_string(),
                shown(mean(setting.judged(|_, _, speed| speed)), 0),
                shown(mean(setting.judged(|loss, _, _| loss)), 3),
                shown(mean(setting.ciders()).map(|c| 100.0 * c), 1),
            ];
            cells.extend(setting.outcomes.iter().map(|outcome| match outcome {
                Outcome::Judged { cider, .. } => format!("{:.1}", 100.0 * cider),
                Outcome::Diverged { step } => format!("diverged at {step}"),
            }));
            table.row(cells);
        }
        write!(f, "{table}")
    }
}

/// The file of a setting's folder that says how it went.
const FILE: &str = "outcome.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    config: Value,
    outcome: Outcome,
}

/// What the setting in `folder` came to with this very config; `None` where it is not done.
pub(super) fn kept(folder: &Path, config: &TaskConfig) -> Result<Option<Outcome>, TrainError> {
    let path = folder.join(FILE);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|e| TrainError::file(&path, e))?,
    };
    let kept: Kept = serde_json::from_str(&text).map_err(|e| TrainError::file(&path, e))?;
    match kept.config == value(folder, config)? {
        true => Ok(Some(kept.outcome)),
        false => Err(TrainError::Checkpoint {
            path,
            message: "is of other settings".to_owned(),
        }),
    }
}

pub(super) fn keep(folder: &Path, config: &TaskConfig, outcome: Outcome) -> Result<(), TrainError> {
    let path = folder.join(FILE);
    let config = value(folder, config)?;
    let text = serde_json::to_string(&Kept { config, outcome });
    let text = text.map_err(|e| TrainError::file(&path, e))?;
    write_atomically(&path, text.as_bytes())
}

fn value(folder: &Path, config: &TaskConfig) -> Result<Value, TrainError> {
    // Through text, in which numbers are what they are once they are read again.
    let text = serde_json::to_string(config).map_err(|e| TrainError::file(folder, e))?;
    serde_json::from_str(&text).map_err(|e| TrainError::file(folder, e))
}

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
struct Line {
    samples_per_second: Option<f64>,
    validation: Option<Quality>,
}

/// What the finished run in `folder` found when it last looked.
pub(super) fn measured(folder: &Path) -> Result<Outcome, TrainError> {
    let path = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&path).map_err(|e| TrainError::file(&path, e))?;
    let (mut speeds, mut last) = (Vec::new(), None);
    // A line that was cut short by a kill is passed over.
    for line in text
        .lines()
        .filter_map(|l| serde_json::from_str::<Line>(l).ok())
    {
        speeds.extend(line.samples_per_second);
        last = line.validation.or(last);
    }
    speeds.sort_by(f64::total_cmp);
    let looked = last.and_then(|look| Some((look.loss, look.cider?)));
    let Some((loss, cider)) = looked else {
        return Err(TrainError::file(
            &path,
            "has no captions' score: delete the folder",
        ));
    };
    Ok(Outcome::Judged {
        loss,
        cider,
        speed: speeds.get(speeds.len() / 2).copied().unwrap_or(0.0),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_look_counts_and_is_kept_for_its_config_alone() {
        let place = tempfile::tempdir().unwrap();
        let metrics = r#"{"stage":"tune","step":5,"samples_per_second":10.0,"loss":2.0}
{"stage":"tune","step":5,"validation":{"loss":1.7,"cider":0.25}}
{"stage":"tune","step":9,"samples_per_second":30.0,"loss":1.5}
{"stage":"tune","step":9,"validation":{"loss":1.5,"cider":0.5}}
{"stage":"tu"#;
        fs::write(place.path().join("metrics.jsonl"), metrics).unwrap();
        let outcome = measured(place.path()).unwrap();
        let expected = Outcome::Judged {
            loss: 1.5,
            cider: 0.5,
            speed: 30.0,
        };
        assert_eq!(outcome, expected);
        let mut config = TaskConfig::default();
        assert_eq!(kept(place.path(), &config).unwrap(), None);
        keep(place.path(), &config, outcome).unwrap();
        assert_eq!(kept(place.path(), &config).unwrap(), Some(expected));
        config.tune.epochs += 1.0;
        assert!(kept(place.path(), &config).is_err());
        fs::write(place.path().join("metrics.jsonl"), "").unwrap();
        assert!(measured(place.path()).is_err());
    }

    #[test]
    fn a_table_says_what_diverged_and_takes_the_mean_of_the_rest() {
        let judged = |cider| Outcome::Judged {
            loss: 2.0,
            cider,
            speed: 80.0,
        };
        let setting = |name: &str, outcomes| Setting {
            name: name.to_owned(),
            value: Some(1.0),
            trained: 12,
            outcomes,
        };
        let studied = Studied {
            study: Study::Alpha,
            settings: vec![
                setting("alpha 1", vec![judged(0.25), judged(0.5)]),
                setting("alpha 10", vec![Outcome::Diverged { step: 7 }]),
            ],
        };
        let text = studied.to_string();
        let line = |start: &str| {
            text.lines()
                .find(|l| l.starts_with(start))
                .unwrap()
                .to_owned()
        };
        assert!(line("| alpha 1 ").contains(" 37.5 |") && line("| alpha 1 ").contains("50.0"));
        assert!(line("| alpha 10 ").contains("diverged at 7"));
    }
}
