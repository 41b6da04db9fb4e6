//! Pictures: bytes to RGB under limits, exact Pillow resize, normalised planes, augmentation.

mod augment;
mod decode;
mod error;
mod jpeg;
mod normalise;
mod resize;
mod webp;

pub use ::image::RgbImage;
pub use augment::{Augment, AugmentError, View};
pub use decode::{Format, Limits, decode};
pub use error::ImageError;
pub use normalise::{Normalisation, normalise, pixels};
pub use resize::resize_bicubic;
