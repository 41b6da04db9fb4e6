//! The loop on a toy stage: resuming, what is told, several devices, accumulation, clipping, losses
//! that are not finite.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adem_train::{
    Context, Log, NotFinite, Numbered, Outcome, Stage, StagePlan, Told, TrainError, run_stage,
};
use burn::optim::GradientsParams;
use burn::tensor::Device;
use safetensors::SafeTensors;

use crate::fit::{Fit, plan};
use crate::saving::metadata;

pub fn fit() -> Fit {
    Fit {
        rows: 6,
        ..Fit::default()
    }
}

pub fn run(stage: &Fit, plan: &StagePlan, stop: &AtomicBool) -> Result<Outcome, TrainError> {
    run_and_log(stage, plan, &mut Log::silent(), stop)
}

pub fn run_and_log(
    stage: &Fit,
    plan: &StagePlan,
    log: &mut Log,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let device = plan.devices[0].clone().autodiff();
    let build = |saved| Ok(stage.model(saved, &device));
    run_stage(Arc::new(stage.clone()), plan, build, log, stop)
}

pub fn finished(stage: &Fit, plan: &StagePlan) -> Vec<f32> {
    match run(stage, plan, &AtomicBool::new(false)).unwrap() {
        Outcome::Finished(tensors) => {
            assert_eq!(tensors.map.keys().collect::<Vec<_>>(), ["weight"]);
            tensors.map["weight"].clone().try_to_vec().unwrap()
        }
        Outcome::Stopped => panic!("stopped"),
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn assert_near(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance, "{a} and {b}");
    }
}

pub fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| {
        data.chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, values(view.data())))
        .collect()
}

#[test]
fn two_runs_agree_and_a_stopped_one_goes_on_to_the_same_bits() {
    let [whole, again, pieces] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let expected = bits(&finished(&fit(), &plan(whole.path(), 60)));
    assert_eq!(expected, bits(&finished(&fit(), &plan(again.path(), 60))));
    // Any number of loading threads, and another pace of checkpoints.
    let plan = StagePlan {
        loaders: 5,
        save_steps: Some(7),
        ..plan(pieces.path(), 60)
    };
    for _ in 0..37 {
        let stop = AtomicBool::new(true);
        assert!(matches!(run(&fit(), &plan, &stop), Ok(Outcome::Stopped)));
    }
    assert_eq!(expected, bits(&finished(&fit(), &plan)));
}

#[test]
fn two_devices_learn_what_one_learns() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let alone = StagePlan {
        save_steps: Some(1),
        ..plan(one.path(), 1)
    };
    let shared = StagePlan {
        devices: vec![Device::flex(), Device::flex()],
        checkpoint: two.path().join("fit.safetensors"),
        ..alone.clone()
    };
    finished(&fit(), &alone);
    finished(&fit(), &shared);
    // After one step the first moment is a tenth of the gradient.
    let moment = |plan: &StagePlan| tensors(&plan.checkpoint)["optimiser.first.weight"].clone();
    let (alone, shared) = (moment(&alone), moment(&shared));
    assert!(alone.iter().any(|g| g.abs() > 1e-3));
    assert_near(&alone, &shared, 1e-6);

    let [a, b] = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        let long = StagePlan {
            devices: vec![Device::flex(), Device::flex()],
            ..plan(folder.path(), 40)
        };
        finished(&fit(), &long)
    });
    assert_eq!(bits(&a), bits(&b), "two runs on two devices");
    let folder = tempfile::tempdir().unwrap();
    assert_near(&a, &finished(&fit(), &plan(folder.path(), 40)), 1e-4);
}

#[test]
fn a_step_of_several_batches_has_the_mean_of_their_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let of = |accumulate: u64, steps: u64| {
        let name = format!("{accumulate}.safetensors");
        let plan = StagePlan {
            accumulate,
            save_steps: Some(1),
            checkpoint: folder.path().join(name),
            ..plan(folder.path(), steps)
        };
        finished(&fit(), &plan);
        tensors(&plan.checkpoint)["optimiser.first.weight"].clone()
    };
    let three = of(3, 1);
    // The batches one by one, from the same weights.
    let mut sum = vec![0.0f32; three.len()];
    for number in 0..3 {
        for (s, g) in sum.iter_mut().zip(gradient(&fit(), number)) {
            *s += g * 0.1 / 3.0;
        }
    }
    assert_near(&three, &sum, 1e-6);
}

/// The gradient of one batch at the beginning of a run.
fn gradient(stage: &Fit, number: u64) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let model = stage.model(None, &device);
    let context = Context {
        number,
        part: 0,
        device,
    };
    let batch = stage.batch(number).unwrap();
    let forward = stage.forward(&model, batch, &context).unwrap();
    let loss = forward.loss + stage.joint(forward.shared).unwrap();
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    let gradient = gradients.get::<2>(model.weight.id).unwrap();
    gradient.into_data().try_to_vec().unwrap()
}

#[test]
fn clipped_gradients_are_no_longer_than_asked_and_point_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let moment = |clip: Option<f64>| {
        let plan = StagePlan {
            clip,
            checkpoint: folder.path().join(format!("{clip:?}.safetensors")),
            ..plan(folder.path(), 1)
        };
        finished(&fit(), &plan);
        tensors(&plan.checkpoint)["optimiser.first.weight"].clone()
    };
    let norm = |m: &[f32]| m.iter().map(|v| v * v).sum::<f32>().sqrt() * 10.0;
    let (free, clipped, loose) = (moment(None), moment(Some(0.25)), moment(Some(1e6)));
    assert!(norm(&free) > 0.5, "{}", norm(&free));
    assert!((norm(&clipped) - 0.25).abs() < 1e-4, "{}", norm(&clipped));
    let scale = 0.25 / norm(&free);
    let scaled: Vec<f32> = free.iter().map(|v| v * scale).collect();
    assert_near(&clipped, &scaled, 1e-5);
    assert_near(&loose, &free, 0.0);
}

#[test]
fn a_loss_that_is_not_finite_names_step_samples_and_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Fit {
        broken: Some(7),
        ..fit()
    };
    let plan = StagePlan {
        save_steps: Some(5),
        ..plan(folder.path(), 20)
    };
    let message = run(&stage, &plan, &AtomicBool::new(false))
        .unwrap_err()
        .to_string();
    for words in ["step 7", "points 7", "fit.safetensors", "NaN"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(metadata(&plan.checkpoint)["step"], "5");
}

#[test]
fn a_batch_that_is_not_finite_is_left_out_and_counted_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Fit {
        broken: Some(7),
        ..fit()
    };
    let plan = StagePlan {
        not_finite: NotFinite::Skip,
        ..plan(folder.path(), 20)
    };
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    let mut log = Log::new(folder.path(), move |told| {
        if let Told::Report(report) = told {
            seen.borrow_mut().push(report.clone());
        }
    })
    .unwrap();
    // A stop and a resume in between: the count outlives them.
    let stop = AtomicBool::new(true);
    for _ in 0..10 {
        run_and_log(&stage, &plan, &mut log, &stop).unwrap();
    }
    stop.store(false, Ordering::Relaxed);
    let outcome = run_and_log(&stage, &plan, &mut log, &stop).unwrap();
    let Outcome::Finished(weights) = outcome else {
        panic!("stopped")
    };
    let weights: Vec<f32> = weights.map["weight"].clone().try_to_vec().unwrap();
    assert!(weights.iter().all(|w| w.is_finite()));
    assert_eq!(reports.borrow().last().unwrap().skipped, 1);
    assert_eq!(metadata(&plan.checkpoint)["skipped"], "1");
}
