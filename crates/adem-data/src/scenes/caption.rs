//! What a scene says of itself.

use super::Scene;
use super::dice::{Dice, Purpose};
use super::grammar::{Caption, Clause, NounPhrase};
use super::groups::{self, Group};
use super::words::{Direction, Texture};

/// How much of a group is told besides number, colour and shape.
#[derive(Clone, Copy)]
struct Detail {
    size: bool,
    texture: bool,
}

const BARE: Detail = Detail {
    size: false,
    texture: false,
};
const FULL: Detail = Detail {
    size: true,
    texture: true,
};

fn describe(group: &Group, detail: Detail) -> NounPhrase {
    let count = group.members.len();
    NounPhrase {
        count: (count > 1).then_some(count),
        size: group.size.filter(|_| detail.size),
        // That a surface is plain goes without saying.
        texture: group
            .texture
            .filter(|&texture| detail.texture && texture != Texture::Plain),
        color: Some(group.color),
        shape: group.shape,
    }
}

fn list(groups: &[Group], detail: Detail) -> Caption {
    let clause = |group| Clause {
        subject: describe(group, detail),
        relation: None,
    };
    Caption {
        clauses: groups.iter().map(clause).collect(),
        background: None,
    }
}

fn related(a: &Group, direction: Direction, b: &Group, detail: Detail) -> Caption {
    Caption {
        clauses: vec![Clause {
            subject: describe(a, detail),
            relation: Some((direction, describe(b, detail))),
        }],
        background: None,
    }
}

impl Scene {
    /// Four or five true captions: lower case, no full stop, at most 18 words. The first is the
    /// main one, which tells number, colour and shape of every object, and how two groups of
    /// equal objects stand to each other; it follows from the objects alone.
    pub fn captions(&self) -> Vec<String> {
        let mut dice = Dice::new(self.seed, Purpose::Captions);
        let groups = self.ordered_groups();
        let with_tone = |caption: Caption| Caption {
            background: Some(self.background.tone),
            ..caption
        };
        let captions = match groups.as_slice() {
            [_] => {
                let textured = Detail {
                    size: false,
                    texture: true,
                };
                vec![
                    with_tone(list(&groups, FULL)),
                    with_tone(list(&groups, textured)),
                    list(&groups, FULL),
                    list(&groups, BARE),
                ]
            }
            [a, b] => {
                let mut captions = Vec::with_capacity(5);
                if let Some(direction) = groups::relation(&self.objects, &a.members, &b.members) {
                    // Sizes are worth a word where they differ.
                    let main = Detail {
                        size: a.size != b.size,
                        texture: true,
                    };
                    let back = if dice.chance(0.5) { FULL } else { BARE };
                    captions.push(related(a, direction, b, main));
                    captions.push(related(b, direction.opposite(), a, back));
                    captions.push(related(a, direction, b, BARE));
                }
                captions.push(list(&groups, FULL));
                captions.push(with_tone(list(&groups, BARE)));
                captions
            }
            _ => {
                let mut captions = vec![
                    list(&groups, BARE),
                    with_tone(list(&groups, BARE)),
                    list(&groups, FULL),
                ];
                captions.extend(self.related_pair(&groups, &mut dice));
                captions
            }
        };
        captions.iter().map(Caption::to_string).collect()
    }

    /// A caption about two of several groups that stand in a plain relation.
    fn related_pair(&self, groups: &[Group], dice: &mut Dice) -> Option<Caption> {
        let mut pairs = Vec::new();
        for a in groups {
            for b in groups {
                if (a.shape, a.color) != (b.shape, b.color)
                    && let Some(direction) = groups::relation(&self.objects, &a.members, &b.members)
                {
                    pairs.push((a, direction, b));
                }
            }
        }
        let &(a, direction, b) = dice.pick(&pairs)?;
        let detail = if dice.chance(0.5) { FULL } else { BARE };
        Some(related(a, direction, b, detail))
    }
}
