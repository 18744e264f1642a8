//! Types of values: modality, dtype, shape, bounds, and whether a value, a list or a stream.
//!
//! A type of a plan has no open end: every text, picture, sound, dimension and list carries the
//! bound that the memory table is computed from. A type prints as it is written in `.corn` text,
//! so a reader learns one notation.

use std::fmt;

use crate::plan::Modality;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the field's own")]
pub enum Dtype {
    Bf16,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    Bool,
}

impl Dtype {
    /// Every dtype, in the order of the language reference.
    pub const ALL: [Self; 10] = [
        Self::Bf16,
        Self::F16,
        Self::F32,
        Self::F64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::Bool,
    ];

    /// The name in `.corn` text and plan text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    /// The dtype called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bytes of one element.
    pub const fn size_bytes(self) -> u64 {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Bf16 | Self::F16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// One dimension of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Exactly this many elements.
    Fixed(u64),
    /// Known only at run time; `name` ties equal dimensions together, `max` bounds it.
    Upto {
        /// The symbol, such as `n` in `n <= 16384`.
        name: String,
        /// The largest extent.
        max: u64,
    },
}

impl Dim {
    /// The largest extent.
    pub const fn max(&self) -> u64 {
        match self {
            Self::Fixed(extent) | Self::Upto { max: extent, .. } => *extent,
        }
    }
}

/// What one item of a value is, with its bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text {
        /// Most bytes of one item.
        max_bytes: u64,
    },
    /// A decoded picture: rows of RGB, 8 bits a channel.
    Image {
        /// Most bytes of the decoded picture (width × height × 3).
        max_bytes: u64,
    },
    /// Sound: mono f32 samples in −1..1.
    Audio {
        /// Samples a second; `None` takes any rate up to 48 kHz. A component's port that names a
        /// rate receives that rate: the engine resamples before the call.
        rate_hz: Option<u32>,
        /// Longest duration of one item, in milliseconds.
        max_ms: u64,
    },
    /// Decoded frames, RGB, 8 bits a channel, each with its time.
    Video {
        /// Most frames a second. `None` takes them all. What has more is thinned where a request brings it, and before
        /// a component's port that names a rate.
        rate: Option<FrameRate>,
        /// Most bytes of all frames together.
        max_bytes: u64,
    },
    /// One picture, sound or video, which a request brings.
    Media {
        /// Most frames a second of a video.
        rate: Option<FrameRate>,
        /// Most bytes of the largest, decoded.
        max_bytes: u64,
    },
    /// A conversation: texts with their roles, and where media stand between them. The media themselves are a
    /// list of its own.
    Messages {
        /// Most parts, texts and media together.
        max_parts: u32,
    },
    /// A dense row-major tensor.
    Tensor {
        /// Element type.
        dtype: Dtype,
        /// Dimensions, outermost first; none is a scalar.
        dims: Vec<Dim>,
    },
    /// A 64-bit signed integer.
    Int,
    /// A 64-bit float.
    Float,
    /// A truth value.
    Bool,
    /// One of a closed set of words.
    Enum(Vec<String>),
}

/// Frames a second, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRate(pub u32);

impl FrameRate {
    /// Which of the intervals that follow each other at this rate a time is in. Files count in whole milliseconds or
    /// less, so a frame may be as much too early.
    pub fn interval(self, time_us: u64) -> u64 {
        let counted = u128::from(time_us.saturating_add(1000)) * u128::from(self.0) / 1_000_000_000;
        u64::try_from(counted).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}fps", f64::from(self.0) / 1000.0)
    }
}

/// How items make up a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One item, whole.
    Value,
    /// Up to `max` items, known together when the value is made.
    List {
        /// Most items.
        max: u32,
    },
    /// Items one after the other while the producer runs. At most `window` are held at once.
    Stream {
        /// Items (credits) in flight between producer and the slowest consumer.
        window: u32,
    },
}

/// The type of a value or port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// What one item is.
    pub kind: Kind,
    /// How items make up the value.
    pub form: Form,
}

