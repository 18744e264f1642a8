//! Reads animations as videos.
//!
//! Films (MP4, WebM) are not read: no decoder of their pictures is kept in Rust. What remains is what the decoders of
//! pictures can do: GIF, and PNG and WebP that move; and a picture that does not, which is a video of one frame.

use std::io::Cursor;

use corn_core::datum::{Frame, Image, Video};
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, Frames, ImageDecoder, Limits};

use crate::error::{MediaError, contain};
use crate::picture::{ImageLimits, failed, flatten, read_image};
use crate::riff;
use crate::sniff::{MediaKind, describe, sniff};

/// Most frames, however small they are.
const MAX_FRAMES: usize = 16_384;
/// How long a frame is shown that says nothing of it, or nothing that can be seen; browsers show it so.
const UNSAID_US: u64 = 100_000;
const SHORTEST_US: u64 = 11_000;

/// Decodes a GIF, a PNG or WebP that may be animated, or a JPEG. Each frame is the whole picture as it is shown, on
/// white where it is transparent; all together are held to `max_bytes`, three a pixel, before and while they are
/// decoded.
///
/// # Errors
/// If it is none of these, damaged, or over the bound.
pub fn read_video(bytes: &[u8], max_bytes: u64) -> Result<Video, MediaError> {
    match sniff(bytes) {
        _ if bytes.is_empty() => Err(MediaError::Empty { wanted: "video" }),
        Some(kind) if kind.is_image() => {
            if kind == MediaKind::WebP {
                riff::check_webp(bytes)?;
            }
            match contain(kind, || frames(bytes, kind, max_bytes))? {
                Some(video) => Ok(video),
                None => read_image(bytes, ImageLimits::from_bytes(max_bytes)).map(still),
            }
        }
        _ => Err(MediaError::NotAccepted { wanted: "video", found: describe(bytes) }),
    }
}

fn still(image: Image) -> Video {
    Video { frames: vec![Frame { time_us: 0, image: image.into() }] }
}

/// The frames, if the picture moves.
fn frames(bytes: &[u8], kind: MediaKind, max_bytes: u64) -> Result<Option<Video>, MediaError> {
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
    taken(frames, kind, max_bytes).map(Some)
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

fn taken(frames: Frames<'_>, kind: MediaKind, max_bytes: u64) -> Result<Video, MediaError> {
    let (mut time_us, mut left) = (0, max_bytes);
    let mut video = Video { frames: Vec::new() };
    for frame in frames {
        let frame = frame.map_err(|error| failed(kind, error))?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let shown_us = u64::from(numerator) * 1000 / u64::from(denominator.max(1));
        let picture = DynamicImage::ImageRgba8(frame.into_buffer());
        let (width, height) = (picture.width(), picture.height());
        let rest = left.checked_sub(u64::from(width) * u64::from(height) * 3);
        let Some(rest) = rest.filter(|_| video.frames.len() < MAX_FRAMES) else {
            let bound = format!("{max_bytes} bytes and {MAX_FRAMES} frames");
            return Err(MediaError::TooManyFrames { kind, frames: video.frames.len(), bound });
        };
        left = rest;
        let image = Image { width, height, rgb: flatten(picture).into() };
        video.frames.push(Frame { time_us, image: image.into() });
        time_us += if shown_us < SHORTEST_US { UNSAID_US } else { shown_us };
    }
    if video.frames.is_empty() {
        return Err(MediaError::Malformed { kind, what: "it has no frames".to_owned(), offset: None });
    }
    Ok(video)
}
