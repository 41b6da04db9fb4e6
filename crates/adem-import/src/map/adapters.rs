//! What ADEM-VL trains, in the authors' naming: `adapter_emb1`, `adapter_emb2`, `adapter_proj.*`,
//! `adapter_proj_cls.*` and `backbone.visual.transformer.resblocks.*.adapter_mlp.*`.

use super::{Known, Mapping, Wanted};
use crate::config::{AdemConfig, ClipConfig, LlamaConfig};
use crate::error::ImportError;

/// Most scales that are looked for.
const SCALES: u32 = 3;
/// Most patches along the side of a picture.
const GRID: u64 = 256;
/// The one setting of the paper (Table IX) whose scales do not halve each other.
const SKIPPING: [u64; 2] = [256, 16];

/// The scales, as numbers of tokens, that `tokens` visual tokens are of: squares, each side half of
/// the one before. No number is of two such settings.
fn scales(tokens: u64) -> Option<Vec<u64>> {
    if tokens == SKIPPING.iter().sum::<u64>() {
        return Some(SKIPPING.to_vec());
    }
    (0..SCALES).find_map(|halvings| {
        let of = |side: u64| (0..=halvings).map(move |by| (side >> by) * (side >> by));
        let side = (1..=GRID)
            .filter(|side| side.is_multiple_of(1 << halvings))
            .find(|side| of(*side).sum::<u64>() == tokens)?;
        Some(of(side).collect())
    })
}

/// What stands before the names: training programs save the weights under `model`, and several
/// graphics cards put `module` before each.
const PREFIXES: [&str; 4] = ["", "model.", "module.", "model.module."];

/// The prefix of a file that holds adapters.
pub(crate) fn prefix(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    PREFIXES
        .into_iter()
        .find(|prefix| has(&format!("{prefix}adapter_emb1")))
}

/// The fusion's config from the shapes of its tensors; the rest is the paper's setting.
pub(crate) fn config(
    file: &str,
    shape: impl Fn(&str) -> Option<Vec<u64>>,
) -> Result<AdemConfig, ImportError> {
    let fault = |tensor: &str, reason: &str| ImportError::tensor(file, tensor, reason);
    let dims = |name: &str, rank: usize| {
        let found = shape(name).filter(|shape| shape.len() == rank);
        found.ok_or_else(|| fault(name, "is missing, or has other dimensions"))
    };
    let tokens = dims("adapter_emb1", 3)?[1];
    let scales = scales(tokens).ok_or_else(|| {
        let reason = format!("has {tokens} visual tokens, which no scales of ADEM-VL have");
        fault("adapter_emb1", &reason)
    })?;
    let adapter = shape(&adapter_name(0, "fc1"));
    Ok(AdemConfig {
        hidden_proj: dims("adapter_proj.fc1.weight", 2)?[0],
        clip_adapter_dim: adapter
            .and_then(|shape| shape.first().copied())
            .unwrap_or(0),
        down_sample: scales,
        with_cls: shape("adapter_proj_cls.fc1.weight").is_some(),
        ..AdemConfig::default()
    })
}

/// The tensors, which have `prefix` before their names.
pub(crate) fn mapping(
    config: &AdemConfig,
    llama: &LlamaConfig,
    clip: &ClipConfig,
    prefix: &str,
) -> Mapping {
    let (dim, width, hidden) = (llama.dim, clip.width, config.hidden_proj);
    let tokens: u64 = config.down_sample.iter().sum();
    let mut wanted = Vec::new();
    let mut add = |name: String, shape: Vec<u64>| {
        let from = format!("{prefix}{name}");
        wanted.push(Wanted::whole(name, from, shape));
    };
    add("adapter_emb1".into(), vec![1, tokens, dim]);
    add("adapter_emb2".into(), vec![1, tokens, dim]);
    for projector in ["adapter_proj", "adapter_proj_cls"] {
        if projector == "adapter_proj_cls" && !config.with_cls && config.input_tokens == 0 {
            continue;
        }
        add(format!("{projector}.fc1.weight"), vec![hidden, width]);
        add(format!("{projector}.fc1.bias"), vec![hidden]);
        add(format!("{projector}.fc2.weight"), vec![dim, hidden]);
        add(format!("{projector}.fc2.bias"), vec![dim]);
    }
    let narrow = config.clip_adapter_dim;
    for block in (0..clip.layers).filter(|_| narrow > 0) {
        add(adapter_name(block, "fc1"), vec![narrow, width]);
        add(adapter_name(block, "fc2"), vec![width, narrow]);
    }
    Mapping {
        wanted,
        known: vec![Known {
            is: |name| name.starts_with("optimizer.") || name.starts_with("scaler."),
            reason: "the optimiser's state, not the model's",
        }],
    }
}

fn adapter_name(block: u64, layer: &str) -> String {
    format!("backbone.visual.transformer.resblocks.{block}.adapter_mlp.{layer}.weight")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_paper_is_told_by_its_tokens() {
        for setting in [
            &[256][..],
            &[64],
            &[16],
            &[64, 16],
            &[256, 16],
            &[256, 64],
            &[256, 64, 16],
            &[16, 4],
        ] {
            assert_eq!(scales(setting.iter().sum()).as_deref(), Some(setting));
        }
        for none in [0, 2, 257, u64::MAX] {
            assert_eq!(scales(none), None, "{none}");
        }
    }
}
