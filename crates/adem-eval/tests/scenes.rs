//! How an evaluation runs, on a tiny model with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::ControlFlow;

use adem_eval::Agreement;
use adem_eval::scenes::{ScenesEval, ScenesProgress, ScenesReport, Setting, settings};
use adem_package::Folder;
use adem_pipeline::Captioner;
use adem_pipeline::testing::write_tiny_package;
use burn::tensor::Device;

fn tiny() -> Captioner {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_package(folder.path(), 9).unwrap();
    let device = Device::flex();
    pollster::block_on(Captioner::load(Folder::new(folder.path()), |_| {}, &device)).unwrap()
}

fn eval(count: usize, batch: usize, settings: Vec<Setting>) -> ScenesEval {
    ScenesEval {
        count,
        seed: 3,
        batch,
        settings,
        failures: 5,
    }
}

fn run(
    eval: &ScenesEval,
    captioner: &Captioner,
    progress: impl FnMut(ScenesProgress) -> ControlFlow<()>,
) -> ScenesReport {
    let mut report = pollster::block_on(eval.run(captioner, progress)).unwrap();
    report.seconds = 0.0;
    report
}

#[test]
fn the_size_of_a_batch_changes_no_number() {
    let captioner = tiny();
    let report = |batch| {
        let eval = eval(7, batch, settings(&captioner));
        let mut report = run(&eval, &captioner, |_| ControlFlow::Continue(()));
        report.failures.clear();
        report
    };
    let one_by_one = report(1);
    assert_eq!(one_by_one.scenes, 7);
    assert_eq!(one_by_one, report(3));
    assert_eq!(one_by_one, report(100));
}

#[test]
fn a_stopped_evaluation_tells_of_whole_chunks_alike_in_every_row() {
    let captioner = tiny();
    let eval = eval(100, 2, settings(&captioner));
    let mut calls = 0;
    let report = run(&eval, &captioner, |now| {
        calls += 1;
        assert!(now.share < 1.0 && now.scenes < now.count);
        // In the middle of the second chunk's rows.
        match calls > eval.settings.len() + 2 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    assert_eq!((report.scenes, report.count), (2, 100));
    for row in &report.settings {
        assert_eq!(row.captions.of, 2, "{}", row.name);
        assert_eq!(row.questions.of, report.settings[0].questions.of);
    }
    assert!(report.to_string().contains("2 unseen scenes, "));
    assert!(report.to_string().contains("stopped, 100 were asked for"));
}

#[test]
fn failures_are_those_of_the_model_as_trained_and_no_more_than_asked_for() {
    let captioner = tiny();
    let eval = eval(6, 3, settings(&captioner));
    let report = run(&eval, &captioner, |_| ControlFlow::Continue(()));
    assert_eq!(report.failures.len(), 5);
    let trained = run(
        &ScenesEval {
            settings: vec![Setting::trained()],
            ..eval
        },
        &captioner,
        |_| ControlFlow::Continue(()),
    );
    assert_eq!(report.failures, trained.failures);
    assert_eq!(report.settings[0], trained.settings[0]);
}

#[test]
fn a_report_survives_json() {
    let captioner = tiny();
    let eval = eval(2, 2, settings(&captioner));
    let report = run(&eval, &captioner, |_| ControlFlow::Continue(()));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ScenesReport>(&text).unwrap(), report);
}

#[test]
fn a_model_agrees_with_itself_and_not_with_another() {
    let other = {
        let folder = tempfile::tempdir().unwrap();
        write_tiny_package(folder.path(), 10).unwrap();
        let source = Folder::new(folder.path());
        pollster::block_on(Captioner::load(source, |_| {}, &Device::flex())).unwrap()
    };
    let captioner = tiny();
    let compare = |against: &Captioner, batch| {
        let go_on = |_| ControlFlow::Continue(());
        let running = Agreement::on_scenes(3, 1).run(&captioner, against, batch, go_on);
        pollster::block_on(running).unwrap()
    };
    let own = compare(&captioner, 2);
    assert_eq!(own.captions.of, 3);
    assert!(own.positions.of > own.captions.of + own.answers.of);
    for tally in [own.captions, own.answers, own.positions] {
        assert_eq!(tally.right, tally.of);
    }
    let others = compare(&other, 2);
    assert!(others.positions.right < others.positions.of);
    assert_eq!(others.positions, compare(&other, 5).positions);
}
