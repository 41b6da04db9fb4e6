//! What an import is of, so that another one of the same can take over its shards.

use std::collections::BTreeMap;
use std::fs;
use std::time::UNIX_EPOCH;

use adem_package::Digest;
use serde_json::{Value, json};

use crate::error::ImportError;
use crate::resolve::Resolved;
use crate::tensors::TensorFile;

/// A digest of which bytes of which files make which tensor; of a file its path, its length and the
/// time it was last changed. `None` where a file does not tell that.
pub(super) fn origin(resolved: &[Resolved<'_>]) -> Result<Option<Digest>, ImportError> {
    let mut files = BTreeMap::new();
    let mut tensors = Vec::with_capacity(resolved.len());
    for tensor in resolved {
        let mut parts = Vec::with_capacity(tensor.parts.len());
        for part in &tensor.parts {
            if !files.contains_key(part.file.name()) {
                let Some(identity) = identity(part.file)? else {
                    return Ok(None);
                };
                files.insert(part.file.name(), identity);
            }
            let entry = part.entry;
            let scales = entry.scales.as_ref().map(|it| (it.kind, it.span.clone()));
            parts.push(json!([
                part.file.name(),
                entry.name,
                entry.dtype,
                entry.span,
                scales
            ]));
        }
        tensors.push(json!([tensor.name, format!("{:?}", tensor.join), parts]));
    }
    let all = json!([files, tensors]).to_string();
    Ok(Some(Digest::of(all.as_bytes())))
}

fn identity(file: &TensorFile) -> Result<Option<Value>, ImportError> {
    let path = file.name();
    let whole = fs::canonicalize(path).map_err(|e| ImportError::io(path.as_ref(), e))?;
    let since = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).ok();
    let changed = file.modified().and_then(since);
    Ok(changed.map(|changed| json!([whole, file.length(), changed.as_nanos().to_string()])))
}
