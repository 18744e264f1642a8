//! Tensors that requests bring, as values of the inputs that they are called after.

use bytes::Bytes;
use corn_media::modality;
use corn_plan::{Dtype, Form, Kind, Modality};

use crate::grpc::kserve::messages;
use crate::grpc::kserve::models::datatype;
use crate::grpc::kserve::parameters::Parameters;
use crate::grpc::proto::corn::value::Kind as Given;
use crate::grpc::proto::corn::{
    Audio, Frame, Image, List, Pixels, Samples, Tensor, Value, Video, audio, image,
};
use crate::grpc::proto::inference::InferTensorContents;
use crate::grpc::proto::inference::model_infer_request::InferInputTensor;
use crate::grpc::routes::Input;

/// A tensor whose contents are as many as its shape says.
struct Brought {
    datatype: String,
    shape: Vec<u64>,
    contents: Contents,
}

enum Contents {
    /// Little-endian, row-major.
    Numbers(Bytes),
    /// Of BYTES.
    Elements(Vec<Bytes>),
}

/// The value that `tensor` brings for `input`; its contents are in it or in `raw`.
pub(super) fn read(
    tensor: InferInputTensor,
    raw: Option<Bytes>,
    input: &Input,
    parameters: &Parameters,
) -> Result<Value, String> {
    let InferInputTensor { datatype, shape, contents, .. } = tensor;
    let shape: Option<Vec<u64>> = shape.iter().map(|extent| u64::try_from(*extent).ok()).collect();
    let shape = shape.ok_or("a shape with an extent below 0")?;
    let contents = match (contents, raw) {
        (None, Some(raw)) => contents_of_raw(&datatype, raw)?,
        (Some(contents), None) => contents_of_typed(&datatype, contents)?,
        (Some(_), Some(_)) => return Err("its contents are both in it and raw".to_owned()),
        (None, None) => return Err("it has no contents".to_owned()),
    };
    let brought = Brought { datatype, shape, contents };
    brought.check()?;
    brought.into_value(input, parameters)
}

/// Bytes of an element of a datatype other than BYTES.
fn size_bytes(datatype: &str) -> Result<usize, String> {
    match datatype {
        "BOOL" | "INT8" | "UINT8" => Ok(1),
        "INT16" | "UINT16" | "FP16" | "BF16" => Ok(2),
        "INT32" | "UINT32" | "FP32" => Ok(4),
        "INT64" | "UINT64" | "FP64" => Ok(8),
        other => Err(format!("there is no datatype '{other}'")),
    }
}

fn contents_of_raw(datatype: &str, mut raw: Bytes) -> Result<Contents, String> {
    if datatype != "BYTES" {
        size_bytes(datatype)?;
        return Ok(Contents::Numbers(raw));
    }
    let mut elements = Vec::new();
    while !raw.is_empty() {
        let too_short =
            || "its bytes end inside of an element; each is its length in 4 bytes, then so many bytes";
        let (length, _) = raw.split_first_chunk::<4>().ok_or_else(too_short)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > raw.len() - 4 {
            return Err(too_short().to_owned());
        }
        let _ = raw.split_to(4);
        elements.push(raw.split_to(length));
    }
    Ok(Contents::Elements(elements))
}

fn contents_of_typed(datatype: &str, contents: InferTensorContents) -> Result<Contents, String> {
    let narrow = |problem: &dyn std::fmt::Display| format!("{problem} is out of the range of {datatype}");
    let mut bytes: Vec<u8> = Vec::new();
    macro_rules! narrowed {
        ($from:ident as $to:ty) => {
            for value in contents.$from {
                bytes.extend(<$to>::try_from(value).map_err(|_| narrow(&value))?.to_le_bytes());
            }
        };
    }
    match datatype {
        "BYTES" => return Ok(Contents::Elements(contents.bytes_contents)),
        "BOOL" => bytes.extend(contents.bool_contents.into_iter().map(u8::from)),
        "INT8" => narrowed!(int_contents as i8),
        "INT16" => narrowed!(int_contents as i16),
        "INT32" => narrowed!(int_contents as i32),
        "INT64" => narrowed!(int64_contents as i64),
        "UINT8" => narrowed!(uint_contents as u8),
        "UINT16" => narrowed!(uint_contents as u16),
        "UINT32" => narrowed!(uint_contents as u32),
        "UINT64" => narrowed!(uint64_contents as u64),
        "FP32" => bytes.extend(contents.fp32_contents.iter().flat_map(|value| value.to_le_bytes())),
        "FP64" => bytes.extend(contents.fp64_contents.iter().flat_map(|value| value.to_le_bytes())),
        "FP16" | "BF16" => return Err(format!("contents of {datatype} must be raw")),
        other => return Err(format!("there is no datatype '{other}'")),
    }
    Ok(Contents::Numbers(bytes.into()))
}

