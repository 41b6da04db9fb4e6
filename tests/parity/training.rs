//! Whole models: gradients, kept and recomputed, and five steps of the trainer's AdamW.

use std::collections::BTreeMap;

use adem_model::AdemVl;
use adem_tests::golden::Array;
use adem_train::recompute::{self, Lesson, Sight};
use adem_train::{AdamWSettings, NamedAdamW};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::backend::Backend;
use crate::compare::{Report, difference, download, upload};
use crate::whole::Fixture;

/// What a module's parameters hold and receive, by their names in checkpoints.
#[derive(Default)]
struct Parameters {
    values: BTreeMap<String, Array<f32>>,
    gradients: BTreeMap<String, Option<Array<f32>>>,
}

struct Collect<'a> {
    path: Vec<String>,
    gradients: &'a GradientsParams,
    found: Parameters,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = AdemVl::tensor_name(&self.path.join("."));
        let gradient = self.gradients.get::<D>(param.id).map(download);
        self.found
            .values
            .insert(name.clone(), download(param.val()));
        self.found.gradients.insert(name, gradient);
    }
}

fn parameters(model: &AdemVl, gradients: &GradientsParams) -> Parameters {
    let mut collect = Collect {
        path: Vec::new(),
        gradients,
        found: Parameters::default(),
    };
    model.visit(&mut collect);
    collect.found
}

/// The model with everything frozen that ADEM-VL does not train.
fn trainable(fixture: &Fixture, backend: &Backend) -> AdemVl {
    adem_train::freeze(fixture.build(&backend.training()), AdemVl::is_trained)
}

fn gradients(backend: &Backend) {
    compare(backend, "gradients", |fixture, model| {
        let loss = fixture.batch().loss(model, &backend.training());
        GradientsParams::from_grads(loss.backward(), model)
    });
}

/// The same, one block at a time.
fn recomputed_gradients(backend: &Backend) {
    compare(backend, "recomputed gradients", |fixture, model| {
        let batch = fixture.batch();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let pixels = upload::<4>(&batch.pixels, &backend.training());
        let lesson = Lesson {
            pictures: &batch.pictures(),
            rows: &batch.rows,
            prefix: &batch.prefix,
            max_tokens: batch.max_tokens,
        };
        let sight = Sight::Pixels(pixels, 0.0, &mut rng);
        let (loss, gradients) = recompute::gradients(model, sight, &lesson).unwrap();
        let want = fixture.json["loss"].as_f64().unwrap();
        let got = f64::from(download(loss).values[0]);
        assert!(
            (got - want).abs() < backend.tolerances.loss,
            "{got} and {want}"
        );
        gradients
    });
}

fn compare(
    backend: &Backend,
    what: &'static str,
    gradients: impl Fn(&Fixture, &AdemVl) -> GradientsParams,
) {
    let tolerance = backend.tolerances.gradients;
    let mut report = Report::new(what, backend.name);
    for fixture in Fixture::all() {
        let model = trainable(&fixture, backend);
        let gradients = gradients(&fixture, &model);
        let got = parameters(&model, &gradients).gradients;
        let norms = fixture.json["grad_norms"].as_object().unwrap();
        for (name, gradient) in &got {
            let what = format!("{}, {name}", fixture.name);
            let unused = norms.get(name).is_none_or(Value::is_null);
            match gradient {
                Some(_) if unused => panic!("{what}: has a gradient, should have none"),
                None if !unused => panic!("{what}: has no gradient"),
                Some(gradient) => {
                    let want = fixture.expected.f32(&format!("grad.{name}"));
                    report.relative("gradients", &what, gradient, want, tolerance);
                }
                None => {}
            }
        }
        assert!(
            norms.keys().all(|name| got.contains_key(name)),
            "{}: names",
            fixture.name
        );
        report.case();
    }
    report.finish();
}

/// The authors' AdamW: decay on matrices, none on biases, which the trainer tells by their rank.
fn optimiser(json: &Value, fixture: &Fixture) -> NamedAdamW {
    let number = |v: &Value| v.as_f64().unwrap() as f32;
    for (name, decays) in json["decay"].as_object().unwrap() {
        let rank = fixture.model.f32(&format!("w.{name}")).shape.len();
        assert_eq!(*decays, rank > 1, "{name}");
    }
    NamedAdamW::new(&AdamWSettings {
        beta_1: number(&json["betas"][0]),
        beta_2: number(&json["betas"][1]),
        epsilon: number(&json["eps"]),
        weight_decay: number(&json["weight_decay"]),
    })
}

