//! Measurements on a graphics card, which anyone who has one repeats with one command.

use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

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

/// Sizes and the settings that make the recipe's those.
struct Shape {
    name: &'static str,
    tokens: usize,
    precision: &'static str,
    model: Value,
}

impl Shape {
    /// LLaMA-7B and ViT-L/14, as the recipe `coco-caption` has them.
    fn paper() -> Self {
        Self {
            name: "LLaMA-7B, ViT-L/14, bf16",
            tokens: 512,
            precision: "bf16",
            model: json!({
                "llama": {"dim": 4096, "n_layers": 32, "n_heads": 32, "ffn_hidden": 11008,
                          "vocab_size": 32000},
                "clip": {"image_size": 224, "patch": 14, "width": 1024, "layers": 24, "heads": 16},
                "adem": {"hidden_proj": 128, "clip_adapter_dim": 12, "down_sample": [256, 64]},
            }),
        }
    }

    /// Sizes that show in seconds that everything runs; the times mean nothing.
    fn tiny() -> Self {
        Self {
            name: "tiny sizes, f32",
            tokens: 32,
            precision: "f32",
            model: json!({
                "llama": {"dim": 64, "n_layers": 2, "n_heads": 4, "ffn_hidden": 128,
                          "vocab_size": 96},
                "clip": {"image_size": 32, "patch": 8, "width": 32, "layers": 3, "heads": 4},
                "adem": {"hidden_proj": 16, "clip_adapter_dim": 4, "down_sample": [16, 4]},
            }),
        }
    }

    /// The sizes as `--set` takes them.
    fn settings(&self) -> Vec<String> {
        let parts = self.model.as_object().into_iter().flatten();
        parts
            .flat_map(|(part, sizes)| {
                let sizes = sizes.as_object().into_iter().flatten();
                sizes.map(move |(key, value)| format!("model.{part}.{key}={value}"))
            })
            .collect()
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

/// A graphics card, as `nvidia-smi` tells of it.
struct Card {
    name: String,
}

impl Card {
    fn ask(what: &str) -> Option<String> {
        let query = format!("--query-gpu={what}");
        let format = "--format=csv,noheader,nounits";
        let text = output(Command::new("nvidia-smi").args([&query, format, "--id=0"]))?;
        text.lines().next().map(|line| line.trim().to_owned())
    }

    fn find() -> Result<Self, Failure> {
        Self::ask("name")
            .map(|name| Self { name })
            .ok_or_else(|| Failure::Missing {
                what: "an NVIDIA card".to_owned(),
                remedy:
                    "nvidia-smi lists none; run this where there is one, or try the script with \
                         --device cpu"
                        .to_owned(),
            })
    }

    /// Memory in use, bytes.
    fn taken(&self) -> Option<u64> {
        let mebibytes: u64 = Self::ask("memory.used")?.parse().ok()?;
        Some(mebibytes << 20)
    }

    /// Dense bf16 matrix products with f32 sums, TFLOP/s, by the makers' data sheets.
    fn peak(&self) -> Option<f64> {
        const CARDS: [(&str, f64); 11] = [
            ("GH200", 989.0),
            ("H200", 989.0),
            ("H100 PCIe", 756.0),
            ("H100", 989.0),
            ("A100", 312.0),
            ("L40S", 362.0),
            ("A40", 150.0),
            ("A10", 125.0),
            ("4090", 165.0),
            ("3090", 71.0),
            ("L4", 121.0),
        ];
        let known = CARDS.iter().find(|(name, _)| self.name.contains(name));
        known.map(|(_, peak)| *peak)
    }
}

/// A line of the table.
struct Row {
    name: &'static str,
    batch: usize,
    seconds: f64,
    tokens: f64,
    memory: Option<u64>,
    flops: Option<f64>,
    share: Option<f64>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        };
        let memory = self.memory.map(|bytes| bytes as f64 / f64::from(1 << 30));
        let flops = self.flops.map(|f| f / 1e12);
        let share = match self.share {
            Some(share) => format!("{:.1} %", 100.0 * share),
            None => "-".to_owned(),
        };
        write!(
            f,
            "| {} | {} | {:.4} | {:.0} | {} | {} | {share} |",
            self.name,
            self.batch,
            self.seconds,
            self.tokens,
            or_none(memory, 2),
            or_none(flops, 3)
        )
    }
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

    #[test]
    fn a_card_is_known_by_its_name() {
        let peak = |name: &str| {
            let name = name.to_owned();
            Card { name }.peak()
        };
        assert_eq!(peak("NVIDIA A100-SXM4-80GB"), Some(312.0));
        assert_eq!(peak("NVIDIA H100 PCIe"), Some(756.0));
        assert_eq!(peak("NVIDIA L40S"), Some(362.0));
        assert_eq!(peak("something new"), None);
    }

    #[test]
    fn sizes_become_settings() {
        let settings = Shape::tiny().settings();
        assert!(settings.contains(&"model.adem.down_sample=[16,4]".to_owned()));
        assert!(settings.contains(&"model.llama.dim=64".to_owned()));
    }
}
