//! What scenes ask and answer.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{Qa, QaKind, Scene, check_answer};
use super::oracle;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_answer_is_right_and_brief(seed: u64) {
        let scene = Scene::sample(seed);
        let questions = scene.questions();
        prop_assert!((6..=10).contains(&questions.len()), "{}", questions.len());
        let distinct: BTreeSet<_> = questions.iter().map(|qa| &qa.question).collect();
        prop_assert_eq!(distinct.len(), questions.len());
        for qa in &questions {
            let expected = oracle::answer(&scene, &qa.question);
            prop_assert_eq!(Some(&qa.answer), expected.as_ref(), "{}", qa.question);
            prop_assert!((1..=2).contains(&qa.answer.split(' ').count()));
            prop_assert!(check_answer(&scene, qa, &qa.answer));
        }
    }
}

#[test]
fn answers_are_compared_without_case_and_space_but_otherwise_exactly() {
    let scene = Scene::sample(1);
    let qa = Qa {
        question: "where is the star?".into(),
        answer: "top left".into(),
        kind: QaKind::Where,
    };
    assert!(check_answer(&scene, &qa, "  Top LEFT\n"));
    for wrong in [
        "",
        "top",
        "left",
        "top  left",
        "top left.",
        "bottom left",
        "top left top",
    ] {
        assert!(!check_answer(&scene, &qa, wrong), "{wrong}");
    }
}

/// Answers by question kind over many scenes.
fn tally() -> BTreeMap<QaKind, BTreeMap<String, usize>> {
    let mut tally: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
    for seed in 0..4000 {
        for qa in Scene::sample(seed).questions() {
            *tally
                .entry(qa.kind)
                .or_default()
                .entry(qa.answer)
                .or_default() += 1;
        }
    }
    tally
}

#[test]
fn no_kind_of_question_is_answered_well_by_one_word() {
    let tally = tally();
    assert_eq!(tally.len(), QaKind::ALL.len());
    for (kind, answers) in &tally {
        let total: usize = answers.values().sum();
        let top = answers.values().max().copied().unwrap_or(0);
        assert!(total > 800, "{kind:?}: {total}");
        let most = match kind {
            QaKind::Exists | QaKind::Relation => 0.53,
            QaKind::Size => 0.66,
            QaKind::Texture | QaKind::Count => 0.6,
            _ => 0.25,
        };
        assert!(top as f64 <= most * total as f64, "{kind:?}: {answers:?}");
    }
}

#[test]
fn things_asked_for_in_vain_are_mostly_half_there() {
    let (mut total, mut both, mut half) = (0, 0, 0);
    for seed in 0..2000 {
        let scene = Scene::sample(seed);
        for qa in scene.questions() {
            if qa.kind != QaKind::Exists || qa.answer != "no" {
                continue;
            }
            let color = |o: &super::Object| qa.question.contains(o.color.name());
            let shape = |o: &super::Object| qa.question.contains(o.shape.name());
            let (c, s) = (
                scene.objects.iter().any(color),
                scene.objects.iter().any(shape),
            );
            total += 1;
            both += usize::from(c && s);
            half += usize::from(c || s);
        }
    }
    assert_eq!(half, total);
    assert!(both * 10 > total * 2, "{both} of {total}");
}
