//! Everything a developer runs: `cargo xtask demo`, `test`, `lint`, `web`, `sizes`, `bench`, `gpu`.

mod check;
mod crates;
mod demo;
mod gpu;
mod peers;
mod seal;
mod shell;
mod shrink;
mod sizes;
mod tools;
mod wasm;
mod web;

use shell::Failure;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  demo [--port N] [--no-open]   build the page, serve it on 127.0.0.1, open it
  web [--release]               build the page into dist/; with --release small and fast, and print sizes
  sizes                         what the page's programs are made of: bytes of code by crate
  test                          everything the continuous integration checks
  lint                          format and lints alone
  bench page                    times of the page's engines in headless Chromium
  bench kernels|shapes [..]     `adem bench kernels` and `adem bench shapes` of a release build
  bench peers [--json] [--shapes S,M,V]
                                the same beside transformers.js, with random weights
  gpu train-bench [OPTIONS]     a training step at LLaMA-7B's sizes, ours and PyTorch's, on an NVIDIA card;
                                --batch 2,8 --steps N --recompute --peak TFLOPS --python PROGRAM
                                --program ADEM; --device cpu: tiny sizes, to try the script
Each sets up what it needs. Tools come from the crate registry, Chromium and
software Vulkan (for test) from apt.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["demo", options @ ..] => demo::Options::parse(options).and_then(demo::run),
        ["web"] => web::build(web::Profile::Quick),
        ["web", "--release"] => web::build(web::Profile::Release).and_then(|()| sizes::print()),
        ["test"] => check::test(),
        ["lint"] => check::lint(),
        ["sizes"] => crates::print(),
        ["bench", "page"] => check::bench_page(),
        ["bench", "peers", options @ ..] => {
            peers::Options::parse(options).and_then(|options| peers::bench(&options))
        }
        ["gpu", "train-bench", options @ ..] => {
            gpu::Options::parse(options).and_then(|options| gpu::train_bench(&options))
        }
        ["bench", what @ ("kernels" | "shapes"), options @ ..] => check::bench(what, options),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(Failure::Usage(other.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