impl Brought {
    fn check(&self) -> Result<(), String> {
        let elements = self.shape.iter().try_fold(1u64, |all, extent| all.checked_mul(*extent));
        let is_whole = match &self.contents {
            Contents::Numbers(bytes) => {
                let size = size_bytes(&self.datatype)? as u64;
                elements.and_then(|elements| elements.checked_mul(size)) == Some(bytes.len() as u64)
            }
            Contents::Elements(brought) => elements == Some(brought.len() as u64),
        };
        let (datatype, shape) = (&self.datatype, &self.shape);
        let have = match &self.contents {
            Contents::Numbers(bytes) => format!("{} bytes", bytes.len()),
            Contents::Elements(brought) => format!("{} elements", brought.len()),
        };
        if is_whole { Ok(()) } else { Err(format!("{have}, which are no {datatype}{shape:?}")) }
    }

    fn into_value(self, input: &Input, parameters: &Parameters) -> Result<Value, String> {
        let is_list = matches!(input.ty.form, Form::List { .. });
        let items: Vec<Given> = match &input.ty.kind {
            Kind::Tensor { dtype, .. } => self.into_tensors(*dtype, is_list)?,
            Kind::Text { .. } | Kind::Enum(_) => self.texts()?.into_iter().map(Given::Text).collect(),
            Kind::Messages { .. } => {
                let texts = self.texts()?;
                let read = texts.iter().map(|text| messages::read(text).map(Given::Messages));
                read.collect::<Result<_, _>>()?
            }
            Kind::Int => self.integers()?.into_iter().map(Given::Int).collect(),
            Kind::Float => self.floats()?.into_iter().map(Given::Float).collect(),
            Kind::Bool => self.truths()?.into_iter().map(Given::Bool).collect(),
            Kind::Image { .. } => self.into_pictures()?.into_iter().map(Given::Image).collect(),
            Kind::Audio { rate_hz, .. } => {
                let rate_hz = parameters.sample_rate_hz.or(*rate_hz);
                self.into_sounds(rate_hz)?.into_iter().map(Given::Audio).collect()
            }
            Kind::Video { .. } => {
                let videos = self.into_videos(parameters.frames_per_second)?;
                videos.into_iter().map(Given::Video).collect()
            }
            Kind::Media { .. } => self.files()?.into_iter().map(medium).collect::<Result<_, _>>()?,
        };
        let mut items = items.into_iter().map(|kind| Value { kind: Some(kind) });
        if is_list {
            return Ok(Value { kind: Some(Given::List(List { items: items.collect() })) });
        }
        match (items.next(), items.len()) {
            (Some(item), 0) => Ok(item),
            (None, _) => Err(format!("nothing where one {} is declared", input.ty)),
            (Some(_), more) => Err(format!("{} where one {} is declared", more + 1, input.ty)),
        }
    }

    fn not_as(&self, wanted: &str) -> String {
        format!("{}{:?} where {wanted} is wanted", self.datatype, self.shape)
    }

    fn files(self) -> Result<Vec<Bytes>, String> {
        match self.contents {
            Contents::Elements(elements) => Ok(elements),
            Contents::Numbers(_) => Err(self.not_as("BYTES, a file in each element,")),
        }
    }

    fn texts(&self) -> Result<Vec<String>, String> {
        let Contents::Elements(elements) = &self.contents else { return Err(self.not_as("BYTES")) };
        let text = |element: &Bytes| {
            String::from_utf8(element.to_vec()).map_err(|_| "an element that is no UTF-8".to_owned())
        };
        elements.iter().map(text).collect()
    }

    /// The numbers, each in its bytes.
    fn numbers<const N: usize>(bytes: &Bytes) -> impl Iterator<Item = [u8; N]> {
        bytes.as_chunks::<N>().0.iter().copied()
    }

    fn integers(&self) -> Result<Vec<i64>, String> {
        let wanted = || self.not_as("INT64 or another type of integers");
        let Contents::Numbers(bytes) = &self.contents else { return Err(wanted()) };
        let too_large = |value: u64| format!("{value} is over the largest integer");
        Ok(match self.datatype.as_str() {
            "INT8" => Self::numbers(bytes).map(i8::from_le_bytes).map(i64::from).collect(),
            "INT16" => Self::numbers(bytes).map(i16::from_le_bytes).map(i64::from).collect(),
            "INT32" => Self::numbers(bytes).map(i32::from_le_bytes).map(i64::from).collect(),
            "INT64" => Self::numbers(bytes).map(i64::from_le_bytes).collect(),
            "UINT8" => Self::numbers(bytes).map(u8::from_le_bytes).map(i64::from).collect(),
            "UINT16" => Self::numbers(bytes).map(u16::from_le_bytes).map(i64::from).collect(),
            "UINT32" => Self::numbers(bytes).map(u32::from_le_bytes).map(i64::from).collect(),
            "UINT64" => {
                let values = Self::numbers(bytes).map(u64::from_le_bytes);
                let values = values.map(|value| i64::try_from(value).map_err(|_| too_large(value)));
                values.collect::<Result<_, _>>()?
            }
            _ => return Err(wanted()),
        })
    }

