//! Changes the sample rate of sound.
//!
//! The ratio of two fixed rates is exact, so the synchronous FFT resampler is used: linear phase,
//! no settings to get wrong, aliasing below what 16 bits can show. Its block is a span that is whole at both rates, which
//! is long for rates that no recorder has; for these a filter is interpolated, whose cost is that of the sound. The delay is
//! removed and the length is exact, so that sound stays where it was in time.

use corn_core::datum::Audio;
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Resampler as RubatoResampler, SincInterpolationParameters,
    WindowFunction,
};

/// Frames of the filter at the lower rate. The longer, the closer to the band's edge it cuts; this
/// keeps all below nine tenths of it.
const FILTER_FRAMES: usize = 512;
/// Most frames of a block, at either rate.
const MAX_BLOCK_FRAMES: usize = 1 << 16;
/// Frames at once where the filter is interpolated, and the longest such filter.
const CHUNK_FRAMES: usize = 4096;
const MAX_FILTER_FRAMES: usize = 16 * FILTER_FRAMES;
const WINDOW: WindowFunction = WindowFunction::BlackmanHarris2;

/// `audio` at `rate_hz` samples a second, from −1 to 1. The result has ⌊n × to ÷ from + ½⌋ samples; equal rates
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
    filter: Option<Box<dyn RubatoResampler<f32>>>,
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
        let Some(Made { filter, silence, delay }) =
            (from_hz != to_hz).then(|| filter(from_hz as usize, to_hz as usize))
        else {
            let (waiting, delay) = (Vec::new(), 0);
            return Self { from_hz, to_hz, filter: None, waiting, frames_in: 0, frames_out: 0, delay };
        };
        let waiting = vec![0.0; silence];
        Self { from_hz, to_hz, filter: Some(filter), waiting, frames_in: 0, frames_out: 0, delay }
    }

    /// The rate of what goes in.
    pub const fn from_hz(&self) -> u32 {
        self.from_hz
    }

    /// Takes more sound, and returns what can be known without what comes after it.
    pub fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        self.frames_in += samples.len() as u64;
        let Some(filter) = &mut self.filter else { return samples.to_vec() };
        self.waiting.extend_from_slice(samples);
        let (block, mut at) = (filter.input_frames_next(), 0);
        let mut made = Vec::new();
        while self.waiting.len() - at >= block {
            let input = SequentialSlice::new(&self.waiting[at..at + block], 1, block);
            let input = input.expect("one channel of a block's samples");
            let output = filter.process(&input, None).expect("the buffers fit the resampler").take_data();
            let left_out = self.delay.min(output.len());
            self.delay -= left_out;
            // Between loud samples a sound may be louder than any of them, and than the loudest there is.
            made.extend(output[left_out..].iter().map(|sample| sample.clamp(-1.0, 1.0)));
            at += block;
        }
        self.waiting.drain(..at);
        self.frames_out += made.len() as u64;
        made
    }

    /// The end of the sound.
    pub fn finish(mut self) -> Vec<f32> {
        let Some(filter) = &self.filter else { return Vec::new() };
        let (from, to) = (u128::from(self.from_hz), u128::from(self.to_hz));
        let wanted = ((u128::from(self.frames_in) * to * 2 + from) / (2 * from)) as u64;
        let left = wanted.saturating_sub(self.frames_out) as usize;
        let silence = vec![0.0; filter.input_frames_next()];
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

/// A filter from one rate to another.
struct Made {
    filter: Box<dyn RubatoResampler<f32>>,
    /// Input frames to put before the sound.
    silence: usize,
    /// Output frames to leave out, as long as the filter's delay and that silence.
    delay: usize,
}

fn filter(from: usize, to: usize) -> Made {
    let block = block_frames(from, to);
    if block.max(block * to / from) <= MAX_BLOCK_FRAMES {
        let fft = Fft::<f32>::new_custom(from, to, block, 1, 1, WINDOW, FixedSync::Both);
        let fft = fft.expect("rates and block are not zero");
        return Made { silence: 0, delay: fft.output_delay(), filter: Box::new(fft) };
    }
    let frames = (FILTER_FRAMES / 2 * from.div_ceil(to)).min(MAX_FILTER_FRAMES);
    let parameters = SincInterpolationParameters::new(frames, WINDOW);
    let ratio = to as f64 / from as f64;
    let chunk = (MAX_BLOCK_FRAMES * from / to).clamp(1, CHUNK_FRAMES);
    let sinc = Async::<f32>::new_sinc(ratio, 1.0, &parameters, chunk, 1, FixedAsync::Input);
    // Which output frame falls on the first of the sound: the first frame is a step after the filter meets the sound, and
    // the filter's middle is a point of its table before half of it. With the right silence before the sound that is
    // nearly a whole number.
    let before = frames as f64 / 2.0 - 1.0 / parameters.oversampling_factor as f64;
    let delay = |silence: usize| (before + silence as f64) * ratio - 1.0;
    let off = |silence: &usize| (delay(*silence) - delay(*silence).round()).abs();
    let silence = (0..CHUNK_FRAMES).filter(|silence| delay(*silence) > -0.5);
    let silence = silence.min_by(|one, other| off(one).total_cmp(&off(other))).unwrap_or_default();
    let delay = delay(silence).round() as usize;
    Made { filter: Box::new(sinc.expect("rates and chunk are not zero")), silence, delay }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_of_rates_needs_a_long_block() {
        let rates = [1_000, 1_009, 8_000, 44_099, 44_100, 48_000, 191_999, 192_000, 767_957, 768_000];
        for from in rates {
            for to in rates.into_iter().filter(|to| *to != from) {
                let Made { filter, .. } = filter(from, to);
                let frames = filter.input_frames_next().max(filter.output_frames_next());
                assert!(frames <= MAX_BLOCK_FRAMES + 1, "{frames} from {from} to {to}");
            }
        }
    }
}
