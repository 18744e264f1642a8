//! Changes the sample rate of sound.
//!
//! The ratio of two fixed rates is exact, so the synchronous FFT resampler is used: linear phase,
//! no settings to get wrong, aliasing below what 16 bits can show. Its delay is removed and the
//! length is exact, so that sound stays where it was in time.

use corn_core::datum::Audio;
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as RubatoResampler, WindowFunction};

/// Frames of the filter at the lower rate. The longer, the closer to the band's edge it cuts; this
/// keeps all below nine tenths of it.
const FILTER_FRAMES: usize = 512;

/// `audio` at `rate_hz` samples a second. The result has ⌊n × to ÷ from + ½⌋ samples; equal rates
/// give the same samples.
///
/// # Panics
/// If either rate is zero; [`read_audio`](crate::read_audio) never makes such sound.
pub fn resample(audio: &Audio, rate_hz: u32) -> Audio {
    assert!(audio.rate_hz > 0 && rate_hz > 0, "a sample rate is at least 1 Hz");
    if audio.rate_hz == rate_hz || audio.samples.is_empty() {
        return Audio { rate_hz, samples: audio.samples.clone() };
    }
    let mut resampler = Resampler::new(audio.rate_hz, rate_hz);
    let mut samples = resampler.push(&audio.samples);
    samples.extend(resampler.finish());
    Audio { rate_hz, samples: samples.into() }
}

/// Changes the rate of sound that comes piece by piece, without a seam between pieces: all that comes out together is
/// what [`resample`] makes of all that went in.
pub struct Resampler {
    from_hz: u32,
    to_hz: u32,
    /// None where the rates are equal.
    fft: Option<Fft<f32>>,
    /// Too few for a block.
    waiting: Vec<f32>,
    frames_in: u64,
    frames_out: u64,
    /// Output frames that are still to be left out: those of the filter's delay.
    delay: usize,
}

impl Resampler {
    /// From one rate to another, in samples a second.
    ///
    /// # Panics
    /// If either rate is zero.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        assert!(from_hz > 0 && to_hz > 0, "a sample rate is at least 1 Hz");
        let (from, to) = (from_hz as usize, to_hz as usize);
        let fft = (from != to).then(|| {
            let (block, window) = (block_frames(from, to), WindowFunction::BlackmanHarris2);
            Fft::<f32>::new_custom(from, to, block, 1, 1, window, FixedSync::Both)
                .expect("rates and block are not zero")
        });
        let delay = fft.as_ref().map_or(0, RubatoResampler::output_delay);
        Self { from_hz, to_hz, fft, waiting: Vec::new(), frames_in: 0, frames_out: 0, delay }
    }

    /// The rate of what goes in.
    pub const fn from_hz(&self) -> u32 {
        self.from_hz
    }

    /// Takes more sound, and returns what can be known without what comes after it.
    pub fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        self.frames_in += samples.len() as u64;
        let Some(fft) = &mut self.fft else { return samples.to_vec() };
        self.waiting.extend_from_slice(samples);
        let (block, mut at) = (fft.input_frames_next(), 0);
        let mut made = Vec::new();
        while self.waiting.len() - at >= block {
            let input = SequentialSlice::new(&self.waiting[at..at + block], 1, block);
            let input = input.expect("one channel of a block's samples");
            let output = fft.process(&input, None).expect("the buffers fit the resampler").take_data();
            let left_out = self.delay.min(output.len());
            self.delay -= left_out;
            made.extend_from_slice(&output[left_out..]);
            at += block;
        }
        self.waiting.drain(..at);
        self.frames_out += made.len() as u64;
        made
    }

    /// The end of the sound.
    pub fn finish(mut self) -> Vec<f32> {
        let Some(fft) = &self.fft else { return Vec::new() };
        let (from, to) = (u128::from(self.from_hz), u128::from(self.to_hz));
        let wanted = ((u128::from(self.frames_in) * to * 2 + from) / (2 * from)) as u64;
        let left = wanted.saturating_sub(self.frames_out) as usize;
        let silence = vec![0.0; fft.input_frames_next()];
        let mut made = Vec::new();
        while made.len() < left {
            made.extend(self.push(&silence));
        }
        made.truncate(left);
        made
    }
}

/// Turns pieces of sound into samples of one rate, without a seam between those that had one rate before.
pub struct OneRate {
    to_hz: u32,
    /// Of the pieces so far, which are of one rate.
    from: Option<Resampler>,
}

impl OneRate {
    /// To `to_hz` samples a second.
    pub const fn new(to_hz: u32) -> Self {
        Self { to_hz, from: None }
    }

    /// The samples of the next piece, as far as they are known before the piece after it.
    pub fn push(&mut self, audio: &Audio) -> Vec<f32> {
        let is_other = self.from.as_ref().is_some_and(|from| from.from_hz() != audio.rate_hz);
        let mut samples = if is_other { self.finish() } else { Vec::new() };
        let from = self.from.get_or_insert_with(|| Resampler::new(audio.rate_hz, self.to_hz));
        samples.extend(from.push(&audio.samples));
        samples
    }

    /// The samples that are left.
    pub fn finish(&mut self) -> Vec<f32> {
        self.from.take().map(Resampler::finish).unwrap_or_default()
    }
}

/// Input frames of one block: a multiple of the shortest span that is whole at both rates, and an
/// even one, because the filter's delay is half a block and must be whole to be removed.
fn block_frames(from: usize, to: usize) -> usize {
    let divisor = gcd(from, to);
    let pairs = FILTER_FRAMES.div_ceil(2 * (from.min(to) / divisor));
    2 * pairs * from / divisor
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
