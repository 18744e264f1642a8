//! Round trips, quality and bounds of reading, writing and resampling.

mod common;

use std::f64::consts::TAU;
use std::io::Cursor;

use common::share_of_power;
use corn_core::{Audio, Image};
use corn_media::{
    AudioLimits, Format, ImageLimits, MediaError, MediaKind, Resampler, VideoLimits, WavWriter, read_audio,
    read_image, read_video, resample, sniff, write_image, write_wav,
};

const TONE_WAV: &[u8] = include_bytes!("data/tone.wav");
const TONE_MP3: &[u8] = include_bytes!("data/tone.mp3");
const TONE_FLAC: &[u8] = include_bytes!("data/tone.flac");
const TONE_OGG: &[u8] = include_bytes!("data/tone.ogg");
const MOVING: [&[u8]; 3] = [
    include_bytes!("data/moving.gif"),
    include_bytes!("data/moving.png"),
    include_bytes!("data/moving.webp"),
];
const OPUS_OGG: &[u8] = include_bytes!("data/opus.ogg");
const CHART_PNG: &[u8] = include_bytes!("data/chart.png");
const CHART_JPG: &[u8] = include_bytes!("data/chart.jpg");
const CHART_WEBP: &[u8] = include_bytes!("data/chart.webp");

fn sine(rate_hz: u32, frequency: f64, frames: usize) -> Audio {
    let step = TAU * frequency / f64::from(rate_hz);
    Audio { rate_hz, samples: (0..frames).map(|n| (0.5 * (step * n as f64).sin()) as f32).collect() }
}

/// Signal to noise in dB of `audio` against a sine of `frequency` in phase, edges left out: there
/// a filter sees the silence around the sound.
fn snr_db(audio: &Audio, frequency: f64) -> f64 {
    let ideal = sine(audio.rate_hz, frequency, audio.samples.len());
    let edge = audio.samples.len() / 8;
    let inner = edge..audio.samples.len() - edge;
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let signal = power(&mut inner.clone().map(|n| f64::from(ideal.samples[n])));
    let noise = power(&mut inner.map(|n| f64::from(audio.samples[n]) - f64::from(ideal.samples[n])));
    10.0 * (signal / noise.max(1e-30)).log10()
}

#[test]
fn every_sound_format_gives_the_tone() {
    for (bytes, kind, rate_hz) in [
        (TONE_WAV, MediaKind::Wav, 8000),
        (TONE_MP3, MediaKind::Mp3, 16000),
        (TONE_FLAC, MediaKind::Flac, 16000),
        (TONE_OGG, MediaKind::OggVorbis, 16000),
        (OPUS_OGG, MediaKind::OggOpus, 48000),
    ] {
        assert_eq!(sniff(bytes), Some(kind));
        let audio = read_audio(bytes, AudioLimits::default()).unwrap();
        assert_eq!((audio.rate_hz, audio.samples.len()), (rate_hz, rate_hz as usize / 5), "{kind}");
        let share = share_of_power(&audio, 440.0);
        assert!(share > 0.99, "{kind}: {share} of the power is the tone's");
    }
}

#[test]
fn written_sound_reads_back_to_the_last_bit() {
    let samples = (0..=65535).map(|n| (n as f32 - 32768.0) / 32768.0).collect();
    let audio = Audio { rate_hz: 22_050, samples };
    let bytes = write_wav(&audio).unwrap();
    assert_eq!(bytes.len(), 44 + 65536 * 2);
    assert_eq!(read_audio(&bytes, AudioLimits::default()).unwrap(), audio);
}

#[test]
fn sound_written_in_pieces_is_the_same_and_playable_after_each_flush() {
    let audio = sine(16_000, 300.0, 5000);
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, 16_000).unwrap();
    for piece in audio.samples.chunks(777) {
        writer.write(piece).unwrap();
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(file.into_inner(), write_wav(&audio).unwrap());
}

#[test]
fn loud_and_senseless_samples_are_written_as_the_nearest_sound() {
    let audio = Audio { rate_hz: 8000, samples: vec![2.0, -7.0, f32::NAN, 0.5].into() };
    let read = read_audio(&write_wav(&audio).unwrap(), AudioLimits::default()).unwrap();
    assert_eq!(read.samples, [32767.0 / 32768.0, -1.0, 0.0, 0.5]);
}

