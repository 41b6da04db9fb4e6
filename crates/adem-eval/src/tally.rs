//! Counting what is right.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How many of how many are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Those that are right.
    pub right: usize,
    /// All.
    pub of: usize,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }

    /// The share that is right, in percent; `None` of nothing.
    pub fn percent(&self) -> Option<f64> {
        (self.of > 0).then(|| 100.0 * self.right as f64 / self.of as f64)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.of += other.of;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.percent() {
            // Rounding must never make a failure look flawless.
            Some(percent) if self.right < self.of => f.pad(&format!("{:.1}", percent.min(99.9))),
            Some(percent) => f.pad(&format!("{percent:.1}")),
            None => f.pad("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_shown_in_percent() {
        let shown = |right, of| Tally { right, of }.to_string();
        assert_eq!(shown(19, 20), "95.0");
        assert_eq!(shown(5, 5), "100.0");
        assert_eq!(shown(9999, 10_000), "99.9");
        assert_eq!(shown(0, 3), "0.0");
        assert_eq!(shown(0, 0), "-");
    }
}
