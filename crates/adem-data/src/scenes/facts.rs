//! A scene as words alone, for learning to read without a picture.

use super::Scene;
use super::words::{CELLS, Texture};

impl Scene {
    /// Everything that captions and answers can be about, object by object from left to right:
    /// `"large striped red circle top left, small blue star centre, grey background"`.
    pub fn facts(&self) -> String {
        let third = |c: f32| ((c * 3.0) as usize).min(2);
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_by(|a, b| a.x.total_cmp(&b.x));
        let mut facts = String::new();
        for object in objects {
            facts.push_str(object.size.name());
            facts.push(' ');
            if object.texture != Texture::Plain {
                facts.push_str(object.texture.name());
                facts.push(' ');
            }
            facts.push_str(object.color.name());
            facts.push(' ');
            facts.push_str(object.shape.name());
            facts.push(' ');
            facts.push_str(CELLS[third(object.y) * 3 + third(object.x)]);
            facts.push_str(", ");
        }
        facts.push_str(self.background.tone.name());
        facts.push_str(" background");
        facts
    }
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
            for word in facts.split([' ', ',']).filter(|w| !w.is_empty()) {
                assert!(words.iter().any(|w| w == word), "`{word}` of `{facts}`");
            }
        }
    }
}
