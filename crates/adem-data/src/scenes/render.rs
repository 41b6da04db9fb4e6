//! From a scene to pixels.

use image::{Rgb, RgbImage};

use super::dice::{Dice, Purpose};
use super::geometry::{self, REACH};
use super::{Background, Light, Object, Scene, paint};

/// The sizes a scene can be rendered at.
const SIDES: (u32, u32) = (16, 1024);
/// How far a shadow falls, and half the width of its soft edge, in fractions of the side.
const SHADOW_REACH: f32 = 0.02;
const SHADOW_SOFT: f32 = 0.022;
/// Fields along the side of the two background textures.
const BLOTCHES: usize = 5;
const WEAVE: usize = 36;

impl Scene {
    /// Renders the scene as a square picture. A `side` outside 16..=1024 is taken to the nearer
    /// end of that range.
    pub fn render(&self, side: u32) -> RgbImage {
        let side = side.clamp(SIDES.0, SIDES.1);
        let mut canvas = Canvas::new(side);
        let mut grain = Dice::new(self.seed, Purpose::Grain);
        canvas.paint_background(&self.background, &mut grain);
        if self.light.shadow > 0.0 {
            for object in &self.objects {
                canvas.cast_shadow(object, &self.light);
            }
        }
        // Neither optics nor antialiasing make an edge sharper than a pixel.
        let soft = (0.55 / side as f32).max(self.camera.blur);
        for object in &self.objects {
            canvas.paint_object(object, &self.light, soft);
        }
        canvas.expose(self, grain.word())
    }
}

impl Object {
    /// The point of the picture (fractions of the side) in the object's own frame, in radii.
    pub(super) fn to_own_frame(&self, u: f32, v: f32) -> (f32, f32) {
        let (dx, dy) = ((u - self.x) / self.radius, (v - self.y) / self.radius);
        let (cos, sin) = self.turn;
        (dx * cos + dy * sin, dy * cos - dx * sin)
    }
}

/// A square picture of linear arithmetic on sRGB values, before the camera.
struct Canvas {
    side: usize,
    pixels: Vec<[f32; 3]>,
}

impl Canvas {
    fn new(side: u32) -> Self {
        let side = side as usize;
        Self {
            side,
            pixels: vec![[0.0; 3]; side * side],
        }
    }

    /// Centre of the pixel `index` along either axis, in fractions of the side.
    fn at(&self, index: usize) -> f32 {
        (index as f32 + 0.5) / self.side as f32
    }

    fn paint_background(&mut self, background: &Background, grain: &mut Dice) {
        let (side, rgb) = (self.side, background.rgb);
        let (gx, gy) = background.gradient;
        let mut texture = None;
        if background.blotches > 0.0 {
            texture = Some((Lattice::new(grain, BLOTCHES), background.blotches));
        } else if background.weave > 0.0 {
            texture = Some((Lattice::new(grain, WEAVE), background.weave));
        }
        for row in 0..side {
            let v = self.at(row);
            if let Some((lattice, _)) = &mut texture {
                lattice.enter_row(v);
            }
            for column in 0..side {
                let u = self.at(column);
                let mut gain = 1.0 + gx * (u - 0.5) + gy * (v - 0.5);
                if let Some((lattice, strength)) = &texture {
                    gain += strength * lattice.value(u);
                }
                self.pixels[row * side + column] = rgb.map(|c| c * gain);
            }
        }
    }

    /// Calls `paint` with each pixel within `reach` of `(x, y)` and its place in the picture.
    fn around(&mut self, (x, y): (f32, f32), reach: f32, paint: impl Fn(&mut [f32; 3], f32, f32)) {
        let side = self.side;
        let pixel = |c: f32| (c.clamp(0.0, 1.0) * side as f32) as usize;
        let columns = pixel(x - reach)..(pixel(x + reach) + 1).min(side);
        for row in pixel(y - reach)..(pixel(y + reach) + 1).min(side) {
            let v = self.at(row);
            for column in columns.clone() {
                let u = self.at(column);
                paint(&mut self.pixels[row * side + column], u, v);
            }
        }
    }

    fn cast_shadow(&mut self, object: &Object, light: &Light) {
        let offset = (
            light.towards.0 * SHADOW_REACH,
            light.towards.1 * SHADOW_REACH,
        );
        let soft = SHADOW_SOFT / object.radius;
        let centre = (object.x - offset.0, object.y - offset.1);
        let reach = REACH * object.radius + SHADOW_SOFT;
        self.around(centre, reach, |pixel, u, v| {
            let own = object.to_own_frame(u + offset.0, v + offset.1);
            let cover = paint::edge(geometry::distance(object.shape, own), soft);
            let cover = cover * cover * (3.0 - 2.0 * cover);
            *pixel = pixel.map(|c| c * (1.0 - light.shadow * cover));
        });
    }

