#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod captions;
mod oracle;
mod picture;
mod questions;
mod verdicts;

use super::{Color, Object, Scene, Shape, Size, Texture, Tone};

/// A scene with plain objects given by colour, shape, size and centre, on grey, under flat light.
fn scene(objects: &[(Color, Shape, Size, f32, f32)]) -> Scene {
    let mut scene = flat(Scene::sample(7));
    scene.background.tone = Tone::Grey;
    scene.objects = objects
        .iter()
        .map(|&(color, shape, size, x, y)| Object {
            shape,
            color,
            size,
            texture: Texture::Plain,
            x,
            y,
            radius: if size == Size::Small { 0.12 } else { 0.2 },
            turn: (1.0, 0.0),
            pattern_turn: (1.0, 0.0),
            pattern_phase: (0.0, 0.0),
            rgb: [0.5; 3],
        })
        .collect();
    scene
}

/// The scene without light effects, noise and background texture.
fn flat(mut scene: Scene) -> Scene {
    scene.light.falloff = 0.0;
    scene.light.vignette = 0.0;
    scene.light.shadow = 0.0;
    scene.light.relief = 0.0;
    scene.camera.noise = 0.0;
    scene.camera.blur = 0.0;
    scene.background.gradient = (0.0, 0.0);
    scene.background.blotches = 0.0;
    scene.background.weave = 0.0;
    scene
}
