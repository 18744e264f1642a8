//! Inputs from the command line, read as their declared types.

use std::io::Read;
use std::path::Path;

use corn_core::Datum;
use corn_media::{AudioLimits, ImageLimits, read_audio, read_image};
use corn_plan::{Form, Kind};
use corn_serve::client;

use crate::failure::Failure;
use crate::request::Binding;
use crate::request::way::Way;

/// Most bytes of one input file, so that a wrong path does not fill the memory.
const MAX_BYTES: u64 = 1 << 30;

/// What inputs become, for those who replay them here or elsewhere.
pub(crate) trait Brought: Sized {
    /// What a file of media holds.
    fn media(kind: &Kind, file: Vec<u8>) -> Result<Self, String>;
    /// Anything else, which is of `kind`.
    fn plain(kind: &Kind, datum: Datum) -> Result<Self, String>;
    /// Several.
    fn list(items: Vec<Self>) -> Self;
}

/// Here, they are decoded here.
impl Brought for Datum {
    fn media(kind: &Kind, file: Vec<u8>) -> Result<Self, String> {
        let decoded = if let Kind::Audio { max_ms, .. } = kind {
            read_audio(&file, AudioLimits { max_ms: *max_ms }).map(|audio| Self::Audio(audio.into()))
        } else {
            let max_bytes = kind.max_bytes().unwrap_or(u64::MAX);
            read_image(&file, ImageLimits::from_bytes(max_bytes)).map(|image| Self::Image(image.into()))
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
}

/// A server decodes them: files are smaller than what is in them, and its bounds are what counts.
impl Brought for client::Brought {
    fn media(kind: &Kind, file: Vec<u8>) -> Result<Self, String> {
        Ok(if matches!(kind, Kind::Audio { .. }) {
            Self::AudioFile(file.into())
        } else {
            Self::ImageFile(file.into())
        })
    }

    fn plain(kind: &Kind, datum: Datum) -> Result<Self, String> {
        datum.check(kind)?;
        Ok(Self::Datum(datum))
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
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

fn item<B: Brought>(binding: &Binding, kind: &Kind) -> Result<B, Failure> {
    let Binding { name, value } = binding;
    let wrong =
        |problem: String| Failure::Fault(corn_core::Fault::request(format!("input '{name}': {problem}")));
    let is_media = matches!(kind, Kind::Image { .. } | Kind::Audio { .. } | Kind::Tensor { .. });
    let bytes = match value.strip_prefix('@') {
        Some(path) => {
            Some(file(path).map_err(|problem| wrong(format!("'{path}' cannot be read: {problem}")))?)
        }
        None if value == "-" => Some(stdin().map_err(|problem| wrong(format!("standard input: {problem}")))?),
        None if is_media => {
            let hint = if Path::new(value).exists() {
                format!("--in {name}=@{value}")
            } else {
                format!("--in {name}=@FILE")
            };
            return Err(Failure::Usage(format!("input '{name}' is {}; give a file: {hint}", kind.word())));
        }
        None => None,
    };
    let place = if value == "-" {
        "standard input".to_owned()
    } else {
        format!("'{}'", value.trim_start_matches('@'))
    };
    let placed = |problem: String| wrong(format!("{place}: {problem}"));
    match (kind, bytes) {
        (Kind::Audio { .. } | Kind::Image { .. }, Some(file)) => B::media(kind, file).map_err(placed),
        (Kind::Tensor { .. }, Some(file)) => {
            let tensor = super::npy::read(&file).map_err(placed)?;
            B::plain(kind, Datum::Tensor(tensor.into())).map_err(wrong)
        }
        (kind, bytes) => {
            let text = match bytes {
                None => value.clone(),
                Some(bytes) => String::from_utf8(bytes)
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

fn file(path: &str) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("it is a folder".to_owned());
    }
    bounded(file)
}

fn stdin() -> Result<Vec<u8>, String> {
    bounded(std::io::stdin().lock())
}

fn bounded(source: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {} MiB", MAX_BYTES >> 20));
    }
    Ok(bytes)
}
