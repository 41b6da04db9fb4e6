//! What kind of statement a caption's fact is.

use adem_data::scenes::{Direction, Fact};
use serde::{Deserialize, Serialize};

/// Kinds of facts that a caption states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// That there is such a thing, or so many of them.
    Object,
    /// Where one thing lies as seen from another.
    Relation,
    /// The background's colour.
    Background,
    /// That things named side by side are different ones.
    Distinct,
}

impl FactKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::Object,
        Self::Relation,
        Self::Background,
        Self::Distinct,
    ];

    /// The kind of a fact.
    pub fn of(fact: &Fact) -> Self {
        let joins =
            |direction: &Direction| fact.text.contains(&format!(" {} ", direction.phrase()));
        if Direction::ALL.iter().any(joins) {
            Self::Relation
        } else if fact.text.ends_with(" background") {
            Self::Background
        } else if fact.text.ends_with(" different objects") {
            Self::Distinct
        } else {
            Self::Object
        }
    }

    /// The lower-case name, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "objects",
            Self::Relation => "relations",
            Self::Background => "background",
            Self::Distinct => "distinct",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adem_data::scenes::{Scene, check_caption};
    use std::collections::BTreeMap;

    #[test]
    fn every_fact_of_true_captions_has_the_kind_its_words_say() {
        let mut seen = BTreeMap::new();
        for seed in 0..200 {
            let scene = Scene::sample(seed);
            for caption in scene.captions() {
                for fact in check_caption(&scene, &caption).facts {
                    let kind = FactKind::of(&fact);
                    *seen.entry(kind).or_insert(0) += 1;
                    if kind == FactKind::Object {
                        let words = fact.text.split(' ').count();
                        assert!(words <= 5, "{:?} is more than a thing", fact.text);
                    }
                }
            }
        }
        assert_eq!(seen.len(), FactKind::ALL.len(), "{seen:?}");
    }
}
