//! Running other programs.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};
use thiserror::Error;

/// Why a task did not succeed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// No such command or option.
    #[error("no such command: {0} (cargo xtask help lists them)")]
    Usage(String),
    /// A program could not be started.
    #[error("{program} cannot be started ({source}); is it installed?")]
    Start {
        /// Its name.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program ended with an error, which it has printed itself.
    #[error("failed: {0}")]
    Program(String),
    /// A file could not be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something is missing that this program cannot install.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What.
        what: String,
        /// What to do about it.
        remedy: String,
    },
}

/// The folder of the workspace: that of the Cargo which runs this program, and not that in which it
/// was compiled, for two copies of the source may share a target folder.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = env::var_os("CARGO_MANIFEST_DIR");
        let here = here.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = here.ancestors().nth(2).map(Path::to_owned);
        root.unwrap_or(here)
    });
    &ROOT
}

/// Where Cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Says what is being done.
pub(crate) fn step(what: impl fmt::Display) {
    eprintln!("\n== {what}");
}

/// `program`, to be run in the workspace's folder.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// `cargo`, the one that runs this program.
pub(crate) fn cargo() -> Command {
    command(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
}

/// Runs `command`, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|source| start(command, source))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Program(line(command)))
    }
}

/// What `command` prints, or `None` where it is not there or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn start(command: &Command, source: io::Error) -> Failure {
    Failure::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}
