//! Whether a package's weights are those of its model.

use std::path::Path;

use super::ImportOptions;
use super::parts::Parts;
use crate::error::ImportError;
use crate::source::{Kind, Source};

/// Checks by names and shapes alone that the package in `folder` has every tensor that its model is
/// made of and no other, and a tokenizer that its language model knows. Returns the parts that it has
/// not: without all three it cannot caption.
///
/// # Errors
/// [`ImportError`], naming what is missing, too much or of another shape.
pub fn check(folder: &Path) -> Result<Vec<&'static str>, ImportError> {
    let sources = [Source::open(folder, None)?];
    let [package] = &sources;
    let tokenizer = package.manifest.as_ref().map(|it| &it.tokenizer.file);
    let (Kind::Package, Some(tokenizer)) = (package.kind, tokenizer) else {
        return Err(ImportError::Sources(format!(
            "`{}` is a {}, not a package",
            package.path,
            package.kind.name()
        )));
    };
    let options = ImportOptions {
        tokenizer: Some(folder.join(tokenizer)),
        ..ImportOptions::default()
    };
    let parts = Parts::of(&sources, &options)?;
    parts.resolve(&sources, &options, &mut Vec::new())?;
    let all = [
        ("language model", parts.llama.is_some()),
        ("vision tower", parts.clip.is_some()),
        ("adapters", parts.adapters.is_some()),
    ];
    let lacking = all.into_iter().filter(|(_, there)| !there);
    Ok(lacking.map(|(part, _)| part).collect())
}
