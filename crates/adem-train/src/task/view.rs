//! A grid of features as a part of the picture shows it.

use adem_data::image::View;

/// Resamples `grid * grid` cells of `width` channels, row by row, to the `side * side` cells of what
/// a view shows of the picture, mirrored where the view is.
///
/// Along each axis a cell is a mean of those around its centre with weights that fall linearly, over
/// one cell of the coarser of the two grids: plain bilinear interpolation where the new cells are
/// smaller, the same with a wider support where they are larger (as Pillow's `BILINEAR` with a
/// `box`), so that nothing between two centres is lost. Weights beyond the picture's edge are
/// shared among the cells inside.
pub(crate) fn resample(
    cells: &[f32],
    grid: usize,
    width: usize,
    view: &View,
    side: usize,
) -> Vec<f32> {
    let [left, top, part_width, part_height] = view.part;
    let down = weights(top, part_height, grid, side);
    let mut across = weights(left, part_width, grid, side);
    if view.flipped {
        across.reverse();
    }
    // Rows first: `side` rows of `grid` cells.
    let row = grid * width;
    let mut rows = vec![0.0f32; side * row];
    for (out, (first, weights)) in rows.chunks_mut(row.max(1)).zip(&down) {
        for (cell_row, weight) in cells.chunks(row.max(1)).skip(*first).zip(weights) {
            add(out, cell_row, *weight);
        }
    }
    let mut out = vec![0.0f32; side * side * width];
    for (row, line) in rows
        .chunks(row.max(1))
        .zip(out.chunks_mut((side * width).max(1)))
    {
        for (cell, (first, weights)) in line.chunks_mut(width.max(1)).zip(&across) {
            for (other, weight) in row.chunks(width.max(1)).skip(*first).zip(weights) {
                add(cell, other, *weight);
            }
        }
    }
    out
}

fn add(to: &mut [f32], values: &[f32], weight: f32) {
    for (sum, value) in to.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

/// For each of `side` cells over the share `start..start + extent` of an axis of `grid` cells: the
/// first cell it is made of, and the weights from there on, which add up to 1.
fn weights(start: f32, extent: f32, grid: usize, side: usize) -> Vec<(usize, Vec<f32>)> {
    let (start, extent) = (f64::from(start), f64::from(extent));
    let cell = extent * grid as f64 / side as f64;
    let reach = cell.max(1.0);
    (0..side)
        .map(|i| {
            let centre = start * grid as f64 + (i as f64 + 0.5) * cell;
            let near = |x: usize| 1.0 - ((x as f64 + 0.5 - centre) / reach).abs();
            let first = (0..grid).find(|&x| near(x) > 1e-9).unwrap_or(0);
            let own: Vec<f64> = (first..grid).map(near).take_while(|w| *w > 1e-9).collect();
            let sum: f64 = own.iter().sum();
            (first, own.iter().map(|w| (w / sum) as f32).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    /// 3 x 3 cells of one channel.
    const CELLS: [f32; 9] = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 20.0, 21.0, 22.0];

    #[test]
    fn the_whole_picture_at_the_same_grid_is_itself() {
        assert!(near(&resample(&CELLS, 3, 1, &View::WHOLE, 3), &CELLS));
    }

    #[test]
    fn cells_are_what_they_are_by_hand() {
        // The left upper two thirds at two cells: the cells themselves.
        let third = 1.0 / 3.0;
        let view = |part| View {
            part,
            flipped: false,
        };
        let part = view([0.0, 0.0, 2.0 * third, 2.0 * third]);
        let seen = resample(&CELLS, 3, 1, &part, 2);
        assert!(near(&seen, &[0.0, 1.0, 10.0, 11.0]), "{seen:?}");
        // Half a cell to the right and down: means of four.
        let part = view([0.5 * third, 0.5 * third, 2.0 * third, 2.0 * third]);
        let seen = resample(&CELLS, 3, 1, &part, 2);
        assert!(near(&seen, &[5.5, 6.5, 15.5, 16.5]), "{seen:?}");
        // One cell over all: centre 1.5, reach 3, weights 2/3, 1, 2/3 over 7/3 along each axis.
        let seen = resample(&CELLS, 3, 1, &View::WHOLE, 1);
        assert!(near(&seen, &[11.0]), "{seen:?}");
        // Six cells over three: centres at 0.25, 0.75, 1.25 ... of a cell; beyond the first centre
        // there is the first cell alone.
        let line = resample(
            &[0.0, 4.0, 8.0, 0.0, 4.0, 8.0, 0.0, 4.0, 8.0],
            3,
            1,
            &View::WHOLE,
            6,
        );
        assert!(
            near(&line[..6], &[0.0, 1.0, 3.0, 5.0, 7.0, 8.0]),
            "{line:?}"
        );
    }

    #[test]
    fn channels_stay_apart() {
        let both: Vec<f32> = CELLS.iter().flat_map(|v| [*v, -v]).collect();
        let part = View {
            part: [0.1, 0.3, 0.5, 0.6],
            flipped: true,
        };
        let one = resample(&CELLS, 3, 1, &part, 4);
        let two: Vec<f32> = one.iter().flat_map(|v| [*v, -v]).collect();
        assert!(near(&resample(&both, 3, 2, &part, 4), &two));
    }

    proptest! {
        #[test]
        fn a_flip_mirrors_and_a_constant_stays(
            left in 0.0f32..0.5, top in 0.0f32..0.5, width in 0.05f32..0.5, height in 0.05f32..0.5,
            side in 1usize..9, grid in 1usize..9
        ) {
            let cells: Vec<f32> = (0..grid * grid).map(|i| (i as f32 * 1.7).sin()).collect();
            let view = View { part: [left, top, width, height], flipped: false };
            let plain = resample(&cells, grid, 1, &view, side);
            let flipped = resample(&cells, grid, 1, &View { flipped: true, ..view }, side);
            let mirrored: Vec<f32> =
                plain.chunks(side).flat_map(|row| row.iter().rev().copied()).collect();
            prop_assert!(near(&flipped, &mirrored));
            let same = resample(&vec![2.5; grid * grid], grid, 1, &view, side);
            prop_assert!(near(&same, &vec![2.5; side * side]));
        }
    }
}
