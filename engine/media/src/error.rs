//! What can be wrong with media, in words for the person who sent it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use corn_core::fault::Fault;
use thiserror::Error;

use crate::sniff::MediaKind;

/// Why bytes are not the media they should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MediaError {
    /// There are no bytes at all.
    #[error("the {wanted} is empty (0 bytes); accepted are {}", accepted(.wanted))]
    Empty {
        /// `audio`, `image`, `video` or `media`.
        wanted: &'static str,
    },
    /// The content is of no format that is read.
    #[error("this is {found}, not {} that can be read; accepted are {}", noun(.wanted), accepted(.wanted))]
    NotAccepted {
        /// `audio`, `image`, `video` or `media`.
        wanted: &'static str,
        /// What the content is, as far as it can be told.
        found: String,
    },
    /// The format is read, but not this variant of it.
    #[error("this {kind} file uses {what}, which is not supported; {hint}")]
    Unsupported {
        /// The format.
        kind: MediaKind,
        /// The variant.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The bytes contradict themselves or the format.
    #[error("this {kind} file is damaged{}: {what}", at(*.offset))]
    Malformed {
        /// The format.
        kind: MediaKind,
        /// What is wrong.
        what: String,
        /// Byte at which it was seen, where known.
        offset: Option<u64>,
    },
    /// The bytes end too early.
    #[error("this {kind} file is cut off{}: {what}", at(*.offset))]
    Truncated {
        /// The format.
        kind: MediaKind,
        /// What is missing.
        what: String,
        /// Byte at which the missing part should start or continue, where known.
        offset: Option<u64>,
    },
    /// A sound without a single sample.
    #[error("this {kind} file holds no sound (0 samples)")]
    Silent {
        /// The format.
        kind: MediaKind,
    },
    /// A file of several media without the one that is asked for.
    #[error("this {kind} file has no {what} in it")]
    Lacks {
        /// The format.
        kind: MediaKind,
        /// `sound` or `pictures`.
        what: &'static str,
    },
    /// A sound longer than allowed.
    #[error("this {kind} file is too long: {} where at most {} are allowed", seconds(*.ms), seconds(*.max_ms))]
    TooLong {
        /// The format.
        kind: MediaKind,
        /// Its duration, or as much of it as was read before giving up.
        ms: u64,
        /// The bound.
        max_ms: u64,
    },
    /// A picture larger than allowed.
    #[error(
        "this {kind} picture is too large: {width}×{height} pixels where at most {max_pixels} in all are allowed"
    )]
    TooLarge {
        /// The format.
        kind: MediaKind,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The bound on their product.
        max_pixels: u64,
    },
    /// A video whose frames are more, or larger together, than allowed.
    #[error("this {kind} video is too large: only {frames} of its frames are within {bound}")]
    TooManyFrames {
        /// The format.
        kind: MediaKind,
        /// Frames that there is room for.
        frames: usize,
        /// The bound, for a person.
        bound: String,
    },
    /// What should be written cannot be.
    #[error("cannot write {kind}: {what}")]
    Write {
        /// The format.
        kind: MediaKind,
        /// Why.
        what: String,
    },
}

impl From<MediaError> for Fault {
    fn from(error: MediaError) -> Self {
        Self::request(error.to_string())
    }
}

fn accepted(wanted: &str) -> &'static str {
    match wanted {
        "audio" => {
            "WAV, MP3, FLAC, Ogg Vorbis, Ogg Opus and AAC, and the sound of MP4 (M4A, MOV) and Matroska (WebM)"
        }
        "video" => "MP4 (MOV) and Matroska in H.264, GIF, animated PNG and WebP, and pictures as frames",
        "media" => "PNG, JPEG, WebP and GIF; WAV, MP3, FLAC, Ogg and AAC; and MP4 (MOV) and Matroska (WebM)",
        _ => "PNG, JPEG, WebP and GIF",
    }
}

fn noun(wanted: &str) -> &'static str {
    match wanted {
        "audio" => "sound",
        "video" => "a video",
        "media" => "a picture, a sound or a video",
        _ => "a picture",
    }
}

fn at(offset: Option<u64>) -> String {
    offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:01} s", ms / 1000, ms % 1000 / 100)
}

/// Runs a third-party decoder on outside bytes; its panic becomes an error. The decoders are
/// hardened but not proven, and one request must never take a worker down.
pub(crate) fn contain<T>(
    kind: MediaKind,
    decode: impl FnOnce() -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(MediaError::Malformed { kind, what: "its decoder gave up on the content".into(), offset: None })
    })
}
