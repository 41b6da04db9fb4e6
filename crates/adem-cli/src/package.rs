//! Finding and loading the model.

use std::env;
use std::path::{Path, PathBuf};

use adem_package::{Folder, Http, MANIFEST_FILE, PackageError, WeightSource};
use adem_pipeline::Captioner;
use burn::tensor::Device;

use crate::args::ModelArgs;
use crate::device;
use crate::error::CliError;

/// Names the folder of the model to use.
const VARIABLE: &str = "ADEM_PACKAGE";

/// What a model is wanted for, where the command line names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Descriptions of photographs.
    Photo,
    /// Drawn scenes, and answers to questions about them.
    Scenes,
}

impl Wanted {
    /// Its folder, beside this program or in the source.
    fn folder(self) -> &'static str {
        match self {
            Self::Photo => "package",
            Self::Scenes => "scenes",
        }
    }
}

/// Loads the model of the command line onto its device.
pub fn load(args: &ModelArgs, wanted: Wanted) -> Result<Captioner, CliError> {
    let device = device::open(args.device)?;
    load_onto(&locate(args, wanted)?, &device)
}

/// Loads the package at `place` onto `device`.
pub fn load_onto(place: &str, device: &Device) -> Result<Captioner, CliError> {
    let loading = async {
        let source = source(place).map_err(PackageError::from)?;
        Captioner::load(source, |_| {}, device).await
    };
    pollster::block_on(loading).map_err(|source| CliError::Package {
        package: place.to_owned(),
        source,
    })
}

/// Folder or address of the model: what was asked for, else what is at hand.
pub fn locate(args: &ModelArgs, wanted: Wanted) -> Result<String, CliError> {
    if let Some(package) = &args.package {
        return Ok(package.clone());
    }
    if let Some(package) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(package.to_string_lossy().into_owned());
    }
    let folder = wanted.folder();
    let beside = beside_program().map(|place| place.join(folder));
    let places: Vec<PathBuf> = beside.into_iter().chain([shipped().join(folder)]).collect();
    match places
        .iter()
        .find(|place| place.join(MANIFEST_FILE).is_file())
    {
        Some(place) => Ok(place.display().to_string()),
        None => Err(CliError::NoPackage(places)),
    }
}

/// Where the files of the package at `place`, a folder or an address, come from.
pub fn source(place: &str) -> Result<Box<dyn WeightSource>, adem_package::SourceError> {
    if place.contains("://") {
        return Ok(Box::new(Http::new(place)?));
    }
    Ok(Box::new(Folder::new(place)))
}

fn beside_program() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.to_owned())
}

/// The page's models, in the source tree this program was built from.
fn shipped() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .and_then(Path::parent);
    crates.unwrap_or(Path::new(".")).join("web")
}
