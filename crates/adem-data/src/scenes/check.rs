//! Whether a caption or an answer is true of a scene.

use std::collections::BTreeSet;

use super::grammar::{Caption, Clause, NounPhrase};
use super::words::Direction;
use super::{Object, Qa, Scene, groups};

/// How much farther in a direction a centre must lie for the relation to hold, in fractions of
/// the side. Less than what a scene's own captions ask for.
const LEAST_ADVANCE: f32 = 0.06;

/// One statement of a caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The words that state it.
    pub text: String,
    /// Whether it is true of the scene.
    pub holds: bool,
}

/// What a caption states, and whether that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Every statement, in the order of the text; empty where it was not understood.
    pub facts: Vec<Fact>,
    /// Whether the text is a caption of the grammar.
    pub parsed: bool,
    /// Whether the caption, besides being true, accounts for every object of the scene.
    pub complete: bool,
}

impl Verdict {
    /// Whether the text was understood and every statement in it holds.
    pub fn is_true(&self) -> bool {
        self.parsed && self.facts.iter().all(|fact| fact.holds)
    }
}

/// Judges a caption. "A red circle" is true if there is at least one; "two red circles" if there
/// are exactly two; things named side by side must be different objects. A relation holds if
/// some object so described (or, where a number is given, all of them) lies at least 0.06 of
/// the side farther in that direction.
pub fn check_caption(scene: &Scene, text: &str) -> Verdict {
    let Some(caption) = Caption::parse(text) else {
        return Verdict {
            facts: Vec::new(),
            parsed: false,
            complete: false,
        };
    };
    let objects = &scene.objects;
    let mut facts = Vec::new();
    let mut phrases = Vec::new();
    for Clause { subject, relation } in &caption.clauses {
        facts.push(presence(objects, subject));
        phrases.push(subject);
        if let Some((direction, other)) = relation {
            facts.push(presence(objects, other));
            phrases.push(other);
            facts.push(Fact {
                text: format!("{subject} {} {other}", direction.phrase()),
                holds: stands(objects, subject, *direction, other),
            });
        }
    }
    if let Some(tone) = caption.background {
        facts.push(Fact {
            text: format!("on a {} background", tone.name()),
            holds: tone == scene.background.tone,
        });
    }
    let unions = disjoint_unions(objects, &phrases);
    if phrases.len() > 1 && facts.iter().all(|fact| fact.holds) {
        facts.push(Fact {
            text: "these are different objects".to_owned(),
            holds: !unions.is_empty(),
        });
    }
    let mut verdict = Verdict {
        facts,
        parsed: true,
        complete: false,
    };
    verdict.complete = verdict.is_true() && unions.iter().any(|union| union.len() == objects.len());
    verdict
}

/// Judges an answer: exact but for case and surrounding space.
pub fn check_answer(_scene: &Scene, qa: &Qa, text: &str) -> bool {
    text.trim().to_lowercase() == qa.answer
}

/// The sets of objects a noun phrase can speak of: each fitting one for "a", all of them where
/// the stated number is right.
fn referents(objects: &[Object], phrase: &NounPhrase) -> Vec<Vec<usize>> {
    let fitting: Vec<usize> = (0..objects.len())
        .filter(|&index| phrase.fits(&objects[index]))
        .collect();
    match phrase.count {
        None => fitting.into_iter().map(|index| vec![index]).collect(),
        Some(count) if count == fitting.len() => vec![fitting],
        Some(_) => Vec::new(),
    }
}

fn presence(objects: &[Object], phrase: &NounPhrase) -> Fact {
    Fact {
        text: phrase.to_string(),
        holds: !referents(objects, phrase).is_empty(),
    }
}

fn stands(objects: &[Object], a: &NounPhrase, direction: Direction, b: &NounPhrase) -> bool {
    let others = referents(objects, b);
    referents(objects, a).iter().any(|a| {
        others
            .iter()
            .any(|b| groups::all_beyond(objects, a, b, direction, LEAST_ADVANCE))
    })
}

/// The sets of objects that the phrases can speak of together without speaking of any object
/// twice.
fn disjoint_unions(objects: &[Object], phrases: &[&NounPhrase]) -> BTreeSet<BTreeSet<usize>> {
    let mut unions = BTreeSet::from([BTreeSet::new()]);
    for phrase in phrases {
        let choices = referents(objects, phrase);
        let mut next = BTreeSet::new();
        for union in &unions {
            for choice in &choices {
                if choice.iter().all(|index| !union.contains(index)) {
                    next.insert(union.iter().chain(choice).copied().collect());
                }
            }
        }
        unions = next;
    }
    unions
}