#[test]
fn every_width_of_wav_sample_is_read() {
    let cases: [(u16, u16, Vec<u8>); 6] = [
        (1, 8, vec![192, 64]),
        (1, 16, [16384i16, -16384].iter().flat_map(|v| v.to_le_bytes()).collect()),
        (1, 24, [0x40_0000i32, -0x40_0000].iter().flat_map(|v| v.to_le_bytes()[..3].to_vec()).collect()),
        (1, 32, [0x4000_0000i32, -0x4000_0000].iter().flat_map(|v| v.to_le_bytes()).collect()),
        (3, 32, [0.5f32, -0.5].iter().flat_map(|v| v.to_le_bytes()).collect()),
        (3, 64, [0.5f64, -0.5].iter().flat_map(|v| v.to_le_bytes()).collect()),
    ];
    for (format, bits, samples) in cases {
        let audio = read_audio(&wav(format, 1, 8000, bits, &samples), AudioLimits::default()).unwrap();
        assert_eq!(audio.samples, [0.5, -0.5], "format {format}, {bits} bits");
    }
}

#[test]
fn channels_are_averaged_without_low_frequency_effects() {
    let stereo: Vec<u8> = [16384i16, 0, 8192, 8192].iter().flat_map(|v| v.to_le_bytes()).collect();
    let audio = read_audio(&wav(1, 2, 8000, 16, &stereo), AudioLimits::default()).unwrap();
    assert_eq!(audio.samples, [0.25, 0.25]);
    let surround: Vec<u8> =
        [1000i16, 1000, 1000, 30000, 1000, 1000].iter().flat_map(|v| v.to_le_bytes()).collect();
    let audio = read_audio(&wav(1, 6, 8000, 16, &surround), AudioLimits::default()).unwrap();
    assert!((audio.samples[0] - 1000.0 / 32768.0).abs() < 1e-6, "{:?}", audio.samples);
}

#[test]
fn sound_of_a_pipe_without_a_length_is_read_to_its_end() {
    let mut bytes = wav(1, 1, 8000, 16, &[0, 64, 0, 192]);
    bytes[4..8].fill(0xff);
    bytes[40..44].fill(0xff);
    let audio = read_audio(&bytes, AudioLimits::default()).unwrap();
    assert_eq!(audio.samples, [0.5, -0.5]);
}

#[test]
fn sound_over_48_khz_comes_at_48_khz() {
    let bytes = write_wav(&sine(96_000, 1000.0, 9600)).unwrap();
    let audio = read_audio(&bytes, AudioLimits::default()).unwrap();
    assert_eq!((audio.rate_hz, audio.samples.len()), (48_000, 4800));
    assert!(snr_db(&audio, 1000.0) > 80.0);
}

/// What is as loud as can be at every sample is louder between them.
#[test]
fn sound_at_another_rate_is_no_louder_than_it_may_be() {
    let mut state = 1u32;
    let loud = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { [0xff, 0x7f] } else { [0x00, 0x80] }
    };
    let bytes = wav(1, 1, 96_000, 16, &(0..9600).flat_map(loud).collect::<Vec<u8>>());
    let audio = read_audio(&bytes, AudioLimits::default()).unwrap();
    assert_eq!(audio.samples.len(), 4800);
    assert!(audio.samples.iter().all(|sample| sample.abs() <= 1.0));
}

/// Error at least 110 dB below the tone (16-bit sound itself has 98), for the rates that models use.
#[test]
fn resampling_keeps_a_tone_clean_and_in_phase() {
    let rates = [8000, 16_000, 22_050, 24_000, 44_100, 48_000];
    let mut worst = (f64::INFINITY, 0, 0);
    for from in rates {
        for to in rates.into_iter().filter(|to| *to != from) {
            let made = resample(&sine(from, 997.0, from as usize), to);
            assert_eq!(made.samples.len(), to as usize, "one second stays one second");
            worst = worst.min_by_db((snr_db(&made, 997.0), from, to));
        }
    }
    assert!(worst.0 > 110.0, "{worst:?}");
}

/// The same at least 60 dB below for rates that share no span: that is a hundredth of a sample too early or too late.
#[test]
fn resampling_from_odd_rates_keeps_a_tone_clean_and_in_phase() {
    let mut worst = (f64::INFINITY, 0, 0);
    for (from, to) in
        [(44_099, 16_000), (47_951, 24_000), (191_999, 48_000), (767_957, 48_000), (3_989, 48_000)]
    {
        let made = resample(&sine(from, 997.0, from as usize), to);
        assert_eq!(made.samples.len(), to as usize, "one second stays one second");
        worst = worst.min_by_db((snr_db(&made, 997.0), from, to));
    }
    assert!(worst.0 > 60.0, "{worst:?}");
    let made = resample(&sine(47_951, 11_000.0, 47_951), 16_000);
    let peak = made.samples[1000..15_000].iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    assert!(peak < 0.5 / 10_000.0, "an 11 kHz tone leaves {peak} at 16 kHz");
}

trait MinByDb {
    fn min_by_db(self, other: Self) -> Self;
}

impl MinByDb for (f64, u32, u32) {
    fn min_by_db(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }
}

