//! The grammar of captions: one structure, written out by [`Display`](fmt::Display) and read
//! back by [`Caption::parse`], so that what is said and what is checked cannot drift apart.
//!
//! ```text
//! caption    = clause { "," clause } [ "and" clause ] [ "on a" tone "background" ]
//! clause     = noun phrase [ direction noun phrase ]
//! noun phrase = ("a" | "an" | number) [ size ] [ texture ] [ colour ] shape
//! ```

use std::fmt;

use super::Object;
use super::words::{Color, Direction, NUMBERS, Shape, Size, Texture, Tone};

/// "a large red circle", "two blue squares".
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NounPhrase {
    /// The exact number of such objects; none for "a", which speaks of one among perhaps more.
    pub(super) count: Option<usize>,
    pub(super) size: Option<Size>,
    pub(super) texture: Option<Texture>,
    pub(super) color: Option<Color>,
    pub(super) shape: Shape,
}

/// One noun phrase, perhaps in relation to another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clause {
    pub(super) subject: NounPhrase,
    pub(super) relation: Option<(Direction, NounPhrase)>,
}

/// A whole caption.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Caption {
    pub(super) clauses: Vec<Clause>,
    pub(super) background: Option<Tone>,
}

/// "a" or "an", as the next word asks for.
pub(super) fn article(next: &str) -> &'static str {
    if next.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

impl NounPhrase {
    /// Whether the description, number aside, fits an object.
    pub(super) fn fits(&self, object: &Object) -> bool {
        self.shape == object.shape
            && self.color.is_none_or(|color| color == object.color)
            && self.size.is_none_or(|size| size == object.size)
            && self.texture.is_none_or(|texture| texture == object.texture)
    }
}

impl fmt::Display for NounPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = self.count.is_some_and(|count| count > 1);
        let mut words: Vec<&str> = Vec::with_capacity(4);
        words.extend(self.size.map(Size::name));
        words.extend(self.texture.map(Texture::name));
        words.extend(self.color.map(Color::name));
        words.push(if plural {
            self.shape.plural()
        } else {
            self.shape.name()
        });
        let number = self.count.and_then(|count| NUMBERS.get(count).copied());
        let first = number.unwrap_or_else(|| article(words.first().copied().unwrap_or_default()));
        write!(f, "{first} {}", words.join(" "))
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        match &self.relation {
            Some((direction, other)) => write!(f, " {} {other}", direction.phrase()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Caption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, clause) in self.clauses.iter().enumerate() {
            let joint = match index {
                0 => "",
                _ if index + 1 == self.clauses.len() => " and ",
                _ => ", ",
            };
            write!(f, "{joint}{clause}")?;
        }
        match self.background {
            Some(tone) => write!(f, " on a {} background", tone.name()),
            None => Ok(()),
        }
    }
}

/// The words of a caption not yet read.
struct Words<'a>(&'a [&'a str]);

impl Words<'_> {
    /// Reads `phrase` (words separated by single spaces) if it comes next.
    fn take(&mut self, phrase: &str) -> bool {
        let count = phrase.split(' ').count();
        let next = self.0.get(..count);
        let found = next.is_some_and(|next| next.iter().copied().eq(phrase.split(' ')));
        if found {
            self.0 = &self.0[count..];
        }
        found
    }

    /// Reads the first of `values` whose name comes next.
    fn any<T: Copy>(&mut self, values: &[T], name: impl Fn(T) -> &'static str) -> Option<T> {
        values.iter().copied().find(|&value| self.take(name(value)))
    }

    fn noun_phrase(&mut self) -> Option<NounPhrase> {
        let number = (1..NUMBERS.len()).find(|&count| self.take(NUMBERS[count]));
        if number.is_none() {
            let next = self.0.get(1).copied().unwrap_or_default();
            if !self.take(article(next)) {
                return None;
            }
        }
        let plural = number.is_some_and(|count| count > 1);
        Some(NounPhrase {
            count: number,
            size: self.any(Size::ALL, Size::name),
            texture: self.any(Texture::ALL, Texture::name),
            color: self.any(Color::ALL, Color::name),
            shape: self.any(Shape::ALL, if plural { Shape::plural } else { Shape::name })?,
        })
    }

    fn clause(&mut self) -> Option<Clause> {
        let subject = self.noun_phrase()?;
        let relation = match self.any(Direction::ALL, Direction::phrase) {
            Some(direction) => Some((direction, self.noun_phrase()?)),
            None => None,
        };
        Some(Clause { subject, relation })
    }
}

impl Caption {
    /// Reads a caption; none where the text is not in the grammar from start to end.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase().replace(',', " , ");
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut words = Words(&words);
        let mut clauses = vec![words.clause()?];
        while words.take(",") {
            clauses.push(words.clause()?);
        }
        if words.take("and") {
            clauses.push(words.clause()?);
        }
        let background = if words.take("on a") {
            let tone = words.any(Tone::ALL, Tone::name)?;
            if !words.take("background") {
                return None;
            }
            Some(tone)
        } else {
            None
        };
        words.0.is_empty().then_some(Self {
            clauses,
            background,
        })
    }
}
