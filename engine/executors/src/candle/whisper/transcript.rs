//! The transcript of one window as it is written: which token comes next, and when it is no good.

/// Mean log-likelihood of the tokens below which a transcript is a guess.
const GUESS: f32 = -1.0;
/// Likelihood of nobody speaking from which a guess is dropped.
const NOBODY: f32 = 0.6;
/// Tokens that a repetition spans before it is taken for a loop, and times that it repeats.
const LOOP_TOKENS: usize = 16;
const LOOP_TIMES: usize = 4;

/// What was written of a window.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) tokens: Vec<u32>,
    log_likelihood: f32,
    /// Likelihood that nobody speaks.
    no_speech: f32,
}

impl Transcript {
    /// A transcript of nothing yet; `no_speech` is the likelihood that nothing is to come.
    pub(super) fn new(no_speech: f32) -> Self {
        Self { no_speech, ..Self::default() }
    }

    /// The likeliest token, taken note of.
    pub(super) fn choose(&mut self, logits: &[f32]) -> u32 {
        let (token, likelihood) = likeliest(logits);
        self.log_likelihood += likelihood.ln();
        self.tokens.push(token);
        token
    }

    /// Whether this is a guess at silence or noise.
    pub(super) fn is_guess(&self) -> bool {
        let mean = self.log_likelihood / self.tokens.len().max(1) as f32;
        self.no_speech > NOBODY && mean < GUESS
    }

    /// If the end repeats itself, how many tokens are left when it is said once.
    pub(super) fn looping(&self) -> Option<usize> {
        let count = self.tokens.len();
        (1..=count / LOOP_TIMES).find_map(|period| {
            let span = (period * LOOP_TIMES).max(LOOP_TOKENS.next_multiple_of(period));
            let end = self.tokens.get(count.checked_sub(span)?..)?;
            end.iter().zip(&end[period..]).all(|(a, b)| a == b).then_some(count - span + period)
        })
    }
}

/// The likeliest token and its likelihood; of equals the first.
pub(super) fn likeliest(logits: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, logit) in (0..).zip(logits) {
        if *logit > best.1 {
            best = (token, *logit);
        }
    }
    let sum: f32 = logits.iter().map(|logit| (logit - best.1).exp()).sum();
    (best.0, 1.0 / sum)
}

/// The likelihood of one token.
pub(super) fn likelihood(logits: &[f32], token: u32) -> f32 {
    let (best, likelihood) = likeliest(logits);
    let logit = |token: u32| logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    likelihood * (logit(token) - logit(best)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tokens: impl IntoIterator<Item = u32>) -> Transcript {
        Transcript { tokens: tokens.into_iter().collect(), ..Transcript::default() }
    }

    #[test]
    fn loops_are_found_whatever_their_period() {
        for period in [1, 2, 5, 30] {
            let opening = [900, 901, 902];
            let said_once = opening.len() + period;
            let looped = opening.into_iter().chain((0..200).map(|i| i % period as u32));
            let mut transcript = of(looped);
            let left = transcript.looping().unwrap();
            transcript.tokens.truncate(left);
            // Before it was found it was said more often; it is cut to within the loop.
            assert!(left >= said_once && left < 203, "period {period}: {left}");
        }
    }

    #[test]
    fn speech_that_repeats_a_little_is_left_alone() {
        assert_eq!(of([7; 10]).looping(), None);
        assert_eq!(of((0..60).map(|i| i % 30)).looping(), None);
        assert_eq!(of(0..200).looping(), None);
        assert_eq!(of([]).looping(), None);
    }

    #[test]
    fn a_loop_just_begun_is_cut_to_its_first_round() {
        let mut transcript = of([900].into_iter().chain((0..20).map(|i| i % 5)));
        let left = transcript.looping().unwrap();
        transcript.tokens.truncate(left);
        assert_eq!(transcript.tokens, [900, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn likelihoods_sum_to_one() {
        let logits = [1.0, 2.0, f32::NEG_INFINITY, 0.5];
        assert!(((0..4).map(|token| likelihood(&logits, token)).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(likeliest(&logits).0, 1);
        assert_eq!(likelihood(&logits, 2).to_bits(), 0f32.to_bits());
        assert_eq!(likelihood(&logits, 9).to_bits(), 0f32.to_bits());
    }

    #[test]
    fn only_unlikely_words_in_likely_silence_are_a_guess() {
        let transcript =
            |no_speech, log_likelihood| Transcript { tokens: vec![1, 2], no_speech, log_likelihood };
        assert!(transcript(0.9, -3.0).is_guess());
        assert!(!transcript(0.9, -1.0).is_guess());
        assert!(!transcript(0.1, -3.0).is_guess());
    }
}
