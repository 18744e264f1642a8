//! Changes the sample rate of sound.
//!
//! The ratio of two fixed rates is exact, so the synchronous FFT resampler is used: linear phase,
//! no settings to get wrong, aliasing below what 16 bits can show. Its delay is removed and the
//! length is exact, so that sound stays where it was in time.

use corn_core::datum::Audio;
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

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
        return Audio { rate_hz, samples: audio.samples.clone().into() };
    }
    let (from, to) = (audio.rate_hz as usize, rate_hz as usize);
    let frames = audio.samples.len();
    let wanted = ((frames as u128 * to as u128 * 2 + from as u128) / (2 * from as u128)) as usize;
    let mut resampler = Fft::<f32>::new_custom(
        from,
        to,
        block_frames(from, to),
        1,
        1,
        WindowFunction::BlackmanHarris2,
        FixedSync::Both,
    )
    .expect("rates and block are not zero");
    let input = SequentialSlice::new(&audio.samples, 1, frames).expect("one channel of `frames` samples");
    let output = resampler.process_all(&input, frames, None).expect("the buffers fit the resampler");
    let mut samples = output.take_data();
    samples.resize(wanted, 0.0);
    Audio { rate_hz, samples: samples.into() }
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
