//! Reads and writes pictures.

use std::io::Cursor;

use corn_core::datum::Image;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader, Limits,
};

use crate::error::{MediaError, contain};
use crate::sniff::{MediaKind, describe, sniff};
use crate::{jpeg, riff};

/// The largest picture that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Most pixels: width × height.
    pub max_pixels: u64,
}

impl Default for ImageLimits {
    /// 16 Mi pixels, the bound of `image` where a program writes none.
    fn default() -> Self {
        Self::from_bytes(corn_plan::types::DEFAULT_IMAGE_MAX_BYTES)
    }
}

impl ImageLimits {
    /// The limits that a bound on decoded bytes (RGB, three a pixel) means.
    pub const fn from_bytes(max_bytes: u64) -> Self {
        Self { max_pixels: max_bytes / 3 }
    }
}

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG, lossless.
    Png,
    /// JPEG.
    Jpeg {
        /// From 1 (small) to 100 (good).
        quality: u8,
    },
    /// WebP, lossless.
    WebpLossless,
}

/// Decodes a PNG, JPEG, WebP or GIF picture: upright (its EXIF orientation applied), on white where it
/// is transparent, 8 bits a channel; of an animation the first frame.
pub fn read_image(bytes: &[u8], limits: ImageLimits) -> Result<Image, MediaError> {
    let (kind, format) = match sniff(bytes) {
        _ if bytes.is_empty() => return Err(MediaError::Empty { wanted: "image" }),
        Some(MediaKind::Png) => (MediaKind::Png, ImageFormat::Png),
        Some(MediaKind::Jpeg) => (MediaKind::Jpeg, ImageFormat::Jpeg),
        Some(MediaKind::WebP) => (MediaKind::WebP, ImageFormat::WebP),
        Some(MediaKind::Gif) => (MediaKind::Gif, ImageFormat::Gif),
        _ => return Err(MediaError::NotAccepted { wanted: "image", found: describe(bytes) }),
    };
    match kind {
        MediaKind::Jpeg => jpeg::check(bytes)?,
        MediaKind::WebP => riff::check_webp(bytes)?,
        _ => {}
    }
    contain(kind, || decode(bytes, kind, format, limits))
}

fn decode(
    bytes: &[u8],
    kind: MediaKind,
    format: ImageFormat,
    limits: ImageLimits,
) -> Result<Image, MediaError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut bounds = Limits::default();
    // Deepest pixel a decoder hands out (16-bit RGBA), and room for its own tables.
    bounds.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(16 << 20));
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(|error| failed(kind, error))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        let what = format!("its header says {width}×{height} pixels");
        return Err(MediaError::Malformed { kind, what, offset: None });
    }
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(MediaError::TooLarge { kind, width, height, max_pixels: limits.max_pixels });
    }
    let orientation = decoder.orientation().map_err(|error| failed(kind, error))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| failed(kind, error))?;
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    Ok(Image { width, height, rgb: flatten(picture).into() })
}

/// RGB, with what is transparent laid on white.
pub(crate) fn flatten(picture: DynamicImage) -> Vec<u8> {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let over_white =
        |colour: u8, alpha: u32| ((u32::from(colour) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
    let rgba = picture.into_rgba8().into_raw();
    rgba.chunks_exact(4)
        .flat_map(|pixel| [0, 1, 2].map(|channel| over_white(pixel[channel], u32::from(pixel[3]))))
        .collect()
}

pub(crate) fn failed(kind: MediaKind, error: ImageError) -> MediaError {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            MediaError::Truncated { kind, what: "its picture data stop in the middle".into(), offset: None }
        }
        ImageError::Unsupported(error) => {
            let hint = "convert it to an 8-bit RGB PNG or JPEG first";
            MediaError::Unsupported { kind, what: error.to_string(), hint }
        }
        error => MediaError::Malformed { kind, what: error.to_string(), offset: None },
    }
}

/// Encodes `image`.
pub fn write_image(image: &Image, format: Format) -> Result<Vec<u8>, MediaError> {
    let expected = u64::from(image.width) * u64::from(image.height) * 3;
    assert_eq!(image.rgb.len() as u64, expected, "an image holds width × height RGB pixels");
    let mut bytes = Vec::new();
    let (rgb, width, height, colour) = (&image.rgb, image.width, image.height, ExtendedColorType::Rgb8);
    let (kind, outcome) = match format {
        Format::Png => (MediaKind::Png, PngEncoder::new(&mut bytes).write_image(rgb, width, height, colour)),
        Format::Jpeg { quality } => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100));
            (MediaKind::Jpeg, encoder.write_image(rgb, width, height, colour))
        }
        Format::WebpLossless => {
            let encoder = WebPEncoder::new_lossless(&mut bytes);
            (MediaKind::WebP, encoder.write_image(rgb, width, height, colour))
        }
    };
    match outcome {
        Ok(()) => Ok(bytes),
        Err(error) => Err(MediaError::Write { kind, what: error.to_string() }),
    }
}