/// Bound of `text` when none is written.
pub const DEFAULT_TEXT_MAX_BYTES: u64 = 16 << 10;
/// Bound of `image` when none is written: 16 megapixels of RGB.
pub const DEFAULT_IMAGE_MAX_BYTES: u64 = 48 << 20;
/// Bound of `video` when none is written: 768 frames of 360 × 240 or 64 of 1,280 × 720.
pub const DEFAULT_VIDEO_MAX_BYTES: u64 = 192 << 20;
/// Bound of `media` when none is written.
pub const DEFAULT_MEDIA_MAX_BYTES: u64 = 48 << 20;
/// Most bytes of one text of a conversation.
pub const PART_MAX_BYTES: u64 = 16 << 10;
/// Bound of `audio` when none is written: one minute.
pub const DEFAULT_AUDIO_MAX_MS: u64 = 60_000;
/// Rate that bounds `audio` of any rate.
pub const MAX_AUDIO_RATE_HZ: u32 = 48_000;
/// Window of a stream when none is written.
pub const DEFAULT_STREAM_WINDOW: u32 = 8;

impl Kind {
    /// What one item of `modality` in media of at most `max_bytes` can be, whose videos have this rate.
    pub const fn of_media(modality: Modality, rate: Option<FrameRate>, max_bytes: u64) -> Self {
        match modality {
            Modality::Image => Self::Image { max_bytes },
            Modality::Video => Self::Video { rate, max_bytes },
            Modality::Audio => {
                // Mono f32 at the highest rate.
                let bytes_per_second = MAX_AUDIO_RATE_HZ as u64 * 4;
                Self::Audio { rate_hz: None, max_ms: max_bytes.saturating_mul(1000) / bytes_per_second }
            }
        }
    }

    /// What one item of `modality` can be where this is declared.
    #[must_use]
    pub fn medium(&self, modality: Modality) -> Self {
        match self {
            Self::Media { rate, max_bytes } => Self::of_media(modality, *rate, *max_bytes),
            other => other.clone(),
        }
    }

    /// Which kind of media something is: one of the words `image`, `audio` and `video`.
    pub fn modality() -> Self {
        Self::Enum(Modality::ALL.map(|modality| modality.name().to_owned()).to_vec())
    }

    /// The word that names the modality: `text`, `image`, `audio`, `tensor`, `int`, …
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Audio { .. } => "audio",
            Self::Video { .. } => "video",
            Self::Media { .. } => "media",
            Self::Messages { .. } => "messages",
            Self::Tensor { .. } => "tensor",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Enum(_) => "enum",
        }
    }

    /// Most bytes that one item holds in memory. `None` if the product overflows 64 bits.
    pub fn max_bytes(&self) -> Option<u64> {
        match self {
            Self::Text { max_bytes }
            | Self::Image { max_bytes }
            | Self::Video { max_bytes, .. }
            | Self::Media { max_bytes, .. } => Some(*max_bytes),
            Self::Messages { max_parts } => u64::from(*max_parts).checked_mul(PART_MAX_BYTES),
            Self::Audio { rate_hz, max_ms } => u64::from(rate_hz.unwrap_or(MAX_AUDIO_RATE_HZ))
                .checked_mul(4)?
                .checked_mul(*max_ms)
                .map(|bytes| bytes.div_ceil(1000)),
            Self::Tensor { dtype, dims } => {
                dims.iter().try_fold(dtype.size_bytes(), |bytes, dim| bytes.checked_mul(dim.max()))
            }
            Self::Int | Self::Float => Some(8),
            Self::Bool => Some(1),
            Self::Enum(words) => Some(words.iter().map(|word| word.len() as u64).max().unwrap_or(0)),
        }
    }
}

impl Type {
    /// A whole value of `kind`.
    pub const fn value(kind: Kind) -> Self {
        Self { kind, form: Form::Value }
    }

