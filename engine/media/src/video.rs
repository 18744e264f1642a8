//! Reads videos: films, and what the decoders of pictures can do, which is GIF, and PNG and WebP that move; and a
//! picture that does not, which is a video of one frame.

use std::io::Cursor;

use corn_core::datum::{Frame, Image, Video};
use corn_plan::FrameRate;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, Frames, ImageDecoder, Limits};

use crate::error::{MediaError, contain};
use crate::picture::{ImageLimits, failed, flatten, read_image};
use crate::sniff::{MediaKind, describe, sniff};
use crate::{film, riff};

/// Most frames, however small they are.
pub(crate) const MAX_FRAMES: usize = 16_384;
/// How long a frame is shown that says nothing of it, or nothing that can be seen; browsers show it so.
const UNSAID_US: u64 = 100_000;
const SHORTEST_US: u64 = 11_000;

/// The largest video that is decoded, and how many of its frames are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoLimits {
    /// Of the frames in each interval at this rate the first is kept; none keeps them all.
    pub rate: Option<FrameRate>,
    /// Most bytes of those that are kept, three a pixel.
    pub max_bytes: u64,
}

impl VideoLimits {
    /// So many bytes of all frames.
    pub const fn from_bytes(max_bytes: u64) -> Self {
        Self { rate: None, max_bytes }
    }

    /// Most bytes that may be decoded, whether they are kept or not: where frames are left out, of a film that has
    /// [`USUAL_FPS`] as many as fill the bound, within reason.
    pub(crate) fn work(self) -> u64 {
        let left_out = self.rate.map_or(0, |FrameRate(rate)| USUAL_FPS * 1000 / u64::from(rate.max(1)));
        self.max_bytes.saturating_mul(left_out.clamp(LEAST_WORK, MOST_WORK))
    }
}

/// Frames a second of films as they are recorded.
const USUAL_FPS: u64 = 30;
/// How much more may be decoded than is kept: what an edit leaves out is decoded for what refers to it.
const LEAST_WORK: u64 = 4;
const MOST_WORK: u64 = 16;

/// Decodes a film in MP4 or Matroska whose pictures are H.264, a GIF, a PNG or WebP that may be animated, or a JPEG. Each frame is the whole picture as it is shown, on
/// white where it is transparent; all together are held to the limits before and while they are decoded.
///
/// # Errors
/// If it is none of these, damaged, or over the bound.
pub fn read_video(bytes: &[u8], limits: VideoLimits) -> Result<Video, MediaError> {
    match sniff(bytes) {
        _ if bytes.is_empty() => Err(MediaError::Empty { wanted: "video" }),
        Some(kind) if kind.is_image() => {
            if kind == MediaKind::WebP {
                riff::check_webp(bytes)?;
            }
            match contain(kind, || frames(bytes, kind, limits))? {
                Some(video) => Ok(video),
                None => read_image(bytes, ImageLimits::from_bytes(limits.max_bytes)).map(still),
            }
        }
        Some(kind) if kind.is_film() => contain(kind, || film::read(bytes, kind, limits)),
        _ => Err(MediaError::NotAccepted { wanted: "video", found: describe(bytes) }),
    }
}

fn still(image: Image) -> Video {
    Video { frames: vec![Frame { time_us: 0, image: image.into() }] }
}

/// The frames, if the picture moves.
fn frames(bytes: &[u8], kind: MediaKind, limits: VideoLimits) -> Result<Option<Video>, MediaError> {
    let max_bytes = limits.max_bytes;
    let wrong = |error| failed(kind, error);
    let source = Cursor::new(bytes);
    let frames = match kind {
        MediaKind::Gif => {
            let mut decoder = GifDecoder::new(source).map_err(wrong)?;
            decoder.set_limits(bounds(max_bytes)).map_err(wrong)?;
            check_size(kind, &decoder, max_bytes)?;
            decoder.into_frames()
        }
        MediaKind::Png => {
            let decoder = PngDecoder::with_limits(source, bounds(max_bytes)).map_err(wrong)?;
            if !decoder.is_apng().map_err(wrong)? {
                return Ok(None);
            }
            check_size(kind, &decoder, max_bytes)?;
            decoder.apng().map_err(wrong)?.into_frames()
        }
        MediaKind::WebP => {
            let decoder = WebPDecoder::new(source).map_err(wrong)?;
            if !decoder.has_animation() {
                return Ok(None);
            }
            check_size(kind, &decoder, max_bytes)?;
            decoder.into_frames()
        }
        _ => return Ok(None),
    };
    taken(frames, kind, limits).map(Some)
}

/// Two pictures of 8-bit RGBA, the one shown and the one being made, and room for a decoder's own tables.
fn bounds(max_bytes: u64) -> Limits {
    let mut bounds = Limits::default();
    bounds.max_alloc = Some((max_bytes / 3).saturating_mul(8).saturating_add(16 << 20));
    bounds
}

fn check_size(kind: MediaKind, decoder: &impl ImageDecoder, max_bytes: u64) -> Result<(), MediaError> {
    let (width, height) = decoder.dimensions();
    let max_pixels = max_bytes / 3;
    if width == 0 || height == 0 {
        let what = format!("its header says {width}×{height} pixels");
        return Err(MediaError::Malformed { kind, what, offset: None });
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(MediaError::TooLarge { kind, width, height, max_pixels });
    }
    Ok(())
}

fn taken(frames: Frames<'_>, kind: MediaKind, limits: VideoLimits) -> Result<Video, MediaError> {
    let (mut time_us, mut left, mut work) = (0, limits.max_bytes, limits.work());
    let mut video = Video { frames: Vec::new() };
    for frame in frames {
        let frame = frame.map_err(|error| failed(kind, error))?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let shown_us = u64::from(numerator) * 1000 / u64::from(denominator.max(1));
        let picture = DynamicImage::ImageRgba8(frame.into_buffer());
        let (width, height) = (picture.width(), picture.height());
        let bytes = u64::from(width) * u64::from(height) * 3;
        let is_left_out = limits
            .rate
            .zip(video.frames.last())
            .is_some_and(|(rate, last): (_, &Frame)| rate.interval(last.time_us) == rate.interval(time_us));
        let room = if is_left_out { &mut work } else { &mut left };
        let Some(rest) = room.checked_sub(bytes).filter(|_| video.frames.len() < MAX_FRAMES) else {
            let bound = format!("{} bytes and {MAX_FRAMES} frames", limits.max_bytes);
            return Err(MediaError::TooManyFrames { kind, frames: video.frames.len(), bound });
        };
        *room = rest;
        if !is_left_out {
            let image = Image { width, height, rgb: flatten(picture).into() };
            video.frames.push(Frame { time_us, image: image.into() });
        }
        time_us += if shown_us < SHORTEST_US { UNSAID_US } else { shown_us };
    }
    if video.frames.is_empty() {
        return Err(MediaError::Malformed { kind, what: "it has no frames".to_owned(), offset: None });
    }
    Ok(video)
}