#[test]
fn resampling_down_removes_what_would_alias() {
    let made = resample(&sine(48_000, 11_000.0, 48_000), 16_000);
    let inner = &made.samples[1000..15_000];
    let peak = inner.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    assert!(peak < 0.5 / 10_000.0, "an 11 kHz tone leaves {peak} at 16 kHz");
}

#[test]
fn sound_resampled_in_pieces_has_no_seams() {
    let tone = sine(22_050, 440.0, 10_000);
    let mut resampler = Resampler::new(22_050, 24_000);
    let mut samples = Vec::new();
    for piece in tone.samples.chunks(777) {
        samples.extend(resampler.push(piece));
    }
    samples.extend(resampler.finish());
    assert_eq!(samples[..], resample(&tone, 24_000).samples[..]);
}

#[test]
fn resampled_lengths_are_rounded_exactly() {
    let rates = [(22_050, 16_000), (16_000, 22_050), (44_100, 48_000), (48_000, 8000), (11_025, 16_000)];
    for (from, to) in rates.into_iter().chain([(767_957, 16_000), (1_009, 48_000)]) {
        for frames in [1usize, 2, 3, 159, 160, 161, 1023, 1024, 1025, 5000] {
            let exact = (frames as f64 * f64::from(to) / f64::from(from)).round() as usize;
            let made = resample(&sine(from, 100.0, frames), to);
            assert_eq!(made.samples.len(), exact, "{frames} frames from {from} to {to}");
        }
    }
    let same = sine(16_000, 440.0, 100);
    assert_eq!(resample(&same, 16_000), same);
    let nothing = Audio { rate_hz: 8000, samples: Vec::new().into() };
    assert_eq!(resample(&nothing, 16_000), Audio { rate_hz: 16_000, samples: Vec::new().into() });
}

#[test]
fn animations_give_their_frames_and_times() {
    for bytes in MOVING {
        let kind = sniff(bytes).unwrap();
        let video = read_video(bytes, VideoLimits::from_bytes(1 << 20)).unwrap();
        let times: Vec<u64> = video.frames.iter().map(|frame| frame.time_us).collect();
        assert_eq!(times, [0, 250_000, 500_000, 750_000], "{kind}");
        let sizes: Vec<u32> = video.frames.iter().map(|it| it.image.width * it.image.height).collect();
        assert_eq!(sizes, [48 * 32; 4], "{kind}");
        assert!(video.frames.windows(2).all(|pair| pair[0].image != pair[1].image), "{kind} moves");
        // As a picture it is its first frame.
        let first = read_image(bytes, ImageLimits::default()).unwrap();
        assert!(mean_difference(&first, &video.frames[0].image) < 1.0, "{kind}");
    }
    let still = read_video(CHART_JPG, VideoLimits::from_bytes(1 << 20)).unwrap();
    assert_eq!((still.frames.len(), still.frames[0].time_us), (1, 0));
}

#[test]
fn a_duration_over_the_limit_is_refused() {
    for bytes in [TONE_WAV, TONE_MP3, TONE_FLAC, TONE_OGG] {
        let error = read_audio(bytes, AudioLimits { max_ms: 150 }).unwrap_err();
        assert!(matches!(error, MediaError::TooLong { max_ms: 150, .. }), "{error}");
    }
    let hours = wav_header(1, 1, 8000, 16, 8000 * 2 * 3600 * 20);
    let error = read_audio(&hours, AudioLimits::default()).unwrap_err();
    assert!(matches!(error, MediaError::Truncated { .. }), "{error}");
}

#[test]
fn every_picture_format_gives_the_chart() {
    let chart = read_image(CHART_PNG, ImageLimits::default()).unwrap();
    assert_eq!((chart.width, chart.height), (48, 32));
    for bytes in [CHART_JPG, CHART_WEBP] {
        let other = read_image(bytes, ImageLimits::default()).unwrap();
        let apart = mean_difference(&chart, &other);
        assert!(apart < 20.0, "{:?} is {apart} apart from the chart", sniff(bytes));
    }
}

#[test]
fn lossless_pictures_read_back_to_the_last_bit() {
    let chart = read_image(CHART_PNG, ImageLimits::default()).unwrap();
    for format in [Format::Png, Format::WebpLossless] {
        let bytes = write_image(&chart, format).unwrap();
        assert!(read_image(&bytes, ImageLimits::default()).unwrap() == chart, "{format:?}");
    }
    let good = write_image(&chart, Format::Jpeg { quality: 95 }).unwrap();
    let poor = write_image(&chart, Format::Jpeg { quality: 10 }).unwrap();
    assert!(poor.len() < good.len());
    let apart = mean_difference(&chart, &read_image(&good, ImageLimits::default()).unwrap());
    assert!(apart < 20.0, "{apart}");
}

