//! What the continuous integration checks.

use crate::{
    shell::{Failure, cargo, run, step},
    tools,
    web::{self, Profile},
};
use std::process::Command;

/// Everything but the page, which only a browser can run. The engines are compiled for their lints
/// and the tests of their parts.
const NATIVE: [&str; 6] = [
    "--workspace",
    "--exclude",
    "adem-web",
    "--features",
    "adem-engine/cpu,adem-engine/gpu",
    "--locked",
];

/// Crates with code for the browser alone, and nothing heavy below them.
const BROWSER: [&str; 6] = [
    "-p",
    "adem-web",
    "-p",
    "adem-package",
    "-p",
    "adem-protocol",
];

/// Format, lints, native tests on CPU and software Vulkan, the page's build, the browser test.
pub(crate) fn test() -> Result<(), Failure> {
    tools::for_browser()?;
    format()?;
    step("compiling the native tests, with lints");
    run(linting(&mut tests()).arg("--no-run"))?;
    web::build(Profile::Release)?;
    browser_lints()?;
    step("running the tests");
    run(linting(&mut tests()).env("ADEM_BROWSER", "1"))?;
    crate::sizes::print()
}

/// Builds the page and prints what it takes in a real browser.
pub(crate) fn bench_page() -> Result<(), Failure> {
    tools::for_browser()?;
    web::build(Profile::Release)?;
    step("measuring the page");
    run(&mut browser_test("figures"))
}

/// The measurements of this name in the browser tests.
pub(crate) fn browser_test(name: &str) -> Command {
    let mut tests = tests();
    linting(&mut tests).env("ADEM_BROWSER", "1");
    tests.args(["--test", "browser", "--", "--ignored", "--nocapture", name]);
    tests
}

/// Runs a bench of the command line, optimised.
pub(crate) fn bench(what: &str, options: &[&str]) -> Result<(), Failure> {
    step("compiling the command line");
    let program = ["run", "--release", "--package", "adem-cli", "--"];
    run(cargo().args(program).args(["bench", what]).args(options))
}

/// Format and lints.
pub(crate) fn lint() -> Result<(), Failure> {
    tools::for_web()?;
    format()?;
    step("lints");
    run(cargo()
        .arg("clippy")
        .args(NATIVE)
        .args(["--all-targets", "--", "-D", "warnings"]))?;
    browser_lints()
}

fn format() -> Result<(), Failure> {
    step("format");
    run(cargo().args(["fmt", "--all", "--check"]))
}

fn browser_lints() -> Result<(), Failure> {
    step("lints of what only the browser runs");
    run(cargo()
        .args(["clippy", "--target", "wasm32-unknown-unknown"])
        .args(BROWSER)
        .args(["--", "-D", "warnings"]))
}

fn tests() -> Command {
    let mut tests = cargo();
    tests.arg("test").args(NATIVE).arg("--no-fail-fast");
    tests
}

/// Lets Clippy compile our own crates for `command`, so that lints and tests share one build.
///
/// `cargo clippy` does the same for `cargo check`, whose artifacts no test can use: every
/// dependency would be compiled twice. Arguments are separated as Clippy's driver expects.
fn linting(command: &mut Command) -> &mut Command {
    command
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver")
        .env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__")
}
