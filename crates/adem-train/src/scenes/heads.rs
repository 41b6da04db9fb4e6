//! What the encoder is asked while it learns to see: auxiliary classifiers, thrown away after.

use adem_data::scenes::{Color, Direction, Object, Scene, Shape, Size, Texture, Tone};

/// Class count of each question about a patch: shape, colour, size, texture (with "no object"),
/// place of its group in the caption, members of its group.
pub(crate) const PATCH_CLASSES: [usize; 6] = [9, 9, 3, 5, 5, 5];

/// Groups a caption can name.
const GROUPS: usize = 4;

/// Class count of each question about a group named by the caption: colour, shape, members, size,
/// texture (with "no such group" and, for the last two, "mixed").
const GROUP_CLASSES: [usize; 5] = [9, 9, 5, 4, 6];

/// Class count of each question about the whole picture: objects, groups, background, relation of
/// two groups.
const SCENE_CLASSES: [usize; 4] = [5, 5, Tone::ALL.len(), 5];

/// Class counts of all questions put to the `[cls]` token.
pub(crate) fn picture_classes() -> Vec<usize> {
    let groups = std::iter::repeat_n(GROUP_CLASSES, GROUPS).flatten();
    SCENE_CLASSES.into_iter().chain(groups).collect()
}

/// Yes-or-no questions put to the `[cls]` token: is there an object of this colour and shape.
pub(crate) const PAIRS: usize = Color::ALL.len() * Shape::ALL.len();

/// 1 + the place of `value` in `all`.
fn class<T: PartialEq>(all: &[T], value: &T) -> i32 {
    all.iter()
        .position(|v| v == value)
        .map_or(0, |i| i as i32 + 1)
}

/// Points of a patch of which it is asked whether its object covers them.
pub(crate) const POINTS: usize = 64;

/// Answers for one scene.
pub(crate) struct Answers {
    /// [`POINTS`] values of 0 and 1 a patch.
    pub masks: Vec<f32>,
    /// Three values a patch: its place seen from its object's centre (rightwards and downwards, in
    /// radii) and 1; zeros where it has no object.
    pub offsets: Vec<f32>,
    /// One row a question of [`PATCH_CLASSES`], one entry a patch.
    pub patches: Vec<Vec<i32>>,
    /// One entry a question of [`picture_classes`].
    pub picture: Vec<i32>,
    /// [`PAIRS`] values of 0 and 1.
    pub pairs: Vec<f32>,
}

impl Answers {
    pub(crate) fn of(scene: &Scene, grid: usize) -> Self {
        let groups = scene.ordered_groups();
        let group_of = |object: usize| {
            groups
                .iter()
                .position(|g| g.members.contains(&object))
                .unwrap_or(0)
        };
        let mut patches = vec![Vec::with_capacity(grid * grid); PATCH_CLASSES.len()];
        let (mut masks, mut offsets) = (Vec::new(), Vec::new());
        let at = |index: usize| (index as f32 + 0.5) / grid as f32;
        for (patch, label) in scene.patch_labels(grid).into_iter().enumerate() {
            masks.extend((0..POINTS).map(|i| (label.mask >> i & 1) as f32));
            offsets.extend(label.object.map_or([0.0; 3], |index| {
                let o = &scene.objects[index];
                let (x, y) = (at(patch % grid) - o.x, at(patch / grid) - o.y);
                [x / o.radius, y / o.radius, 1.0]
            }));
            let answers = label.object.map_or([0; 6], |index| {
                let o = &scene.objects[index];
                let group = group_of(index);
                [
                    class(Shape::ALL, &o.shape),
                    class(Color::ALL, &o.color),
                    class(Size::ALL, &o.size),
                    class(Texture::ALL, &o.texture),
                    group as i32 + 1,
                    groups[group].members.len() as i32,
                ]
            });
            for (row, answer) in patches.iter_mut().zip(answers) {
                row.push(answer);
            }
        }
        let mut picture = vec![
            scene.objects.len() as i32,
            groups.len() as i32,
            class(Tone::ALL, &scene.background.tone) - 1,
            relation(scene),
        ];
        for i in 0..GROUPS {
            match groups.get(i) {
                None => picture.extend([0; GROUP_CLASSES.len()]),
                Some(g) => picture.extend([
                    class(Color::ALL, &g.color),
                    class(Shape::ALL, &g.shape),
                    g.members.len() as i32,
                    g.size.map_or(3, |s| class(Size::ALL, &s)),
                    g.texture.map_or(5, |t| class(Texture::ALL, &t)),
                ]),
            }
        }
        let mut pairs = vec![0.0; PAIRS];
        for Object { shape, color, .. } in &scene.objects {
            let (c, s) = (class(Color::ALL, color) - 1, class(Shape::ALL, shape) - 1);
            pairs[c as usize * Shape::ALL.len() + s as usize] = 1.0;
        }
        Self {
            masks,
            offsets,
            patches,
            picture,
            pairs,
        }
    }
}

/// How the first of two groups stands to the second, 0 where the scene has not two.
fn relation(scene: &Scene) -> i32 {
    let groups = scene.ordered_groups();
    let [a, b] = groups.as_slice() else { return 0 };
    let best = Direction::ALL
        .iter()
        .enumerate()
        .max_by(|(_, d), (_, e)| {
            d.advance(a.centre, b.centre)
                .total_cmp(&e.advance(a.centre, b.centre))
        })
        .map_or(0, |(i, _)| i);
    best as i32 + 1
}
