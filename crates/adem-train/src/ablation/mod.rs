//! The paper's studies on a data set of one's own: every setting is tuned from the same frozen
//! parts, with several seeds, and judged on pictures that are not trained on.

mod outcome;
mod plot;
mod study;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use adem_model::config::AdemConfig;
use burn::tensor::Device;

pub use outcome::{Outcome, Setting, Studied};
pub use study::{Row, Study};

use crate::budget::Parameters;
use crate::error::TrainError;
use crate::progress::Log;
use crate::scenes::Stopped;
use crate::task::{Reporter, TaskConfig, train};

/// What is to be studied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ablation {
    /// In this order.
    pub studies: Vec<Study>,
    /// How often each setting is tuned, with another seed each time.
    pub seeds: u64,
}

/// A setting that is about to be tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn<'a> {
    /// Of all that is to be done, counted from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// The study that asks for it first.
    pub study: Study,
    /// The setting.
    pub name: &'a str,
    /// The seed.
    pub seed: u64,
}

impl Ablation {
    /// Tunes all settings of `config`'s model on `devices`, each in a folder of its own in `folder`,
    /// and draws the sweeps there. Settings that several studies ask for are tuned once; what an
    /// earlier call with the same config has done is not done again. `log` makes the log of a
    /// setting from its folder; the second value is `Yes` where `stop` ended the work early, and the
    /// outcome then holds what there is.
    ///
    /// # Errors
    /// [`TrainError::Config`] where the config trains the frozen parts or has no validation with
    /// captions; those of [`train`]. A setting whose loss is not finite is an outcome, not an error.
    pub fn run(
        &self,
        config: &TaskConfig,
        folder: &Path,
        devices: &[Device],
        mut log: impl FnMut(&Path, Turn<'_>) -> Result<Log, TrainError>,
        report: &Reporter,
        stop: &AtomicBool,
    ) -> Result<(Vec<Studied>, Stopped), TrainError> {
        self.check(config)?;
        let rows: Vec<(Study, Vec<Row>)> = self
            .studies
            .iter()
            .map(|study| (*study, study.rows(&config.model)))
            .collect();
        let mut wanted: Vec<(Study, &Row)> = Vec::new();
        for (study, rows) in &rows {
            for row in rows {
                if !wanted.iter().any(|(_, other)| other.adem == row.adem) {
                    wanted.push((*study, row));
                }
            }
        }
        let of = wanted.len() * self.seeds as usize;
        let mut done: BTreeMap<PathBuf, Outcome> = BTreeMap::new();
        let (mut number, mut stopped) = (0, Stopped::No);
        // Every setting once before any twice: what is stopped early is then a whole table.
        'all: for seed in 0..self.seeds {
            for (study, row) in &wanted {
                number += 1;
                let one = self.setting(config, folder, &row.adem, seed);
                let own = self.place(folder, &row.adem, seed);
                fs::create_dir_all(&own).map_err(|e| TrainError::file(&own, e))?;
                if let Some(outcome) = outcome::kept(&own, &one)? {
                    done.insert(own, outcome);
                    continue;
                }
                let turn = Turn {
                    number,
                    of,
                    study: *study,
                    name: &row.name,
                    seed,
                };
                let outcome = match train(&one, &own, devices, &mut log(&own, turn)?, report, stop)
                {
                    Ok(Stopped::No) => outcome::measured(&own)?,
                    Ok(Stopped::Yes) => {
                        stopped = Stopped::Yes;
                        break 'all;
                    }
                    Err(TrainError::LossNotFinite { step, .. }) => Outcome::Diverged { step },
                    Err(error) => return Err(error),
                };
                outcome::keep(&own, &one, outcome)?;
                done.insert(own, outcome);
            }
        }
        let mut studied = Vec::new();
        for (study, rows) in rows {
            let settings = rows.into_iter().map(|row| {
                let mut model = config.model.clone();
                model.adem = row.adem;
                let outcomes = (0..self.seeds)
                    .filter_map(|seed| done.get(&self.place(folder, &model.adem, seed)));
                Setting {
                    outcomes: outcomes.copied().collect(),
                    trained: Parameters::of(&model).trained(),
                    name: row.name,
                    value: row.value,
                }
            });
            let study = Studied {
                study,
                settings: settings.collect(),
            };
            plot::write(&study, folder)?;
            studied.push(study);
        }
        Ok((studied, stopped))
    }

    fn check(&self, config: &TaskConfig) -> Result<(), TrainError> {
        let refuse = |field, message: &str| {
            Err(TrainError::Config {
                field,
                message: message.to_owned(),
            })
        };
        if self.seeds == 0 || self.studies.is_empty() {
            return refuse("seeds", "there is nothing to study");
        }
        for (field, is_there) in [
            ("see", config.see.is_some()),
            ("read", config.read.is_some()),
            ("joint", config.joint.is_some()),
            ("self_critical", config.self_critical.is_some()),
        ] {
            if is_there {
                return refuse(
                    field,
                    "trains what all settings are to share: say `false`, and name what is trained \
                     already in `weights.files`",
                );
            }
        }
        match &config.validation {
            Some(validation) if validation.captions > 0 => Ok(()),
            _ => refuse(
                "validation.captions",
                "is 0: settings are told apart by the captions of validation pictures",
            ),
        }
    }

    /// The config with another fusion and seed, judged once, at its end.
    fn setting(
        &self,
        config: &TaskConfig,
        folder: &Path,
        adem: &AdemConfig,
        seed: u64,
    ) -> TaskConfig {
        let mut one = config.clone();
        one.model.adem = adem.clone();
        one.seed = config.seed.wrapping_add(seed);
        one.save.package = false;
        one.save.features = Some(folder.to_owned());
        if let Some(validation) = &mut one.validation {
            validation.every_steps = Some(u64::MAX);
        }
        one
    }

    /// The folder of a setting's run.
    fn place(&self, folder: &Path, adem: &AdemConfig, seed: u64) -> PathBuf {
        let text = serde_json::to_string(adem).unwrap_or_default();
        folder.join(format!("{:016x}-{seed}", crate::task::number(&text)))
    }
}
