//! Values at run time.
//!
//! A [`Datum`] is one item of a value. Large contents are shared: handing a datum to several
//! readers in one process copies a pointer, never the bytes. Whose memory the bytes lie in, this
//! process's or that of a worker on the same host, is nobody's business who reads them. What lies in
//! the memory of a device is another kind of datum: nobody reads it by mistake.

mod conversation;
mod on_device;

use std::sync::Arc;

use bytes::Bytes;
use corn_plan::types::MAX_AUDIO_RATE_HZ;
use corn_plan::{Dim, Dtype, Form, FrameRate, Kind, Literal, Modality, Type};

pub use conversation::{Conversation, Message, Part, Role};
pub use on_device::{DeviceTensor, OnDevice};

use crate::samples::Samples;

/// One item of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// UTF-8 text.
    Text(Arc<str>),
    /// A decoded picture.
    Image(Arc<Image>),
    /// Sound.
    Audio(Arc<Audio>),
    /// Pictures that follow each other.
    Video(Arc<Video>),
    /// A conversation.
    Messages(Arc<Conversation>),
    /// A dense tensor.
    Tensor(Arc<Tensor>),
    /// A dense tensor whose contents lie in the memory of a device.
    OnDevice(Arc<DeviceTensor>),
    /// A 64-bit signed integer.
    Int(i64),
    /// A 64-bit float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// The items of a list value.
    List(Arc<[Datum]>),
}

/// A decoded picture: `height` rows of `width` RGB pixels, 8 bits a channel, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width × height × 3` bytes.
    pub rgb: Bytes,
}

/// Mono sound.
#[derive(Clone, PartialEq)]
pub struct Audio {
    /// Samples a second.
    pub rate_hz: u32,
    /// Samples in −1..1.
    pub samples: Samples,
}

/// Pictures that follow each other, each with its time.
#[derive(Clone, PartialEq, Eq)]
pub struct Video {
    /// In order of their times.
    pub frames: Vec<Frame>,
}

impl Video {
    /// Of the frames in each interval at this rate the first; none if that is all of them.
    #[must_use]
    pub fn thinned(&self, rate: FrameRate) -> Option<Self> {
        let mut frames = self.frames.clone();
        frames.dedup_by_key(|frame| rate.interval(frame.time_us));
        (frames.len() < self.frames.len()).then_some(Self { frames })
    }
}

/// A picture of a video. It is a picture like any other, so what sees pictures can be given frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it is shown, in µs from the beginning.
    pub time_us: u64,
    /// The picture.
    pub image: Arc<Image>,
}

/// A dense row-major tensor, little-endian.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// `shape` product × dtype size bytes.
    pub bytes: Bytes,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{})", self.width, self.height)
    }
}

impl std::fmt::Debug for Audio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Audio({} samples at {} Hz)", self.samples.len(), self.rate_hz)
    }
}

impl std::fmt::Debug for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Video({} frames)", self.frames.len())
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({}{:?})", self.dtype.name(), self.shape)
    }
}

impl Audio {
    /// Duration in milliseconds, rounded up.
    pub fn duration_ms(&self) -> u64 {
        (self.samples.len() as u64 * 1000).div_ceil(u64::from(self.rate_hz.max(1)))
    }
}

impl Tensor {
    /// A rank-1 f32 tensor.
    pub fn from_f32s(values: &[f32]) -> Self {
        Self {
            dtype: Dtype::F32,
            shape: vec![values.len() as u64],
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
        }
    }

    /// The elements of an f32 tensor; `None` for another dtype.
    pub fn to_f32s(&self) -> Option<Vec<f32>> {
        (self.dtype == Dtype::F32).then(|| {
            self.bytes
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect()
        })
    }
}

