//! Films, and the sound of containers: pictures as FFmpeg decodes them, when they are shown, and what is refused.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod common;

use common::share_of_power;
use corn_core::Video;
use corn_media::{
    AudioLimits, MediaError, MediaKind, VideoLimits, modality, read_audio, read_image, read_video, sniff,
};
use corn_plan::{FrameRate, Modality};

macro_rules! film {
    ($name:literal) => {
        ($name, include_bytes!(concat!("data/film/", $name)).as_slice())
    };
}

type File = (&'static str, &'static [u8]);

const FILMS: [File; 6] = [
    film!("high.mp4"),
    film!("baseline.mov"),
    film!("pieces.mp4"),
    film!("open.mp4"),
    film!("cavlc.mkv"),
    film!("full.mp4"),
];
const ROOM: u64 = 1 << 24;

fn video(bytes: &[u8]) -> Video {
    read_video(bytes, VideoLimits::from_bytes(ROOM)).unwrap()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), step)
    })
}

#[test]
fn pictures_are_those_of_ffmpeg_to_the_last_bit() {
    let expected = include_str!("data/film/frames.txt");
    for (name, bytes) in FILMS {
        let expected: Vec<Vec<&str>> = expected
            .lines()
            .map(|line| line.split(' ').collect())
            .filter(|line: &Vec<_>| line[0] == name)
            .collect();
        let video = video(bytes);
        assert_eq!(video.frames.len(), expected.len(), "{name}");
        // Where nothing says when a film begins, it begins at 0.
        let begins: u64 = if name == "pieces.mp4" { expected[0][1].parse().unwrap() } else { 0 };
        for (frame, line) in video.frames.iter().zip(&expected) {
            let image = &frame.image;
            let said = format!("{} {}x{}", frame.time_us + begins, image.width, image.height);
            assert_eq!(said, format!("{} {}", line[1], line[2]), "{name}");
            for (channel, mean) in line[4..].iter().enumerate() {
                let values = image.rgb.iter().skip(channel).step_by(3);
                let mine = values.map(|value| f64::from(*value)).sum::<f64>() / (image.rgb.len() / 3) as f64;
                let mean: f64 = mean.parse().unwrap();
                assert!((mine - mean).abs() < 2.5, "{name}: {mine} is not {mean} at {} µs", frame.time_us);
            }
            assert_eq!(format!("{:08x}", crc32(&image.rgb)), line[3], "{name} at {} µs", frame.time_us);
        }
    }
}

