//! What the judge of captions lets pass and what it does not.

use proptest::prelude::*;

use super::super::{Color, Scene, Shape, Size, Tone, check_caption};
use super::scene;

fn is_true(scene: &Scene, text: &str) -> bool {
    check_caption(scene, text).is_true()
}

/// The caption with every whole word `from` replaced, but for the background's; commas set apart.
fn swap(caption: &str, from: &str, to: &str) -> String {
    let spaced = caption.replace(',', " ,");
    let (things, ground) = match spaced.split_once(" on a ") {
        Some((things, ground)) => (things, format!(" on a {ground}")),
        None => (spaced.as_str(), String::new()),
    };
    let words = things
        .split(' ')
        .map(|word| if word == from { to } else { word });
    words.collect::<Vec<_>>().join(" ") + &ground
}

/// The articles put right after a word was changed.
fn mend(caption: &str) -> String {
    let spaced = caption.replace(',', " ,");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mended: Vec<&str> = (0..words.len())
        .map(|i| match (words[i], words.get(i + 1)) {
            ("a" | "an", Some(next)) if next.starts_with('o') => "an",
            ("a" | "an", _) => "a",
            (word, _) => word,
        })
        .collect();
    mended.join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn a_caption_with_an_attribute_that_is_not_there_is_false(seed: u64) {
        let scene = Scene::sample(seed);
        let colors: Vec<_> = scene.objects.iter().map(|o| o.color).collect();
        let shapes: Vec<_> = scene.objects.iter().map(|o| o.shape).collect();
        for caption in scene.captions() {
            let mut wrong = Vec::new();
            for &absent in Color::ALL.iter().filter(|c| !colors.contains(c)) {
                wrong.extend(colors.iter().map(|c| swap(&caption, c.name(), absent.name())));
            }
            for &absent in Shape::ALL.iter().filter(|s| !shapes.contains(s)) {
                wrong.extend(shapes.iter().map(|s| swap(&caption, s.name(), absent.name())));
                wrong.extend(shapes.iter().map(|s| swap(&caption, s.plural(), absent.plural())));
            }
            let numbers = ["two", "three", "four"];
            for from in numbers {
                wrong.extend(numbers.map(|to| swap(&caption, from, to)));
            }
            let tone = scene.background.tone.name();
            for other in Tone::ALL.iter().filter(|t| t.name() != tone) {
                let ground = |tone: &str| format!("on a {tone} background");
                wrong.push(caption.replace(&ground(tone), &ground(other.name())));
            }
            for (from, to) in [("left", "right"), ("above", "below")] {
                wrong.push(swap(&caption, from, to));
                wrong.push(swap(&caption, to, from));
            }
            let same = mend(&caption);
            for wrong in wrong.iter().map(|wrong| mend(wrong)) {
                if wrong != same {
                    let verdict = check_caption(&scene, &wrong);
                    prop_assert!(verdict.parsed, "{}", wrong);
                    prop_assert!(!verdict.is_true(), "{} for {}", wrong, same);
                }
            }
        }
    }

    #[test]
    fn a_size_is_caught_where_no_such_object_has_it(seed: u64) {
        let scene = Scene::sample(seed);
        let sizes: Vec<_> = scene.objects.iter().map(|o| o.size).collect();
        for caption in scene.captions() {
            for (from, to) in [(Size::Small, Size::Large), (Size::Large, Size::Small)] {
                if !sizes.contains(&to) && caption.contains(from.name()) {
                    let wrong = caption.replace(from.name(), to.name());
                    prop_assert!(!is_true(&scene, &wrong), "{}", wrong);
                }
            }
        }
    }
}

