//! What scenes say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::grammar::{Caption, Clause, NounPhrase};
use super::super::groups::groups;
use super::super::words::Direction;
use super::super::{Color, Scene, Shape, Size, Texture, Tone, check_caption, vocabulary};

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_caption_is_short_regular_and_true(seed: u64) {
        let scene = Scene::sample(seed);
        let captions = scene.captions();
        prop_assert!((3..=6).contains(&captions.len()));
        for caption in &captions {
            let verdict = check_caption(&scene, caption);
            prop_assert!(verdict.is_true(), "{}: {:?}", caption, verdict);
            prop_assert!(words(caption).len() <= 18, "{}", caption);
            prop_assert_eq!(caption, &caption.to_lowercase());
            prop_assert!(!caption.ends_with('.'));
        }
    }

    #[test]
    fn the_main_caption_tells_of_every_object_and_relates_two_groups(seed: u64) {
        let scene = Scene::sample(seed);
        let captions = scene.captions();
        let main = &captions[0];
        prop_assert!(check_caption(&scene, main).complete, "{}", main);
        let groups = groups(&scene.objects);
        for group in &groups {
            prop_assert!(words(main).contains(&group.color.name()));
        }
        let related = Caption::parse(main).unwrap().clauses[0].relation.is_some();
        prop_assert_eq!(related, groups.len() == 2, "{}", main);
    }

    #[test]
    fn captions_and_questions_follow_from_the_seed(seed: u64) {
        let (a, b) = (Scene::sample(seed), Scene::sample(seed));
        prop_assert_eq!(a.captions(), b.captions());
        prop_assert_eq!(a.questions(), b.questions());
        prop_assert_eq!(a, b);
    }

    #[test]
    fn the_grammar_reads_what_it_writes(caption in caption()) {
        prop_assert_eq!(Caption::parse(&caption.to_string()), Some(caption));
    }

    #[test]
    fn no_text_upsets_the_grammar(text in "[a-z ,]{0,60}", any in ".{0,40}") {
        let scene = Scene::sample(3);
        for text in [text, any] {
            let verdict = check_caption(&scene, &text);
            prop_assert!(verdict.parsed || !verdict.is_true());
        }
    }
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn noun_phrase() -> impl Strategy<Value = NounPhrase> {
    (
        prop::option::of(1..=4_usize),
        prop::option::of(one_of(Size::ALL)),
        prop::option::of(one_of(Texture::ALL)),
        prop::option::of(one_of(Color::ALL)),
        one_of(Shape::ALL),
    )
        .prop_map(|(count, size, texture, color, shape)| NounPhrase {
            count,
            size,
            texture,
            color,
            shape,
        })
}

fn caption() -> impl Strategy<Value = Caption> {
    let relation = prop::option::of((one_of(Direction::ALL), noun_phrase()));
    let clause =
        (noun_phrase(), relation).prop_map(|(subject, relation)| Clause { subject, relation });
    (
        prop::collection::vec(clause, 1..5),
        prop::option::of(one_of(Tone::ALL)),
    )
        .prop_map(|(clauses, background)| Caption {
            clauses,
            background,
        })
}

#[test]
fn the_vocabulary_is_exactly_the_words_in_use() {
    let vocabulary = vocabulary();
    let mut used = BTreeSet::new();
    for seed in 0..4000 {
        let scene = Scene::sample(seed);
        for text in scene.captions() {
            used.extend(words(&text).into_iter().map(str::to_owned));
        }
        for qa in scene.questions() {
            used.extend(words(&qa.question).into_iter().map(str::to_owned));
            used.extend(words(&qa.answer).into_iter().map(str::to_owned));
        }
    }
    assert_eq!(vocabulary, used.into_iter().collect::<Vec<_>>());
}

#[test]
fn scenes_are_varied() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut main = BTreeSet::new();
    let total = 4000;
    for seed in 0..total {
        let scene = Scene::sample(seed);
        main.insert(scene.captions().swap_remove(0));
        let mut note = |what: &str| *seen.entry(what.to_owned()).or_default() += 1;
        note(&format!("{} objects", scene.objects.len()));
        note(scene.background.tone.name());
        let first = &scene.objects[0];
        note(first.shape.name());
        note(first.color.name());
        note(first.size.name());
        note(first.texture.name());
    }
    assert!(main.len() > 2800, "{} main captions", main.len());
    // No value of any attribute is rare.
    for (what, count) in &seen {
        assert!(*count as u64 > total / 25, "{what}: {count}");
    }
    assert_eq!(seen.len(), 4 + 8 + 8 + 8 + 2 + 4);
}