#[test]
fn sound_comes_out_of_every_container() {
    // What the container says of silence at both ends is left out; ADTS has nowhere to say it, and FFmpeg says it of no pieces.
    for ((name, bytes), samples) in [
        (film!("tone.m4a"), 23_040),
        (film!("alac.m4a"), 4_800),
        (film!("flac.mp4"), 23_040),
        (film!("opus.mp4"), 23_040),
        (film!("mp3.mp4"), 23_040),
        (film!("mono.aac"), 24_576),
        (film!("tone.webm"), 23_040),
        (film!("vorbis.webm"), 23_040),
        (film!("vp9.webm"), 23_040),
        (film!("high.mp4"), 23_040),
        (film!("pieces.mp4"), 24_576),
        (film!("cavlc.mkv"), 23_040),
    ] {
        let audio =
            read_audio(bytes, AudioLimits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let share = share_of_power(&audio, 440.0);
        assert_eq!((audio.rate_hz, audio.samples.len()), (48_000, samples), "{name}, {share} of it the tone");
        // Silence that is not left out takes its share twice: of the tone's power, and of its length.
        let toned = 23_040.min(samples) as f64 / samples as f64;
        assert!(share > 0.97 * toned * toned, "{name}: {share} of the power is the tone's");
        let error = read_audio(bytes, AudioLimits { max_ms: 90 }).unwrap_err();
        assert!(matches!(error, MediaError::TooLong { max_ms: 90, .. }), "{name}: {error}");
    }
}

#[test]
fn containers_are_told_by_their_content() {
    for ((name, bytes), kind) in [
        (film!("high.mp4"), MediaKind::Mp4),
        (film!("baseline.mov"), MediaKind::Mp4),
        (film!("tone.m4a"), MediaKind::Mp4),
        (film!("cavlc.mkv"), MediaKind::Matroska),
        (film!("tone.webm"), MediaKind::WebM),
        (film!("mono.aac"), MediaKind::Aac),
    ] {
        assert_eq!(sniff(bytes), Some(kind), "{name}");
    }
    assert_eq!(sniff(b"\0\0\0\x1cftypavif\0\0\0\0"), None);
}

/// Where the content of the first box of `kind` begins.
fn box_at(bytes: &[u8], kind: [u8; 4]) -> usize {
    bytes.windows(4).position(|window| window == kind).unwrap() + 4
}

/// Phones leave pictures as their sensor has them, and write how the phone was held.
#[test]
fn pictures_are_turned_upright() {
    let (_, bytes) = FILMS[0];
    let flat = video(bytes);
    let pixel = |video: &Video, x: u32, y: u32| {
        let image = &video.frames[0].image;
        let at = 3 * (y * image.width + x) as usize;
        image.rgb[at..at + 3].to_vec()
    };
    let (right, below) = (178 - 1, 102 - 1);
    // The matrix, the size, and where the first and the last pixel come to lie.
    for (matrix, size, first, last) in [
        ([0, 1, -1, 0], (102, 178), (below, 0), (0, right)),
        ([-1, 0, 0, -1], (178, 102), (right, below), (0, 0)),
        ([0, -1, 1, 0], (102, 178), (0, right), (below, 0)),
    ] {
        let mut turned = bytes.to_vec();
        let at = box_at(&turned, *b"tkhd") + 40;
        for (value, place) in matrix.into_iter().zip([0, 4, 12, 16]) {
            turned[at + place..at + place + 4].copy_from_slice(&i32::to_be_bytes(value << 16));
        }
        let turned = video(&turned);
        let image = &turned.frames[0].image;
        assert_eq!((image.width, image.height), size, "{matrix:?}");
        assert_eq!(pixel(&turned, first.0, first.1), pixel(&flat, 0, 0), "{matrix:?}");
        assert_eq!(pixel(&turned, last.0, last.1), pixel(&flat, right, below), "{matrix:?}");
    }
}

#[test]
fn what_an_edit_leaves_out_is_not_shown() {
    let (_, bytes) = FILMS[0];
    let all = video(bytes);
    let mut later = bytes.to_vec();
    // Version, count, how long; then where it starts, in units of which the header of the media says the number.
    let at = box_at(&later, *b"elst") + 12;
    let start = i32::from_be_bytes(later[at..at + 4].try_into().unwrap());
    let head = box_at(&later, *b"mdhd") + 12;
    let picture = i32::from_be_bytes(later[head..head + 4].try_into().unwrap()) / 25;
    later[at..at + 4].copy_from_slice(&(start + 3 * picture).to_be_bytes());
    let later = video(&later);
    assert_eq!(later.frames.len(), 9);
    for (frame, whole) in later.frames.iter().zip(&all.frames[3..]) {
        assert_eq!((frame.time_us, &frame.image), (whole.time_us - 120_000, &whole.image));
    }
}

#[test]
fn films_are_held_to_their_bounds_before_they_are_decoded() {
    let picture = 178 * 102 * 3;
    let (_, high) = FILMS[0];
    // Nothing can be decoded of it: only its tables are left.
    let mut tables = high.to_vec();
    let at = box_at(&tables, *b"mdat");
    let length = u32::from_be_bytes(tables[at - 8..at - 4].try_into().unwrap()) as usize - 8;
    tables[at..at + length].fill(0xff);
    let error = read_video(&tables, VideoLimits::from_bytes(12 * picture - 1)).unwrap_err();
    assert!(matches!(error, MediaError::TooManyFrames { frames: 11, .. }), "{error}");
    let error = read_video(&tables, VideoLimits::from_bytes(picture - 1)).unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { width: 178, height: 102, .. }), "{error}");
    let error = read_video(&tables, VideoLimits::from_bytes(12 * picture)).unwrap_err();
    assert!(matches!(error, MediaError::Malformed { .. }), "{error}");
    assert_eq!(read_video(high, VideoLimits::from_bytes(12 * picture)).unwrap().frames.len(), 12);
    let (_, matroska) = FILMS[4];
    let error = read_video(matroska, VideoLimits::from_bytes(96 * 64 * 3 * 12 - 1)).unwrap_err();
    assert!(matches!(error, MediaError::TooManyFrames { frames: 11, .. }), "{error}");
}

