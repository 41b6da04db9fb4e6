//! Measurements on a graphics card, which anyone who has one repeats with one command.

mod card;
mod row;
mod shape;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use card::Card;
use row::Row;
use shape::Shape;

use crate::shell::{Failure, cargo, command, output, run, step, target_folder};

/// How to measure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    device: String,
    rows: Vec<usize>,
    steps: u64,
    recompute: bool,
    /// The most the card can do in bf16, TFLOP/s, where this program does not know the card.
    peak: Option<f64>,
    python: String,
    /// A built `adem`; none to build one.
    program: Option<PathBuf>,
}

impl Options {
    /// From the command line.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            device: "cuda".to_owned(),
            rows: vec![2, 8],
            steps: 10,
            recompute: false,
            peak: None,
            python: "python3".to_owned(),
            program: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--recompute" {
                options.recompute = true;
                continue;
            }
            let value = words.next();
            let wrong = || {
                let value = value.copied().unwrap_or_default();
                Failure::Usage(format!("gpu train-bench {word} {value}"))
            };
            let value = value.ok_or_else(wrong)?;
            match *word {
                "--device" if ["cuda", "cpu"].contains(value) => {
                    options.device = (*value).to_owned();
                }
                "--batch" => {
                    let rows: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                    options.rows = rows.map_err(|_| wrong())?;
                }
                "--steps" => options.steps = value.parse().map_err(|_| wrong())?,
                "--peak" => options.peak = Some(value.parse().map_err(|_| wrong())?),
                "--python" => options.python = (*value).to_owned(),
                "--program" => options.program = Some(value.into()),
                _ => return Err(wrong()),
            }
        }
        if options.rows.contains(&0) || options.steps == 0 {
            return Err(Failure::Usage("gpu train-bench with nothing to do".into()));
        }
        Ok(options)
    }
}

/// What a program says of its steps.
#[derive(Debug, Clone, Deserialize)]
struct Measured {
    seconds: f64,
    /// Operations of a step; the peer does not count them.
    #[serde(default)]
    flops: Option<f64>,
    /// Most memory of the processor's.
    peak_bytes: Option<u64>,
}

/// Times a training step of ours and of PyTorch's and prints a table.
pub(crate) fn train_bench(options: &Options) -> Result<(), Failure> {
    let (card, shape) = match options.device.as_str() {
        "cuda" => (Some(Card::find()?), Shape::paper()),
        _ => {
            println!(
                "No graphics card is asked for: tiny sizes on the processor, to show that the script \
                 runs. These times say nothing about training; run it without --device on a machine \
                 with an NVIDIA card."
            );
            (None, Shape::tiny())
        }
    };
    let program = match &options.program {
        Some(program) => program.clone(),
        None => {
            step("building adem");
            run(cargo().args(["build", "--release", "--package", "adem-cli"]))?;
            target_folder().join("release").join("adem")
        }
    };
    let torch =
        output(command(&options.python).args(["-c", "import torch; print(torch.__version__)"]));
    if torch.is_none() {
        println!(
            "{} has no PyTorch: its rows are left out (`{} -m pip install torch`).",
            options.python, options.python
        );
    }
    let peak = options.peak.or_else(|| card.as_ref().and_then(Card::peak));
    let mut rows = Vec::new();
    for &batch in &options.rows {
        step(format_args!("{batch} rows of {} tokens", shape.tokens));
        let mut flops = None;
        let ours = ours(&program, options, &shape, batch);
        for (name, command) in [
            ("adem", Some(ours)),
            (
                "PyTorch",
                torch.as_ref().map(|_| peer(options, &shape, batch)),
            ),
        ] {
            let Some(command) = command else { continue };
            match watched(command, card.as_ref()) {
                Ok((measured, memory)) => {
                    flops = measured.flops.or(flops);
                    rows.push(Row {
                        name,
                        batch,
                        seconds: measured.seconds,
                        memory: memory.or(measured.peak_bytes),
                        tokens: (batch * shape.tokens) as f64 / measured.seconds,
                        flops: flops.map(|f| f / measured.seconds),
                        share: flops
                            .zip(peak)
                            .map(|(f, p)| f / measured.seconds / (p * 1e12)),
                    });
                }
                // A card too small for one of them says so, and the rest is still worth having.
                Err(failure) => println!("{name}, {batch} rows: {failure}"),
            }
        }
    }
    let place = card.map_or_else(|| "the processor".to_owned(), |card| card.name);
    println!(
        "\n{} on {place}; means of {} steps\n",
        shape.name, options.steps
    );
    println!("| program | rows | s/step | tokens/s | memory, GiB | TFLOP/s | of peak |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for row in &rows {
        println!("{row}");
    }
    match rows.is_empty() {
        true => Err(Failure::Program("every measurement".to_owned())),
        false => Ok(()),
    }
}

