//! Sound as Whisper hears it: the logarithm of its energy in mel bands, a hundred times a second.
//!
//! The recipe is that of OpenAI's `whisper/audio.py`; the bands are those of `librosa.filters.mel`
//! with its defaults (Slaney's scale and norm), computed here instead of shipped as a file.

use std::f32::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::candle::dense::Rows;

/// Samples a second.
pub(super) const RATE_HZ: u32 = 16_000;
/// Samples of one window of Whisper: 30 s.
pub(super) const WINDOW: usize = 30 * RATE_HZ as usize;
/// Samples of one spectrum.
const SPECTRUM: usize = 400;
/// Samples from one spectrum to the next.
const HOP: usize = 160;
/// Frequencies of one spectrum.
const FREQUENCIES: usize = SPECTRUM / 2 + 1;

/// Computes the bands of sound.
pub(super) struct Mel {
    /// `bands × frequencies`.
    filters: Vec<Vec<f32>>,
    hann: Vec<f32>,
    transform: Arc<dyn RealToComplex<f32>>,
}

impl Mel {
    pub(super) fn new(bands: usize) -> Self {
        let hann = (0..SPECTRUM).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f32 / SPECTRUM as f32).cos()).collect();
        let transform = RealFftPlanner::new().plan_fft_forward(SPECTRUM);
        Self { filters: filters(bands), hann, transform }
    }

    /// The bands of at most 30 s, filled up with silence: 3000 rows.
    pub(super) fn bands(&self, samples: &[f32]) -> Rows {
        assert!(samples.len() <= WINDOW, "a window is at most 30 s");
        let silence = 1e-10f32.log10();
        let mut data = vec![silence; WINDOW / HOP * self.filters.len()];
        let mut frame = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        for (index, row) in data.chunks_exact_mut(self.filters.len()).enumerate() {
            // The frame's middle is at the hop; what lies before the start is mirrored.
            let start = (index * HOP) as isize - (SPECTRUM / 2) as isize;
            if start >= samples.len() as isize {
                break;
            }
            for (offset, (element, hann)) in frame.iter_mut().zip(&self.hann).enumerate() {
                let at = (start + offset as isize).unsigned_abs();
                // Mirrored at the end of the window too, which the last frame reaches past.
                let at = if at >= WINDOW { 2 * (WINDOW - 1) - at } else { at };
                *element = samples.get(at).copied().unwrap_or(0.0) * hann;
            }
            self.transform
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .expect("the buffers were made by the transform");
            let powers: Vec<f32> = spectrum.iter().map(Complex::norm_sqr).collect();
            for (band, filter) in row.iter_mut().zip(&self.filters) {
                let energy: f32 = filter.iter().zip(&powers).map(|(weight, power)| weight * power).sum();
                *band = energy.max(1e-10).log10();
            }
        }
        let loudest = data.iter().copied().fold(silence, f32::max);
        for band in &mut data {
            *band = (band.max(loudest - 8.0) + 4.0) / 4.0;
        }
        Rows::new(self.filters.len(), data)
    }
}

/// Triangles over the frequencies, evenly spaced on the mel scale, each of the same area.
fn filters(bands: usize) -> Vec<Vec<f32>> {
    let highest = to_mel(f64::from(RATE_HZ) / 2.0);
    let corners: Vec<f64> =
        (0..bands + 2).map(|index| to_hz(highest * index as f64 / (bands + 1) as f64)).collect();
    let frequency = |index: usize| index as f64 * f64::from(RATE_HZ) / SPECTRUM as f64;
    corners
        .windows(3)
        .map(|corner| {
            let (low, middle, high) = (corner[0], corner[1], corner[2]);
            let weight = |hz: f64| ((hz - low) / (middle - low)).min((high - hz) / (high - middle)).max(0.0);
            (0..FREQUENCIES).map(|index| (weight(frequency(index)) * 2.0 / (high - low)) as f32).collect()
        })
        .collect()
}

/// Slaney's mel scale (Auditory Toolbox, 1998): even up to 1000 Hz, then 27 mel for each factor of
/// 6.4.
const EVEN_HZ: f64 = 200.0 / 3.0;
const BREAK_HZ: f64 = 1000.0;
const BREAK_MEL: f64 = BREAK_HZ / EVEN_HZ;

fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn to_mel(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz / EVEN_HZ } else { BREAK_MEL + (hz / BREAK_HZ).ln() / log_step() }
}

fn to_hz(mel: f64) -> f64 {
    if mel < BREAK_MEL { mel * EVEN_HZ } else { BREAK_HZ * ((mel - BREAK_MEL) * log_step()).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_of_librosa() {
        let filters = filters(80);
        // Values of `librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)`, as shipped with Whisper.
        for (band, frequency, known) in [(0, 1, 0.024_862_594), (1, 1, 0.001_990_82), (1, 2, 0.022_871_772)] {
            let found = filters[band][frequency];
            assert!((found - known).abs() < 1e-7, "{found} for {known}");
        }
        assert_eq!(filters.len(), 80);
        // Each triangle has area 1 over its hertz, as far as 40 Hz apart can show it.
        let area = filters[79].iter().sum::<f32>() * 40.0;
        assert!((area - 1.0).abs() < 0.05, "{area}");
    }

    #[test]
    fn the_scale_turns_back() {
        for hz in [0.0, 440.0, 999.0, 1000.0, 4000.0, 8000.0] {
            assert!((to_hz(to_mel(hz)) - hz).abs() < 1e-9);
        }
        assert!((to_mel(1000.0) - 15.0).abs() < 1e-9);
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let tone: Vec<f32> = (0..16_000).map(|i| (2.0 * PI * 1000.0 * i as f32 / 16_000.0).sin()).collect();
        let bands = Mel::new(80).bands(&tone);
        assert_eq!((bands.count(), bands.width), (3000, 80));
        let row = bands.row(50);
        let loudest = (0..80).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        let corner = |index: usize| to_hz(to_mel(8000.0) * index as f64 / 81.0);
        assert!(corner(loudest) < 1000.0 && corner(loudest + 2) > 1000.0, "band {loudest}");
        // After the tone: 8 below the loudest, halved and shifted as Whisper wants it.
        assert!((bands.row(2000)[0] - (row[loudest] - 2.0)).abs() < 0.01);
    }

    #[test]
    fn silence_is_even() {
        let bands = Mel::new(80).bands(&[]);
        assert!(bands.data.iter().all(|band| (band + 1.5).abs() < 1e-6));
    }
}
