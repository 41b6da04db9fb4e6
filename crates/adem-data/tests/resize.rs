//! What bicubic resizing keeps, whatever the sizes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use adem_data::image::{Normalisation, RgbImage, pixels, resize_bicubic};
use common::pictures::busy;
use image::Rgb;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flat_picture_stays_flat(
        color: [u8; 3], from in (1u32..70, 1u32..70), to in (1u32..70, 1u32..70)
    ) {
        let resized = resize_bicubic(&RgbImage::from_pixel(from.0, from.1, Rgb(color)), to.0, to.1);
        prop_assert_eq!(resized.dimensions(), to);
        prop_assert!(resized.pixels().all(|p| p.0 == color));
    }

    /// The filter is symmetric, so mirroring before or after is the same.
    #[test]
    fn mirroring_commutes_with_resizing(from in (1u32..50, 1u32..50), to in (1u32..50, 1u32..50)) {
        let picture = busy(from.0, from.1);
        let mirrored = image::imageops::flip_horizontal(&picture);
        let one = resize_bicubic(&mirrored, to.0, to.1);
        let two = image::imageops::flip_horizontal(&resize_bicubic(&picture, to.0, to.1));
        // Windows are placed by float arithmetic: a sample may round the other way.
        let worst = one.as_raw().iter().zip(two.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
        prop_assert!(worst <= Some(1), "{:?}", worst);
    }

    #[test]
    fn the_same_size_is_the_same_picture(size in (1u32..40, 1u32..40)) {
        let picture = busy(size.0, size.1);
        prop_assert_eq!(resize_bicubic(&picture, size.0, size.1), picture);
    }
}

#[test]
fn planes_come_red_first_and_square() {
    let red = RgbImage::from_pixel(9, 4, Rgb([255, 0, 0]));
    let unit = Normalisation {
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    let planes = pixels(&red, 3, &unit);
    assert_eq!(planes, [[2.0; 9], [-2.0; 9], [-2.0; 9]].concat());
}
