//! Questions about a scene and their answers.

use serde::{Deserialize, Serialize};

use super::dice::{Dice, Purpose};
use super::grammar::article;
use super::words::{CELLS, Color, Shape, number};
use super::{Object, Scene, groups};

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QaKind {
    /// The colour of an object or of the background.
    Color,
    /// The shape of an object.
    Shape,
    /// A number of objects.
    Count,
    /// A place in the picture.
    Where,
    /// Whether there is such a thing.
    Exists,
    /// Whether two objects stand in a relation.
    Relation,
    /// Large or small.
    Size,
    /// The pattern on an object.
    Texture,
}

impl QaKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Color,
        Self::Shape,
        Self::Count,
        Self::Where,
        Self::Exists,
        Self::Relation,
        Self::Size,
        Self::Texture,
    ];

    /// The lower-case name, for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Color => "colour",
            Self::Shape => "shape",
            Self::Count => "count",
            Self::Where => "where",
            Self::Exists => "exists",
            Self::Relation => "relation",
            Self::Size => "size",
            Self::Texture => "texture",
        }
    }
}

/// A question and its only right answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qa {
    /// Lower case, with its question mark.
    pub question: String,
    /// One or two lower-case words.
    pub answer: String,
    /// What is asked for.
    pub kind: QaKind,
}

/// Least distance of a centre from a border of the 3 by 3 grid for its place to be asked.
const CELL_MARGIN: f32 = 0.04;
/// Between how many questions a scene asks.
const LEAST: usize = 6;
const MOST: usize = 10;

impl Scene {
    /// Six to ten questions of mixed kinds in random order, with as many things that are there
    /// as things that are not among those asking whether there is one.
    pub fn questions(&self) -> Vec<Qa> {
        self.questions_of_draw(0)
    }

    /// As [`questions`](Self::questions), drawn anew: every `draw` asks about other things in
    /// other words. Draw 0 is that of `questions`.
    pub fn questions_of_draw(&self, draw: u32) -> Vec<Qa> {
        if self.objects.is_empty() {
            return Vec::new();
        }
        let mut ask = Asker {
            scene: self,
            dice: Dice::new(
                self.seed,
                u64::from(draw) << 32 | u64::from(Purpose::Questions),
            ),
            asked: Vec::with_capacity(MOST),
        };
        ask.count_all();
        ask.count_some();
        ask.exists();
        ask.color();
        ask.shape();
        ask.size();
        ask.place();
        ask.relation();
        ask.texture();
        if ask.asked.len() < LEAST || ask.dice.chance(0.3) {
            ask.background();
        }
        while ask.asked.len() < LEAST {
            ask.count_some();
        }
        let mut asked = ask.asked;
        ask.dice.shuffle(&mut asked);
        asked.truncate(MOST);
        asked
    }
}

/// Collects the questions of a scene.
struct Asker<'a> {
    scene: &'a Scene,
    dice: Dice,
    asked: Vec<Qa>,
}

