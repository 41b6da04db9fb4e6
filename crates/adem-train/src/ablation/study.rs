//! The paper's studies as changes of a model's fusion.

use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, Pool, Projection, Stage};

/// A study of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Study {
    /// What each part of the method adds (Table VI).
    Ladder,
    /// Where the query is taken and the result added (Table VII).
    Places,
    /// Projection of queries and keys (Table VIII).
    Projections,
    /// Scales of the visual tokens and their pooling (Table IX).
    Scales,
    /// Visual tokens in the text (Table X).
    InputTokens,
    /// Weight alpha of the fusion's output (Figure 2).
    Alpha,
    /// Scale beta of the visual features (Figure 2).
    Beta,
    /// Share gamma of dropped tokens (Figure 2).
    Gamma,
}

/// One setting of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// The number that is varied, where it is one.
    pub value: Option<f64>,
    /// The fusion.
    pub adem: AdemConfig,
}

impl Study {
    /// All of them, in the paper's order.
    pub const ALL: [Self; 8] = [
        Self::Ladder,
        Self::Places,
        Self::Projections,
        Self::Scales,
        Self::InputTokens,
        Self::Alpha,
        Self::Beta,
        Self::Gamma,
    ];

    /// The study's name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ladder => "ladder",
            Self::Places => "places",
            Self::Projections => "projections",
            Self::Scales => "scales",
            Self::InputTokens => "input-tokens",
            Self::Alpha => "alpha",
            Self::Beta => "beta",
            Self::Gamma => "gamma",
        }
    }

    /// Where the paper has it.
    pub fn source(self) -> &'static str {
        match self {
            Self::Ladder => "Table VI",
            Self::Places => "Table VII",
            Self::Projections => "Table VIII",
            Self::Scales => "Table IX",
            Self::InputTokens => "Table X",
            Self::Alpha | Self::Beta | Self::Gamma => "Figure 2",
        }
    }

    /// Whether its numbers are told apart by their ratio.
    pub(super) fn is_logarithmic(self) -> bool {
        matches!(self, Self::Alpha | Self::Beta)
    }

    /// The study's settings around those of `model`, which is one of them but in tables that leave
    /// it out. Scales that the encoder's grid does not hold are passed over.
    pub fn rows(self, model: &ModelConfig) -> Vec<Row> {
        let base = &model.adem;
        let with = |change: &dyn Fn(&mut AdemConfig)| {
            let mut adem = base.clone();
            change(&mut adem);
            adem
        };
        match self {
            Self::Ladder => ladder(model),
            Self::Places => {
                use Stage::{MhsaIn, MhsaOut, MlpIn, MlpOut};
                let pairs = [
                    (MhsaIn, MhsaIn),
                    (MhsaIn, MhsaOut),
                    (MhsaOut, MhsaOut),
                    (MlpIn, MlpIn),
                    (MlpIn, MlpOut),
                    (MlpOut, MlpOut),
                ];
                let rows = pairs.map(|(from, to)| {
                    let adem = with(&|a| (a.query_from, a.add_to) = (from, to));
                    row(format!("{} to {}", place(from), place(to)), adem)
                });
                rows.into()
            }
            Self::Projections => {
                let all = [
                    ("none", Projection::None),
                    ("softmax", Projection::Softmax),
                    ("ReLU", Projection::Relu),
                    ("ELU", Projection::Elu),
                    ("SiLU", Projection::Silu),
                    ("SiLU - min", Projection::SiluPositive),
                ];
                let rows = all.map(|(name, phi)| row(name, with(&|a| a.phi = phi)));
                rows.into()
            }
            Self::Scales => scales(model),
            Self::InputTokens => {
                let [all, quarter, _] = grids(model);
                let counts = [Some(0), quarter, all].into_iter().flatten();
                let rows = counts.flat_map(|tokens| {
                    [false, true].map(|cls| {
                        let name = match cls {
                            true => format!("{tokens} and [cls]"),
                            false => format!("{tokens}"),
                        };
                        row(
                            name,
                            with(&|a| (a.input_tokens, a.with_cls) = (tokens, cls)),
                        )
                    })
                });
                rows.collect()
            }
            Self::Alpha => sweep("alpha", base.alpha, |a, value| a.alpha = value, base),
            Self::Beta => sweep("beta", base.beta, |a, value| a.beta = value, base),
            Self::Gamma => {
                let rows = [0.0, 0.1, 0.2, 0.3, 0.5, 0.7].map(|gamma| Row {
                    name: format!("gamma {gamma}"),
                    value: Some(gamma),
                    adem: with(&|a| a.drop_ratio = gamma),
                });
                rows.into()
            }
        }
    }
}

fn row(name: impl Into<String>, adem: AdemConfig) -> Row {
    Row {
        name: name.into(),
        value: None,
        adem,
    }
}

fn place(stage: Stage) -> &'static str {
    match stage {
        Stage::MhsaIn => "MHSA's input",
        Stage::MhsaOut => "MHSA's output",
        Stage::MlpIn => "MLP's input",
        Stage::MlpOut => "MLP's output",
    }
}