/// What is not shown takes its time too.
#[test]
fn a_film_of_which_little_is_shown_is_held_to_its_bounds() {
    let (_, bytes) = FILMS[0];
    let mut late = bytes.to_vec();
    let (at, head) = (box_at(&late, *b"elst") + 12, box_at(&late, *b"mdhd") + 12);
    let picture = i32::from_be_bytes(late[head..head + 4].try_into().unwrap()) / 25;
    let start = i32::from_be_bytes(late[at..at + 4].try_into().unwrap());
    late[at..at + 4].copy_from_slice(&(start + 10 * picture).to_be_bytes());
    assert_eq!(read_video(&late, VideoLimits::from_bytes(3 * 178 * 102 * 3)).unwrap().frames.len(), 2);
    let error = read_video(&late, VideoLimits::from_bytes(2 * 178 * 102 * 3)).unwrap_err();
    assert!(matches!(error, MediaError::TooManyFrames { .. }), "{error}");
}

/// A table can claim far more than the file has.
#[test]
fn tables_that_claim_more_than_there_is_are_refused() {
    let (_, bytes) = FILMS[0];
    let sizes = box_at(bytes, *b"stsz") + 4;
    for (one, count) in [(1, u32::MAX), (0, u32::MAX), (u32::MAX, 12), (1 << 10, 1 << 20)] {
        let mut wrong = bytes.to_vec();
        wrong[sizes..sizes + 4].copy_from_slice(&one.to_be_bytes());
        wrong[sizes + 4..sizes + 8].copy_from_slice(&count.to_be_bytes());
        let error = read_video(&wrong, VideoLimits::from_bytes(ROOM)).unwrap_err();
        let is_told = matches!(error, MediaError::Malformed { .. } | MediaError::Truncated { .. });
        assert!(is_told, "{one} {count}: {error}");
    }
}

/// Of each half second the first picture, whichever way it is decoded, so far less room is needed.
#[test]
fn films_are_thinned_while_they_are_decoded() {
    let at = |bytes: &[u8], thousandths: u32, max_bytes: u64| {
        read_video(bytes, VideoLimits { rate: Some(FrameRate(thousandths)), max_bytes })
    };
    for (name, bytes) in FILMS {
        let whole = video(bytes);
        for thousandths in [1000, 2000, 5000, 7500, 12_500, 25_000, 1_000_000] {
            let rate = FrameRate(thousandths);
            let thinned = at(bytes, thousandths, ROOM).unwrap();
            let expected = whole.thinned(rate).unwrap_or_else(|| whole.clone());
            assert!(thinned == expected, "{name} at {rate}: {thinned:?} where {expected:?} is expected");
            assert!(thinned.thinned(rate).is_none(), "{name} at {rate}");
        }
        let frame = whole.frames[0].image.rgb.len() as u64;
        let few = at(bytes, 5000, ROOM).unwrap().frames.len() as u64;
        assert!(few < whole.frames.len() as u64, "{name}");
        assert!(at(bytes, 5000, few * frame).is_ok(), "{name}");
        // More is left out than may be decoded where no rate is named.
        assert_eq!(at(bytes, 1000, frame).unwrap().frames.len(), 1, "{name}");
        let error = at(bytes, 5000, few * frame - 1).unwrap_err().to_string();
        let said = format!("only {} of its frames are within", few - 1);
        assert!(few == 1 || error.contains(&said), "{name}: {error}");
    }
}

