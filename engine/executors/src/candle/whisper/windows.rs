//! Where sound is cut into pieces that Whisper can take, and which of them are silent.

use std::ops::Range;

use super::mel::{RATE_HZ, WINDOW};

/// Samples of one look at the loudness: 10 ms.
const HOP: usize = RATE_HZ as usize / 100;
/// Looks that a pause is averaged over: 300 ms.
const PAUSE: usize = 30;
/// Loudness (root mean square over 100 ms) below which nothing can be heard: −60 dB.
const AUDIBLE: f32 = 1e-3;

/// The next piece of `samples` from `start` on: the rest if it fits a window, else up to the
/// quietest moment of the window's last third.
pub(super) fn next_window(samples: &[f32], start: usize) -> Range<usize> {
    if samples.len() - start <= WINDOW {
        return start..samples.len();
    }
    start..quietest(samples, start + WINDOW * 2 / 3..start + WINDOW)
}

/// The two halves of a window, cut at the quietest moment of its middle half.
pub(super) fn halves(samples: &[f32], window: &Range<usize>) -> [Range<usize>; 2] {
    let quarter = window.len() / 4;
    let cut = quietest(samples, window.start + quarter..window.end - quarter);
    [window.start..cut, cut..window.end]
}

/// Whether nothing can be heard.
pub(super) fn is_silent(samples: &[f32]) -> bool {
    samples.chunks(HOP * 10).all(|chunk| energy(chunk) < AUDIBLE * AUDIBLE * chunk.len() as f32)
}

/// The middle of the quietest 300 ms within `range`; of equals the last.
fn quietest(samples: &[f32], range: Range<usize>) -> usize {
    let energies: Vec<f32> = samples[range.clone()].chunks(HOP).map(energy).collect();
    let pauses = energies.windows(PAUSE.min(energies.len())).map(|looks| looks.iter().sum::<f32>());
    let mut best = (range.start, f32::INFINITY);
    for (index, loudness) in pauses.enumerate() {
        if loudness <= best.1 {
            best = (range.start + (index + PAUSE / 2) * HOP, loudness);
        }
    }
    best.0.min(range.end)
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = RATE_HZ as usize;

    /// Loud sound of so many seconds, with 400 ms of quiet around each of `pauses` (in seconds).
    fn speech(seconds: usize, pauses: &[f32]) -> Vec<f32> {
        let mut samples: Vec<f32> =
            (0..seconds * SECOND).map(|i| if i % 2 == 0 { 0.3 } else { -0.3 }).collect();
        for pause in pauses {
            let middle = (pause * SECOND as f32) as usize;
            samples[middle - SECOND / 5..middle + SECOND / 5].fill(0.01);
        }
        samples
    }

    #[test]
    fn sound_that_fits_is_one_piece() {
        let samples = speech(30, &[]);
        assert_eq!(next_window(&samples, 0), 0..samples.len());
        assert_eq!(next_window(&samples, 30 * SECOND), samples.len()..samples.len());
    }

    #[test]
    fn longer_sound_is_cut_in_a_pause_and_nothing_is_lost() {
        let samples = speech(70, &[10.0, 25.0, 29.0, 52.5]);
        let mut start = 0;
        let mut cuts = Vec::new();
        while start < samples.len() {
            let window = next_window(&samples, start);
            assert_eq!(window.start, start);
            assert!(!window.is_empty() && window.len() <= WINDOW);
            start = window.end;
            cuts.push(start as f32 / SECOND as f32);
        }
        assert_eq!(cuts.len(), 3, "{cuts:?}");
        for (cut, pause) in cuts.iter().zip([29.0, 52.5, 70.0]) {
            assert!((cut - pause).abs() < 0.1, "{cuts:?}");
        }
    }

    #[test]
    fn a_window_is_halved_in_its_pause() {
        let samples = speech(20, &[1.0, 12.0]);
        let [first, second] = halves(&samples, &(0..samples.len()));
        assert_eq!((first.start, second.end), (0, samples.len()));
        assert_eq!(first.end, second.start);
        assert!((first.end as f32 / SECOND as f32 - 12.0).abs() < 0.1, "{first:?}");
    }

    #[test]
    fn silence_is_what_cannot_be_heard() {
        assert!(is_silent(&[]));
        assert!(is_silent(&vec![0.0005; SECOND]));
        let mut click = vec![0.0; SECOND];
        click[5000..6600].fill(0.05);
        assert!(!is_silent(&click));
    }
}
