//! Whole models: gradients, and five steps of AdamW through Burn's own optimiser.

use std::collections::BTreeMap;

use adem_model::AdemVl;
use adem_tests::golden::Array;
use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use serde_json::Value;

use crate::backend::Backend;
use crate::compare::{Report, difference, download};
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
    let frozen = ParamGroup::all().exclude(ParamGroup::from_predicate("adapter"));
    fixture
        .build(&backend.training())
        .set_require_grad_group(frozen, false)
}

fn gradients(backend: &Backend) {
    let tolerance = backend.tolerances.gradients;
    let mut report = Report::new("gradients", backend.name);
    for fixture in Fixture::all() {
        let model = trainable(&fixture, backend);
        let loss = fixture.batch().loss(&model, &backend.training());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
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

/// The authors' AdamW: decay on matrices, none on biases.
fn optimiser(json: &Value) -> ModuleOptimizer {
    let number = |v: &Value| v.as_f64().unwrap() as f32;
    let config = AdamWConfig::new()
        .with_beta_1(number(&json["betas"][0]))
        .with_beta_2(number(&json["betas"][1]))
        .with_epsilon(number(&json["eps"]))
        .with_weight_decay(number(&json["weight_decay"]));
    let exempt: Vec<String> = json["decay"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, decays)| *decays == false)
        .map(|(name, _)| name.replace("backbone.visual.", "visual."))
        .collect();
    let undecayed = config.clone().with_weight_decay(0.0);
    config
        .init()
        .with_group(ParamGroup::from_paths(exempt), undecayed.build(), None)
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
            let mut optimiser = optimiser(adamw);
            let mut losses = Vec::new();
            for lr in trace["lr"].as_array().unwrap() {
                let loss = batch.loss(&model, &device);
                losses.push(download(loss.clone()).values[0]);
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimiser.step(lr.as_f64().unwrap(), model, gradients);
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

crate::on_every_backend!(gradients, five_steps);
