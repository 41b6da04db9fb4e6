//! Which object covers which patch of a picture: targets for auxiliary training.

use super::geometry::{self, REACH};
use super::{Object, Scene};

/// Sample points along either axis of a patch.
const SAMPLES: usize = 8;
/// Least share of a patch an object must cover to own it.
const LEAST: f32 = 0.15;

/// What a patch of the picture shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchLabel {
    /// Index of the object that covers most of the patch; none where none covers 15 %.
    pub object: Option<usize>,
    /// Share of the patch covered by the object that covers most of it, in [0, 1].
    pub coverage: f32,
    /// Which of the patch's 8 x 8 sample points that object covers, row-major from the lowest bit.
    pub mask: u64,
}

impl Scene {
    /// Labels of the `grid` x `grid` patches of the picture, row-major.
    pub fn patch_labels(&self, grid: usize) -> Vec<PatchLabel> {
        let mut labels = vec![
            PatchLabel {
                object: None,
                coverage: 0.0,
                mask: 0,
            };
            grid * grid
        ];
        for (index, object) in self.objects.iter().enumerate() {
            let reach = REACH * object.radius;
            let patch = |c: f32| (c.clamp(0.0, 1.0) * grid as f32) as usize;
            for row in patch(object.y - reach)..(patch(object.y + reach) + 1).min(grid) {
                for column in patch(object.x - reach)..(patch(object.x + reach) + 1).min(grid) {
                    let mask = object.mask(row, column, grid);
                    let coverage = mask.count_ones() as f32 / (SAMPLES * SAMPLES) as f32;
                    let label = &mut labels[row * grid + column];
                    if coverage > label.coverage {
                        label.coverage = coverage;
                        label.mask = mask;
                        label.object = (coverage >= LEAST).then_some(index);
                    }
                }
            }
        }
        labels
    }
}

impl Object {
    /// Sample points of a patch of a `grid` x `grid` picture that the object covers.
    fn mask(&self, row: usize, column: usize, grid: usize) -> u64 {
        let at = |patch: usize, sample: usize| {
            (patch as f32 + (sample as f32 + 0.5) / SAMPLES as f32) / grid as f32
        };
        let mut hits = 0;
        for i in 0..SAMPLES {
            for j in 0..SAMPLES {
                let own = self.to_own_frame(at(column, j), at(row, i));
                hits |= u64::from(geometry::distance(self.shape, own) < 0.0) << (i * SAMPLES + j);
            }
        }
        hits
    }
}
