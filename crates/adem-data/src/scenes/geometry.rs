//! Signed distances of the shapes, in units of an object's radius: negative inside.
//!
//! Only arithmetic and square roots are used, which IEEE 754 fixes to the last bit, so a scene
//! is the same picture on every platform.

use super::words::Shape;

/// A point or vector as (x, y), y pointing down.
type Point = (f32, f32);

const fn sub(a: Point, b: Point) -> Point {
    (a.0 - b.0, a.1 - b.1)
}

const fn dot(a: Point, b: Point) -> f32 {
    a.0 * b.0 + a.1 * b.1
}

fn length(a: Point) -> f32 {
    dot(a, a).sqrt()
}

/// Distance from `p` to the segment from `a` to `b`.
fn to_segment(p: Point, a: Point, b: Point) -> f32 {
    let (along, offset) = (sub(b, a), sub(p, a));
    let t = (dot(offset, along) / dot(along, along)).clamp(0.0, 1.0);
    length((offset.0 - along.0 * t, offset.1 - along.1 * t))
}

/// Distance to an axis-aligned box of the given half extents.
fn to_box(p: Point, half: Point) -> f32 {
    let q = (p.0.abs() - half.0, p.1.abs() - half.1);
    length((q.0.max(0.0), q.1.max(0.0))) + q.0.max(q.1).min(0.0)
}

const SQUARE_HALF: f32 = 0.79;
const TRIANGLE_INRADIUS: f32 = 0.57;
const RING_OUTER: f32 = 1.04;
const RING_INNER: f32 = 0.5;
const CROSS_LONG: f32 = 1.02;
const CROSS_SHORT: f32 = 0.34;
const DIAMOND_HALF: Point = (0.76, 1.12);
const STAR_OUTER: f32 = 1.12;
/// Inner radius of the star over its outer one; a fuller star than the drawn-in-one-line one,
/// whose thin points would be lost at a small size.
const STAR_DEPTH: f32 = 0.46;

/// Cosines and sines of 36 and 72 degrees.
const C36: f32 = 0.809_017;
const S36: f32 = 0.587_785_25;

fn triangle(p: Point) -> f32 {
    // Half planes of the three sides; exact inside, and outside close enough for an edge.
    let side = 0.866_025_4 * p.0.abs() - 0.5 * p.1;
    let sharp = side.max(p.1) - TRIANGLE_INRADIUS;
    if sharp <= 0.0 {
        return sharp;
    }
    let (tip, corner) = (
        (0.0, -2.0 * TRIANGLE_INRADIUS),
        (1.732_050_8 * TRIANGLE_INRADIUS, TRIANGLE_INRADIUS),
    );
    let q = (p.0.abs(), p.1);
    to_segment(q, tip, corner).min(to_segment(q, (0.0, TRIANGLE_INRADIUS), corner))
}

fn star(p: Point) -> f32 {
    // Fold the plane onto the half sector from the axis of the upper point to its valley.
    let mut q = (p.0.abs(), -p.1);
    let normal = (C36, -S36);
    for _ in 0..2 {
        let side = dot(q, normal).max(0.0);
        q = (
            (q.0 - 2.0 * side * normal.0).abs(),
            q.1 - 2.0 * side * normal.1,
        );
    }
    let tip = (0.0, STAR_OUTER);
    let valley = (STAR_OUTER * STAR_DEPTH * S36, STAR_OUTER * STAR_DEPTH * C36);
    let edge = sub(valley, tip);
    let offset = sub(q, tip);
    let outside = offset.0 * edge.1 - offset.1 * edge.0 < 0.0;
    let distance = to_segment(q, tip, valley);
    if outside { distance } else { -distance }
}

fn cross(p: Point) -> f32 {
    to_box(p, (CROSS_LONG, CROSS_SHORT)).min(to_box(p, (CROSS_SHORT, CROSS_LONG)))
}

fn diamond(p: Point) -> f32 {
    let q = (p.0.abs(), p.1.abs());
    let (w, h) = DIAMOND_HALF;
    let distance = to_segment(q, (w, 0.0), (0.0, h));
    if q.0 * h + q.1 * w > w * h {
        distance
    } else {
        -distance
    }
}

fn heart(p: Point) -> f32 {
    // Two lobes; below them two straight sides, tangent to the lobes, meet at a right angle.
    const LOBE: f32 = 0.56;
    const HALF: f32 = 0.707_106_77;
    let offset = (p.0.abs() - 0.443, p.1 + 0.36);
    let side = (offset.0 + offset.1) * HALF - LOBE;
    let below_tangent_point = offset.1 > offset.0;
    if below_tangent_point && offset.1 > 0.0 {
        side
    } else {
        length(offset) - LOBE
    }
}

/// Signed distance of `p`, in the shape's own frame, to its border.
pub(super) fn distance(shape: Shape, p: Point) -> f32 {
    match shape {
        Shape::Circle => length(p) - 1.0,
        Shape::Square => to_box(p, (SQUARE_HALF, SQUARE_HALF)),
        Shape::Triangle => triangle(p),
        Shape::Star => star(p),
        Shape::Ring => {
            let middle = 0.5 * (RING_OUTER + RING_INNER);
            (length(p) - middle).abs() - 0.5 * (RING_OUTER - RING_INNER)
        }
        Shape::Cross => cross(p),
        Shape::Heart => heart(p),
        Shape::Diamond => diamond(p),
    }
}

/// No part of any shape is farther from its centre than this many radii.
pub(super) const REACH: f32 = 1.145;