fn mean_difference(one: &Image, other: &Image) -> f64 {
    assert_eq!((one.width, one.height), (other.width, other.height));
    let total: u64 = one.rgb.iter().zip(&other.rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    total as f64 / one.rgb.len() as f64
}

#[test]
fn transparent_pixels_lie_on_white() {
    let rgba = [200, 100, 0, 255, 200, 100, 0, 0, 200, 100, 0, 51];
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, &rgba, 3, 1, image::ExtendedColorType::Rgba8).unwrap();
    let picture = read_image(&bytes, ImageLimits::default()).unwrap();
    assert_eq!(picture.rgb, [200, 100, 0, 255, 255, 255, 244, 224, 204].as_slice());
}

/// EXIF orientation 6: the camera was held so that the picture must be turned right by 90°.
#[test]
fn pictures_are_turned_upright() {
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut turned = CHART_JPG[..2].to_vec();
    turned.extend([0xff, 0xe1]);
    turned.extend(((exif.len() + 2) as u16).to_be_bytes());
    turned.extend(exif);
    turned.extend(&CHART_JPG[2..]);
    let flat = read_image(CHART_JPG, ImageLimits::default()).unwrap();
    let upright = read_image(&turned, ImageLimits::default()).unwrap();
    assert_eq!((upright.width, upright.height), (32, 48));
    let pixel = |image: &Image, x: u32, y: u32| {
        let at = 3 * (y * image.width + x) as usize;
        image.rgb[at..at + 3].to_vec()
    };
    assert_eq!(pixel(&upright, 31, 0), pixel(&flat, 0, 0));
    assert_eq!(pixel(&upright, 0, 47), pixel(&flat, 47, 31));
}

#[test]
fn a_picture_over_the_limit_is_refused_from_its_header() {
    for bytes in [CHART_PNG, CHART_JPG, CHART_WEBP] {
        let error = read_image(bytes, ImageLimits { max_pixels: 48 * 32 - 1 }).unwrap_err();
        assert!(matches!(error, MediaError::TooLarge { width: 48, height: 32, .. }), "{error}");
    }
}

#[test]
fn refusals_say_what_it_is_and_what_is_accepted() {
    let sound = |bytes: &[u8]| read_audio(bytes, AudioLimits { max_ms: 100 }).unwrap_err().to_string();
    let picture = |bytes: &[u8]| read_image(bytes, ImageLimits { max_pixels: 100 }).unwrap_err().to_string();
    let video = |bytes: &[u8]| read_video(bytes, VideoLimits::from_bytes(10_000)).unwrap_err().to_string();
    let cut_picture = |bytes: &[u8]| read_image(bytes, ImageLimits::default()).unwrap_err().to_string();
    let mut riff = TONE_WAV.to_vec();
    riff.truncate(4000);
    let cut_jpeg = &CHART_JPG[..CHART_JPG.len() - 40];
    insta::assert_snapshot!(
        [
            sound(b""),
            sound(b"hello"),
            sound(CHART_PNG),
            sound(OPUS_OGG),
            sound(TONE_MP3),
            sound(&riff),
            sound(&wav(1, 1, 8000, 16, &[])),
            sound(&wav(1, 0, 8000, 16, &[])),
            sound(&wav(2, 1, 8000, 4, &[0; 64])),
            sound(&wav(1, 1, 0, 16, &[0; 64])),
            sound(&TONE_OGG[..TONE_OGG.len() - 10]),
            sound(&TONE_FLAC[..2000]),
            sound(&wav(3, 1, 8000, 32, &f32::NAN.to_le_bytes())),
            picture(b""),
            picture(TONE_FLAC),
            picture(b"BM6\0"),
            picture(b"GIF89a"),
            video(b""),
            video(b"\0\0\0\x08ftypisom"),
            video(b"\0\0\0\x14ftypavif"),
            video(b"\x1a\x45\xdf\xa3"),
            video(b"RIFF\0\0\0\0AVI LIST"),
            video(b"\x47\x40\x11\x10"),
            video(MOVING[0]),
            picture(CHART_JPG),
            cut_picture(cut_jpeg),
            cut_picture(&CHART_PNG[..200]),
            cut_picture(&CHART_WEBP[..200]),
        ]
        .join("\n")
    );
}

/// A WAV file of one chunk of format and one of sound.
fn wav(format: u16, channels: u16, rate_hz: u32, bits: u16, samples: &[u8]) -> Vec<u8> {
    let mut bytes = wav_header(format, channels, rate_hz, bits, samples.len() as u32);
    bytes.extend(samples);
    bytes
}

fn wav_header(format: u16, channels: u16, rate_hz: u32, bits: u16, sound_bytes: u32) -> Vec<u8> {
    let block = channels * bits.div_ceil(8);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + sound_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate_hz.to_le_bytes());
    bytes.extend((rate_hz * u32::from(block)).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(sound_bytes.to_le_bytes());
    bytes
}