/// Visual tokens of the encoder's whole grid, a quarter and a sixteenth of it, where the grid can
/// be pooled so.
fn grids(model: &ModelConfig) -> [Option<usize>; 3] {
    let side = model.clip.grid();
    [1, 2, 4].map(|by| side.is_multiple_of(by).then(|| (side / by) * (side / by)))
}

/// MemVP's memory, then [cls], the parameter-free attention, the scales and the masking, each on top
/// of what was there.
fn ladder(model: &ModelConfig) -> Vec<Row> {
    let base = &model.adem;
    let mut adem = AdemConfig {
        phi: Projection::Memory,
        with_cls: false,
        input_tokens: 0,
        down_sample: grids(model)[0].into_iter().collect(),
        drop_ratio: 0.0,
        ..base.clone()
    };
    let mut rows = vec![row("MemVP's memory", adem.clone())];
    adem.with_cls = true;
    rows.push(row("+ [cls]", adem.clone()));
    adem.phi = base.phi;
    rows.push(row("+ parameter-free attention", adem.clone()));
    adem.down_sample.clone_from(&base.down_sample);
    rows.push(row("+ scales", adem.clone()));
    adem.drop_ratio = base.drop_ratio;
    rows.push(row("+ adaptive masking", adem));
    rows
}

fn scales(model: &ModelConfig) -> Vec<Row> {
    let [all, quarter, least] = grids(model);
    let choices = [
        vec![all],
        vec![quarter],
        vec![least],
        vec![quarter, least],
        vec![all, least],
        vec![all, quarter],
        vec![all, quarter, least],
    ];
    let choices = choices.into_iter();
    let choices = choices.filter_map(|choice| choice.into_iter().collect::<Option<Vec<_>>>());
    let named = choices.flat_map(|tokens| {
        let sizes: Vec<String> = tokens.iter().map(usize::to_string).collect();
        let sizes = sizes.join(" + ");
        [(Pool::Avg, "mean"), (Pool::Max, "maximum")].map(|(pool, name)| {
            let adem = AdemConfig {
                down_sample: tokens.clone(),
                pool,
                ..model.adem.clone()
            };
            row(format!("{sizes}, {name}"), adem)
        })
    });
    // The whole grid is pooled by nothing.
    named
        .filter(|row| row.adem.down_sample.len() > 1 || row.adem.pool == Pool::Avg)
        .collect()
}

/// A number from a tenth to ten times what it is.
fn sweep(
    name: &str,
    middle: f64,
    set: impl Fn(&mut AdemConfig, f64),
    base: &AdemConfig,
) -> Vec<Row> {
    let rows = [0.1, 0.3, 1.0, 3.0, 10.0].map(|times| {
        // Without the last bits of the product, which nobody wrote.
        let value = (middle * times * 1e12).round() / 1e12;
        let mut adem = base.clone();
        set(&mut adem, value);
        Row {
            name: format!("{name} {value}"),
            value: Some(value),
            adem,
        }
    });
    rows.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_built_and_none_comes_twice() {
        let model = ModelConfig::default();
        for study in Study::ALL {
            let rows = study.rows(&model);
            for (i, row) in rows.iter().enumerate() {
                let config = ModelConfig {
                    adem: row.adem.clone(),
                    ..model.clone()
                };
                assert!(config.validate().is_ok(), "{}", row.name);
                let again = rows.iter().skip(i + 1).any(|other| other.adem == row.adem);
                assert!(!again, "{} of {}", row.name, study.name());
            }
            assert!(
                rows.iter().any(|row| row.adem == model.adem),
                "{} has the method itself",
                study.name()
            );
        }
    }

    #[test]
    fn the_ladder_ends_with_the_method_and_each_rung_changes_one_thing() {
        let model = ModelConfig::default();
        let rows = Study::Ladder.rows(&model);
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[0].adem.down_sample, [256]);
        assert_eq!(rows[4].adem, model.adem);
        let fields = |row: &Row| serde_json::to_value(&row.adem).unwrap_or_default();
        for pair in rows.windows(2) {
            let (before, after) = (fields(&pair[0]), fields(&pair[1]));
            let keys = before.as_object().map(serde_json::Map::keys);
            let changed = keys
                .into_iter()
                .flatten()
                .filter(|k| before[*k] != after[*k]);
            assert_eq!(changed.count(), 1, "{}", pair[1].name);
        }
    }

    #[test]
    fn scales_follow_the_encoders_grid() {
        let mut model = ModelConfig::default();
        model.clip.image_size = 128;
        model.clip.patch = 16;
        model.adem.down_sample = vec![64, 16];
        let names: Vec<String> = Study::Scales
            .rows(&model)
            .into_iter()
            .map(|r| r.name)
            .collect();
        assert_eq!(names[0], "64, mean");
        assert!(names.contains(&"64 + 16, mean".to_owned()), "{names:?}");
        model.clip.patch = 32;
        assert!(
            Study::Scales
                .rows(&model)
                .iter()
                .all(|row| !row.adem.down_sample.is_empty())
        );
    }
}