#[test]
fn numbers_are_exact_and_articles_are_not() {
    use {Color::Red, Shape::Circle, Size::Large, Size::Small};
    let scene = scene(&[
        (Red, Circle, Small, 0.2, 0.2),
        (Red, Circle, Large, 0.7, 0.3),
        (Color::Blue, Shape::Square, Small, 0.3, 0.8),
    ]);
    for text in [
        "a red circle",
        "two red circles",
        "two circles",
        "one large red circle",
        "a small plain red circle",
        "a red circle and a red circle",
        "a small red circle, a large red circle and a blue square on a grey background",
        "A Red Circle, a blue square",
        "two red circles above a blue square",
        "a blue square below two red circles",
        "a red circle to the left of a red circle",
        "one blue square",
    ] {
        assert!(is_true(&scene, text), "{text}");
    }
    for text in [
        "one red circle",
        "three red circles",
        "two large red circles",
        "two blue squares",
        "a red circle, a red circle and a red circle",
        "two red circles and a red circle",
        "a small red circle to the right of a large red circle",
        "two red circles to the right of a blue square",
        "a small red circle above a large red circle and a green star",
        "a blue circle",
        "a red square",
        "a striped red circle",
        "a red circle on a tan background",
    ] {
        let verdict = check_caption(&scene, text);
        assert!(verdict.parsed && !verdict.is_true(), "{text}");
    }
}

#[test]
fn text_outside_the_grammar_is_not_true() {
    let scene = scene(&[(Color::Orange, Shape::Circle, Size::Small, 0.5, 0.5)]);
    assert!(is_true(&scene, "an orange circle"));
    for text in [
        "",
        "   ",
        "orange circle",
        "a orange circle",
        "an orange circle.",
        "an orange circles",
        "an orange",
        "an orange circle and",
        "an orange circle on a grey",
        "an orange circle on a background",
        "an orange circle on a grey background an orange circle",
        "an orange circle, ",
        "an orange small circle",
        "zero orange circles",
        "five orange circles",
        "the orange circle",
        "an orange circle above",
    ] {
        let verdict = check_caption(&scene, text);
        assert!(!verdict.parsed && !verdict.is_true(), "{text}");
        assert!(verdict.facts.is_empty() && !verdict.complete);
    }
}

#[test]
fn a_relation_needs_a_clear_step_in_its_direction() {
    let place = |dx: f32, dy: f32| {
        scene(&[
            (Color::Red, Shape::Circle, Size::Small, 0.4, 0.4),
            (Color::Blue, Shape::Square, Size::Small, 0.4 + dx, 0.4 + dy),
        ])
    };
    let cases = [
        ("to the left of", (0.07, 0.3), true),
        ("to the left of", (0.05, 0.3), false),
        ("to the right of", (-0.07, 0.3), true),
        ("to the right of", (0.3, 0.0), false),
        ("above", (0.3, 0.07), true),
        ("above", (0.3, 0.05), false),
        ("below", (0.3, -0.07), true),
        ("below", (0.3, 0.3), false),
    ];
    for (words, (dx, dy), holds) in cases {
        let text = format!("a red circle {words} a blue square");
        let verdict = check_caption(&place(dx, dy), &text);
        assert_eq!(verdict.is_true(), holds, "{text} at {dx}, {dy}");
        // Both objects are there all the same; only the relation may fail.
        assert!(verdict.facts[0].holds && verdict.facts[1].holds);
    }
}

#[test]
fn facts_name_what_is_wrong_and_completeness_what_is_left_out() {
    let scene = scene(&[
        (Color::Red, Shape::Circle, Size::Small, 0.2, 0.5),
        (Color::Blue, Shape::Square, Size::Small, 0.7, 0.5),
    ]);
    let verdict = check_caption(&scene, "a red circle to the left of a green square");
    let failed: Vec<_> = verdict.facts.iter().filter(|fact| !fact.holds).collect();
    assert_eq!(failed[0].text, "a green square");
    let part = check_caption(&scene, "a red circle");
    assert!(part.is_true() && !part.complete);
    assert!(check_caption(&scene, "a blue square and a red circle").complete);
    assert!(!check_caption(&scene, "a red circle and a blue star").complete);
}
