//! Scenes as tensors' raw material.

use adem_data::image::{Normalisation, pixels};
use adem_data::scenes::{HELD_OUT_SEEDS, Scene};

/// Side at which scenes are rendered before the exact resize that real pictures get, too.
pub(crate) const RENDER_SIDE: u32 = 128;

/// What the training draws scenes for; every use has seeds of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    See = 1,
    Read = 2,
    Tune = 3,
}

/// Scene `index` of a use in a run with `seed`.
pub(crate) fn scene(seed: u64, purpose: Use, index: u64) -> Scene {
    let run = (seed % (1 << 16)) << 44;
    Scene::sample((run | ((purpose as u64) << 41) | (index % HELD_OUT_SEEDS)) + HELD_OUT_SEEDS)
}

/// Pixels of a scene, `[3, side, side]`, normalised.
pub(crate) fn scene_pixels(scene: &Scene, side: usize) -> Vec<f32> {
    pixels(
        &scene.render(RENDER_SIDE),
        side as u32,
        &Normalisation::CLIP,
    )
}
