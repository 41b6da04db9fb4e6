//! Comparing what the model computes with what it should.

use std::io::Write;

use adem_tests::golden::Array;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Prints a line that the test harness does not keep to itself when the test passes.
pub fn say(line: &str) {
    // Only the print macros are kept back.
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// Uploads a golden tensor.
pub fn upload<const D: usize>(array: &Array<f32>, device: &Device) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_data(data, device)
}

/// Uploads token ids `[batch, tokens]`.
pub fn upload_ids(ids: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i32> = ids.iter().flatten().map(|id| *id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [ids.len(), ids[0].len()]), device)
}

/// A golden tensor of token ids, row by row.
pub fn ids(array: &Array<i64>) -> Vec<Vec<u32>> {
    let width = *array.shape.last().unwrap();
    array
        .values
        .chunks(width)
        .map(|row| row.iter().map(|id| *id as u32).collect())
        .collect()
}

/// Reads a tensor back.
pub fn download<const D: usize>(tensor: Tensor<D>) -> Array<f32> {
    let data = tensor.into_data().convert_dtype(DType::F32);
    Array {
        shape: data.shape().to_vec(),
        values: data.try_to_vec().unwrap(),
    }
}

/// Largest absolute difference; NaN counts as infinite.
pub fn difference(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |worst, (g, w)| {
        let d = (f64::from(*g) - f64::from(*w)).abs();
        if d.is_nan() {
            f64::INFINITY
        } else {
            worst.max(d)
        }
    })
}

/// Gathers differences over a test, so that its last line says how close it came.
#[derive(Debug)]
pub struct Report {
    title: String,
    cases: usize,
    /// Largest difference of each kind, and where it was.
    worst: Vec<(&'static str, f64, String)>,
}

impl Report {
    pub fn new(test: &str, backend: &str) -> Self {
        Self {
            title: format!("{test} on {backend}"),
            cases: 0,
            worst: Vec::new(),
        }
    }

    /// Counts one case.
    pub fn case(&mut self) {
        self.cases += 1;
    }

    /// Cases counted so far.
    pub fn cases(&self) -> usize {
        self.cases
    }

    /// `got` must be within `tolerance` of `want` at every place.
    pub fn absolute(
        &mut self,
        kind: &'static str,
        what: &str,
        got: &Array<f32>,
        want: &Array<f32>,
        tolerance: f64,
    ) {
        assert_eq!(got.shape, want.shape, "{}: {what}: shape", self.title);
        self.check(kind, what, difference(&got.values, &want.values), tolerance);
    }

    /// `got` must be within `tolerance` times `want`'s largest value of `want` at every place.
    pub fn relative(
        &mut self,
        kind: &'static str,
        what: &str,
        got: &Array<f32>,
        want: &Array<f32>,
        tolerance: f64,
    ) {
        assert_eq!(got.shape, want.shape, "{}: {what}: shape", self.title);
        let size = want
            .values
            .iter()
            .fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
        // An all-zero tensor must come out as zeros, up to denormal rounding.
        let d = difference(&got.values, &want.values) / size.max(1e-30);
        self.check(kind, what, d, tolerance);
    }

    /// A number must be within `tolerance` of another.
    pub fn number(&mut self, kind: &'static str, what: &str, got: f64, want: f64, tolerance: f64) {
        let d = (got - want).abs();
        self.check(
            kind,
            what,
            if d.is_nan() { f64::INFINITY } else { d },
            tolerance,
        );
    }

    fn check(&mut self, kind: &'static str, what: &str, difference: f64, tolerance: f64) {
        assert!(
            difference <= tolerance,
            "{}: {what}: {kind} differs by {difference:.3e}, allowed {tolerance:.0e}",
            self.title
        );
        let found = (kind, difference, what.to_owned());
        match self.worst.iter_mut().find(|(k, ..)| *k == kind) {
            Some(worst) if worst.1 < difference => *worst = found,
            Some(_) => {}
            None => self.worst.push(found),
        }
    }

    /// Says how many cases ran and how close they came; none is a failure.
    pub fn finish(self) {
        assert!(self.cases > 0, "{}: no case was run", self.title);
        let worst: Vec<String> = self
            .worst
            .iter()
            .map(|(kind, difference, what)| format!("{kind} {difference:.1e} ({what})"))
            .collect();
        say(&format!(
            "{}: {} cases; largest differences: {}",
            self.title,
            self.cases,
            worst.join(", ")
        ));
    }
}
