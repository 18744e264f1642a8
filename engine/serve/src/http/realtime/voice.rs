//! Where in a sound somebody speaks, told while it comes.
//!
//! The crate `earshot` scores each 16 ms by how much it sounds like a voice, of whatever loudness and in whatever language. Around
//! the scores stands what makes turns of them: a turn begins when most of the last scores are high, so that a click or a cough
//! begins none, and is over after a silence as long as was asked for.

use corn_media::Resampler;
use earshot::Detector;

/// The rate of sound in sessions.
pub(super) const RATE_HZ: u32 = 24_000;
/// The rate that scores are made at, and the samples of each.
const SCORED_HZ: u32 = 16_000;
const SCORED: usize = 256;
/// What a score is about, in samples of a session.
const FRAME: u64 = SCORED as u64 * RATE_HZ as u64 / SCORED_HZ as u64;
/// A turn begins when so many of the last scores are high.
const NEEDED: u32 = 5;
const OF_LAST: u32 = 8;
/// How much lower a score may be where somebody speaks already.
const SLACK: f32 = 0.15;

/// How long it takes to tell that somebody speaks, in samples of a session: that much must be kept besides what a turn is to
/// begin with.
pub(super) const TOLD_AFTER: u64 = FRAME * OF_LAST as u64 + RATE_HZ as u64 / 10;

/// How turns are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sensitivity {
    /// From 0 to 1; the higher, the clearer a voice must be.
    pub(super) threshold: f32,
    /// The silence that ends a turn.
    pub(super) silence_ms: u64,
}

/// What was heard, and at which sample since the listener began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Somebody began to speak there.
    Speech(u64),
    /// The silence after the last speech was long enough there.
    Silence(u64),
}

/// Listens to a sound that comes piece by piece.
pub(super) struct Listener {
    sensitivity: Sensitivity,
    resampler: Resampler,
    detector: Box<Detector>,
    /// At the rate of scores, too few for one.
    waiting: Vec<f32>,
    scored: u64,
    /// The last scores, the newest in the lowest bit; set where high.
    high: u32,
    /// While somebody speaks: how many scores were low since the last high one.
    speaking: Option<u64>,
}

impl Listener {
    pub(super) fn new(sensitivity: Sensitivity) -> Self {
        Self {
            sensitivity,
            resampler: Resampler::new(RATE_HZ, SCORED_HZ),
            detector: Detector::default_boxed(),
            waiting: Vec::new(),
            scored: 0,
            high: 0,
            speaking: None,
        }
    }

    pub(super) fn set(&mut self, sensitivity: Sensitivity) {
        self.sensitivity = sensitivity;
    }

    /// Whatever was said counts as over.
    pub(super) fn end_turn(&mut self) {
        (self.speaking, self.high) = (None, 0);
    }

    /// Takes more sound: samples of 16 bits at [`RATE_HZ`].
    pub(super) fn hear(&mut self, samples: &[i16]) -> Vec<Heard> {
        let samples: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        self.waiting.extend(self.resampler.push(&samples));
        let whole = self.waiting.len() / SCORED * SCORED;
        let frames: Vec<f32> = self.waiting.drain(..whole).collect();
        frames.chunks_exact(SCORED).filter_map(|frame| self.score(frame)).collect()
    }

    fn score(&mut self, frame: &[f32]) -> Option<Heard> {
        let score = self.detector.predict_f32(frame);
        self.scored += 1;
        let Sensitivity { threshold, silence_ms } = self.sensitivity;
        let Some(low) = &mut self.speaking else {
            self.high = (self.high << 1 | u32::from(score >= threshold)) & ((1 << OF_LAST) - 1);
            if self.high.count_ones() < NEEDED {
                return None;
            }
            let first = u64::from(u32::BITS - self.high.leading_zeros());
            (self.speaking, self.high) = (Some(0), 0);
            return Some(Heard::Speech(self.scored.saturating_sub(first) * FRAME));
        };
        *low = if score >= threshold - SLACK { 0 } else { *low + 1 };
        let silence = (silence_ms * u64::from(RATE_HZ) / 1000).div_ceil(FRAME);
        if *low < silence.max(1) {
            return None;
        }
        self.speaking = None;
        Some(Heard::Silence(self.scored * FRAME))
    }
}
