//! The mean of several packages of one model.

use std::path::Path;

use crate::error::PackageError;
use crate::manifest::{Manifest, Provenance, TokenIds};
use crate::package::Package;
use crate::source::WeightSource;
use crate::weights::TensorView;
use crate::write::{Draft, NewTensor, WriteOptions, write};

/// Writes to `folder` the package whose every weight is the mean of what `packages` have there, each
/// counted by its number in `shares`; quantised weights count as the floats they stand for. Runs that
/// began at the same weights have means that are often better than each of them ("model soups",
/// arXiv 2203.05482). Two models in single precision are held in memory.
///
/// # Errors
/// What reading a package refuses; [`PackageError::Unlike`] where one has another model, tokenizer or
/// input, [`PackageError::Shape`] and [`PackageError::MissingTensor`] for other tensors,
/// [`PackageError::Shares`] for shares that have no mean; what [`write`] refuses. In all cases the
/// folder's package is as it was.
pub async fn average<S: WeightSource>(
    packages: &[Package<S>],
    shares: &[f64],
    folder: &Path,
    options: &WriteOptions,
) -> Result<Manifest, PackageError> {
    let sum: f64 = shares.iter().sum();
    let sound = shares.len() == packages.len()
        && shares.iter().all(|share| share.is_finite() && *share > 0.0);
    let (Some(first), true) = (packages.first(), sound && sum.is_finite()) else {
        return Err(PackageError::Shares {
            packages: packages.len(),
            shares: shares.to_vec(),
        });
    };
    let mut tensors: Vec<NewTensor> = Vec::new();
    for (number, (package, share)) in packages.iter().zip(shares).enumerate() {
        alike(first, package, number)?;
        let mut weights = package.load_weights(|_| {}).await?;
        let share = (share / sum) as f32;
        if number == 0 {
            let empty = |view: TensorView<'_>| NewTensor {
                name: view.name.to_owned(),
                shape: view.shape.to_vec(),
                data: vec![0.0; view.shape.iter().product()],
            };
            tensors = weights.unused().map(empty).collect();
        }
        for NewTensor { name, shape, data } in &mut tensors {
            let more = weights.take(name, shape)?;
            for (value, more) in data.iter_mut().zip(more) {
                *value += share * more;
            }
        }
        if let Some(view) = weights.unused().next() {
            let what = format!("holds tensor `{}`, which the first one lacks", view.name);
            return Err(PackageError::Unlike { number, what });
        }
    }
    let Manifest {
        name,
        model,
        image,
        prompts,
        tasks,
        max_new_tokens,
        provenance,
        tokenizer,
        ..
    } = first.manifest().clone();
    let draft = Draft {
        name,
        model,
        image,
        prompts,
        tasks,
        max_new_tokens,
        provenance: told(provenance, packages, shares),
        token_ids: TokenIds {
            bos: tokenizer.bos,
            eos: tokenizer.eos,
            pad: tokenizer.pad,
        },
    };
    write(folder, draft, first.tokenizer(), tensors, options)
}

/// Refuses a package that is not of the first one's model.
fn alike<S: WeightSource>(
    first: &Package<S>,
    package: &Package<S>,
    number: usize,
) -> Result<(), PackageError> {
    let (a, b) = (first.manifest(), package.manifest());
    let what = if a.model != b.model {
        "has another `model` in its manifest"
    } else if a.tokenizer.sha256 != b.tokenizer.sha256 {
        "has another tokenizer"
    } else if (&a.image, &a.prompts) != (&b.image, &b.prompts) {
        "has another `image` or other `prompts` in its manifest"
    } else {
        return Ok(());
    };
    Err(PackageError::Unlike {
        number,
        what: what.to_owned(),
    })
}

/// The first package's provenance, and what the mean is of.
fn told<S: WeightSource>(
    provenance: Provenance,
    packages: &[Package<S>],
    shares: &[f64],
) -> Provenance {
    let parts = packages.iter().zip(shares).map(|(package, share)| {
        let training = &package.manifest().provenance.training;
        format!("{share} of what was made by: {training}")
    });
    Provenance {
        training: format!("the mean of {}", parts.collect::<Vec<_>>().join("; ")),
        ..provenance
    }
}
