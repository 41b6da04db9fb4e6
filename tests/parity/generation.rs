//! Whole models: greedy text through [`Generation`], in a batch, alone and without a cache.

use adem_model::config::{Projection, Stage};
use adem_model::{AdemVl, Generation, GenerationOptions, Prefix, Sampling, TrainRow, VisualPrompt};
use adem_tests::golden::Array;
use burn::tensor::Device;
use serde_json::Value;

use crate::backend::Backend;
use crate::compare::{Report, difference, download, ids, upload};
use crate::imported::whole;
use crate::whole::{Fixture, pictures};

/// What a fixture asks to generate.
struct Task {
    pixels: Array<f32>,
    pictures: Vec<bool>,
    texts: Vec<Vec<u32>>,
    prefix: Prefix,
    bos: u32,
    steps: usize,
}

/// What one row became.
#[derive(Debug, Default, Clone)]
struct Row {
    ids: Vec<u32>,
    /// Logits of every step the row took part in, the one that ended it included.
    logits: Vec<Vec<f32>>,
}

fn integers(json: &Value) -> Vec<u32> {
    json.as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap() as u32)
        .collect()
}

impl Task {
    fn of(fixture: &Fixture) -> Self {
        let json = &fixture.json["generate"];
        let indicators: Vec<i64> = json["indicators"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_i64().unwrap())
            .collect();
        let texts = (0..indicators.len())
            .map(|i| ids(fixture.expected.i64(&format!("gen.prompt{i}"))).remove(0))
            .collect();
        Self {
            pixels: fixture.expected.f32("gen.pixels").clone(),
            pictures: pictures(&indicators),
            texts,
            prefix: fixture.prefix(),
            bos: json["bos"].as_u64().unwrap() as u32,
            steps: json["max_gen"].as_u64().unwrap() as usize,
        }
    }

    fn see(&self, model: &AdemVl, device: &Device) -> VisualPrompt {
        let features = model.encode(upload::<4>(&self.pixels, device), None);
        model.see(features, &self.pictures)
    }

    /// One picture of the batch by itself.
    fn see_one(&self, model: &AdemVl, row: usize, device: &Device) -> VisualPrompt {
        if !self.pictures[row] {
            return model.see_nothing(1);
        }
        let Array { shape, values } = self.pixels.row(row);
        let pixels = Array {
            shape: [vec![1], shape].concat(),
            values,
        };
        model.see(model.encode(upload::<4>(&pixels, device), None), &[true])
    }

    fn run(
        &self,
        model: &AdemVl,
        prompt: VisualPrompt,
        texts: &[Vec<u32>],
        eos: Option<u32>,
    ) -> Vec<Row> {
        let options = GenerationOptions {
            bos: self.bos,
            eos,
            max_new_tokens: self.steps,
            sampling: Sampling::Greedy,
        };
        let device = prompt.memory.keys().device();
        let mut generation = Generation::new(model, prompt, texts, &self.prefix, options).unwrap();
        let mut rows = vec![Row::default(); texts.len()];
        let mut ended = vec![false; texts.len()];
        while !generation.is_done() {
            let step = pollster::block_on(generation.step()).unwrap();
            let logits = download(generation.last_logits().unwrap()).values;
            let vocabulary = logits.len() / texts.len();
            for (i, row) in rows.iter_mut().enumerate() {
                if ended[i] {
                    continue;
                }
                row.logits
                    .push(logits[i * vocabulary..(i + 1) * vocabulary].to_vec());
                match step.as_ref().and_then(|s| s.tokens[i]) {
                    Some(token) => row.ids.push(token),
                    None => ended[i] = true,
                }
            }
        }
        // One text on a GPU is decoded by kernels alone.
        let adem = &model.config().adem;
        let resident = texts.len() == 1
            && device != Device::flex()
            && adem.phi == Projection::Silu
            && adem.query_from == Stage::MlpIn;
        let most = 8 * model.config().llama.n_layers as u64 + 2;
        assert_eq!(
            generation.launches().is_some(),
            resident && rows[0].logits.len() > 1
        );
        assert!(
            generation
                .launches()
                .is_none_or(|launches| launches <= most)
        );
        rows
    }
}

