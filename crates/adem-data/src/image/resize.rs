//! Pillow 11.3's `Image.resize((w, h), BICUBIC)`, bit for bit: antialiased
//! (support widened when shrinking), fixed-point coefficients, horizontal pass then vertical pass,
//! rounded and clipped to 8 bits between the two.

use ::image::RgbImage;

/// Fraction bits of a coefficient: 32, less 8 for a sample, less 2 for sign and overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Resizes to `width` x `height`; the aspect is not kept.
pub fn resize_bicubic(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let narrowed;
    let image = if image.width() == width {
        image
    } else {
        narrowed = horizontal(image, width);
        &narrowed
    };
    if image.height() == height {
        image.clone()
    } else {
        vertical(image, height)
    }
}

/// Which input samples an output sample is made of.
struct Window {
    first: usize,
    weights: std::ops::Range<usize>,
}

/// One axis: a window and its fixed-point weights for each output position.
struct Kernel {
    windows: Vec<Window>,
    weights: Vec<i32>,
}

impl Kernel {
    fn new(from: u32, to: u32) -> Self {
        let scale = f64::from(from) / f64::from(to);
        let stretch = scale.max(1.0);
        let support = 2.0 * stretch;
        let mut windows = Vec::with_capacity(to as usize);
        let mut weights = Vec::new();
        let mut exact = Vec::new();
        for out in 0..to {
            let center = (f64::from(out) + 0.5) * scale;
            // `as` saturates at zero, as Pillow's clamp does.
            let first = (center - support + 0.5) as u32;
            let end = ((center + support + 0.5) as u32).min(from);
            exact.clear();
            exact.extend(
                (first..end).map(|x| bicubic((f64::from(x) - center + 0.5) * (1.0 / stretch))),
            );
            let total: f64 = exact.iter().sum();
            let begin = weights.len();
            weights.extend(exact.iter().map(|&w| {
                let w = if total == 0.0 { w } else { w / total };
                let fixed = w * f64::from(1u32 << PRECISION_BITS);
                (fixed + if w < 0.0 { -0.5 } else { 0.5 }) as i32
            }));
            windows.push(Window {
                first: first as usize,
                weights: begin..weights.len(),
            });
        }
        Self { windows, weights }
    }

    /// Each output position: the first input position and the weights from there on.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.windows
            .iter()
            .map(|w| (w.first, &self.weights[w.weights.clone()]))
    }
}

/// Keys' cubic with a = -0.5, in Pillow's order of operations.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

fn clip8(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

fn horizontal(image: &RgbImage, width: u32) -> RgbImage {
    let kernel = Kernel::new(image.width(), width);
    let mut out = RgbImage::new(width, image.height());
    let (from, to) = (3 * image.width() as usize, 3 * width as usize);
    if from == 0 || to == 0 {
        return out;
    }
    let rows = image.as_raw().chunks_exact(from);
    for (row, out_row) in rows.zip(out.chunks_exact_mut(to)) {
        for ((first, weights), pixel) in kernel.iter().zip(out_row.chunks_exact_mut(3)) {
            let mut sum = [HALF; 3];
            for (sample, &w) in row[3 * first..].chunks_exact(3).zip(weights) {
                for channel in 0..3 {
                    sum[channel] += i32::from(sample[channel]) * w;
                }
            }
            for channel in 0..3 {
                pixel[channel] = clip8(sum[channel]);
            }
        }
    }
    out
}

fn vertical(image: &RgbImage, height: u32) -> RgbImage {
    let kernel = Kernel::new(image.height(), height);
    let mut out = RgbImage::new(image.width(), height);
    let row = 3 * image.width() as usize;
    if row == 0 || image.height() == 0 {
        return out;
    }
    // A row of sums at a time: every step is a vector operation over the row.
    let mut sums = vec![0; row];
    for ((first, weights), out_row) in kernel.iter().zip(out.chunks_exact_mut(row)) {
        sums.fill(HALF);
        let rows = image.as_raw()[first * row..].chunks_exact(row);
        for (samples, &w) in rows.zip(weights) {
            for (sum, &sample) in sums.iter_mut().zip(samples) {
                *sum += i32::from(sample) * w;
            }
        }
        for (out, &sum) in out_row.iter_mut().zip(&sums) {
            *out = clip8(sum);
        }
    }
    out
}