    /// A list of at most `max` items of `kind`.
    pub const fn list(kind: Kind, max: u32) -> Self {
        Self { kind, form: Form::List { max } }
    }

    /// A stream of `kind` with the default window.
    pub const fn stream(kind: Kind) -> Self {
        Self { kind, form: Form::Stream { window: DEFAULT_STREAM_WINDOW } }
    }

    /// Whether items come one after the other.
    pub const fn is_stream(&self) -> bool {
        matches!(self.form, Form::Stream { .. })
    }

    /// Items held at once: 1 for a value, the bound of a list, the window of a stream.
    pub const fn max_items(&self) -> u32 {
        match self.form {
            Form::Value => 1,
            Form::List { max } => max,
            Form::Stream { window } => window,
        }
    }

    /// Most bytes held at once. `None` if the product overflows 64 bits.
    pub fn max_bytes(&self) -> Option<u64> {
        self.kind.max_bytes()?.checked_mul(u64::from(self.max_items()))
    }
}

/// `n` bytes, exactly, in the largest unit that divides it: `48MiB`, `4KiB`, `17B`. With `{:#}` for
/// people: `11.0 MiB`.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
            return match units.into_iter().find(|(worth, _)| self.0 >= *worth) {
                Some((worth, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / worth as f64),
                None => write!(f, "{} B", self.0),
            };
        }
        let (count, unit) = match self.0 {
            0 => (0, "B"),
            n if n % (1 << 30) == 0 => (n >> 30, "GiB"),
            n if n % (1 << 20) == 0 => (n >> 20, "MiB"),
            n if n % (1 << 10) == 0 => (n >> 10, "KiB"),
            n => (n, "B"),
        };
        write!(f, "{count}{unit}")
    }
}

/// `n` milliseconds in the largest unit that divides it: `2min`, `30s`, `250ms`.
pub(crate) struct Millis(pub(crate) u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0 {
            0 => (0, "ms"),
            n if n % 60_000 == 0 => (n / 60_000, "min"),
            n if n % 1000 == 0 => (n / 1000, "s"),
            n => (n, "ms"),
        };
        write!(f, "{count}{unit}")
    }
}

/// `n` hertz in the largest unit that divides it: `24kHz`, `22050Hz`.
struct Hertz(u32);

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n > 0 && n.is_multiple_of(1000) => write!(f, "{}kHz", n / 1000),
            n => write!(f, "{n}Hz"),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(extent) => write!(f, "{extent}"),
            Self::Upto { name, max } => write!(f, "{name} <= {max}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { max_bytes } => write!(f, "text max {}", Bytes(*max_bytes)),
            Self::Image { max_bytes } => write!(f, "image max {}", Bytes(*max_bytes)),
            Self::Video { rate, max_bytes } | Self::Media { rate, max_bytes } => {
                f.write_str(self.word())?;
                if let Some(rate) = rate {
                    write!(f, "<{rate}>")?;
                }
                write!(f, " max {}", Bytes(*max_bytes))
            }
            Self::Messages { max_parts } => write!(f, "messages max {max_parts}"),
            Self::Audio { rate_hz: None, max_ms } => write!(f, "audio max {}", Millis(*max_ms)),
            Self::Audio { rate_hz: Some(rate), max_ms } => {
                write!(f, "audio<{}> max {}", Hertz(*rate), Millis(*max_ms))
            }
            Self::Tensor { dtype, dims } => {
                write!(f, "tensor<{}>[", dtype.name())?;
                for (index, dim) in dims.iter().enumerate() {
                    write!(f, "{}{dim}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Int | Self::Float | Self::Bool => f.write_str(self.word()),
            Self::Enum(words) => {
                f.write_str("enum(")?;
                for (index, word) in words.iter().enumerate() {
                    write!(f, "{}{word:?}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.form {
            Form::Value => self.kind.fmt(f),
            Form::List { max } => write!(f, "list<{}> max {max}", self.kind),
            Form::Stream { window } => write!(f, "stream<{}> window {window}", self.kind),
        }
    }
}
