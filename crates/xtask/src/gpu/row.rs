//! A line of the table.

use std::fmt;

/// A line of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) batch: usize,
    pub(super) seconds: f64,
    pub(super) tokens: f64,
    pub(super) memory: Option<u64>,
    pub(super) flops: Option<f64>,
    pub(super) share: Option<f64>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        };
        let memory = self.memory.map(|bytes| bytes as f64 / f64::from(1 << 30));
        let flops = self.flops.map(|f| f / 1e12);
        let share = match self.share {
            Some(share) => format!("{:.1} %", 100.0 * share),
            None => "-".to_owned(),
        };
        write!(
            f,
            "| {} | {} | {:.4} | {:.0} | {} | {} | {share} |",
            self.name,
            self.batch,
            self.seconds,
            self.tokens,
            or_none(memory, 2),
            or_none(flops, 3)
        )
    }
}
