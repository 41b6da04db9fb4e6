//! Drawing a scene from a seed.

use super::dice::{Dice, Purpose};
use super::geometry::REACH;
use super::groups;
use super::paint;
use super::words::{Color, Shape, Size, Texture, Tone};
use super::{Background, Camera, Light, Object, Scene};

/// Least space between two objects and between an object and the picture's border.
const GAP: f32 = 0.028;
const MARGIN: f32 = 0.015;
/// Placements tried before the whole scene is drawn anew.
const PLACEMENTS: usize = 60;

/// How many objects the groups of equal objects have, with the weight of each arrangement.
const ARRANGEMENTS: [(&[usize], u32); 10] = [
    (&[1], 28),
    (&[2], 9),
    (&[1, 1], 28),
    (&[3], 5),
    (&[2, 1], 9),
    (&[1, 1, 1], 10),
    (&[4], 2),
    (&[3, 1], 3),
    (&[2, 2], 3),
    (&[1, 1, 1, 1], 3),
];

impl Scene {
    /// The scene of a seed. Every seed has one, and the same on every platform.
    pub fn sample(seed: u64) -> Self {
        let mut dice = Dice::new(seed, Purpose::Layout);
        let counts = ARRANGEMENTS[dice.weighted(&ARRANGEMENTS.map(|(_, weight)| weight))].0;
        let objects = loop {
            // Crowded draws may have no placement at all; then another draw takes their place.
            if let Some(objects) = draw_objects(&mut dice, counts) {
                break objects;
            }
        };
        let mut dice = Dice::new(seed, Purpose::Look);
        let background = draw_background(&mut dice, &objects);
        Self {
            seed,
            objects,
            background,
            light: draw_light(&mut dice),
            camera: draw_camera(&mut dice),
        }
    }
}

/// Objects for groups of the given numbers, if they find a place.
fn draw_objects(dice: &mut Dice, counts: &[usize]) -> Option<Vec<Object>> {
    let total: usize = counts.iter().sum();
    let mut kinds: Vec<(Shape, Color)> = Vec::new();
    let mut objects = Vec::with_capacity(total);
    let mut large = 0;
    for &count in counts {
        let kind = draw_kind(dice, &kinds);
        kinds.push(kind);
        // Two large objects fill a picture, and one leaves room for three small ones.
        let room = large + count <= if total <= 2 { 2 } else { 1 };
        let size = if room && dice.chance(0.56) {
            large += count;
            Size::Large
        } else {
            Size::Small
        };
        let texture = draw_texture(dice, kind.0, size);
        for _ in 0..count {
            objects.push(draw_object(dice, kind, size, texture, total));
        }
    }
    (0..PLACEMENTS).find_map(|_| {
        for object in &mut objects {
            let reach = REACH * object.radius + MARGIN;
            object.x = dice.within((reach, 1.0 - reach));
            object.y = dice.within((reach, 1.0 - reach));
        }
        (apart(&objects) && groups::well_placed(&objects)).then(|| objects.clone())
    })
}

/// A shape and a colour that no group has yet; shared shapes and colours are welcome, as they
/// make the questions hard.
fn draw_kind(dice: &mut Dice, taken: &[(Shape, Color)]) -> (Shape, Color) {
    loop {
        let mut kind = (
            Shape::ALL[dice.below(Shape::ALL.len())],
            Color::ALL[dice.below(Color::ALL.len())],
        );
        if let Some(&(shape, color)) = dice.pick(taken) {
            match dice.below(5) {
                0 => kind.0 = shape,
                1 => kind.1 = color,
                _ => {}
            }
        }
        if !taken.contains(&kind) {
            return kind;
        }
    }
}

fn draw_texture(dice: &mut Dice, shape: Shape, size: Size) -> Texture {
    if size == Size::Large && shape.takes_pattern() && dice.chance(0.72) {
        [Texture::Striped, Texture::Dotted, Texture::Checkered][dice.below(3)]
    } else {
        Texture::Plain
    }
}

/// An object not yet placed.
fn draw_object(
    dice: &mut Dice,
    (shape, color): (Shape, Color),
    size: Size,
    texture: Texture,
    company: usize,
) -> Object {
    let radius = dice.within(match size {
        Size::Small => (0.11, 0.13),
        Size::Large if company == 1 => (0.19, 0.23),
        Size::Large => (0.185, 0.205),
    });
    // Tangents of half the largest turn: a square must not pass for a diamond.
    let swing = match shape {
        Shape::Circle | Shape::Ring => 0.0,
        Shape::Square | Shape::Diamond => 0.07,
        Shape::Triangle | Shape::Heart | Shape::Cross => 0.12,
        Shape::Star => 0.3,
    };
    Object {
        shape,
        color,
        size,
        texture,
        x: 0.5,
        y: 0.5,
        radius,
        turn: from_half_tangent(dice.within((-swing, swing))),
        pattern_turn: dice.direction(),
        pattern_phase: (dice.unit(), dice.unit()),
        rgb: paint::object_rgb(dice, color),
    }
}

/// Cosine and sine of an angle given by the tangent of its half: exact arithmetic only.
fn from_half_tangent(t: f32) -> (f32, f32) {
    let scale = 1.0 / (1.0 + t * t);
    ((1.0 - t * t) * scale, 2.0 * t * scale)
}

fn apart(objects: &[Object]) -> bool {
    objects.iter().enumerate().all(|(index, a)| {
        objects[..index].iter().all(|b| {
            let (dx, dy) = (a.x - b.x, a.y - b.y);
            let least = REACH * (a.radius + b.radius) + GAP;
            dx * dx + dy * dy >= least * least
        })
    })
}

fn draw_background(dice: &mut Dice, objects: &[Object]) -> Background {
    let fitting: Vec<Tone> = Tone::ALL
        .iter()
        .copied()
        .filter(|tone| objects.iter().all(|object| tone.suits(object.color)))
        .collect();
    // Grey suits every colour, so the list is never empty.
    let tone = dice.pick(&fitting).copied().unwrap_or(Tone::Grey);
    let rgb = paint::tone_rgb(dice, tone);
    let (kind, direction) = (dice.below(4), dice.direction());
    let slope = dice.within((0.08, 0.22));
    let strength = dice.within((0.05, 0.13));
    Background {
        tone,
        rgb,
        gradient: if kind == 1 {
            (direction.0 * slope, direction.1 * slope)
        } else {
            (0.0, 0.0)
        },
        blotches: if kind == 2 { strength } else { 0.0 },
        weave: if kind == 3 { strength } else { 0.0 },
    }
}

fn draw_light(dice: &mut Dice) -> Light {
    let towards = dice.direction();
    let mut sometimes = |probability: f32, range: (f32, f32)| {
        let value = dice.within(range);
        if dice.chance(probability) { value } else { 0.0 }
    };
    Light {
        towards,
        falloff: sometimes(0.6, (0.04, 0.12)),
        vignette: sometimes(0.5, (0.05, 0.16)),
        shadow: sometimes(0.7, (0.12, 0.32)),
        relief: sometimes(0.6, (0.3, 1.0)),
    }
}

fn draw_camera(dice: &mut Dice) -> Camera {
    let exposure = dice.within((0.93, 1.07));
    Camera {
        gain: [0; 3].map(|_| exposure * dice.within((0.98, 1.02))),
        blur: dice.within((0.0, 0.009)),
        noise: dice.within((0.0, 0.022)),
    }
}
