//! Inputs from the command line, read as their declared types.

use std::fmt::Display;
use std::path::Path;

use corn_core::{Conversation, Datum, Message, Part, Role};
use corn_media::{AudioLimits, ImageLimits, VideoLimits, modality, read_audio, read_image, read_video};
use corn_plan::types::PART_MAX_BYTES;
use corn_plan::{Form, Kind};
use corn_serve::client;

use crate::failure::Failure;
use crate::request::Binding;
use crate::request::way::Way;

/// What inputs become, for those who replay them here or elsewhere.
pub(crate) trait Brought: Sized {
    /// What a file holds, which is read as `kind`: a picture, a sound or a video.
    fn medium(kind: &Kind, file: &[u8]) -> Result<Self, String>;
    /// Anything else, which is of `kind`.
    fn plain(kind: &Kind, datum: Datum) -> Result<Self, String>;
    /// Several.
    fn list(items: Vec<Self>) -> Self;
    /// A conversation of `kind` that begins with a user who says this: texts and media.
    fn said(kind: &Kind, parts: Vec<Self>) -> Result<Self, String>;
}

/// Here, they are decoded here.
impl Brought for Datum {
    fn medium(kind: &Kind, file: &[u8]) -> Result<Self, String> {
        let decoded = match kind {
            Kind::Audio { max_ms, .. } => {
                read_audio(file, AudioLimits { max_ms: *max_ms }).map(|audio| Self::Audio(audio.into()))
            }
            Kind::Video { rate, max_bytes } => {
                let limits = VideoLimits { rate: *rate, max_bytes: *max_bytes };
                read_video(file, limits).map(|video| Self::Video(video.into()))
            }
            kind => {
                let max_bytes = kind.max_bytes().unwrap_or(u64::MAX);
                read_image(file, ImageLimits::from_bytes(max_bytes)).map(|image| Self::Image(image.into()))
            }
        };
        decoded.map_err(|error| error.to_string())
    }

    fn plain(kind: &Kind, datum: Datum) -> Result<Self, String> {
        datum.check(kind)?;
        Ok(datum)
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items.into())
    }

    fn said(kind: &Kind, said: Vec<Self>) -> Result<Self, String> {
        let mut parts = Vec::with_capacity(said.len());
        let mut media = Vec::new();
        for part in said {
            match (part.modality(), part) {
                (Some(modality), medium) => {
                    parts.push(Part::Media(modality));
                    media.push(medium);
                }
                (None, Self::Text(text)) => parts.push(Part::Text(text)),
                (None, other) => return Err(format!("{} is no part of a conversation", other.word())),
            }
        }
        let messages = vec![Message { role: Role::User, parts }];
        Self::plain(kind, Self::Messages(Conversation { messages, media }.into()))
    }
}

/// A server decodes them: files are smaller than what is in them, and its bounds are what counts.
impl Brought for client::Brought {
    fn medium(kind: &Kind, file: &[u8]) -> Result<Self, String> {
        Ok(match kind {
            Kind::Audio { .. } => Self::AudioFile(file.to_vec().into()),
            Kind::Video { .. } => Self::VideoFile(file.to_vec().into()),
            _ => Self::ImageFile(file.to_vec().into()),
        })
    }

    fn plain(kind: &Kind, datum: Datum) -> Result<Self, String> {
        datum.check(kind)?;
        Ok(Self::Datum(datum))
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
    }

    fn said(_kind: &Kind, parts: Vec<Self>) -> Result<Self, String> {
        Ok(Self::Said(parts))
    }
}