fn ours(program: &PathBuf, options: &Options, shape: &Shape, rows: usize) -> Command {
    let mut ours = Command::new(program);
    ours.args(["train", "--recipe", "coco-caption"]).args([
        "--device",
        &options.device,
        "--bench",
        &options.steps.to_string(),
    ]);
    let run = [
        format!("tune.micro_batch={rows}"),
        format!("tune.batch={rows}"),
        format!("tune.max_tokens={}", shape.tokens),
        format!("tune.recompute={}", options.recompute),
        format!("weights.precision={:?}", shape.precision),
    ];
    for setting in shape.settings().into_iter().chain(run) {
        ours.args(["--set", &setting]);
    }
    ours
}

fn peer(options: &Options, shape: &Shape, rows: usize) -> Command {
    let job = json!({
        "model": shape.model, "rows": rows, "tokens": shape.tokens, "steps": options.steps,
        "device": options.device, "precision": shape.precision,
    });
    let mut peer = command(&options.python);
    peer.args(["tests/peers/torch_step.py", &job.to_string()]);
    peer
}

/// Runs a program that prints one JSON object; with a card, watches how much of its memory is taken
/// on top of what was taken before.
fn watched(mut command: Command, card: Option<&Card>) -> Result<(Measured, Option<u64>), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let before = card.and_then(Card::taken);
    let child: Child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| Failure::Start {
            program: name.clone(),
            source,
        })?;
    let done = AtomicBool::new(false);
    let (ended, most) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = None;
            while !done.load(Ordering::Relaxed) {
                most = most.max(card.and_then(Card::taken));
                thread::sleep(Duration::from_millis(100));
            }
            most
        });
        let ended = child.wait_with_output();
        done.store(true, Ordering::Relaxed);
        (ended, watch.join().ok().flatten())
    });
    let failed = |_| Failure::Program(name.clone());
    let ended = ended.map_err(|source| Failure::Start {
        program: name.clone(),
        source,
    })?;
    if !ended.status.success() {
        return Err(Failure::Program(name));
    }
    let measured = serde_json::from_slice(&ended.stdout).map_err(failed)?;
    let memory = most
        .zip(before)
        .map(|(most, before)| most.saturating_sub(before));
    Ok((measured, memory))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn options_are_read_and_nonsense_is_refused() {
        let words = [
            "--device", "cpu", "--batch", "1,3", "--steps", "2", "--peak", "312",
        ];
        let options = Options::parse(&words).unwrap();
        assert_eq!(
            (options.rows.as_slice(), options.steps),
            ([1, 3].as_slice(), 2)
        );
        assert_eq!(
            (options.device.as_str(), options.peak),
            ("cpu", Some(312.0))
        );
        assert_eq!(Options::parse(&[]).unwrap().rows, [2, 8]);
        for words in [
            vec!["--device", "tpu"],
            vec!["--batch", "two"],
            vec!["--batch", "0"],
            vec!["--steps"],
            vec!["--fast", "1"],
        ] {
            assert!(Options::parse(&words).is_err(), "{words:?}");
        }
    }
}
