//! Damaged media: every flip, cut and lie ends in a value or an error, never in a panic.

use corn_media::{AudioLimits, ImageLimits, MediaError, VideoLimits, read_audio, read_image, read_video};
use proptest::prelude::*;

const SOUNDS: [&[u8]; 5] = [
    include_bytes!("data/tone.wav"),
    include_bytes!("data/tone.mp3"),
    include_bytes!("data/tone.flac"),
    include_bytes!("data/tone.ogg"),
    include_bytes!("data/opus.ogg"),
];
const PICTURES: [&[u8]; 3] =
    [include_bytes!("data/chart.png"), include_bytes!("data/chart.jpg"), include_bytes!("data/chart.webp")];
const MOVING: [&[u8]; 3] = [
    include_bytes!("data/moving.gif"),
    include_bytes!("data/moving.png"),
    include_bytes!("data/moving.webp"),
];

const FILMS: [&[u8]; 10] = [
    include_bytes!("data/film/high.mp4"),
    include_bytes!("data/film/pieces.mp4"),
    include_bytes!("data/film/open.mp4"),
    include_bytes!("data/film/cavlc.mkv"),
    include_bytes!("data/film/tone.m4a"),
    include_bytes!("data/film/tone.webm"),
    include_bytes!("data/film/vorbis.webm"),
    include_bytes!("data/film/opus.mp4"),
    include_bytes!("data/film/alac.m4a"),
    include_bytes!("data/film/mono.aac"),
];
const FILES: usize = SOUNDS.len() + PICTURES.len() + MOVING.len() + FILMS.len();

fn all() -> Vec<&'static [u8]> {
    [&SOUNDS[..], &PICTURES[..], &MOVING[..], &FILMS[..]].concat()
}

fn read(bytes: &[u8]) {
    const SOUND: AudioLimits = AudioLimits { max_ms: 60_000 };
    const MOVING_BYTES: u64 = 1 << 22;
    const PICTURE: ImageLimits = ImageLimits { max_pixels: 1 << 20 };
    if let Ok(audio) = read_audio(bytes, SOUND) {
        assert!(!audio.samples.is_empty() && audio.duration_ms() <= SOUND.max_ms);
        assert!(audio.samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
    }
    if let Ok(image) = read_image(bytes, PICTURE) {
        let pixels = u64::from(image.width) * u64::from(image.height);
        assert!(pixels <= PICTURE.max_pixels && image.rgb.len() as u64 == pixels * 3);
    }
    if let Ok(video) = read_video(bytes, VideoLimits::from_bytes(MOVING_BYTES)) {
        let frames = || video.frames.iter();
        assert!(frames().map(|frame| frame.image.rgb.len() as u64).sum::<u64>() <= MOVING_BYTES);
        assert!(!video.frames.is_empty() && frames().is_sorted_by_key(|frame| frame.time_us));
    }
}

#[test]
fn every_cut_of_a_whole_file_is_an_error() {
    for bytes in SOUNDS {
        for length in (0..bytes.len()).step_by(37) {
            let outcome = read_audio(&bytes[..length], AudioLimits::default());
            assert!(outcome.is_err(), "{length} of {} bytes gave {outcome:?}", bytes.len());
        }
    }
    for bytes in PICTURES {
        for length in 0..bytes.len() - 1 {
            // What follows the last picture chunk of a PNG is only its end mark.
            let outcome = read_image(&bytes[..length], ImageLimits::default());
            let only_end_mark_missing = bytes[1] == b'P' && length >= bytes.len() - 16;
            assert!(outcome.is_err() || only_end_mark_missing, "{length} of {} bytes", bytes.len());
        }
    }
}

/// What is written while it is recorded cannot say how long it is; where that ends between two packets, it is whole.
#[test]
fn every_cut_of_a_film_that_says_how_long_it_is_is_an_error() {
    for bytes in [FILMS[0], FILMS[1], FILMS[3]] {
        for length in (0..bytes.len()).step_by(173) {
            let cut = &bytes[..length];
            let outcome = read_video(cut, VideoLimits::from_bytes(1 << 22));
            let pieces = cut.windows(4).any(|window| window == b"moof");
            assert!(outcome.is_err() || pieces, "{length} of {} bytes gave {outcome:?}", bytes.len());
        }
    }
}

#[test]
fn a_huge_picture_in_a_small_file_is_refused() {
    let mut png = PICTURES[0].to_vec();
    png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let error = read_image(&png, ImageLimits::default()).unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { .. } | MediaError::Malformed { .. }), "{error}");
    png[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let error = read_image(&png, ImageLimits::default()).unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { width: 16384, height: 16384, .. }), "{error}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(which in 0..FILES, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = all()[which].to_vec();
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        read(&bytes);
    }

    #[test]
    fn flipped_headers_never_panic(which in 0..FILES, flips in prop::collection::vec((0..96usize, any::<u8>()), 1..4)) {
        let mut bytes = all()[which].to_vec();
        for (at, value) in flips {
            bytes[at] = value;
        }
        read(&bytes);
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..600), which in 0..FILES, keep in 0..64usize) {
        let mut bytes = all()[which][..keep].to_vec();
        bytes.extend(noise);
        read(&bytes);
    }
}
