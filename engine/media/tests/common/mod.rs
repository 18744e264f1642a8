//! What several tests measure.

use std::f64::consts::TAU;

use corn_core::Audio;

/// How much of the power of `audio` lies at `frequency` (Goertzel), from 0 to 1.
pub(crate) fn share_of_power(audio: &Audio, frequency: f64) -> f64 {
    let step = TAU * frequency / f64::from(audio.rate_hz);
    let (mut re, mut im, mut total) = (0.0, 0.0, 0.0);
    for (n, sample) in audio.samples.iter().enumerate() {
        let (value, angle) = (f64::from(*sample), step * n as f64);
        re += value * angle.cos();
        im += value * angle.sin();
        total += value * value;
    }
    2.0 * (re * re + im * im) / (total * audio.samples.len() as f64)
}
