//! Equal objects taken together, and when a relation between groups is plain to see.

use super::words::{Color, Direction, Shape, Size, Texture};
use super::{Object, Scene};

/// All objects of one shape and colour.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they are.
    pub shape: Shape,
    /// Their colour.
    pub color: Color,
    /// The size all members share, if they do.
    pub size: Option<Size>,
    /// The pattern all members share, if they do.
    pub texture: Option<Texture>,
    /// Indices of the members.
    pub members: Vec<usize>,
    /// Mean of the members' centres.
    pub centre: (f32, f32),
}

/// The value all of `values` share.
fn shared<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// The groups of a scene in the order of their first members.
pub(super) fn groups(objects: &[Object]) -> Vec<Group> {
    let mut found: Vec<Group> = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let same = |group: &&mut Group| (group.shape, group.color) == (object.shape, object.color);
        match found.iter_mut().find(same) {
            Some(group) => group.members.push(index),
            None => found.push(Group {
                shape: object.shape,
                color: object.color,
                size: None,
                texture: None,
                members: vec![index],
                centre: (0.0, 0.0),
            }),
        }
    }
    for group in &mut found {
        let members = || group.members.iter().map(|&index| &objects[index]);
        group.size = shared(members().map(|object| object.size));
        group.texture = shared(members().map(|object| object.texture));
        group.centre = mean_centre(objects, &group.members);
    }
    found
}

/// Least distance along the axis between any two members, for a relation to be stated.
const CLEAR: f32 = 0.15;
/// How far the distance along the stated axis must outweigh the one along the other.
const DOMINANCE: f32 = 1.35;
/// Least difference in x between the centres of groups that are listed from left to right.
const LIST_STEP: f32 = 0.07;

/// The direction in which the objects `a` lie from the objects `b`, if it is beyond doubt.
pub(super) fn relation(objects: &[Object], a: &[usize], b: &[usize]) -> Option<Direction> {
    let (from, to) = (mean_centre(objects, a), mean_centre(objects, b));
    Direction::ALL.iter().copied().find(|&direction| {
        let across = match direction {
            Direction::Left | Direction::Right => from.1 - to.1,
            Direction::Above | Direction::Below => from.0 - to.0,
        };
        direction.advance(from, to) >= DOMINANCE * across.abs()
            && all_beyond(objects, a, b, direction, CLEAR)
    })
}

/// Whether each of `a` lies at least `least` farther in the direction than each of `b`.
pub(super) fn all_beyond(
    objects: &[Object],
    a: &[usize],
    b: &[usize],
    direction: Direction,
    least: f32,
) -> bool {
    let centre = |index: usize| (objects[index].x, objects[index].y);
    a.iter().all(|&i| {
        b.iter()
            .all(|&j| direction.advance(centre(i), centre(j)) >= least)
    })
}

fn mean_centre(objects: &[Object], members: &[usize]) -> (f32, f32) {
    let (x, y) = members.iter().fold((0.0, 0.0), |(x, y), &index| {
        (x + objects[index].x, y + objects[index].y)
    });
    (x / members.len() as f32, y / members.len() as f32)
}

/// Whether the scene's main caption can be told from the picture: two groups stand in a plain
/// relation, more have a plain order from left to right.
pub(super) fn well_placed(objects: &[Object]) -> bool {
    let groups = groups(objects);
    match groups.as_slice() {
        [_] => true,
        [a, b] => relation(objects, &a.members, &b.members).is_some(),
        more => more.iter().enumerate().all(|(index, a)| {
            more[..index]
                .iter()
                .all(|b| (a.centre.0 - b.centre.0).abs() >= LIST_STEP)
        }),
    }
}

impl Scene {
    /// The scene's groups, listed from left to right, or from top to bottom where two groups
    /// stand one above the other.
    pub fn ordered_groups(&self) -> Vec<Group> {
        let mut groups = groups(&self.objects);
        groups.sort_by(|a, b| a.centre.0.total_cmp(&b.centre.0));
        if let [a, b] = groups.as_slice()
            && relation(&self.objects, &a.members, &b.members) == Some(Direction::Below)
        {
            groups.reverse();
        }
        groups
    }
}