/// A left-padded batch gives the golden ids with either ending token.
fn greedy(backend: &Backend) {
    golden_ids("greedy ids", backend, Fixture::build);
}

/// The same of models that were imported: Meta's decoder, OpenAI's tower and the adapters under the
/// authors' names.
fn imported(backend: &Backend) {
    golden_ids("greedy ids, imported", backend, whole);
}

fn golden_ids(title: &str, backend: &Backend, build: impl Fn(&Fixture, &Device) -> AdemVl) {
    let (device, t) = (&backend.device, &backend.tolerances);
    let mut report = Report::new(title, backend.name);
    for fixture in Fixture::all() {
        let (model, task) = (build(&fixture, device), Task::of(&fixture));
        let prompt = task.see(&model, device);
        let json = &fixture.json["generate"];
        for (eos, want) in [("eos", "ids"), ("eos_alt", "ids_alt")] {
            let what = format!("{} until {eos}", fixture.name);
            let eos = json[eos].as_u64().map(|id| id as u32);
            let want: Vec<Vec<u32>> = json[want]
                .as_array()
                .unwrap()
                .iter()
                .map(integers)
                .collect();
            let batch = task.run(&model, prompt.clone(), &task.texts, eos);
            for (i, row) in batch.iter().enumerate() {
                let golden = fixture.expected.f32(&format!("gen.logits{i}"));
                assert_eq!(row.ids, want[i], "{what}, row {i}");
                for (step, logits) in row.logits.iter().enumerate() {
                    let what = format!("{what}, row {i}, step {step}");
                    let d = difference(logits, &golden.row(step).values);
                    report.number("logits", &what, d, 0.0, t.logits);
                }
            }
            report.case();
        }
    }
    report.finish();
}

/// Rows of different lengths, with and without pictures, in one left-padded batch: each is what
/// it is alone, and each cached step gives what the whole text gives computed anew.
fn batched_cached_and_anew(backend: &Backend) {
    let (device, t) = (&backend.device, &backend.tolerances);
    let mut report = Report::new("batched, cached and anew", backend.name);
    for fixture in Fixture::all() {
        let (model, mut task) = (fixture.build(device), Task::of(&fixture));
        for (i, text) in task.texts.iter_mut().enumerate() {
            text.truncate(text.len().saturating_sub(i));
            task.pictures[i] = i % 2 == 0;
        }
        let batch = task.run(&model, task.see(&model, device), &task.texts, None);
        for (i, row) in batch.iter().enumerate() {
            let what = format!("{}, row {i}", fixture.name);
            let prompt = task.see_one(&model, i, device);
            let alone = task
                .run(&model, prompt.clone(), &task.texts[i..=i], None)
                .remove(0);
            assert_eq!(alone.ids, row.ids, "{what}");
            let anew = whole_text(&model, &task, &prompt, i, &row.ids);
            // The last token of the prompt stands just before the first new one.
            let last = anew.shape[0] - row.ids.len() - 1;
            for (step, (alone, batched)) in alone.logits.iter().zip(&row.logits).enumerate() {
                let what = format!("{what}, step {step}");
                let anew = anew.row(last + step).values;
                report.number("batched", &what, difference(batched, alone), 0.0, t.logits);
                report.number("cached", &what, difference(alone, &anew), 0.0, t.logits);
            }
            report.case();
        }
    }
    report.finish();
}

/// Logits `[tokens, vocabulary]` of prompt and answer in one pass, the way a trainer runs them.
fn whole_text(
    model: &AdemVl,
    task: &Task,
    prompt: &VisualPrompt,
    row: usize,
    answer: &[u32],
) -> Array<f32> {
    let ids: Vec<u32> = [&[task.bos], task.texts[row].as_slice(), answer].concat();
    let mut labels = vec![None; ids.len()];
    labels[ids.len() - 1] = answer.last().copied();
    let rows = [TrainRow {
        ids,
        labels,
        picture: task.pictures[row],
    }];
    let (hidden, _) = model
        .forward(prompt, &rows, &task.prefix, usize::MAX)
        .unwrap();
    download(model.llama.logits(hidden)).row(0)
}

crate::on_every_backend!(greedy, imported, batched_cached_and_anew);
