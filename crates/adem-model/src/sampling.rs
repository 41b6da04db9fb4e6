//! Choosing the next token from logits.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The most probable token.
    #[default]
    Greedy,
    /// A random token (nucleus sampling, arXiv 1904.09751).
    TopP {
        /// Logits are divided by this; above 1 is bolder, towards 0 is greedy.
        temperature: f64,
        /// Only the most probable tokens that make up this share are drawn from, in (0, 1].
        top_p: f64,
        /// Equal seeds give equal texts.
        seed: u64,
    },
}

impl Sampling {
    fn validate(&self) -> Result<(), ModelError> {
        let Self::TopP {
            temperature, top_p, ..
        } = self
        else {
            return Ok(());
        };
        if !(temperature.is_finite() && *temperature > 0.0) {
            return Err(ModelError::argument(
                "temperature",
                format!("is {temperature}, must be greater than 0 (greedy: leave it out)"),
            ));
        }
        if !(*top_p > 0.0 && *top_p <= 1.0) {
            return Err(ModelError::argument(
                "top_p",
                format!("is {top_p}, must be in (0, 1]"),
            ));
        }
        Ok(())
    }
}

/// Draws tokens; owns the random state.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    ///
    /// # Errors
    /// [`ModelError::Argument`] for a temperature or top-p out of range.
    pub fn new(sampling: Sampling) -> Result<Self, ModelError> {
        sampling.validate()?;
        let seed = match sampling {
            Sampling::Greedy => 0,
            Sampling::TopP { seed, .. } => seed,
        };
        Ok(Self {
            sampling,
            rng: ChaCha8Rng::seed_from_u64(seed),
        })
    }

    /// The next token from the logits of the whole vocabulary.
    ///
    /// # Errors
    /// [`ModelError::NanLogits`] when no logit is the largest.
    pub fn choose(&mut self, logits: &[f32]) -> Result<u32, ModelError> {
        if logits.is_empty() || logits.iter().any(|l| l.is_nan()) {
            return Err(ModelError::NanLogits);
        }
        Ok(match self.sampling {
            Sampling::Greedy => argmax(logits),
            Sampling::TopP {
                temperature, top_p, ..
            } => nucleus(logits, temperature, top_p, self.rng.random::<f64>()),
        })
    }
}

/// The first of the largest.
fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, l) in logits.iter().enumerate() {
        if *l > logits[best] {
            best = i;
        }
    }
    best as u32
}

/// The token at `draw`, uniform in [0, 1), of the smallest most-probable set holding `top_p`.
fn nucleus(logits: &[f32], temperature: f64, top_p: f64, draw: f64) -> u32 {
    let top = f64::from(logits[argmax(logits) as usize]);
    let mut order: Vec<(usize, f64)> = logits
        .iter()
        .enumerate()
        .map(|(i, l)| (i, ((f64::from(*l) - top) / temperature).exp()))
        .collect();
    // Stable: equal probabilities keep the vocabulary's order on every platform.
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f64 = order.iter().map(|(_, p)| p).sum();
    let mut kept = 0.0;
    let mut count = 0;
    for (_, p) in &order {
        kept += p;
        count += 1;
        if kept >= top_p * total {
            break;
        }
    }
    let mut left = draw * kept;
    for (i, p) in &order[..count] {
        left -= p;
        if left < 0.0 {
            return *i as u32;
        }
    }
    order[count - 1].0 as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tiny_temperature_is_greedy(
            logits in proptest::collection::vec(-5i16..5, 1..50), draw in 0.0f64..1.0
        ) {
            let mut logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let best = argmax(&logits);
            logits[best as usize] += 1.0;
            prop_assert_eq!(nucleus(&logits, 1e-3, 1.0, draw), best);
        }

        #[test]
        fn a_tiny_nucleus_is_greedy(
            logits in proptest::collection::vec(-5.0f32..5.0, 1..50), draw in 0.0f64..1.0
        ) {
            prop_assert_eq!(nucleus(&logits, 1.0, 1e-9, draw), argmax(&logits));
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.0f32, (3.0f32).ln(), f32::NEG_INFINITY];
        let mut sampler = Sampler::new(Sampling::TopP {
            temperature: 1.0,
            top_p: 1.0,
            seed: 7,
        })
        .unwrap();
        let mut counts = [0u32; 3];
        for _ in 0..4000 {
            counts[sampler.choose(&logits).unwrap() as usize] += 1;
        }
        assert_eq!(counts[2], 0);
        assert!((2850..3150).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn equal_seeds_give_equal_texts_and_bad_settings_are_refused() {
        let logits: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin()).collect();
        let draw = |seed| {
            let mut s = Sampler::new(Sampling::TopP {
                temperature: 0.8,
                top_p: 0.9,
                seed,
            })
            .unwrap();
            (0..20)
                .map(|_| s.choose(&logits).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        for (temperature, top_p) in [(0.0, 0.5), (f64::NAN, 0.5), (1.0, 0.0), (1.0, 1.5)] {
            assert!(
                Sampler::new(Sampling::TopP {
                    temperature,
                    top_p,
                    seed: 0
                })
                .is_err()
            );
        }
        assert!(
            Sampler::new(Sampling::Greedy)
                .unwrap()
                .choose(&[1.0, f32::NAN])
                .is_err()
        );
    }
}