/// Gradients below this are rounding to Adam: it divides each by its own size, so that a last
/// digit's change there, left over from sums in another order, moves the parameter visibly.
const ROUNDING: f32 = 1e-7;

/// One parameter in so many may move by such rounding.
const STRAYS: usize = 10_000;

/// Differences of parameters, apart for those whose steps are settled and those left to rounding.
struct Differences {
    settled: f64,
    unsettled: Vec<f64>,
}

fn differences(got: &Array<f32>, want: &Array<f32>, gradient: &Array<f32>) -> Differences {
    assert_eq!(got.shape, want.shape);
    let mut all = Differences {
        settled: 0.0,
        unsettled: Vec::new(),
    };
    let pairs = got.values.iter().zip(&want.values);
    for (d, g) in pairs
        .map(|(g, w)| difference(&[*g], &[*w]))
        .zip(&gradient.values)
    {
        match g.abs() < ROUNDING {
            true => all.unsettled.push(d),
            false => all.settled = all.settled.max(d),
        }
    }
    all
}

impl Differences {
    /// The largest difference that must be within `tolerance`, and the number of unsettled
    /// parameters beyond it.
    fn split(&self, tolerance: f64) -> (f64, usize) {
        let strays = self.unsettled.iter().filter(|d| **d > tolerance).count();
        let within = self.unsettled.iter().filter(|d| **d <= tolerance);
        (within.fold(self.settled, |m, d| m.max(*d)), strays)
    }
}

fn five_steps(backend: &Backend) {
    let (device, t) = (backend.training(), &backend.tolerances);
    let mut report = Report::new("AdamW", backend.name);
    let mut compared = 0;
    for fixture in Fixture::all() {
        let (adamw, after) = (&fixture.json["adamw"], fixture.after_steps());
        let schedules = adamw
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, s)| s.get("lr").is_some());
        for (schedule, trace) in schedules {
            let batch = fixture.batch();
            let mut model = trainable(&fixture, backend);
            let mut optimiser = optimiser(adamw, &fixture);
            let mut losses = Vec::new();
            for lr in trace["lr"].as_array().unwrap() {
                let loss = batch.loss(&model, &device);
                losses.push(download(loss.clone()).values[0]);
                let mut gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimiser.step(lr.as_f64().unwrap(), model, &mut gradients);
            }
            losses.push(download(batch.loss(&model, &device)).values[0]);

            let what = format!("{}, {schedule}", fixture.name);
            let want: Vec<f64> = trace["losses"]
                .as_array()
                .unwrap()
                .iter()
                .map(|l| l.as_f64().unwrap())
                .collect();
            assert_eq!(losses.len(), want.len(), "{what}: losses");
            for (step, (got, want)) in losses.into_iter().zip(want).enumerate() {
                let what = format!("{what}, step {step}");
                report.number("losses", &what, f64::from(got), want, t.loss);
            }

            let want: Vec<(&str, &Array<f32>)> = after
                .float_names()
                .filter_map(|n| Some((n.strip_prefix(&format!("{schedule}."))?, after.f32(n))))
                .collect();
            compared += want.len();
            let got = parameters(&model, &GradientsParams::new()).values;
            let start = |name: &str| fixture.model.f32(&format!("w.{name}"));
            let mut strays = 0;
            for (name, want) in &want {
                let what = format!("{what}, {name}");
                match fixture.expected.find(&format!("grad.{name}")) {
                    Some(gradient) => {
                        let all = differences(&got[*name], want, gradient);
                        let (settled, stray) = all.split(t.parameters);
                        report.number("parameters", &what, settled, 0.0, t.parameters);
                        strays += stray;
                    }
                    // Never run, hence never decayed either.
                    None => assert_eq!(&got[*name], start(name), "{what}: unused but changed"),
                }
            }
            let trained: usize = want.iter().map(|(_, w)| w.values.len()).sum();
            assert!(
                strays <= trained.div_ceil(STRAYS),
                "{what}: {strays} of {trained} stray"
            );
            for (name, value) in got.iter().filter(|(name, _)| !name.contains("adapter")) {
                assert_eq!(value, start(name), "{what}, {name}: frozen but changed");
            }
            report.case();
        }
    }
    assert!(compared > 0, "no schedule's parameters in the fixtures");
    report.finish();
}

crate::on_every_backend!(gradients, recomputed_gradients, five_steps);
