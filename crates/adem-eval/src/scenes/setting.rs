//! The rows of the evaluation: the model as trained, and with parts taken away.

use adem_pipeline::{Captioner, FusionChange};

/// One row: a name and what is changed in the fusion.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// What the row is called.
    pub name: String,
    /// What is changed; nothing for the model as trained.
    pub change: FusionChange,
}

impl Setting {
    /// The model as it was trained.
    pub fn trained() -> Self {
        Self {
            name: "as trained".to_owned(),
            change: FusionChange::default(),
        }
    }
}

/// The model as trained, then every ablation that its configuration allows: no cross-attention,
/// no masking, no `[cls]`, each scale alone, and no picture at all (neither cross-attention nor
/// `[cls]`).
pub fn settings(captioner: &Captioner) -> Vec<Setting> {
    let fusion = captioner.fusion();
    let base = FusionChange::default();
    let row = |name: String, change: FusionChange| Setting { name, change };
    let mut rows = vec![
        Setting::trained(),
        row(
            "alpha = 0".to_owned(),
            FusionChange {
                alpha: Some(0.0),
                ..base
            },
        ),
        row(
            "gamma = 0".to_owned(),
            FusionChange {
                gamma: Some(0.0),
                ..base
            },
        ),
    ];
    if fusion.with_cls {
        rows.push(row(
            "no [cls]".to_owned(),
            FusionChange {
                with_cls: Some(false),
                ..base
            },
        ));
    }
    if fusion.down_sample.len() > 1 {
        for (index, tokens) in fusion.down_sample.iter().enumerate() {
            let side = tokens.isqrt();
            let change = FusionChange {
                only_scale: Some(index),
                ..base
            };
            rows.push(row(format!("{side}x{side} alone"), change));
        }
    }
    if fusion.with_cls {
        let change = FusionChange {
            alpha: Some(0.0),
            with_cls: Some(false),
            ..base
        };
        rows.push(row("alpha = 0, no [cls]".to_owned(), change));
    }
    rows
}