impl Datum {
    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// The modality word, as in [`Kind::word`]; `list` for a list.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Audio(_) => "audio",
            Self::Video(_) => "video",
            Self::Messages(_) => "messages",
            Self::Tensor(_) | Self::OnDevice(_) => "tensor",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Bool(_) => "bool",
            Self::List(_) => "list",
        }
    }

    /// Which kind of media this is, if it is one picture, sound or video.
    pub const fn modality(&self) -> Option<Modality> {
        match self {
            Self::Image(_) => Some(Modality::Image),
            Self::Audio(_) => Some(Modality::Audio),
            Self::Video(_) => Some(Modality::Video),
            _ => None,
        }
    }

    /// Bytes of payload.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Image(image) => image.rgb.len() as u64,
            Self::Audio(audio) => audio.samples.len() as u64 * 4,
            Self::Video(video) => video.frames.iter().map(|frame| frame.image.rgb.len() as u64).sum(),
            Self::Messages(conversation) => conversation.bytes(),
            Self::Tensor(tensor) => tensor.bytes.len() as u64,
            Self::OnDevice(tensor) => tensor.contents.bytes(),
            Self::Int(_) | Self::Float(_) => 8,
            Self::Bool(_) => 1,
            Self::List(items) => items.iter().map(Self::bytes).sum(),
        }
    }

    /// Whether this is a whole value, or an item of a stream, of type `ty` and within its bounds;
    /// the error says what is wrong.
    pub fn check_type(&self, ty: &Type) -> Result<(), String> {
        match (self, ty.form) {
            (Self::List(items), Form::List { max }) if items.len() <= max as usize => {
                items.iter().try_for_each(|item| item.check(&ty.kind))
            }
            (Self::List(items), Form::List { max }) => {
                Err(format!("a list of {} items is over the bound of {max}", items.len()))
            }
            (_, Form::List { .. }) => Err(format!("{} where a list is declared", self.word())),
            _ => self.check(&ty.kind),
        }
    }

    /// Whether this item is of `kind` and within its bounds; the error says what is wrong.
    pub fn check(&self, kind: &Kind) -> Result<(), String> {
        let over = |what: &str, is: u64, max: u64, unit: &str| {
            if is > max {
                Err(format!("{what} of {is} {unit} is over the bound of {max} {unit}"))
            } else {
                Ok(())
            }
        };
        match (self, kind) {
            (Self::Text(text), Kind::Text { max_bytes }) => {
                over("a text", text.len() as u64, *max_bytes, "bytes")
            }
            (Self::Text(text), Kind::Enum(words)) if words.iter().any(|word| **word == **text) => Ok(()),
            (Self::Text(text), Kind::Enum(words)) => {
                Err(format!("{text:?} is not one of {}", words.join(", ")))
            }
            (Self::Image(image), Kind::Image { max_bytes }) => {
                over("a picture", image.rgb.len() as u64, *max_bytes, "bytes")
            }
            (Self::Audio(audio), Kind::Audio { .. }) if audio.rate_hz == 0 => {
                Err("a sound of 0 samples a second".to_owned())
            }
            (Self::Audio(audio), Kind::Audio { rate_hz: Some(rate_hz), .. }) if audio.rate_hz != *rate_hz => {
                Err(format!("a sound of {} Hz where {rate_hz} Hz is declared", audio.rate_hz))
            }
            (Self::Audio(audio), Kind::Audio { .. }) if audio.rate_hz > MAX_AUDIO_RATE_HZ => {
                Err(format!("a sound of {} Hz; at most {MAX_AUDIO_RATE_HZ} Hz are taken", audio.rate_hz))
            }
            (Self::Audio(audio), Kind::Audio { max_ms, .. }) => {
                over("a sound", audio.duration_ms(), *max_ms, "ms")
            }
            (Self::Video(_), Kind::Video { max_bytes, .. }) => {
                over("a video", self.bytes(), *max_bytes, "bytes of frames")
            }
            (Self::Image(_) | Self::Audio(_) | Self::Video(_), Kind::Media { max_bytes, .. }) => {
                over("one of the media", self.bytes(), *max_bytes, "bytes")
            }
            (Self::Messages(conversation), Kind::Messages { max_parts }) => conversation.check(*max_parts),
            (Self::Tensor(tensor), Kind::Tensor { dtype, dims }) => {
                check_tensor((tensor.dtype, &tensor.shape), *dtype, dims)
            }
            (Self::OnDevice(tensor), Kind::Tensor { dtype, dims }) => {
                check_tensor((tensor.dtype, &tensor.shape), *dtype, dims)
            }
            (Self::Int(_), Kind::Int) | (Self::Float(_), Kind::Float) | (Self::Bool(_), Kind::Bool) => Ok(()),
            _ => Err(format!("{} where {} is declared", self.word(), kind.word())),
        }
    }
}

fn check_tensor((is, shape): (Dtype, &[u64]), dtype: Dtype, dims: &[Dim]) -> Result<(), String> {
    let fits = is == dtype
        && shape.len() == dims.len()
        && shape.iter().zip(dims).all(|(extent, dim)| match dim {
            Dim::Fixed(fixed) => extent == fixed,
            Dim::Upto { max, .. } => extent <= max,
        });
    if fits {
        return Ok(());
    }
    let declared = Kind::Tensor { dtype, dims: dims.to_vec() };
    Err(format!("tensor<{}>{shape:?} where {declared} is declared", is.name()))
}

impl From<&Literal> for Datum {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Int(value) => Self::Int(*value),
            Literal::Float(value) => Self::Float(*value),
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Text(text) => Self::text(text.as_str()),
            Literal::Texts(texts) => Self::List(texts.iter().map(|text| Self::text(text.as_str())).collect()),
        }
    }
}
