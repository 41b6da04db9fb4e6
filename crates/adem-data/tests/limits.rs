//! A header that promises too much is refused before memory is asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unsafe_code)] // an allocator that counts cannot be written without

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use adem_data::image::{Format, ImageError, Limits, decode};
use common::pictures::{FlatJpeg, png_header};

/// The largest single request since it was last reset.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = FlatJpeg {
        width: 8,
        height: 8,
        blocks: vec![vec![0]],
        adobe: None,
        orientation: None,
        progressive: false,
        refined: false,
    }
    .encode();
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

fn gif_header(width: u16, height: u16) -> Vec<u8> {
    let mut gif = b"GIF89a".to_vec();
    gif.extend(width.to_le_bytes());
    gif.extend(height.to_le_bytes());
    gif.extend([0, 0, 0]);
    gif.extend([0x2c, 0, 0, 0, 0]);
    gif.extend(width.to_le_bytes());
    gif.extend(height.to_le_bytes());
    gif.extend([0, 2, 2, 0x44, 1, 0, 0x3b]);
    gif
}

fn riff(chunks: &[u8]) -> Vec<u8> {
    let mut webp = b"RIFF".to_vec();
    webp.extend((chunks.len() as u32 + 4).to_le_bytes());
    webp.extend(b"WEBP");
    webp.extend(chunks);
    webp
}

fn chunk(kind: &[u8; 4], length: u32, data: &[u8]) -> Vec<u8> {
    [&kind[..], &length.to_le_bytes(), data].concat()
}

/// A lossy frame header of 16,383 x 16,383 pixels.
const HUGE_VP8: [u8; 10] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f];

/// A canvas of one pixel, with or without an EXIF block to come.
fn canvas(exif: bool) -> Vec<u8> {
    chunk(
        b"VP8X",
        10,
        &[u8::from(exif) << 3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    )
}

// One test: the counter is shared.
#[test]
fn too_large_pictures_are_refused_by_name_without_allocating() {
    let lossless = chunk(b"VP8L", 6, &[0x2f, 0xff, 0xff, 0xff, 0x0f, 0]);
    let hidden = [canvas(false), chunk(b"VP8 ", 10, &HUGE_VP8)].concat();
    let too_large = [
        (Format::Png, png_header(60_000, 60_000), (60_000, 60_000)),
        (Format::Png, png_header(u32::MAX, 1), (u32::MAX, 1)),
        (Format::Jpeg, jpeg_header(60_000, 60_000), (60_000, 60_000)),
        (Format::Gif, gif_header(60_000, 60_000), (60_000, 60_000)),
        (Format::WebP, riff(&lossless), (16_384, 16_384)),
        (Format::WebP, riff(&hidden), (16_383, 16_383)),
    ];
    for (format, bytes, (width, height)) in too_large {
        LARGEST.store(0, Ordering::Relaxed);
        let error = decode(&bytes, &Limits::default()).unwrap_err();
        let largest = LARGEST.load(Ordering::Relaxed);
        let Limits {
            max_side,
            max_pixels,
            ..
        } = Limits::default();
        assert_eq!(
            error,
            ImageError::TooLarge {
                format,
                width,
                height,
                max_side,
                max_pixels
            }
        );
        assert!(
            error.to_string().contains(&format!("{width} x {height}")),
            "{error}"
        );
        assert!(largest < 256 << 10, "{format}: asked for {largest} bytes");
    }

    // A chunk that claims four gigabytes in a file of fifty bytes.
    let claim = chunk(b"EXIF", u32::MAX - 64, &[0; 8]);
    let claiming = riff(&[canvas(true), chunk(b"VP8 ", 10, &[0; 10]), claim].concat());
    LARGEST.store(0, Ordering::Relaxed);
    assert!(decode(&claiming, &Limits::default()).is_err());
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < 256 << 10, "asked for {largest} bytes");
}
