//! Where in a sound somebody speaks, told while it comes.
//!
//! The crate `earshot` scores each 16 ms by how much it sounds like a voice, of whatever loudness and in whatever
//! language. Around the scores stands what makes turns of them: a turn begins when most of the last scores are high,
//! so that a click or a cough begins none, and is over after a silence as long as was asked for.

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
/// Where nobody speaks yet, a score must be higher than the threshold by this part of what is left above it: until
/// the detector is used to a noise, it takes it for a voice a little.
const RISE: f64 = 0.32;

/// How long it takes to tell that somebody speaks, in samples of a session: that much must be kept besides what a
/// turn is to begin with.
pub(super) const TOLD_AFTER: u64 = FRAME * OF_LAST as u64 + RATE_HZ as u64 / 10;

/// How turns are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sensitivity {
    /// From 0 to 1; the higher, the clearer a voice must be.
    pub(super) threshold: f64,
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
        let score = f64::from(self.detector.predict_f32(frame));
        self.scored += 1;
        let Sensitivity { threshold, silence_ms } = self.sensitivity;
        let Some(low) = &mut self.speaking else {
            let needed = threshold + RISE * (1.0 - threshold);
            self.high = (self.high << 1 | u32::from(score >= needed)) & ((1 << OF_LAST) - 1);
            if self.high.count_ones() < NEEDED {
                return None;
            }
            let first = u64::from(u32::BITS - self.high.leading_zeros());
            (self.speaking, self.high) = (Some(0), 0);
            return Some(Heard::Speech(self.scored.saturating_sub(first) * FRAME));
        };
        *low = if score >= threshold { 0 } else { *low + 1 };
        let silence = (silence_ms * u64::from(RATE_HZ) / 1000).div_ceil(FRAME);
        if *low < silence.max(1) {
            return None;
        }
        self.speaking = None;
        Some(Heard::Silence(self.scored * FRAME))
    }
}

#[cfg(test)]
mod tests {
    use corn_media::{AudioLimits, read_audio, resample};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const USUAL: Sensitivity = Sensitivity { threshold: 0.5, silence_ms: 500 };

    /// What a person says in 2 s.
    fn speech(loudness: f32) -> Vec<f32> {
        let wav = include_bytes!("../../../../../dsl-examples/media/question.wav");
        let audio = resample(&read_audio(wav, AudioLimits { max_ms: 10_000 }).unwrap(), RATE_HZ);
        audio.samples.iter().map(|sample| sample * loudness).collect()
    }

    fn noise(seconds: f32, loudness: f32) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let samples = (seconds * RATE_HZ as f32) as usize;
        (0..samples).map(|_| random.random_range(-loudness..=loudness)).collect()
    }

    fn tone(seconds: f32, hz: f32) -> Vec<f32> {
        let samples = (seconds * RATE_HZ as f32) as usize;
        let phase = |n: usize| n as f32 * hz * std::f32::consts::TAU / RATE_HZ as f32;
        (0..samples).map(|n| phase(n).sin() * 0.3).collect()
    }

    /// What is heard in the sound, with times in ms, where it comes in pieces of so many samples.
    fn heard(sound: &[f32], piece: usize, sensitivity: Sensitivity) -> Vec<(bool, u64)> {
        let samples: Vec<i16> = sound.iter().map(|sample| (sample * 32_767.0) as i16).collect();
        let mut listener = Listener::new(sensitivity);
        let heard = samples.chunks(piece).flat_map(|piece| listener.hear(piece));
        let ms = |at: u64| at * 1000 / u64::from(RATE_HZ);
        heard
            .map(|heard| match heard {
                Heard::Speech(at) => (true, ms(at)),
                Heard::Silence(at) => (false, ms(at)),
            })
            .collect()
    }

    #[test]
    fn a_turn_is_found_in_silence_and_in_noise() {
        for (loudness, around) in [(1.0, 0.0), (0.1, 0.0), (1.0, 0.01), (0.2, 0.002)] {
            let mut sound = noise(1.0, around);
            let words = speech(loudness);
            let end_ms = 1000 + words.len() as u64 / 24;
            sound.extend(words.iter().zip(noise(10.0, around)).map(|(word, noise)| word + noise));
            sound.extend(noise(1.5, around));
            let turns = heard(&sound, 480, USUAL);
            let [(true, begin), (false, end)] = turns[..] else {
                panic!("{loudness} in {around}: {turns:?}")
            };
            assert!((900..1700).contains(&begin), "{loudness} in {around}: begins at {begin}");
            assert!(
                (end_ms - 800..end_ms + 700).contains(&end),
                "{loudness} in {around}: ends at {end} of {end_ms}"
            );
        }
    }

    #[test]
    fn nothing_is_heard_where_nobody_speaks() {
        let clicks: Vec<f32> = (0..RATE_HZ * 3).map(|n| if n % 12_000 < 24 { 0.9 } else { 0.0 }).collect();
        for (what, sound) in [
            ("silence", vec![0.0; 72_000]),
            ("faint noise", noise(3.0, 0.003)),
            ("loud noise", noise(3.0, 0.5)),
            ("a hum", tone(3.0, 50.0)),
            ("a beep", tone(3.0, 1000.0)),
            ("clicks", clicks),
        ] {
            assert_eq!(heard(&sound, 2400, USUAL), [], "{what}");
        }
    }

    #[test]
    fn pieces_do_not_matter() {
        let mut sound = speech(1.0);
        sound.extend(vec![0.0; 24_000]);
        let whole = heard(&sound, sound.len(), USUAL);
        assert_eq!(whole.len(), 2);
        for piece in [1, 77, 384, 4800] {
            assert_eq!(heard(&sound, piece, USUAL), whole);
        }
    }

    #[test]
    fn a_short_silence_ends_a_turn_sooner() {
        let mut sound = speech(1.0);
        sound.extend(vec![0.0; 48_000]);
        let end =
            |silence_ms| heard(&sound, 480, Sensitivity { silence_ms, ..USUAL }).last().copied().unwrap().1;
        assert_eq!(end(1200) - end(800), 400);
    }
}
