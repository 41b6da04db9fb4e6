//! A scene as words alone, for learning to read without a picture.

use super::words::{CELLS, Texture};
use super::{Object, Scene};

impl Scene {
    /// Everything that captions and answers can be about, object by object from left to right:
    /// `"21 top left large striped red circle, 55 centre small blue star, grey background"`. The
    /// digits are the centre in tenths of the side, from the left and from the top. A thing's
    /// attributes stand before its name, so that a causal reader knows them all at the name.
    pub fn facts(&self) -> String {
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_by(|a, b| a.x.total_cmp(&b.x));
        let mut facts = String::new();
        for object in objects {
            facts += &attributes(object).join(" ");
            facts += ", ";
        }
        facts += self.background.tone.name();
        facts += " background";
        facts
    }

    /// The facts of one object, told from its attribute `from` (counted round and round) on:
    /// `"red circle 21 top left large striped"`. Empty where there is no such object.
    pub fn fact(&self, object: usize, from: usize) -> String {
        let Some(object) = self.objects.get(object) else {
            return String::new();
        };
        let mut told = attributes(object);
        let start = from % told.len();
        told.rotate_left(start);
        told.join(" ")
    }
}

/// Place in tenths, place in words, size, pattern if any, colour, shape.
fn attributes(object: &Object) -> Vec<String> {
    let part = |c: f32, parts: f32| ((c * parts) as usize).min(parts as usize - 1);
    let cell = CELLS[part(object.y, 3.0) * 3 + part(object.x, 3.0)];
    let mut all = vec![
        format!("{}{}", part(object.x, 10.0), part(object.y, 10.0)),
        cell.to_owned(),
        object.size.name().to_owned(),
    ];
    if object.texture != Texture::Plain {
        all.push(object.texture.name().to_owned());
    }
    all.push(object.color.name().to_owned());
    all.push(object.shape.name().to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary;
    use super::*;

    #[test]
    fn facts_name_every_object_in_words_of_the_vocabulary() {
        let words = vocabulary();
        for seed in 0..200 {
            let scene = Scene::sample(seed);
            let facts = scene.facts();
            assert_eq!(facts.matches(", ").count(), scene.objects.len(), "{facts}");
            for object in &scene.objects {
                assert!(facts.contains(object.color.name()) && facts.contains(object.shape.name()));
            }
            let words_of = facts.split([' ', ',']).filter(|w| !w.is_empty());
            for word in words_of.filter(|w| w.parse::<u8>().is_err()) {
                assert!(words.iter().any(|w| w == word), "`{word}` of `{facts}`");
            }
        }
    }

    #[test]
    fn a_fact_told_from_elsewhere_has_the_same_words() {
        let scene = Scene::sample(3);
        let sorted = |text: &str| {
            let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        let whole = scene.fact(0, 0);
        assert!(scene.facts().contains(&whole));
        for from in 1..9 {
            assert_eq!(sorted(&scene.fact(0, from)), sorted(&whole));
        }
        assert_ne!(scene.fact(0, 1), whole);
        assert_eq!(scene.fact(9, 0), "");
    }
}
