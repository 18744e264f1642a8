//! Values as tensors of an answer. Contents are always raw: clients read typed ones only of some datatypes.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use corn_core::{Datum, Role, Tensor, Video};
use corn_media::{Format, MediaError, write_image, write_wav};
use corn_plan::{Dim, Kind, Type};
use serde_json::json;

use crate::grpc::kserve::models::datatype;
use crate::grpc::proto::inference::infer_parameter::ParameterChoice;
use crate::grpc::proto::inference::model_infer_response::InferOutputTensor;
use crate::grpc::proto::inference::{InferParameter, ModelInferResponse};
use crate::grpc::value::samples_to;

/// A tensor and its contents.
struct Made {
    datatype: &'static str,
    shape: Vec<u64>,
    raw: Bytes,
    parameters: Vec<(&'static str, ParameterChoice)>,
}

impl Made {
    const fn new(datatype: &'static str, shape: Vec<u64>, raw: Bytes) -> Self {
        Self { datatype, shape, raw, parameters: Vec::new() }
    }
}

/// Adds `datum`, which is output `name` of type `ty` or a piece of it, to `response`.
pub(super) fn add(
    response: &mut ModelInferResponse,
    name: &str,
    ty: &Type,
    datum: &Datum,
) -> Result<(), String> {
    let made = tensor(ty, datum)?;
    response.outputs.push(InferOutputTensor {
        name: name.to_owned(),
        datatype: made.datatype.to_owned(),
        shape: made.shape.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect(),
        parameters: parameters(made.parameters),
        contents: None,
    });
    response.raw_output_contents.push(made.raw);
    Ok(())
}

pub(super) fn parameters<'n>(
    parameters: impl IntoIterator<Item = (&'n str, ParameterChoice)>,
) -> HashMap<String, InferParameter> {
    let parameter = |choice| InferParameter { parameter_choice: Some(choice) };
    parameters.into_iter().map(|(name, choice)| (name.to_owned(), parameter(choice))).collect()
}

/// Whether writing takes so long that it is done apart.
pub(super) fn is_work(datum: &Datum) -> bool {
    match datum {
        Datum::Video(_) => true,
        Datum::List(items) => items.iter().any(|item| item.modality().is_some()),
        _ => false,
    }
}

fn tensor(ty: &Type, datum: &Datum) -> Result<Made, String> {
    Ok(match datum {
        Datum::Text(text) => bytes(&[text.as_bytes()]),
        Datum::Int(value) => Made::new("INT64", vec![1], value.to_le_bytes().to_vec().into()),
        Datum::Float(value) => Made::new("FP64", vec![1], value.to_le_bytes().to_vec().into()),
        Datum::Bool(value) => Made::new("BOOL", vec![1], vec![u8::from(*value)].into()),
        Datum::Tensor(tensor) => {
            Made::new(datatype(tensor.dtype), tensor.shape.clone(), tensor.bytes.clone())
        }
        Datum::Image(image) => {
            Made::new("UINT8", vec![image.height.into(), image.width.into(), 3], image.rgb.clone())
        }
        Datum::Audio(audio) => Made {
            parameters: vec![("sample_rate", ParameterChoice::Int64Param(audio.rate_hz.into()))],
            ..Made::new("FP32", vec![audio.samples.len() as u64], samples_to(&audio.samples))
        },
        Datum::Video(video) => frames(video).map_err(|error| error.to_string())?,
        Datum::Messages(conversation) => {
            let message = |message: &corn_core::Message| {
                let role = match message.role {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                let text = |part: &corn_core::Part| match part {
                    corn_core::Part::Text(text) => json!({"type": "text", "text": &**text}),
                    corn_core::Part::Media(kind) => json!({"type": kind.name()}),
                };
                json!({"role": role, "content": message.parts.iter().map(text).collect::<Vec<_>>()})
            };
            let messages: Vec<_> = conversation.messages.iter().map(message).collect();
            bytes(&[json!(messages).to_string().as_bytes()])
        }
        Datum::List(items) => list(ty, items)?,
        Datum::OnDevice(_) => unreachable!("what clients get lies in the host's memory"),
    })
}

/// Elements of BYTES: the length of each in 4 bytes, then the bytes.
fn bytes(elements: &[impl AsRef<[u8]>]) -> Made {
    let mut raw = BytesMut::new();
    for element in elements {
        let element = element.as_ref();
        // No value of a plan is over 4 GiB: a message could not hold it.
        raw.put_u32_le(u32::try_from(element.len()).unwrap_or(u32::MAX));
        raw.put_slice(element);
    }
    Made::new("BYTES", vec![elements.len() as u64], raw.freeze())
}

/// Numbers and tensors become one tensor; texts and media a BYTES with a file in each element.
fn list(ty: &Type, items: &[Datum]) -> Result<Made, String> {
    let file = |item: &Datum| match item {
        Datum::Image(image) => write_image(image, Format::Png).map_err(|error| error.to_string()),
        Datum::Audio(audio) => write_wav(audio).map_err(|error| error.to_string()),
        Datum::Text(text) => Ok(text.as_bytes().to_vec()),
        other => Err(format!("a list of {} is no tensor", other.word())),
    };
    if matches!(ty.kind, Kind::Int | Kind::Float | Kind::Bool | Kind::Tensor { .. }) {
        return stacked(ty, items);
    }
    let files: Vec<Vec<u8>> = items.iter().map(file).collect::<Result<_, _>>()?;
    Ok(bytes(&files))
}

fn stacked(ty: &Type, items: &[Datum]) -> Result<Made, String> {
    let (datatype, empty): (&'static str, Vec<u64>) = match &ty.kind {
        Kind::Int => ("INT64", vec![]),
        Kind::Float => ("FP64", vec![]),
        Kind::Bool => ("BOOL", vec![]),
        Kind::Tensor { dtype, dims } => {
            let extent = |dim: &Dim| if let Dim::Fixed(extent) = dim { *extent } else { 0 };
            (datatype(*dtype), dims.iter().map(extent).collect())
        }
        _ => return Err(format!("a {ty} is no tensor")),
    };
    let mut raw = BytesMut::new();
    let mut each: Option<&Tensor> = None;
    for item in items {
        match item {
            Datum::Int(value) => raw.put_i64_le(*value),
            Datum::Float(value) => raw.put_f64_le(*value),
            Datum::Bool(value) => raw.put_u8(u8::from(*value)),
            Datum::Tensor(tensor) => {
                if each.is_some_and(|first| first.shape != tensor.shape) {
                    return Err(
                        "tensors of several shapes are no tensor; ask for them piece by piece".to_owned()
                    );
                }
                each = Some(tensor);
                raw.put_slice(&tensor.bytes);
            }
            other => return Err(format!("{} where {ty} is declared", other.word())),
        }
    }
    let shape = each.map_or(empty, |tensor| tensor.shape.clone());
    let shape = std::iter::once(items.len() as u64).chain(shape).collect();
    Ok(Made::new(datatype, shape, raw.freeze()))
}

/// Frames of one size are one tensor; others a BYTES with a PNG file in each element.
fn frames(video: &Video) -> Result<Made, MediaError> {
    let size = |place: usize| video.frames.get(place).map(|frame| (frame.image.height, frame.image.width));
    let first = size(0);
    let mut made = match first {
        Some((height, width)) if (0..video.frames.len()).all(|place| size(place) == first) => {
            let rgb: Vec<u8> =
                video.frames.iter().flat_map(|frame| frame.image.rgb.iter().copied()).collect();
            let shape = vec![video.frames.len() as u64, height.into(), width.into(), 3];
            Made::new("UINT8", shape, rgb.into())
        }
        None => Made::new("UINT8", vec![0, 0, 0, 3], Bytes::new()),
        Some(_) => {
            let files = video.frames.iter().map(|frame| write_image(&frame.image, Format::Png));
            bytes(&files.collect::<Result<Vec<_>, _>>()?)
        }
    };
    let times: Vec<String> = video.frames.iter().map(|frame| frame.time_us.to_string()).collect();
    made.parameters.push(("times_us", ParameterChoice::StringParam(times.join(","))));
    Ok(made)
}
