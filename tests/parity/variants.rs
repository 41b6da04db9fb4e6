//! Every switch of the paper's ablations, on the weights of one whole model.

use std::path::Path;

use adem_model::config::{AdemConfig, ModelConfig};
use adem_model::nn::Builder;
use adem_model::{AdemVl, SourceError, TensorSource, token_loss};
use adem_tests::golden::{self, Array, Tensors};
use burn::tensor::TensorData;
use serde_json::Value;

use crate::backend::Backend;
use crate::compare::{Report, download};
use crate::source::{checked, stack};
use crate::whole::Fixture;

/// Below this distance between a score and its row's threshold another order of summation may
/// drop another visual token; logits are then not comparable, only the loss is.
const SMALLEST_MARGIN: f64 = 1e-6;

/// The base model's weights, with position embeddings put together scale by scale.
struct Scales<'a> {
    base: &'a Fixture,
    extra: &'a Tensors,
    scales: &'a [usize],
}

impl Scales<'_> {
    /// Rows of `adapter_emb1` or `adapter_emb2` for every scale, `[1, N, D]`.
    fn embedding(&self, name: &str) -> Array<f32> {
        let all = self.base.model.f32(&format!("w.{name}")).row(0);
        let rows = self.scales.iter().map(|scale| {
            let of_base = &self.base.config.adem.down_sample;
            match of_base.iter().position(|s| s == scale) {
                Some(at) => {
                    let first: usize = of_base[..at].iter().sum();
                    let width = all.shape[1];
                    let values = all.values[first * width..(first + scale) * width].to_vec();
                    Array {
                        shape: vec![*scale, width],
                        values,
                    }
                }
                None => self.extra.f32(&name.replace("adapter_", "extra.")).row(0),
            }
        });
        let Array { shape, values } = stack(rows.collect());
        Array {
            shape: [vec![1], shape].concat(),
            values,
        }
    }
}

impl TensorSource for Scales<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let array = match name.starts_with("adapter_emb") {
            true => self.embedding(name),
            false => self.base.model.f32(&format!("w.{name}")).clone(),
        };
        checked(name, shape, array)
    }
}

/// The base model's settings with a variant's switches.
fn switched(base: &ModelConfig, variant: &Value) -> AdemConfig {
    let mut json = serde_json::to_value(&base.adem).unwrap();
    let fields = json.as_object_mut().unwrap();
    for key in ["alpha", "beta"] {
        fields.insert(key.into(), variant[key].clone());
    }
    for (key, value) in variant["switches"].as_object().unwrap() {
        assert!(fields.contains_key(key), "unknown switch {key}");
        fields.insert(key.clone(), value.clone());
    }
    serde_json::from_value(json).unwrap()
}

fn every_switch(backend: &Backend) {
    let (device, t) = (&backend.device, &backend.tolerances);
    let mut report = Report::new("variants", backend.name);
    let mut loss_only = 0;
    for path in golden::entries("adem", |p| golden::name(p).ends_with(".variants.json")) {
        let name = golden::name(&path).replace(".variants.json", ".json");
        let base = Fixture::open(&path.with_file_name(name));
        let expected = Tensors::open(&path.with_extension("safetensors"));
        for variant in golden::json(&path)["variants"].as_array().unwrap() {
            let name = variant["variant"].as_str().unwrap();
            let what = format!("{name} {}", variant["switches"]);
            let adem = switched(&base.config, variant);
            let config = ModelConfig {
                adem: adem.clone(),
                ..base.config.clone()
            };
            let mut source = Scales {
                base: &base,
                extra: &expected,
                scales: &adem.down_sample,
            };
            let model = AdemVl::new(&config, &mut source, device).unwrap();

            let mut batch = base.batch();
            // Room for the patches that stand in the text.
            batch.max_tokens += adem.input_tokens;
            for row in &mut batch.rows {
                row.ids.resize(batch.max_tokens, 0);
                row.labels.resize(batch.max_tokens, None);
            }
            let prompt = batch.see(&model, device);
            let (hidden, labels) = model
                .forward(&prompt, &batch.rows, &batch.prefix, batch.max_tokens)
                .unwrap();
            let [_, tokens, _] = hidden.dims();
            let shape = &variant["logits_shape"];
            assert_eq!(shape[1].as_u64(), Some(tokens as u64), "{what}: tokens");

            let loss = token_loss(&model.llama, hidden.clone(), &labels).unwrap();
            let loss = download(loss).values[0];
            let want = variant["loss"].as_f64().unwrap();
            report.number("loss", &what, f64::from(loss), want, t.loss);
            let margin = variant["margin"].as_f64().unwrap_or(f64::INFINITY);
            if margin < SMALLEST_MARGIN {
                loss_only += 1;
            } else {
                let last = hidden.narrow(1, tokens - 1, 1);
                let mut last = download(model.llama.logits(last));
                last.shape.remove(1);
                let want = expected.f32(&format!("{name}.last_logits"));
                report.absolute("logits", &what, &last, want, t.logits);
            }
            report.case();
        }
    }
    assert!(
        loss_only < report.cases(),
        "no variant's logits were compared"
    );
    report.finish();
}

crate::on_every_backend!(every_switch);

/// A built model changes its switches in place to the same effect as one built anew.
#[test]
fn switching_a_built_model_equals_building_it() {
    let device = burn::tensor::Device::flex();
    for path in golden::entries("adem", |p| golden::name(p).ends_with(".variants.json")) {
        let name = golden::name(&path).replace(".variants.json", ".json");
        let base = Fixture::open(Path::new(&path.with_file_name(name)));
        let expected = Tensors::open(&path.with_extension("safetensors"));
        let batch = base.batch();
        let mut switched_over = 0;
        for variant in golden::json(&path)["variants"].as_array().unwrap() {
            let adem = switched(&base.config, variant);
            if adem.down_sample != base.config.adem.down_sample || adem.input_tokens > 0 {
                continue;
            }
            let config = ModelConfig {
                adem: adem.clone(),
                ..base.config.clone()
            };
            let mut source = Scales {
                base: &base,
                extra: &expected,
                scales: &adem.down_sample,
            };
            let mut builder = Builder::new(&mut source, &device).for_inference();
            let built = AdemVl::build(&config, &mut builder).unwrap();
            let mut switched = base.build(&device);
            switched.set_fusion(adem).unwrap();
            let loss = |model| download(batch.loss(model, &device)).values[0];
            assert_eq!(loss(&built), loss(&switched), "{}", variant["switches"]);
            switched_over += 1;
        }
        assert!(switched_over > 0);
    }
}
