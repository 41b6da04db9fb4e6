//! Learning-rate schedule: linear warm-up from zero, then half a cosine (paper, section 4).

use serde::{Deserialize, Serialize};

/// The learning rate of every step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Highest learning rate.
    pub lr: f64,
    /// Learning rate at the end.
    #[serde(default)]
    pub min_lr: f64,
    /// Length of the warm-up, in the unit of `total`.
    pub warmup: f64,
    /// Length of the run: epochs or steps.
    pub total: f64,
}

impl Schedule {
    /// The learning rate at `progress`, in the unit of `total`.
    pub fn at(&self, progress: f64) -> f64 {
        if progress < self.warmup {
            return self.lr * progress / self.warmup;
        }
        let share = (progress - self.warmup) / (self.total - self.warmup);
        let wave = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        self.min_lr + (self.lr - self.min_lr) * wave
    }
}

/// The learning rate of every step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The learning rate by progress.
    pub schedule: Schedule,
    /// Steps in one unit of the schedule: of an epoch, or 1.
    pub steps_per_unit: f64,
    /// Steps that the first one counts as done: 0 starts at the warm-up's zero, as the authors do.
    pub lead: u64,
}

impl Rate {
    /// The learning rate of a step; the first one is step 0.
    pub fn of(&self, step: u64) -> f64 {
        self.schedule
            .at((step + self.lead) as f64 / self.steps_per_unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_linearly_peaks_at_the_warm_ups_end_and_falls_to_the_minimum() {
        let s = Schedule {
            lr: 2.0,
            min_lr: 0.5,
            warmup: 10.0,
            total: 110.0,
        };
        assert_eq!(s.at(0.0), 0.0);
        assert_eq!(s.at(5.0), 1.0);
        assert_eq!(s.at(10.0), 2.0);
        assert!((s.at(60.0) - 1.25).abs() < 1e-12);
        assert!((s.at(110.0) - 0.5).abs() < 1e-12);
    }
}
