//! `adem average`.

use std::path::PathBuf;

use adem_package::{Package, PackageError, WriteOptions, average};
use clap::Args;

use crate::error::CliError;
use crate::{output, package};

#[derive(Debug, Clone, Args)]
pub struct AverageArgs {
    /// The packages: folders or http(s):// addresses, float or quantised.
    #[arg(required = true, num_args = 1.., value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// The new package's folder, in half precision; a package there is replaced once the new one is
    /// complete.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// How much each counts, as 0.6,0.2,0.2; otherwise all alike.
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    pub shares: Vec<f64>,
}

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