#[test]
fn what_moves_is_thinned_too() {
    let rate = |thousandths| Some(FrameRate(thousandths));
    let moving = include_bytes!("data/moving.gif");
    let times = |thousandths| {
        let video = read_video(moving, VideoLimits { rate: rate(thousandths), max_bytes: ROOM }).unwrap();
        video.frames.iter().map(|frame| frame.time_us / 1000).collect::<Vec<_>>()
    };
    assert_eq!(times(2000), [0, 500]);
    assert_eq!(times(100), [0]);
    assert_eq!(times(1_000_000), [0, 250, 500, 750]);
}

/// Where any of the media is taken, the file says which it is.
#[test]
fn a_film_without_pictures_is_a_sound() {
    let cases = [
        (film!("high.mp4"), Modality::Video),
        (film!("cavlc.mkv"), Modality::Video),
        // Why it is not read, its reader says.
        (film!("hevc.mp4"), Modality::Video),
        (film!("vp9.webm"), Modality::Video),
        (film!("tone.m4a"), Modality::Audio),
        (film!("flac.mp4"), Modality::Audio),
        (film!("tone.webm"), Modality::Audio),
        (film!("mono.aac"), Modality::Audio),
        (("moving.gif", include_bytes!("data/moving.gif")), Modality::Image),
    ];
    for ((name, bytes), is) in cases {
        assert_eq!(modality(bytes).unwrap(), is, "{name}");
    }
    let (_, whole) = film!("tone.m4a");
    assert_eq!(modality(&whole[..100]).unwrap(), Modality::Video);
    assert!(modality(b"").unwrap_err().to_string().starts_with("the media is empty"));
    let said = modality(b"hello").unwrap_err().to_string();
    assert!(
        said.starts_with("this is plain text, not a picture, a sound or a video that can be read"),
        "{said}"
    );
}

#[test]
fn refusals_name_the_coding() {
    let pictures = [
        film!("hevc.mp4"),
        film!("av1.mp4"),
        film!("part2.mp4"),
        film!("444.mp4"),
        film!("10bit.mp4"),
        film!("interlaced.mp4"),
        film!("vp9.webm"),
        film!("tone.m4a"),
        film!("tone.webm"),
        film!("mono.aac"),
    ];
    let mut said: Vec<String> = pictures
        .iter()
        .map(|(name, bytes)| {
            format!("{name}: {}", read_video(bytes, VideoLimits::from_bytes(ROOM)).unwrap_err())
        })
        .collect();
    let sound = |bytes: &[u8]| read_audio(bytes, AudioLimits::default()).unwrap_err();
    said.extend(
        [film!("ac3.mp4"), film!("baseline.mov")].map(|(name, bytes)| format!("{name}: {}", sound(bytes))),
    );
    let mut named = |what: &str, kind: &[u8; 4], to: &[u8; 4], (_, bytes): File| {
        let mut bytes = bytes.to_vec();
        let at = box_at(&bytes, *kind) - 4;
        bytes[at..at + 4].copy_from_slice(to);
        said.push(format!("{what}: {}", sound(&bytes)));
    };
    named("encrypted", b"mp4a", b"enca", film!("tone.m4a"));
    named("AMR", b"mp4a", b"samr", film!("tone.m4a"));
    let (_, whole) = film!("tone.m4a");
    said.push(format!("cut: {}", sound(&whole[..whole.len() / 2])));
    let (_, whole) = film!("tone.webm");
    said.push(format!("cut: {}", sound(&whole[..whole.len() - 3])));
    said.push(format!("too many: {}", read_video(FILMS[0].1, VideoLimits::from_bytes(100_000)).unwrap_err()));
    said.push(format!(
        "a picture: {}",
        read_image(FILMS[0].1, corn_media::ImageLimits::default()).unwrap_err()
    ));
    insta::assert_snapshot!(said.join("\n"));
}
