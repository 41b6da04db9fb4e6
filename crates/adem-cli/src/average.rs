//! `adem average`.

use adem_package::{Package, PackageError, WriteOptions, average};

use crate::args::AverageArgs;
use crate::error::CliError;
use crate::{output, package};

/// Writes the mean of packages.
pub fn run(args: AverageArgs) -> Result<(), CliError> {
    let shares = match args.shares.as_slice() {
        [] => vec![1.0; args.packages.len()],
        shares => shares.to_vec(),
    };
    let working = async {
        let mut packages = Vec::with_capacity(args.packages.len());
        for place in &args.packages {
            let opened = match package::source(place) {
                Ok(source) => Package::open(source).await,
                Err(error) => Err(PackageError::from(error)),
            };
            packages.push(opened.map_err(|source| CliError::Verify {
                package: place.clone(),
                source,
            })?);
        }
        let options = WriteOptions::default();
        let done = average(&packages, &shares, &args.out, &options).await;
        done.map_err(CliError::Average)
    };
    pollster::block_on(working)?;
    output::line(&format!(
        "wrote the package {}, the mean of {}",
        args.out.display(),
        args.packages.len()
    ))
}
