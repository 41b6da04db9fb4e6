//! Procedural pictures with true captions and question-answer pairs.
//!
//! A seed gives a [`Scene`]: one to four simple objects on a background, under light, shadow,
//! sensor noise and slight blur. The scene renders at any size and states true captions and
//! question-answer pairs about itself; [`check_caption`] and [`check_answer`] judge other
//! texts against it. Every stated fact can be decided by a person from the picture at 64x64:
//! colours keep to their names, sizes leave a wide gap, and relations and places are spoken of
//! only where they are plain.
//!
//! Everything follows from the seed with basic arithmetic alone, so that the same seed gives
//! the same bytes on every platform.

mod caption;
mod check;
mod dice;
mod facts;
mod geometry;
mod grammar;
mod groups;
mod paint;
mod patches;
mod question;
mod render;
mod sample;
mod words;

#[cfg(test)]
mod tests;

pub use check::{Fact, Verdict, check_answer, check_caption};
pub use groups::Group;
pub use patches::PatchLabel;
pub use question::{Qa, QaKind};
pub use words::{Color, Direction, Shape, Size, Texture, Tone, vocabulary};

/// Seeds below this are kept for evaluation: no training recipe draws a scene from them.
pub const HELD_OUT_SEEDS: u64 = 1 << 40;

/// One thing in a scene. Lengths are fractions of the picture's side.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What it is.
    pub shape: Shape,
    /// Its named colour.
    pub color: Color,
    /// Small or large.
    pub size: Size,
    /// Its pattern.
    pub texture: Texture,
    /// Centre, from the left.
    pub x: f32,
    /// Centre, from the top.
    pub y: f32,
    /// Nominal radius; no part is farther from the centre than 1.145 radii.
    pub radius: f32,
    /// Cosine and sine of the angle by which the object is turned.
    pub turn: (f32, f32),
    /// Cosine and sine of the angle by which its pattern is turned.
    pub pattern_turn: (f32, f32),
    /// Where the pattern starts, in periods.
    pub pattern_phase: (f32, f32),
    /// The exact colour, sRGB in [0, 1].
    pub rgb: [f32; 3],
}

/// What lies behind the objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Background {
    /// The named colour.
    pub tone: Tone,
    /// The exact colour, sRGB in [0, 1].
    pub rgb: [f32; 3],
    /// Relative change of brightness across the picture as (rightwards, downwards).
    pub gradient: (f32, f32),
    /// Relative strength of soft blotches, 0 for none.
    pub blotches: f32,
    /// Relative strength of fine grain, 0 for none.
    pub weave: f32,
}

/// The light on a scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Light {
    /// Unit vector pointing towards the light in the picture plane, y down.
    pub towards: (f32, f32),
    /// Relative change of brightness from the far side of the picture to the lit one.
    pub falloff: f32,
    /// Relative darkening of the picture's corners.
    pub vignette: f32,
    /// Darkness of the shadows under objects, 0 for none.
    pub shadow: f32,
    /// Strength of shading and highlight on objects, 0 for flat ones.
    pub relief: f32,
}

/// What the imagined camera adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Gain by channel: exposure times white balance.
    pub gain: [f32; 3],
    /// Half width of the blurred edges, in fractions of the side.
    pub blur: f32,
    /// Standard deviation of the noise of a pixel, in [0, 1] of full scale.
    pub noise: f32,
}

/// A picture described: all it takes to render it and to speak of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scene {
    /// The seed it was drawn from; captions, questions and noise follow from it, too.
    pub seed: u64,
    /// One to four objects that neither touch nor leave the picture.
    pub objects: Vec<Object>,
    /// What lies behind them.
    pub background: Background,
    /// The light.
    pub light: Light,
    /// The camera.
    pub camera: Camera,
}
