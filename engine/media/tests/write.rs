//! What is written can be read: every format, as a whole and while it is made, against the samples that went in.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use corn_core::datum::Audio;
use corn_media::{AudioLimits, MediaKind, SoundFormat, SoundWriter, read_audio, sniff, write_sound};
use proptest::prelude::*;

/// Of each format: what its content is told for, and how much of the sound's power may be lost, in dB.
const FORMATS: [(SoundFormat, MediaKind, f32); 4] = [
    (SoundFormat::Wav, MediaKind::Wav, 80.0),
    (SoundFormat::Flac, MediaKind::Flac, 80.0),
    (SoundFormat::Mp3, MediaKind::Mp3, 20.0),
    (SoundFormat::Opus, MediaKind::OggOpus, 12.0),
];

/// A voice of seven harmonics that swells and falls.
fn voice(rate_hz: u32, samples: usize) -> Audio {
    let sample = |n: usize| {
        let t = n as f32 / rate_hz as f32;
        let swell = 0.5 + 0.5 * (t * 7.0).sin();
        let tone = |harmonic: u8| {
            let harmonic = f32::from(harmonic);
            (t * 150.0 * harmonic * std::f32::consts::TAU).sin() / harmonic
        };
        0.25 * swell * (1..8).map(tone).sum::<f32>()
    };
    Audio { rate_hz, samples: (0..samples).map(sample).collect() }
}

fn in_pieces(audio: &Audio, format: SoundFormat, pieces: &[usize]) -> Vec<u8> {
    let mut writer = SoundWriter::new(format);
    let (mut bytes, mut at) = (Vec::new(), 0);
    for length in pieces.iter().copied().chain([usize::MAX]) {
        let end = at + length.min(audio.samples.len() - at);
        let piece = Audio { rate_hz: audio.rate_hz, samples: audio.samples[at..end].to_vec().into() };
        bytes.extend(writer.push(&piece).unwrap());
        at = end;
    }
    bytes.extend(writer.finish().unwrap());
    bytes
}

/// Power of `wanted` over that of what differs in `got` from the sample `lag` on, in dB.
fn likeness(wanted: &[f32], got: &[f32], lag: usize) -> f32 {
    let pairs = || wanted.iter().zip(&got[lag..]);
    let power: f32 = wanted.iter().map(|it| it * it).sum();
    let lost: f32 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
    10.0 * (power / lost.max(1e-12)).log10()
}

fn read(bytes: &[u8]) -> Audio {
    read_audio(bytes, AudioLimits { max_ms: 60_000 }).unwrap()
}

#[test]
fn whole_sounds_are_read_as_they_were() {
    for rate_hz in [16_000, 22_050, 24_000, 44_100, 48_000] {
        let audio = voice(rate_hz, rate_hz as usize * 3 / 2 + 17);
        for (format, kind, at_least) in FORMATS {
            let bytes = write_sound(&audio, format).unwrap();
            assert_eq!(sniff(&bytes), Some(kind));
            let got = read(&bytes);
            let wanted = corn_media::resample(&audio, got.rate_hz);
            // Rounded when it was written, and now again.
            assert!(got.samples.len().abs_diff(wanted.samples.len()) <= 1, "{format:?} of {rate_hz} Hz");
            let like = likeness(&wanted.samples, &got.samples, 0);
            assert!(like >= at_least, "{format:?} of {rate_hz} Hz is like it by {like} dB");
        }
    }
}

#[test]
fn sounds_in_pieces_are_as_whole_ones() {
    let audio = voice(24_000, 40_000);
    let pieces = [1, 7, 0, 480, 12_000, 575, 577, 2304];
    for (format, kind, at_least) in FORMATS {
        let bytes = in_pieces(&audio, format, &pieces);
        assert_eq!(sniff(&bytes), Some(kind));
        let got = read(&bytes);
        // Without its first frame an MP3 does not say how late its sound comes.
        let lags = if format == SoundFormat::Mp3 { 1000..2500 } else { 0..1 };
        let start = &corn_media::resample(&audio, got.rate_hz).samples[..8000];
        let like = lags.map(|lag| likeness(start, &got.samples, lag)).fold(f32::MIN, f32::max);
        assert!(like >= at_least, "{format:?} is like it by {like} dB");
    }
    let pcm = in_pieces(&audio, SoundFormat::Pcm, &pieces);
    assert_eq!(pcm, write_sound(&audio, SoundFormat::Pcm).unwrap());
    assert_eq!(pcm.len(), audio.samples.len() * 2);
}

/// A listener hears the beginning long before the end is made.
#[test]
fn bytes_come_while_the_sound_is_made() {
    for rate_hz in [16_000, 24_000, 48_000] {
        let second = voice(rate_hz, rate_hz as usize);
        for (format, ..) in FORMATS {
            let mut writer = SoundWriter::new(format);
            for n in 0..4 {
                let bytes = writer.push(&second).unwrap();
                assert!(
                    bytes.len() > 1000,
                    "{format:?} at {rate_hz} Hz gave {} bytes in second {n}",
                    bytes.len()
                );
            }
        }
    }
}

#[test]
fn a_sound_of_nothing_and_one_of_no_numbers_are_files_too() {
    for (format, kind, _) in FORMATS {
        let nothing = SoundWriter::new(format).finish().unwrap();
        assert_eq!(sniff(&nothing), Some(kind), "{format:?}");
        let odd =
            Audio { rate_hz: 24_000, samples: [f32::NAN, f32::INFINITY, -9.0, 9.0].repeat(2000).into() };
        let got = read(&in_pieces(&odd, format, &[]));
        assert!(got.samples.iter().all(|sample| (-1.0..=1.0).contains(sample)), "{format:?}");
    }
    assert_eq!(SoundWriter::new(SoundFormat::Pcm).finish().unwrap(), Vec::<u8>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_of_any_rates_are_written(
        pieces in prop::collection::vec((prop::sample::select(vec![8000u32, 16_000, 22_050, 24_000, 44_100, 48_000]), 0..9000usize), 0..6),
    ) {
        for (format, ..) in FORMATS {
            let mut writer = SoundWriter::new(format);
            let mut bytes = Vec::new();
            let mut seconds = 0.0;
            for (rate_hz, samples) in &pieces {
                bytes.extend(writer.push(&voice(*rate_hz, *samples)).unwrap());
                seconds += *samples as f32 / *rate_hz as f32;
            }
            bytes.extend(writer.finish().unwrap());
            if seconds > 0.0 {
                let got = read(&bytes);
                let is = got.samples.len() as f32 / got.rate_hz as f32;
                // MP3 has whole frames, and the delays of encoder and decoder.
                prop_assert!((is - seconds).abs() < if format == SoundFormat::Mp3 { 0.2 } else { 0.01 }, "{format:?}: {is} for {seconds}");
            }
        }
    }
}
