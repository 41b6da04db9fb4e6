//! Where the time goes.

use serde::{Deserialize, Serialize};
use web_time::Instant;

/// Measures milliseconds; `performance.now()` in a browser.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start.
    pub fn ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1000.0
    }
}

/// Where the time of one request went, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Decoding, resizing and normalising the picture; 0 for one that was seen last time, too.
    pub picture_ms: f64,
    /// Vision encoder and visual prompt; 0 for a picture that was seen last time, too.
    pub vision_ms: f64,
    /// The prompt, up to the first token.
    pub prefill_ms: f64,
    /// All steps after the first, that which found the end included.
    pub decode_ms: f64,
    /// How many steps `decode_ms` covers.
    pub decode_steps: usize,
    /// Kernels launched for each of them; `None` where Burn's own operations have part in it.
    pub launches: Option<u64>,
}

impl Timings {
    /// Decode steps per second; `None` where there was none.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let timed = self.decode_steps > 0 && self.decode_ms > 0.0;
        timed.then(|| self.decode_steps as f64 * 1000.0 / self.decode_ms)
    }
}
