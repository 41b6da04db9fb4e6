//! The attributes a scene can have and the one word (or two) that names each.

use serde::{Deserialize, Serialize};

/// Declares an attribute: its variants, their list and their names.
macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The lower-case name used in captions, questions and answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

attribute! {
    /// What an object is.
    Shape {
        /// A filled disc.
        Circle = "circle",
        /// A square, at most slightly turned.
        Square = "square",
        /// An equilateral triangle, roughly point up.
        Triangle = "triangle",
        /// A five-pointed star at any angle.
        Star = "star",
        /// A disc with a round hole.
        Ring = "ring",
        /// Two bars of equal length crossing at right angles.
        Cross = "cross",
        /// A heart, point down.
        Heart = "heart",
        /// A rhombus taller than wide.
        Diamond = "diamond",
    }
}

impl Shape {
    /// The plural of the name.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Circle => "circles",
            Self::Square => "squares",
            Self::Triangle => "triangles",
            Self::Star => "stars",
            Self::Ring => "rings",
            Self::Cross => "crosses",
            Self::Heart => "hearts",
            Self::Diamond => "diamonds",
        }
    }

    /// Whether the shape has room for a readable pattern when it is large.
    pub const fn takes_pattern(self) -> bool {
        !matches!(self, Self::Star | Self::Ring | Self::Cross)
    }
}

attribute! {
    /// The named colour of an object.
    Color {
        /// Hue around 0 degrees.
        Red = "red",
        /// Hue around 125 degrees, never pale.
        Green = "green",
        /// Hue around 220 degrees.
        Blue = "blue",
        /// Hue around 55 degrees, bright.
        Yellow = "yellow",
        /// Hue around 285 degrees.
        Purple = "purple",
        /// Hue around 28 degrees, bright.
        Orange = "orange",
        /// Nearly no light.
        Black = "black",
        /// Nearly full light.
        White = "white",
    }
}

attribute! {
    /// How big an object is; the two ranges of radius are far apart.
    Size {
        /// Radius of 0.11 to 0.13 of the picture's side.
        Small = "small",
        /// Radius of 0.185 to 0.23 of the picture's side.
        Large = "large",
    }
}

attribute! {
    /// The pattern on an object. Only large objects of a solid shape carry one.
    Texture {
        /// One even colour.
        Plain = "plain",
        /// Parallel bars.
        Striped = "striped",
        /// Round dots on a grid.
        Dotted = "dotted",
        /// Alternating square fields.
        Checkered = "checkered",
    }
}

attribute! {
    /// The named colour of a background.
    Tone {
        /// Middle grey.
        Grey = "grey",
        /// Dark grey.
        DarkGrey = "dark grey",
        /// Light brown.
        Tan = "tan",
        /// Light blue.
        PaleBlue = "pale blue",
        /// Light green.
        PaleGreen = "pale green",
        /// Light red.
        Pink = "pink",
        /// Dark blue.
        DarkBlue = "dark blue",
        /// Dark green.
        DarkGreen = "dark green",
    }
}

impl Tone {
    /// Whether an object of this colour stands out on this background.
    pub const fn suits(self, color: Color) -> bool {
        !matches!(
            (self, color),
            (Self::DarkGrey, Color::Black)
                | (Self::Tan, Color::Orange)
                | (Self::PaleGreen, Color::Green)
                | (Self::Pink, Color::Red)
                | (Self::DarkBlue, Color::Black | Color::Blue | Color::Purple)
                | (Self::DarkGreen, Color::Black | Color::Green)
        )
    }
}

attribute! {
    /// Where one thing lies as seen from another.
    Direction {
        /// Smaller x.
        Left = "left of",
        /// Larger x.
        Right = "right of",
        /// Smaller y.
        Above = "above",
        /// Larger y.
        Below = "below",
    }
}

impl Direction {
    /// The direction from the other thing's point of view.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    /// The words that join two things in a caption ("to the left of").
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Left => "to the left of",
            Self::Right => "to the right of",
            Self::Above => "above",
            Self::Below => "below",
        }
    }

    /// How far `from` lies in this direction as seen from `to`, points as (x, y).
    pub fn advance(self, from: (f32, f32), to: (f32, f32)) -> f32 {
        match self {
            Self::Left => to.0 - from.0,
            Self::Right => from.0 - to.0,
            Self::Above => to.1 - from.1,
            Self::Below => from.1 - to.1,
        }
    }
}

/// Number words by value, zero to four; no scene has more objects.
pub(super) const NUMBERS: [&str; 5] = ["zero", "one", "two", "three", "four"];

/// The word for a number of objects.
pub(super) fn number(count: usize) -> &'static str {
    NUMBERS[count.min(NUMBERS.len() - 1)]
}

/// The names of the cells of a 3 by 3 grid, row-major.
pub(super) const CELLS: [&str; 9] = [
    "top left",
    "top",
    "top right",
    "left",
    "centre",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
];

/// Words of the grammar that name no attribute.
const GRAMMAR: &str = "a an and on background to the \
     what colour is are shape object how many shapes there where left right of large or small";

/// Every word that can appear in a caption, a question or an answer: lower case, sorted, each
/// once, without punctuation (captions use commas, questions end in a question mark).
pub fn vocabulary() -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |phrase: &str| words.extend(phrase.split_whitespace().map(str::to_owned));
    Shape::ALL.iter().for_each(|s| {
        add(s.name());
        add(s.plural());
    });
    Color::ALL.iter().for_each(|c| add(c.name()));
    Size::ALL.iter().for_each(|s| add(s.name()));
    Texture::ALL.iter().for_each(|t| add(t.name()));
    Tone::ALL.iter().for_each(|t| add(t.name()));
    Direction::ALL.iter().for_each(|d| add(d.phrase()));
    NUMBERS.iter().for_each(|n| add(n));
    CELLS.iter().for_each(|c| add(c));
    ["yes", "no", "pattern", GRAMMAR]
        .iter()
        .for_each(|g| add(g));
    words.sort_unstable();
    words.dedup();
    words
}