impl Asker<'_> {
    /// Adds a question unless it has been asked.
    fn add(&mut self, kind: QaKind, question: String, answer: &str) {
        if self.asked.iter().all(|qa| qa.question != question) {
            self.asked.push(Qa {
                question,
                answer: answer.to_owned(),
                kind,
            });
        }
    }

    fn count(&self, fits: impl Fn(&Object) -> bool) -> usize {
        self.scene.objects.iter().filter(|o| fits(o)).count()
    }

    fn any_object(&mut self) -> Object {
        let index = self.dice.below(self.scene.objects.len());
        self.scene.objects[index].clone()
    }

    /// Names that fit one object each, one per object that has any: "circle", "red circle".
    fn names(&mut self) -> Vec<(usize, String)> {
        let mut names = Vec::new();
        for (index, object) in self.scene.objects.iter().enumerate() {
            let (shape, color) = (object.shape, object.color);
            let exact = self.count(|o| (o.shape, o.color) == (shape, color)) == 1;
            let brief = self.count(|o| o.shape == shape) == 1;
            if brief && self.dice.chance(0.5) {
                names.push((index, shape.name().to_owned()));
            } else if exact {
                names.push((index, format!("{} {}", color.name(), shape.name())));
            }
        }
        names
    }

    /// The shapes present whose objects all share `attribute`, as "is the circle" or "are the
    /// circles", with the shared value.
    fn shared<T: PartialEq>(&self, attribute: impl Fn(&Object) -> T) -> Vec<(String, T)> {
        let mut found = Vec::new();
        for &shape in Shape::ALL {
            let mut members = self.scene.objects.iter().filter(|o| o.shape == shape);
            let Some(first) = members.next().map(&attribute) else {
                continue;
            };
            let count = 1 + members.clone().count();
            if members.all(|other| attribute(other) == first) {
                let subject = match count {
                    1 => format!("is the {}", shape.name()),
                    _ => format!("are the {}", shape.plural()),
                };
                found.push((subject, first));
            }
        }
        found
    }

    fn count_all(&mut self) {
        let answer = number(self.scene.objects.len());
        self.add(QaKind::Count, "how many shapes are there?".into(), answer);
    }

    fn count_some(&mut self) {
        let object = self.any_object();
        // One in six asks about something at random, which is mostly not there.
        let random = self.dice.chance(0.17);
        if self.dice.chance(0.5) {
            let any = Color::ALL[self.dice.below(Color::ALL.len())];
            let color = if random { any } else { object.color };
            let question = format!("how many {} shapes are there?", color.name());
            let answer = number(self.count(|o| o.color == color));
            self.add(QaKind::Count, question, answer);
        } else {
            let any = Shape::ALL[self.dice.below(Shape::ALL.len())];
            let shape = if random { any } else { object.shape };
            let question = format!("how many {} are there?", shape.plural());
            let answer = number(self.count(|o| o.shape == shape));
            self.add(QaKind::Count, question, answer);
        }
    }

    fn exists(&mut self) {
        let object = self.any_object();
        let absent = self.absent_kind();
        for ((color, shape), answer) in [((object.color, object.shape), "yes"), (absent, "no")] {
            let article = article(color.name());
            let question = format!("is there {article} {} {}?", color.name(), shape.name());
            self.add(QaKind::Exists, question, answer);
        }
    }

    /// A colour and a shape that do not occur together though at least one of them occurs:
    /// mostly the colour of one object with the shape of another, where that is to be had.
    fn absent_kind(&mut self) -> (Color, Shape) {
        let objects = &self.scene.objects;
        let absent = |kind: &(Color, Shape)| objects.iter().all(|o| (o.color, o.shape) != *kind);
        let crossed: Vec<_> = objects
            .iter()
            .flat_map(|a| objects.iter().map(|b| (a.color, b.shape)))
            .filter(absent)
            .collect();
        if self.dice.chance(0.7)
            && let Some(&kind) = self.dice.pick(&crossed)
        {
            return kind;
        }
        loop {
            let object = self.any_object();
            let kind = if self.dice.chance(0.5) {
                (object.color, Shape::ALL[self.dice.below(Shape::ALL.len())])
            } else {
                (Color::ALL[self.dice.below(Color::ALL.len())], object.shape)
            };
            if absent(&kind) {
                return kind;
            }
        }
    }

    fn color(&mut self) {
        let subjects = self.shared(|object| object.color);
        if let Some((subject, color)) = self.dice.pick(&subjects) {
            let question = format!("what colour {subject}?");
            self.add(QaKind::Color, question, color.name());
        }
    }

    fn background(&mut self) {
        let question = "what colour is the background?".into();
        let answer = self.scene.background.tone.name();
        self.add(QaKind::Color, question, answer);
    }

    fn shape(&mut self) {
        let object = self.any_object();
        if self.count(|o| o.color == object.color) == 1 {
            let question = format!("what shape is the {} object?", object.color.name());
            self.add(QaKind::Shape, question, object.shape.name());
        }
    }

    fn size(&mut self) {
        let subjects = self.shared(|object| object.size);
        if let Some((subject, size)) = self.dice.pick(&subjects) {
            let question = format!("{subject} large or small?");
            self.add(QaKind::Size, question, size.name());
        }
    }

    /// Asked of large objects only, as small ones never carry a pattern.
    fn texture(&mut self) {
        let names = self.names();
        let objects = &self.scene.objects;
        let large: Vec<_> = names
            .iter()
            .filter(|(index, _)| {
                let object = &objects[*index];
                object.size == super::Size::Large && object.shape.takes_pattern()
            })
            .collect();
        if let Some((index, name)) = self.dice.pick(&large) {
            let question = format!("what pattern is on the {name}?");
            self.add(QaKind::Texture, question, objects[*index].texture.name());
        }
    }

    fn place(&mut self) {
        let mut places = Vec::new();
        for (index, name) in self.names() {
            let object = &self.scene.objects[index];
            if let (Some(column), Some(row)) = (third(object.x), third(object.y)) {
                places.push((name, CELLS[row * 3 + column]));
            }
        }
        if let Some((name, cell)) = self.dice.pick(&places) {
            self.add(QaKind::Where, format!("where is the {name}?"), cell);
        }
    }

    fn relation(&mut self) {
        let names = self.names();
        let mut pairs = Vec::new();
        for (i, a) in &names {
            for (j, b) in names.iter().filter(|(j, _)| j != i) {
                if let Some(direction) = groups::relation(&self.scene.objects, &[*i], &[*j]) {
                    pairs.push((a, direction, b));
                }
            }
        }
        let so = self.dice.chance(0.5);
        if let Some(&(a, direction, b)) = self.dice.pick(&pairs) {
            let asked = if so { direction } else { direction.opposite() };
            let question = format!("is the {a} {} the {b}?", asked.name());
            self.add(QaKind::Relation, question, if so { "yes" } else { "no" });
        }
    }
}

/// Which third of the side a coordinate lies in, if it is well inside.
fn third(c: f32) -> Option<usize> {
    let clear = [1.0 / 3.0, 2.0 / 3.0]
        .iter()
        .all(|border: &f32| (c - border).abs() >= CELL_MARGIN);
    clear.then_some((c * 3.0) as usize)
}