    fn paint_object(&mut self, object: &Object, light: &Light, soft: f32) {
        let second = paint::second_rgb(object);
        let reach = REACH * object.radius + soft;
        let soft = soft / object.radius;
        self.around((object.x, object.y), reach, |pixel, u, v| {
            let own = object.to_own_frame(u, v);
            let distance = geometry::distance(object.shape, own);
            let cover = paint::edge(distance, soft);
            if cover <= 0.0 {
                return;
            }
            let share = paint::pattern(object, own, distance, soft);
            let (shade, gloss) = relief(object, light, (u, v));
            for ((value, first), second) in pixel.iter_mut().zip(object.rgb).zip(second) {
                let flat = (first + (second - first) * share) * shade;
                let lit = flat + (1.0 - flat) * gloss;
                *value += (lit - *value) * cover;
            }
        });
    }

    /// Applies the light over the whole picture and the camera, and rounds to bytes.
    fn expose(&self, scene: &Scene, noise_seed: u64) -> RgbImage {
        let (light, camera) = (&scene.light, &scene.camera);
        let (lx, ly) = light.towards;
        // The sum of two bytes has a standard deviation of 104.5.
        let noise = camera.noise / 104.5;
        let mut picture = RgbImage::new(self.side as u32, self.side as u32);
        for (index, (target, pixel)) in picture.pixels_mut().zip(&self.pixels).enumerate() {
            let (u, v) = (
                self.at(index % self.side) - 0.5,
                self.at(index / self.side) - 0.5,
            );
            let along = u * lx + v * ly;
            let corner = 2.0 * (u * u + v * v);
            let gain = (1.0 + light.falloff * along) * (1.0 - light.vignette * corner);
            let mut bytes = scramble(noise_seed.wrapping_add(index as u64));
            let mut channels = [0_u8; 3];
            for ((channel, value), white) in channels.iter_mut().zip(pixel).zip(camera.gain) {
                let sum = (bytes & 0xff) as f32 + ((bytes >> 8) & 0xff) as f32 - 255.0;
                bytes >>= 16;
                let level = value * gain * white + noise * sum;
                // A cast from a float saturates; adding a half first rounds.
                *channel = (level * 255.0 + 0.5) as u8;
            }
            *target = Rgb(channels);
        }
        picture
    }
}

/// Shading factor and share of white light at a point of an object.
fn relief(object: &Object, light: &Light, (u, v): (f32, f32)) -> (f32, f32) {
    if light.relief <= 0.0 {
        return (1.0, 0.0);
    }
    let (lx, ly) = light.towards;
    let (dx, dy) = (
        (u - object.x) / object.radius,
        (v - object.y) / object.radius,
    );
    let shade = 1.0 + 0.1 * light.relief * (dx * lx + dy * ly);
    let (hx, hy) = (dx - 0.4 * lx, dy - 0.4 * ly);
    let near = (1.0 - (hx * hx + hy * hy) / 0.16).max(0.0);
    (shade, 0.2 * light.relief * near * near)
}

/// Smooth noise: random values on a square lattice, interpolated.
struct Lattice {
    fields: usize,
    values: Vec<f32>,
    /// The lattice interpolated along y at the current row.
    row: Vec<f32>,
}

impl Lattice {
    fn new(grain: &mut Dice, fields: usize) -> Self {
        let points = fields + 1;
        let values = (0..points * points)
            .map(|_| grain.within((-1.0, 1.0)))
            .collect();
        Self {
            fields,
            values,
            row: vec![0.0; points],
        }
    }

    /// The lattice point before `t` in [0, 1) and the smoothed way to the next.
    fn locate(&self, t: f32) -> (usize, f32) {
        let scaled = t * self.fields as f32;
        let index = (scaled as usize).min(self.fields - 1);
        let part = scaled - index as f32;
        (index, part * part * (3.0 - 2.0 * part))
    }

    fn enter_row(&mut self, v: f32) {
        let (index, part) = self.locate(v);
        let points = self.fields + 1;
        let (upper, lower) = self.values[index * points..].split_at(points);
        for ((value, a), b) in self.row.iter_mut().zip(upper).zip(lower) {
            *value = a + (b - a) * part;
        }
    }

    /// The noise at `u` in the current row, in [-1, 1].
    fn value(&self, u: f32) -> f32 {
        let (index, part) = self.locate(u);
        let (a, b) = (self.row[index], self.row[index + 1]);
        a + (b - a) * part
    }
}

/// A well-mixed word for each input (the finaliser of SplitMix64, Steele et al. 2014).
const fn scramble(input: u64) -> u64 {
    let mut z = input.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
