//! What a scene's random choices are for.

pub(super) use crate::dice::Dice;

/// What a stream of choices is for; each purpose draws from its own stream of the scene's seed,
/// so that, say, asking other questions leaves the picture as it was.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Layout = 0,
    Look = 1,
    Captions = 2,
    Questions = 3,
    Grain = 4,
}

impl From<Purpose> for u64 {
    fn from(purpose: Purpose) -> Self {
        purpose as Self
    }
}
