//! Tools that a task needs, installed where they are missing.
//!
//! Cargo's own tools go into the target folder, beside what they build: a developer's other
//! versions of them stay as they are.

use crate::shell::{Failure, cargo, command, output, root, run, step, target_folder};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Later ones need a later Rust.
const TRUNK: &str = "0.21.14";

/// The target of everything that runs in the browser.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// What the browser test and the tests on software Vulkan run on, as Debian names it.
const PACKAGES: [&str; 4] = [
    "chromium",
    "chromium-driver",
    "firefox-esr",
    "mesa-vulkan-drivers",
];

/// `PATH` with the tools that build the page in front, installing those that are missing.
pub(crate) fn for_web() -> Result<OsString, Failure> {
    wasm_target()?;
    let folder = target_folder().join("tools");
    let path = path_with(&folder.join("bin"));
    // wasm-bindgen's two halves must be equal. Its own lock file names a crate that the registry
    // no longer has; Trunk's is good.
    let bindgen = locked_version("wasm-bindgen")?;
    registry_tool(
        &path,
        &folder,
        "wasm-bindgen",
        "wasm-bindgen-cli",
        &bindgen,
        &[],
    )?;
    // Without what it would download other tools and news of itself with.
    let trunk = ["--locked", "--no-default-features"];
    registry_tool(&path, &folder, "trunk", "trunk", TRUNK, &trunk)?;
    Ok(path)
}

/// Makes sure that the browsers, Chromium's driver and software Vulkan are there.
pub(crate) fn for_browser() -> Result<(), Failure> {
    if output(command("dpkg-query").arg("--version")).is_none() {
        // Not Debian's family: whoever runs the tests here has a browser of their own.
        return match output(command("chromedriver").arg("--version")) {
            Some(_) => Ok(()),
            None => Err(Failure::Missing {
                what: "chromedriver".into(),
                remedy: "install Chromium or Chrome and the ChromeDriver of the same version"
                    .into(),
            }),
        };
    }
    let missing: Vec<&str> = PACKAGES
        .into_iter()
        .filter(|package| {
            let status =
                output(command("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]));
            status.as_deref() != Some("installed")
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if output(command("id").arg("-u")).as_deref() != Some("0") {
        return Err(Failure::Missing {
            what: missing.join(", "),
            remedy: format!("run: sudo apt-get install {}", missing.join(" ")),
        });
    }
    step(format_args!("installing {}", missing.join(", ")));
    run(command("apt-get").arg("update"))?;
    run(command("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Installs Rust's library for WebAssembly where it is missing.
fn wasm_target() -> Result<(), Failure> {
    let library = output(command("rustc").args(["--print", "target-libdir", "--target", WASM]));
    if library.is_some_and(|library| Path::new(&library).is_dir()) {
        return Ok(());
    }
    step("adding Rust's WebAssembly target");
    run(command("rustup").args(["target", "add", WASM]))
}

/// Installs `package` from the crate registry unless `program` of that version is on `path`.
///
/// It runs for seconds and is compiled for minutes: little is optimised, nothing across crates.
fn registry_tool(
    path: &OsString,
    folder: &Path,
    program: &str,
    package: &str,
    version: &str,
    options: &[&str],
) -> Result<(), Failure> {
    let found = output(find(program, path).arg("--version"));
    if found.is_some_and(|found| found.split_whitespace().nth(1) == Some(version)) {
        return Ok(());
    }
    step(format_args!(
        "installing {package} {version}, once (some minutes)"
    ));
    run(cargo()
        .args(["install", package, "--version", version, "--root"])
        .arg(folder)
        .args(options)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"))
}

/// `program` from the first folder of `path` that has it. (The standard library would look in our
/// own `PATH`.)
fn find(program: &str, path: &OsString) -> Command {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let place = env::split_paths(path)
        .map(|folder| folder.join(&file))
        .find(|place| place.is_file())
        .unwrap_or_else(|| PathBuf::from(program));
    let mut command = Command::new(place);
    command.current_dir(root());
    command
}

fn path_with(folder: &Path) -> OsString {
    let old = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&old));
    env::join_paths(folders).unwrap_or(old)
}

/// The version of a crate in `Cargo.lock`.
fn locked_version(name: &str) -> Result<String, Failure> {
    let path = root().join("Cargo.lock");
    let lock = fs::read_to_string(&path).map_err(|source| Failure::File {
        path: path.clone(),
        source,
    })?;
    version_in(&lock, name).ok_or_else(|| Failure::Missing {
        what: format!("{name} in {}", path.display()),
        remedy: "run: cargo generate-lockfile".into(),
    })
}

fn version_in(lock: &str, name: &str) -> Option<String> {
    let entry = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| *line != entry).skip(1);
    let version = lines.next()?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_that_of_the_crate_itself() {
        let lock = "[[package]]\nname = \"trunk-x\"\nversion = \"9.9.9\"\n\n[[package]]\nname = \"trunk\"\nversion = \"0.1.2\"\ndependencies = [\n \"trunk-x\",\n]\n";
        assert_eq!(version_in(lock, "trunk").as_deref(), Some("0.1.2"));
        assert_eq!(version_in(lock, "dependencies"), None);
    }
}
