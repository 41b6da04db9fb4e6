//! Building the page.

use crate::{
    seal,
    shell::{Failure, command, root, run, step},
    shrink, tools,
};
use std::path::PathBuf;

/// How the page is built.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Unoptimised, soon built: to work on the page.
    Quick,
    /// What people get.
    Release,
}

/// Where the built page lies.
pub(crate) fn dist() -> PathBuf {
    root().join("dist")
}

/// Builds the page and its engines into `dist/`.
pub(crate) fn build(profile: Profile) -> Result<(), Failure> {
    let path = tools::for_web()?;
    step("building the page and its engines into dist/");
    let mut trunk = command("trunk");
    trunk.arg("build").env("PATH", path);
    if let Profile::Release = profile {
        trunk.arg("--release");
    }
    run(&mut trunk)?;
    if let Profile::Release = profile {
        shrink::shrink()?;
    }
    seal::seal(profile)
}
