//! Small encoded pictures, some of kinds that no encoder at hand writes.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// A picture with something everywhere: no two prefixes of its encoding show the same.
pub fn busy(width: u32, height: u32) -> RgbImage {
    let mut state = 12345u32;
    RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 27) as u8;
        Rgb([
            (x * 251 / width) as u8 ^ noise,
            (y * 241 / height) as u8 ^ noise,
            ((x + y) * 97 / (width + height)) as u8 + noise,
        ])
    })
}

pub fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A chunk of a PNG, check sum included.
pub fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut body = kind.to_vec();
    body.extend(data);
    let mut crc = !0u32;
    for &byte in &body {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut chunk = (data.len() as u32).to_be_bytes().to_vec();
    chunk.extend(body);
    chunk.extend((!crc).to_be_bytes());
    chunk
}

/// A PNG that announces `width` x `height` RGB pixels and holds next to none.
pub fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut ihdr = Vec::new();
    ihdr.extend(width.to_be_bytes());
    ihdr.extend(height.to_be_bytes());
    ihdr.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(png_chunk(b"IHDR", &ihdr));
    png.extend(png_chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]));
    png.extend(png_chunk(b"IEND", &[]));
    png
}

/// An EXIF block (TIFF, big-endian) that says nothing but the orientation.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01".to_vec();
    tiff.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
    tiff.extend([0; 4]);
    tiff
}

/// A JPEG of flat 8x8 blocks, written by hand.
pub struct FlatJpeg {
    pub width: u16,
    pub height: u16,
    /// For each block in reading order, one sample value per component.
    pub blocks: Vec<Vec<u8>>,
    /// The colour transform of an Adobe marker: 0 none (RGB, CMYK), 1 YCbCr, 2 YCCK.
    pub adobe: Option<u8>,
    pub orientation: Option<u8>,
    /// Progressive, with a scan of DC coefficients.
    pub progressive: bool,
    /// With a second scan, where progressive.
    pub refined: bool,
}

impl FlatJpeg {
    pub fn encode(&self) -> Vec<u8> {
        let components = self.blocks[0].len() as u8;
        let mut out = vec![0xff, 0xd8];
        let mut segment = |marker: u8, data: &[u8]| {
            out.extend([0xff, marker]);
            out.extend((data.len() as u16 + 2).to_be_bytes());
            out.extend(data);
        };
        if let Some(transform) = self.adobe {
            segment(
                0xee,
                &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat(),
            );
        }
        if let Some(orientation) = self.orientation {
            segment(0xe1, &[b"Exif\0\0".as_slice(), &exif(orientation)].concat());
        }
        // A quantiser of 8 makes the DC coefficient of a flat block its value less 128.
        segment(0xdb, &[&[0u8][..], &[8; 64]].concat());
        let mut frame = vec![8];
        frame.extend(self.height.to_be_bytes());
        frame.extend(self.width.to_be_bytes());
        frame.push(components);
        frame.extend((1..=components).flat_map(|id| [id, 0x11, 0]));
        segment(if self.progressive { 0xc2 } else { 0xc0 }, &frame);
        // DC: the standard luminance table. AC: a single code, end of block.
        let dc = [0u8, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
        let categories: Vec<u8> = (0..12).collect();
        segment(0xc4, &[&[0x00][..], &dc, &categories].concat());
        let ac = [1u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        segment(0xc4, &[&[0x10][..], &ac, &[0]].concat());
        let mut scan = vec![components];
        scan.extend((1..=components).flat_map(|id| [id, 0]));
        scan.extend([0, if self.progressive { 0 } else { 63 }, 0]);
        segment(0xda, &scan);
        out.extend(self.scan());
        if self.progressive && self.refined {
            // The first component's AC coefficients: a scan of nothing but ends of block.
            out.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0]);
            out.extend(self.blocks.chunks(8).map(|c| 0xffu8 >> c.len()));
        }
        out.extend([0xff, 0xd9]);
        out
    }

    fn scan(&self) -> Vec<u8> {
        const CODES: [(u32, u32); 9] = [
            (0b00, 2),
            (0b010, 3),
            (0b011, 3),
            (0b100, 3),
            (0b101, 3),
            (0b110, 3),
            (0b1110, 4),
            (0b11110, 5),
            (0b11_1110, 6),
        ];
        let mut bits: Vec<bool> = Vec::new();
        let mut put = |value: u32, count: u32| {
            bits.extend((0..count).rev().map(|i| value >> i & 1 == 1));
        };
        let mut before = vec![0i32; self.blocks[0].len()];
        for block in &self.blocks {
            for (value, before) in block.iter().zip(&mut before) {
                let dc = i32::from(*value) - 128;
                let diff = dc - *before;
                *before = dc;
                let category = 32 - diff.unsigned_abs().leading_zeros();
                let (code, length) = CODES[category as usize];
                put(code, length);
                let magnitude = if diff < 0 { diff - 1 } else { diff };
                put(magnitude as u32, category);
                if !self.progressive {
                    put(0, 1);
                }
            }
        }
        while !bits.len().is_multiple_of(8) {
            bits.push(true);
        }
        let bytes = bits
            .chunks(8)
            .map(|b| b.iter().fold(0u8, |byte, &bit| byte << 1 | u8::from(bit)));
        // A zero is stuffed after every 0xff.
        bytes
            .flat_map(|b| std::iter::once(b).chain((b == 0xff).then_some(0)))
            .collect()
    }
}
