//! Which files of a repository an import reads.

use std::path::Path;

use super::client::Remote;
use super::{HubError, HubName, is_plain};
use crate::json::Json;
use crate::source::indexed;

/// Beside the weights.
const BESIDE: [&str; 5] = [
    "config.json",
    "params.json",
    "tokenizer.json",
    "tokenizer.model",
    "preprocessor_config.json",
];
/// Indexes of weights in several files, and weights in one, best first.
const WEIGHTS: [&str; 4] = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
];
/// Endings of checkpoints that need no config.
const ALONE: [&str; 5] = [".gguf", ".safetensors", ".pth", ".pt", ".bin"];

fn find<'a>(files: &'a [Remote], path: &str) -> Option<&'a Remote> {
    files.iter().find(|file| file.path == path)
}

/// What is fetched first: the file that was named, a whole package, or what says which weights
/// there are.
pub(super) fn first(name: &HubName, files: &[Remote]) -> Result<Vec<Remote>, HubError> {
    if let Some(wanted) = &name.file {
        return match find(files, wanted) {
            Some(file) => Ok(vec![file.clone()]),
            None => Err(HubError::NotFound {
                name: name.to_string(),
                what: format!("file; it has {}", listed(files)),
                page: format!("https://huggingface.co/{}", name.repository),
            }),
        };
    }
    if find(files, adem_package::MANIFEST_FILE).is_some() {
        return Ok(files
            .iter()
            .filter(|it| is_plain(&it.path))
            .cloned()
            .collect());
    }
    let beside = BESIDE.iter().filter_map(|it| find(files, it));
    let best = WEIGHTS.iter().find_map(|it| find(files, it));
    let index = best.filter(|it| it.path.ends_with(".json"));
    Ok(beside.chain(index).cloned().collect())
}

/// The weights, of which `first` is here, in `folder`.
pub(super) fn weights(
    name: &HubName,
    files: &[Remote],
    first: &[Remote],
    folder: &Path,
) -> Result<Vec<Remote>, HubError> {
    if name.file.is_some() || find(first, adem_package::MANIFEST_FILE).is_some() {
        return Ok(Vec::new());
    }
    let fault = |reason: String| HubError::Choice {
        name: name.to_string(),
        reason,
    };
    if let Some(index) = first.iter().find(|it| it.path.ends_with(".index.json")) {
        let index = Json::open(&folder.join(&index.path)).map_err(|e| fault(e.to_string()))?;
        let names = indexed(&index).map_err(|e| fault(e.to_string()))?;
        let lacking = |shard: &String| fault(format!("its index names `{shard}`, which it lacks"));
        let shards = names
            .iter()
            .map(|shard| find(files, shard).cloned().ok_or_else(|| lacking(shard)));
        return shards.collect();
    }
    let whole = WEIGHTS.iter().find_map(|it| find(files, it));
    if let Some(whole) = whole.filter(|_| find(first, "config.json").is_some()) {
        return Ok(vec![whole.clone()]);
    }
    let ended = |it: &&Remote| is_plain(&it.path) && ALONE.iter().any(|end| it.path.ends_with(end));
    let mut alone: Vec<_> = files.iter().filter(ended).cloned().collect();
    let meta = |it: &Remote| it.path.starts_with("consolidated.");
    if find(first, "params.json").is_some() && alone.iter().any(meta) {
        alone.retain(meta);
        return Ok(alone);
    }
    match alone.len() {
        1 => Ok(alone),
        0 if first.iter().any(|it| it.path.starts_with("tokenizer.")) => Ok(alone),
        0 => Err(fault(format!(
            "there is nothing to import among its files: {}",
            listed(files)
        ))),
        _ => Err(fault(format!(
            "it has several checkpoints; name one as hf:{}/FILE: {}",
            name.repository,
            listed(&alone)
        ))),
    }
}

/// The file that is to be imported alone, where not the whole folder is.
pub(super) fn single<'a>(name: &HubName, fetched: &'a [Remote]) -> Option<&'a Remote> {
    if name.file.is_some() {
        return fetched.first();
    }
    fetched.iter().find(|it| it.path.ends_with(".gguf"))
}

/// Some of the files, for a message.
fn listed(files: &[Remote]) -> String {
    let some: Vec<_> = files.iter().take(12).map(|it| it.path.as_str()).collect();
    match files.len().checked_sub(some.len()) {
        Some(more) if more > 0 => format!("{} and {more} more", some.join(", ")),
        _ => some.join(", "),
    }
}
