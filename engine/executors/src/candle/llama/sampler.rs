//! Chooses the next token from its logits.

use corn_core::Fault;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// 0 takes the likeliest token; 1 samples from the model's own distribution.
    pub(super) temperature: f64,
    /// Only the likeliest tokens that together have this probability are considered.
    pub(super) top_p: f64,
    /// The same seed gives the same answer.
    pub(super) seed: u64,
    /// Logits of tokens that the text has already are made this many times smaller.
    pub(super) repetition_penalty: Option<f32>,
}

impl Choice {
    /// Checks what a request may set.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if !(0.0..=10.0).contains(&self.temperature) {
            return Err(Fault::request(format!(
                "temperature is {}; it must be between 0 and 10",
                self.temperature
            )));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Fault::request(format!(
                "top_p is {}; it must be greater than 0 and at most 1",
                self.top_p
            )));
        }
        Ok(())
    }
}

/// Chooses the tokens of one answer.
pub(super) struct Sampler {
    choice: Choice,
    random: ChaCha8Rng,
}

impl Sampler {
    pub(super) fn new(choice: Choice) -> Self {
        Self { choice, random: ChaCha8Rng::seed_from_u64(choice.seed) }
    }

    /// The next token. `seen` are the tokens so far, of prompt and answer.
    pub(super) fn sample(&mut self, logits: &mut [f32], seen: &[u32]) -> u32 {
        self.discourage(logits, seen);
        if self.choice.temperature == 0.0 {
            return likeliest(logits);
        }
        let candidates = self.candidates(logits);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        // 53 random bits: every float between 0 and 1 that has them is equally likely.
        let mut left = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * total;
        for (token, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        candidates.last().map_or(0, |(token, _)| *token)
    }

    /// Tokens with their weights, likeliest first, as many as reach `top_p`.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let mut candidates: Vec<(u32, f64)> = (0..)
            .zip(logits)
            .map(|(token, logit)| (token, ((f64::from(*logit) - largest) / self.choice.temperature).exp()))
            // What is below is never drawn but would be sorted.
            .filter(|(_, weight)| *weight > 1e-9)
            .collect();
        // The token breaks ties, so that the order does not depend on the sort.
        candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let enough = candidates.iter().map(|(_, weight)| weight).sum::<f64>() * self.choice.top_p;
        let mut sum = 0.0;
        let count = candidates.iter().take_while(|(_, weight)| {
            let is_needed = sum < enough;
            sum += weight;
            is_needed
        });
        let count = count.count();
        candidates.truncate(count.max(1));
        candidates
    }

    /// The repetition penalty of CTRL (<https://arxiv.org/abs/1909.05858>), once for each token.
    fn discourage(&self, logits: &mut [f32], seen: &[u32]) {
        let Some(penalty) = self.choice.repetition_penalty else { return };
        let mut seen = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }
}

/// The first of the largest.
fn likeliest(logits: &[f32]) -> u32 {
    // The largest of each lane first, which can be found abreast; then where the largest of all stands.
    let mut lanes = [f32::NEG_INFINITY; 16];
    for logits in logits.chunks(lanes.len()) {
        for (most, logit) in lanes.iter_mut().zip(logits) {
            *most = if *logit > *most { *logit } else { *most };
        }
    }
    let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|logit| *logit >= largest).unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: Choice = Choice { temperature: 1.0, top_p: 1.0, seed: 1, repetition_penalty: None };

    fn draws(choice: Choice, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(choice);
        (0..count).map(|_| sampler.sample(&mut logits.to_vec(), &[])).collect()
    }

    #[test]
    fn temperature_zero_takes_the_likeliest_and_of_equals_the_first() {
        let choice = Choice { temperature: 0.0, ..CHOICE };
        assert_eq!(draws(choice, &[0.0, 3.0, 3.0, -1.0], 3), [1, 1, 1]);
    }

    #[test]
    fn a_seed_gives_the_same_tokens_and_another_seed_others() {
        let logits = [1.0, 1.1, 0.9, 1.05];
        assert_eq!(draws(CHOICE, &logits, 40), draws(CHOICE, &logits, 40));
        assert_ne!(draws(CHOICE, &logits, 40), draws(Choice { seed: 2, ..CHOICE }, &logits, 40));
    }

    #[test]
    fn draws_follow_the_distribution() {
        // Probabilities 1/2, 1/4, 1/4.
        let logits = [2f32.ln(), 0.0, 0.0];
        let drawn = draws(CHOICE, &logits, 4000);
        let share = drawn.iter().filter(|token| **token == 0).count() as f64 / 4000.0;
        assert!((share - 0.5).abs() < 0.03, "{share}");
        // At temperature 1/2 the odds are squared: 4 to 1 to 1.
        let cold = draws(Choice { temperature: 0.5, ..CHOICE }, &logits, 4000);
        let share = cold.iter().filter(|token| **token == 0).count() as f64 / 4000.0;
        assert!((share - 2.0 / 3.0).abs() < 0.03, "{share}");
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_it() {
        let logits = [0.4f32.ln(), 0.3f32.ln(), 0.2f32.ln(), 0.1f32.ln()];
        let kept = |top_p| {
            let mut kept = draws(Choice { top_p, ..CHOICE }, &logits, 500);
            kept.sort_unstable();
            kept.dedup();
            kept
        };
        assert_eq!(kept(0.3), [0]);
        assert_eq!(kept(0.6), [0, 1]);
        assert_eq!(kept(1.0), [0, 1, 2, 3]);
    }

    #[test]
    fn a_penalty_makes_seen_tokens_less_likely() {
        let choice = Choice { temperature: 0.0, repetition_penalty: Some(2.0), ..CHOICE };
        let mut sampler = Sampler::new(choice);
        assert_eq!(sampler.sample(&mut [3.0, 2.0, -1.0], &[]), 0);
        assert_eq!(sampler.sample(&mut [3.0, 2.0, -1.0], &[0, 0]), 1);
    }

    #[test]
    fn values_outside_their_range_are_the_requests_fault() {
        for (temperature, top_p) in [(-0.1, 1.0), (f64::NAN, 1.0), (1.0, 0.0), (1.0, 1.1), (1.0, f64::NAN)] {
            let fault = Choice { temperature, top_p, ..CHOICE }.check().unwrap_err();
            assert_eq!(fault.blame, corn_core::Blame::Request, "{fault}");
        }
        assert!(CHOICE.check().is_ok());
    }
}