    fn floats(&self) -> Result<Vec<f64>, String> {
        match (&self.contents, self.datatype.as_str()) {
            (Contents::Numbers(bytes), "FP32") => {
                Ok(Self::numbers(bytes).map(f32::from_le_bytes).map(f64::from).collect())
            }
            (Contents::Numbers(bytes), "FP64") => Ok(Self::numbers(bytes).map(f64::from_le_bytes).collect()),
            _ => match self.integers() {
                Ok(integers) => Ok(integers.into_iter().map(|value| value as f64).collect()),
                Err(_) => Err(self.not_as("FP64, FP32 or a type of integers")),
            },
        }
    }

    fn truths(&self) -> Result<Vec<bool>, String> {
        match (&self.contents, self.datatype.as_str()) {
            (Contents::Numbers(bytes), "BOOL") => Ok(bytes.iter().map(|byte| *byte != 0).collect()),
            _ => Err(self.not_as("BOOL")),
        }
    }

    /// As it is declared, or a list of such along the first dimension.
    fn into_tensors(self, dtype: Dtype, is_list: bool) -> Result<Vec<Given>, String> {
        let wanted = self.not_as(datatype(dtype));
        let Contents::Numbers(bytes) = self.contents else { return Err(wanted) };
        if self.datatype != datatype(dtype) {
            return Err(wanted);
        }
        let tensor = |shape: &[u64], data: Bytes| {
            Given::Tensor(Tensor { dtype: dtype.name().to_owned(), shape: shape.to_vec(), data })
        };
        let (count, shape) = match self.shape.split_first() {
            Some((count, shape)) if is_list => (*count as usize, shape),
            _ => return Ok(vec![tensor(&self.shape, bytes)]),
        };
        // The contents are as many as the shape says, so a count beyond them is one of empty tensors.
        if bytes.is_empty() && count > 0 {
            return Err("a list of empty tensors".to_owned());
        }
        let each = bytes.len().checked_div(count).unwrap_or(0);
        Ok((0..count).map(|place| tensor(shape, bytes.slice(place * each..(place + 1) * each))).collect())
    }

    /// Files, or pixels of one picture or of several of one size.
    fn into_pictures(self) -> Result<Vec<Image>, String> {
        let wanted = self.not_as("BYTES, a file in each element, or UINT8[height, width, 3]");
        match self.contents {
            Contents::Elements(files) => Ok(files.into_iter().map(encoded_picture).collect()),
            Contents::Numbers(bytes) if self.datatype == "UINT8" => {
                pictures(&self.shape, &bytes).ok_or(wanted)
            }
            Contents::Numbers(_) => Err(wanted),
        }
    }

    fn into_sounds(self, rate_hz: Option<u32>) -> Result<Vec<Audio>, String> {
        let wanted = self.not_as("BYTES, a file in each element, or FP32 or INT16 samples");
        let f32: Bytes = match (self.contents, self.datatype.as_str()) {
            (Contents::Elements(files), _) => {
                let file = |file| Audio { content: Some(audio::Content::Encoded(file)) };
                return Ok(files.into_iter().map(file).collect());
            }
            (Contents::Numbers(bytes), "FP32") => bytes,
            (Contents::Numbers(bytes), "INT16") => {
                let samples =
                    Self::numbers(&bytes).map(|sample| f32::from(i16::from_le_bytes(sample)) / 32768.0);
                samples.flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into()
            }
            _ => return Err(wanted),
        };
        let rate_hz = rate_hz.ok_or("samples without a rate; say it as parameter 'sample_rate'")?;
        Ok(vec![Audio { content: Some(audio::Content::Samples(Samples { rate_hz, f32 })) }])
    }