/// The inputs of `way` that `bindings` give.
pub(crate) fn read<B: Brought>(way: &Way, bindings: &[Binding]) -> Result<Vec<(String, B)>, Failure> {
    if bindings.iter().filter(|binding| binding.value == "-").count() > 1 {
        return Err(Failure::Usage("standard input can be only one input".to_owned()));
    }
    let mut inputs = Vec::new();
    for input in &way.inputs {
        let given: Vec<&Binding> = bindings.iter().filter(|binding| binding.name == input.name).collect();
        let (name, ty) = (&input.name, &input.ty);
        let brought = match (ty.form, given.as_slice()) {
            (_, []) => continue,
            (Form::List { max }, given) if given.len() > max as usize => {
                return Err(Failure::Fault(corn_core::Fault::request(format!(
                    "input '{name}': a list of {} items is over the bound of {max}",
                    given.len()
                ))));
            }
            (Form::List { .. }, given) => {
                let items: Result<Vec<B>, Failure> =
                    given.iter().map(|binding| item(binding, &ty.kind)).collect();
                B::list(items?)
            }
            (Form::Value, parts) if matches!(ty.kind, Kind::Messages { .. }) => {
                let said: Result<Vec<B>, Failure> =
                    parts.iter().map(|part| self::part(part, &input.medium)).collect();
                B::said(&ty.kind, said?).map_err(|problem| wrong(name, problem))?
            }
            (Form::Value, [binding]) => item(binding, &ty.kind)?,
            (Form::Value, _) => {
                return Err(Failure::Usage(format!(
                    "input '{name}' is given {} times; it is one {ty}",
                    given.len()
                )));
            }
            (Form::Stream { .. }, _) => {
                return Err(Failure::Usage(format!(
                    "input '{name}' is a stream, which a command line cannot bring"
                )));
            }
        };
        inputs.push((name.clone(), brought));
    }
    Ok(inputs)
}

fn wrong(name: &str, problem: impl Display) -> Failure {
    Failure::Fault(corn_core::Fault::request(format!("input '{name}': {problem}")))
}

/// Something that a user says: a text, or one of the media.
fn part<B: Brought>(binding: &Binding, medium: &Kind) -> Result<B, Failure> {
    let kind = match binding.modality() {
        Some(modality) => medium.medium(modality),
        None => Kind::Text { max_bytes: PART_MAX_BYTES },
    };
    item(binding, &kind)
}

fn item<B: Brought>(binding: &Binding, kind: &Kind) -> Result<B, Failure> {
    let Binding { name, value, .. } = binding;
    let wrong = |problem: String| wrong(name, problem);
    let is_file = matches!(
        kind,
        Kind::Image { .. }
            | Kind::Audio { .. }
            | Kind::Video { .. }
            | Kind::Media { .. }
            | Kind::Tensor { .. }
    );
    let bytes = binding.content().map_err(wrong)?;
    if is_file && bytes.is_none() {
        let path = if Path::new(value).exists() { value } else { "FILE" };
        let hint = format!("--in {name}=@{path}");
        return Err(Failure::Usage(format!("input '{name}' is {}; give a file: {hint}", kind.word())));
    }
    let place = if value == "-" {
        "standard input".to_owned()
    } else {
        format!("'{}'", value.trim_start_matches('@'))
    };
    let placed = |problem: String| wrong(format!("{place}: {problem}"));
    match (kind, bytes) {
        (Kind::Audio { .. } | Kind::Image { .. } | Kind::Video { .. }, Some(file)) => {
            B::medium(kind, file).map_err(placed)
        }
        (Kind::Media { .. }, Some(file)) => {
            let modality = modality(file).map_err(|error| placed(error.to_string()))?;
            B::medium(&kind.medium(modality), file).map_err(placed)
        }
        (Kind::Tensor { .. }, Some(file)) => {
            let tensor = super::npy::read(file).map_err(placed)?;
            B::plain(kind, Datum::Tensor(tensor.into())).map_err(wrong)
        }
        (kind, bytes) => {
            let text = match bytes {
                None => value.clone(),
                Some(bytes) => std::str::from_utf8(bytes)
                    .map_err(|_| wrong(format!("{place} is no UTF-8 text")))?
                    .trim_end_matches(['\n', '\r'])
                    .to_owned(),
            };
            B::plain(kind, scalar(&text, kind).map_err(wrong)?).map_err(wrong)
        }
    }
}

fn scalar(text: &str, kind: &Kind) -> Result<Datum, String> {
    let trimmed = text.trim();
    match kind {
        Kind::Int => trimmed.parse().map(Datum::Int).map_err(|_| format!("'{trimmed}' is no whole number")),
        Kind::Float => match trimmed.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Datum::Float(value)),
            _ => Err(format!("'{trimmed}' is no number")),
        },
        Kind::Bool => match trimmed {
            "true" | "yes" | "1" => Ok(Datum::Bool(true)),
            "false" | "no" | "0" => Ok(Datum::Bool(false)),
            _ => Err(format!("'{trimmed}' is neither true nor false")),
        },
        _ => Ok(Datum::text(text)),
    }
}
