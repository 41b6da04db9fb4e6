//! The page's engines beside other people's: `cargo xtask bench peers`.

use crate::shell::{Failure, command, output, root, run, step, target_folder};
use crate::{check, tools, web};
use std::fs;
use std::path::Path;

/// What is measured and how it is printed.
#[derive(Debug, Default)]
pub(crate) struct Options {
    json: bool,
    shapes: Option<String>,
    devices: Option<String>,
}

impl Options {
    /// Options from the command line's words.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, Failure> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--json" => options.json = true,
                "--shapes" => options.shapes = Some(list(word, words.next(), &["S", "M", "V"])?),
                "--devices" => {
                    options.devices = Some(list(word, words.next(), &["wasm", "webgpu"])?);
                }
                other => return Err(Failure::Usage(format!("bench peers {other}"))),
            }
        }
        Ok(options)
    }
}

/// Some of `known`, separated by commas.
fn list(option: &str, given: Option<&&str>, known: &[&str]) -> Result<String, Failure> {
    let given = given.copied().unwrap_or_default();
    match given.split(',').all(|one| known.contains(&one)) {
        true => Ok(given.to_owned()),
        false => Err(Failure::Usage(format!(
            "bench peers {option} {given} (of {}, with commas)",
            known.join(", ")
        ))),
    }
}

/// Prints one row per shape, scheme and device: ours, theirs, and their ratio.
pub(crate) fn bench(options: &Options) -> Result<(), Failure> {
    tools::for_browser()?;
    let folder = target_folder().join("peers");
    let folder = std::path::absolute(&folder).map_err(|source| Failure::File {
        path: folder,
        source,
    })?;
    peers(&folder)?;
    web::build(web::Profile::Release)?;
    step("measuring; a row of a large model on a software GPU takes minutes");
    let mut tests = check::browser_test("peers");
    tests.env("ADEM_PEERS", &folder);
    if let Some(shapes) = &options.shapes {
        tests.env("ADEM_SHAPES", shapes);
    }
    if let Some(devices) = &options.devices {
        tests.env("ADEM_DEVICES", devices);
    }
    if options.json {
        tests.env("ADEM_JSON", "1");
    }
    run(&mut tests)
}

/// transformers.js from its registry and models with random weights for it, in `folder`.
fn peers(folder: &Path) -> Result<(), Failure> {
    for (program, package) in [("npm", "npm"), ("python3", "python3-venv")] {
        if output(command(program).arg("--version")).is_none() {
            return Err(Failure::Missing {
                what: program.into(),
                remedy: format!("run: sudo apt-get install {package}"),
            });
        }
    }
    let own = root().join("tests/peers");
    let file = |path: &Path, done: std::io::Result<()>| {
        done.map_err(|source| Failure::File {
            path: path.to_owned(),
            source,
        })
    };
    file(folder, fs::create_dir_all(folder))?;
    let manifest = folder.join("package.json");
    let text = own.join("package.json");
    file(&manifest, fs::copy(text, &manifest).map(drop))?;
    step("transformers.js");
    let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(command("npm").args(install).current_dir(folder))?;
    let last = |shape| folder.join(format!("models/{shape}/onnx/model_quantized.onnx"));
    if ["S", "M", "V"].iter().all(|shape| last(shape).is_file()) {
        return Ok(());
    }
    step("models with random weights for it (1.3 GB)");
    run(command("python3")
        .args(["-m", "venv"])
        .arg(folder.join("venv")))?;
    let python = folder.join("venv/bin/python");
    let python = python.to_string_lossy();
    let wanted = own.join("requirements.txt");
    run(command(&python)
        .args(["-m", "pip", "install", "--quiet", "-r"])
        .arg(wanted))?;
    run(command(&python)
        .arg(own.join("onnx_models.py"))
        .arg(folder.join("models")))
}