    /// Films, or the pixels of the frames of one video.
    fn into_videos(self, frames_per_second: Option<f64>) -> Result<Vec<Video>, String> {
        let wanted = self.not_as("BYTES, a film in each element, or UINT8[frames, height, width, 3]");
        let bytes = match &self.contents {
            Contents::Elements(files) => return Ok(files.iter().cloned().map(film).collect()),
            Contents::Numbers(bytes) => bytes,
        };
        if self.datatype != "UINT8" || self.shape.len() != 4 {
            return Err(wanted);
        }
        let pictures = pictures(&self.shape, bytes).ok_or(wanted)?;
        let rate = frames_per_second.filter(|rate| *rate > 0.0 && rate.is_finite());
        let rate = rate.ok_or("frames without a rate; say it as parameter 'frames_per_second'")?;
        let frames = pictures.into_iter().enumerate().map(|(place, picture)| Frame {
            time_us: (place as f64 * 1e6 / rate).round() as u64,
            image: Some(picture),
        });
        Ok(vec![Video { frames: frames.collect(), encoded: None }])
    }
}

fn encoded_picture(file: Bytes) -> Image {
    Image { content: Some(image::Content::Encoded(file)) }
}

/// The pictures in pixels of shape `[height, width, 3]` or `[count, height, width, 3]`.
fn pictures(shape: &[u64], bytes: &Bytes) -> Option<Vec<Image>> {
    let (count, height, width) = match *shape {
        [height, width, 3] => (1, height, width),
        [count, height, width, 3] => (count as usize, height, width),
        _ => return None,
    };
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    if bytes.is_empty() && count > 0 {
        return None;
    }
    let each = bytes.len().checked_div(count).unwrap_or(0);
    let picture = |place: usize| {
        let rgb = bytes.slice(place * each..(place + 1) * each);
        Image { content: Some(image::Content::Pixels(Pixels { width, height, rgb })) }
    };
    Some((0..count).map(picture).collect())
}

fn film(file: Bytes) -> Video {
    Video { frames: Vec::new(), encoded: Some(file) }
}

/// A file of any kind of media.
fn medium(file: Bytes) -> Result<Given, String> {
    Ok(match modality(&file).map_err(|error| error.to_string())? {
        Modality::Image => Given::Image(encoded_picture(file)),
        Modality::Audio => Given::Audio(Audio { content: Some(audio::Content::Encoded(file)) }),
        Modality::Video => Given::Video(film(file)),
    })
}

#[cfg(test)]
mod tests {
    use corn_plan::{Dim, Limits, Type};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::grpc::value::{Budget, read as read_value};

    const DATATYPES: [&str; 8] = ["BYTES", "BOOL", "UINT8", "INT16", "FP16", "FP32", "UINT64", "COMPLEX"];

    fn kinds() -> Vec<Kind> {
        let dims = vec![Dim::Upto { name: "n".to_owned(), max: 4 }, Dim::Fixed(2)];
        let mut kinds = vec![
            Kind::Text { max_bytes: 8 },
            Kind::Messages { max_parts: 2 },
            Kind::Media { rate: None, max_bytes: 64 },
            Kind::Audio { rate_hz: None, max_ms: 10 },
            Kind::Int,
            Kind::Float,
            Kind::Bool,
            Kind::modality(),
        ];
        kinds.extend(Modality::ALL.map(|modality| Kind::of_media(modality, None, 64)));
        kinds.extend([Dtype::F32, Dtype::U8].map(|dtype| Kind::Tensor { dtype, dims: dims.clone() }));
        kinds
    }

    proptest! {
        /// Whatever a client sends is a value or refused.
        #[test]
        fn nothing_breaks_the_reader(
            datatype in prop::sample::select(DATATYPES.to_vec()),
            shape in vec(prop_oneof![-1i64..5, Just(i64::MAX)], 0..5),
            raw in vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..64),
            kind in prop::sample::select(kinds()),
            is_list in any::<bool>(),
        ) {
            let ty = if is_list { Type::list(kind, 3) } else { Type::value(kind) };
            let name = "it".to_owned();
            let input =
                Input { name, ty, is_required: true, default: None, choices: Vec::new(), media: None };
            let parameters =
                Parameters { sample_rate_hz: Some(8000), frames_per_second: Some(25.0), ..Parameters::default() };
            let tensor =
                InferInputTensor { datatype: datatype.to_owned(), shape, ..InferInputTensor::default() };
            if let Ok(value) = read(tensor, Some(raw.into()), &input, &parameters) {
                let _ = read_value(value, &input, &mut Budget::new(Limits::default()));
            }
        }
    }

    #[test]
    fn texts_have_their_lengths_before_them() {
        let Ok(Contents::Elements(elements)) =
            contents_of_raw("BYTES", Bytes::from_static(b"\x02\0\0\0ab\0\0\0\0"))
        else {
            panic!("two elements")
        };
        assert_eq!(elements, [&b"ab"[..], b""]);
        assert!(contents_of_raw("BYTES", Bytes::from_static(b"\x02\0\0\0a")).is_err());
        assert!(contents_of_raw("BYTES", Bytes::from_static(b"\x02\0")).is_err());
    }
}
