//! Values of Corn's own service, read as what their inputs declare, and written.
//!
//! What is too large or too many is refused before it is decoded.

use bytes::Bytes;
use corn_core::{Audio, Conversation, Datum, Frame, Image, Message, Part, Role, Samples, Tensor, Video};
use corn_media::{
    AudioLimits, Format, ImageLimits, MediaError, VideoLimits, read_audio, read_image, read_video,
    write_image, write_wav,
};
use corn_plan::types::DEFAULT_MEDIA_MAX_BYTES;
use corn_plan::{Dtype, Form, FrameRate, Kind, Limits, Literal, Modality, Type};

use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::value::Kind as Given;
use crate::grpc::proto::corn::{audio, image, part};
use crate::grpc::routes::Input;

/// What a request may still bring of media, over all its inputs.
#[derive(Debug)]
pub(super) struct Budget {
    images: Option<u32>,
    audio_ms: Option<u64>,
}

impl Budget {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { images: limits.images, audio_ms: limits.audio_ms }
    }

    fn take_image(&mut self) -> Result<(), String> {
        let Some(left) = &mut self.images else { return Ok(()) };
        *left = left.checked_sub(1).ok_or("one picture more than a request may bring")?;
        Ok(())
    }

    /// Sound of at most `max_ms`, if no input takes longer ones.
    fn audio_ms(&self, max_ms: u64) -> u64 {
        self.audio_ms.map_or(max_ms, |left| left.min(max_ms))
    }

    fn take_audio(&mut self, audio: &Audio) -> Result<(), String> {
        let Some(left) = &mut self.audio_ms else { return Ok(()) };
        let is = audio.duration_ms();
        let over = || format!("{is} ms of sound, where a request may bring {left} ms more", left = *left);
        *left = left.checked_sub(is).ok_or_else(over)?;
        Ok(())
    }
}

/// `given` as `input` declares it; the error says what is wrong.
pub(super) fn read(given: pb::Value, input: &Input, budget: &mut Budget) -> Result<Datum, String> {
    let kind = &input.ty.kind;
    match (given.kind, input.ty.form) {
        (None, _) => Err("a value of no kind".to_owned()),
        (Some(Given::List(list)), Form::List { max }) => {
            if list.items.len() > max as usize {
                return Err(format!("a list of {} items is over the bound of {max}", list.items.len()));
            }
            let read = |(place, item): (usize, pb::Value)| {
                let item = item.kind.ok_or_else(|| "a value of no kind".to_owned());
                let item = item.and_then(|item| read_item(item, kind, None, budget));
                item.map_err(|problem| format!("item {place}: {problem}"))
            };
            let items: Result<Vec<Datum>, String> = list.items.into_iter().enumerate().map(read).collect();
            Ok(Datum::List(items?.into()))
        }
        (Some(_), Form::List { .. }) => Err(format!("it takes a {}", input.ty)),
        (Some(item), _) => read_item(item, kind, input.media.as_ref(), budget),
    }
}

fn read_item(given: Given, kind: &Kind, media: Option<&Type>, budget: &mut Budget) -> Result<Datum, String> {
    match (given, kind) {
        (Given::Text(text), Kind::Text { .. } | Kind::Enum(_)) => Ok(Datum::text(text)),
        (Given::Int(value), Kind::Int) => Ok(Datum::Int(value)),
        (Given::Float(value), Kind::Float) => Ok(Datum::Float(value)),
        // Clients without types of numbers send whole ones as such.
        (Given::Int(value), Kind::Float) => Ok(Datum::Float(value as f64)),
        (Given::Bool(value), Kind::Bool) => Ok(Datum::Bool(value)),
        (Given::Tensor(tensor), Kind::Tensor { .. }) => read_tensor(tensor),
        (Given::Image(image), Kind::Image { max_bytes } | Kind::Media { max_bytes, .. }) => {
            Ok(Datum::Image(read_picture(image, *max_bytes, budget)?.into()))
        }
        (Given::Video(video), Kind::Video { rate, max_bytes } | Kind::Media { rate, max_bytes }) => {
            read_film(video, VideoLimits { rate: *rate, max_bytes: *max_bytes })
        }
        (Given::Audio(audio), Kind::Audio { max_ms, .. }) => read_sound(audio, *max_ms, budget),
        (Given::Audio(audio), Kind::Media { .. }) => {
            let Kind::Audio { max_ms, .. } = kind.medium(Modality::Audio) else {
                unreachable!("sound is audio")
            };
            read_sound(audio, max_ms, budget)
        }
        (Given::Messages(conversation), Kind::Messages { .. }) => read_messages(conversation, media, budget),
        (given, kind) => Err(format!("{} where {kind} is declared", word(&given))),
    }
}

const fn word(given: &Given) -> &'static str {
    match given {
        Given::Text(_) => "text",
        Given::Image(_) => "image",
        Given::Audio(_) => "audio",
        Given::Video(_) => "video",
        Given::Messages(_) => "messages",
        Given::Tensor(_) => "tensor",
        Given::Int(_) => "int",
        Given::Float(_) => "float",
        Given::Bool(_) => "bool",
        Given::List(_) => "list",
    }
}

fn read_tensor(tensor: pb::Tensor) -> Result<Datum, String> {
    let pb::Tensor { dtype, shape, data } = tensor;
    let dtype = Dtype::from_name(&dtype).ok_or_else(|| {
        let known: Vec<&str> = Dtype::ALL.map(Dtype::name).to_vec();
        format!("there is no dtype '{dtype}'; there is {}", known.join(", "))
    })?;
    let bytes = shape.iter().try_fold(dtype.size_bytes(), |bytes, extent| bytes.checked_mul(*extent));
    if bytes != Some(data.len() as u64) {
        return Err(format!("{} bytes, which are no {}{shape:?}", data.len(), dtype.name()));
    }
    Ok(Datum::Tensor(Tensor { dtype, shape, bytes: data }.into()))
}

fn read_picture(given: pb::Image, max_bytes: u64, budget: &mut Budget) -> Result<Image, String> {
    budget.take_image()?;
    decode_picture(given, max_bytes)
}

fn decode_picture(given: pb::Image, max_bytes: u64) -> Result<Image, String> {
    match given.content.ok_or("a picture without content")? {
        image::Content::Encoded(file) => {
            read_image(&file, ImageLimits::from_bytes(max_bytes)).map_err(|error| error.to_string())
        }
        image::Content::Pixels(pixels) => {
            let pb::Pixels { width, height, rgb } = pixels;
            // The product of two 32-bit numbers and 3 could be over 64 bits.
            let bytes = (u64::from(width) * u64::from(height)).checked_mul(3);
            if bytes != Some(rgb.len() as u64) || rgb.is_empty() {
                return Err(format!("{} bytes, which are no {width}×{height} RGB pixels", rgb.len()));
            }
            Ok(Image { width, height, rgb })
        }
    }
}

fn read_film(given: pb::Video, limits: VideoLimits) -> Result<Datum, String> {
    if let Some(file) = given.encoded {
        if !given.frames.is_empty() {
            return Err("frames and a film; a video is one of the two".to_owned());
        }
        let video = read_video(&file, limits).map_err(|error| error.to_string())?;
        return Ok(Datum::Video(video.into()));
    }
    let mut frames: Vec<Frame> = Vec::with_capacity(given.frames.len());
    let VideoLimits { rate, max_bytes } = limits;
    let mut left = max_bytes;
    for (place, frame) in given.frames.into_iter().enumerate() {
        let at = |problem: String| format!("frame {place}: {problem}");
        if frames.last().is_some_and(|last| last.time_us > frame.time_us) {
            return Err(at("it is before the frame before it".to_owned()));
        }
        let is_left_out = rate.zip(frames.last()).is_some_and(|(rate, last): (FrameRate, _)| {
            rate.interval(last.time_us) == rate.interval(frame.time_us)
        });
        if is_left_out {
            continue;
        }
        let image = frame.image.ok_or_else(|| at("it has no picture".to_owned()))?;
        let image = decode_picture(image, left).map_err(at)?;
        left = left.checked_sub(image.rgb.len() as u64).ok_or_else(|| {
            at(format!("with it the video is over the bound of {max_bytes} bytes of frames"))
        })?;
        frames.push(Frame { time_us: frame.time_us, image: image.into() });
    }
    Ok(Datum::Video(Video { frames }.into()))
}

fn read_sound(given: pb::Audio, max_ms: u64, budget: &mut Budget) -> Result<Datum, String> {
    let audio = match given.content.ok_or("a sound without content")? {
        audio::Content::Encoded(file) => {
            let limits = AudioLimits { max_ms: budget.audio_ms(max_ms) };
            read_audio(&file, limits).map_err(|error| error.to_string())?
        }
        audio::Content::Samples(samples) => {
            let pb::Samples { rate_hz, f32 } = samples;
            if !f32.len().is_multiple_of(4) {
                return Err(format!("{} bytes, which are no 32-bit samples", f32.len()));
            }
            let samples = samples_from(f32);
            if let Some(index) = samples.iter().position(|sample| !sample.is_finite()) {
                return Err(format!("sample {index} is not a number"));
            }
            Audio { rate_hz, samples }
        }
    };
    budget.take_audio(&audio)?;
    Ok(Datum::Audio(audio.into()))
}

/// Samples of bytes in the order of the wire.
pub(super) fn samples_from(little_endian: Bytes) -> Samples {
    if cfg!(target_endian = "little") {
        return Samples::from_bytes(little_endian);
    }
    let floats = little_endian.chunks_exact(4);
    floats.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// Samples in the order of the wire.
pub(super) fn samples_to(samples: &Samples) -> Bytes {
    if cfg!(target_endian = "little") {
        return samples.as_bytes().clone();
    }
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>().into()
}

fn read_messages(
    given: pb::Conversation,
    declared: Option<&Type>,
    budget: &mut Budget,
) -> Result<Datum, String> {
    let any = Type::value(Kind::Media { rate: None, max_bytes: DEFAULT_MEDIA_MAX_BYTES });
    let declared = declared.unwrap_or(&any);
    let mut conversation = Conversation::default();
    for (place, message) in given.messages.into_iter().enumerate() {
        let role = match message.role() {
            pb::Role::System => Role::System,
            pb::Role::User => Role::User,
            pb::Role::Assistant => Role::Assistant,
            pb::Role::Unspecified => return Err(format!("message {place}: it has no role")),
        };
        let mut parts = Vec::with_capacity(message.parts.len());
        for (part_place, part) in message.parts.into_iter().enumerate() {
            let at = |problem: String| format!("message {place}, part {part_place}: {problem}");
            let item = match part.content.ok_or_else(|| at("it has no content".to_owned()))? {
                part::Content::Text(text) => {
                    parts.push(Part::Text(text.into()));
                    continue;
                }
                part::Content::Image(image) => Given::Image(image),
                part::Content::Audio(audio) => Given::Audio(audio),
                part::Content::Video(video) => Given::Video(video),
            };
            if declared.form != Form::Value && conversation.media.len() >= declared.max_items() as usize {
                return Err(at(format!("it is over the bound of {} media", declared.max_items())));
            }
            let datum = read_item(item, &declared.kind, None, budget).map_err(at)?;
            parts.extend(datum.modality().map(Part::Media));
            conversation.media.push(datum);
        }
        conversation.messages.push(Message { role, parts });
    }
    Ok(Datum::Messages(conversation.into()))
}

/// How media are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formats {
    /// None is pixels.
    pub(crate) images: Option<Format>,
    /// Else samples.
    pub(crate) wav: bool,
}

impl Formats {
    /// Whether to write `datum` takes so long that it is done apart.
    pub(super) fn is_work(self, datum: &Datum) -> bool {
        match datum {
            Datum::Image(_) | Datum::Video(_) | Datum::Messages(_) => self.images.is_some(),
            Datum::Audio(_) => self.wav,
            Datum::List(items) => items.iter().any(|item| self.is_work(item)),
            _ => false,
        }
    }
}

/// What a server made as a value, or as an item, of type `ty`.
pub(crate) fn read_made(made: pb::Value, ty: &Type) -> Result<Datum, String> {
    let input = Input {
        name: String::new(),
        ty: ty.clone(),
        is_required: true,
        default: None,
        choices: Vec::new(),
        media: None,
    };
    read(made, &input, &mut Budget::new(Limits::default()))
}

/// `datum` as clients get it.
pub(crate) fn write(datum: &Datum, formats: Formats) -> Result<pb::Value, MediaError> {
    let kind = match datum {
        Datum::Text(text) => Given::Text(text.to_string()),
        Datum::Image(image) => Given::Image(write_picture(image, formats)?),
        Datum::Audio(audio) => Given::Audio(write_sound(audio, formats)?),
        Datum::Video(video) => Given::Video(write_video(video, formats)?),
        Datum::Messages(conversation) => Given::Messages(write_messages(conversation, formats)?),
        Datum::Tensor(tensor) => Given::Tensor(pb::Tensor {
            dtype: tensor.dtype.name().to_owned(),
            shape: tensor.shape.clone(),
            data: tensor.bytes.clone(),
        }),
        Datum::Int(value) => Given::Int(*value),
        Datum::Float(value) => Given::Float(*value),
        Datum::Bool(value) => Given::Bool(*value),
        Datum::List(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| write(item, formats)).collect();
            Given::List(pb::List { items: items? })
        }
        Datum::OnDevice(_) => unreachable!("what clients get lies in the host's memory"),
    };
    Ok(pb::Value { kind: Some(kind) })
}

fn write_picture(image: &Image, formats: Formats) -> Result<pb::Image, MediaError> {
    let content = match formats.images {
        Some(format) => image::Content::Encoded(write_image(image, format)?.into()),
        None => image::Content::Pixels(pb::Pixels {
            width: image.width,
            height: image.height,
            rgb: image.rgb.clone(),
        }),
    };
    Ok(pb::Image { content: Some(content) })
}

fn write_sound(audio: &Audio, formats: Formats) -> Result<pb::Audio, MediaError> {
    let content = if formats.wav {
        audio::Content::Encoded(write_wav(audio)?.into())
    } else {
        let f32 = samples_to(&audio.samples);
        audio::Content::Samples(pb::Samples { rate_hz: audio.rate_hz, f32 })
    };
    Ok(pb::Audio { content: Some(content) })
}

fn write_video(video: &Video, formats: Formats) -> Result<pb::Video, MediaError> {
    let frame = |frame: &Frame| {
        Ok(pb::Frame { time_us: frame.time_us, image: Some(write_picture(&frame.image, formats)?) })
    };
    Ok(pb::Video { frames: video.frames.iter().map(frame).collect::<Result<_, _>>()?, encoded: None })
}

fn write_messages(conversation: &Conversation, formats: Formats) -> Result<pb::Conversation, MediaError> {
    let mut media = conversation.media.iter();
    let mut messages = Vec::new();
    for message in &conversation.messages {
        let role = match message.role {
            Role::System => pb::Role::System,
            Role::User => pb::Role::User,
            Role::Assistant => pb::Role::Assistant,
        };
        let mut parts = Vec::new();
        for part in &message.parts {
            let content = match part {
                Part::Text(text) => Some(part::Content::Text(text.to_string())),
                Part::Media(_) => match media.next() {
                    Some(Datum::Image(image)) => Some(part::Content::Image(write_picture(image, formats)?)),
                    Some(Datum::Audio(audio)) => Some(part::Content::Audio(write_sound(audio, formats)?)),
                    Some(Datum::Video(video)) => Some(part::Content::Video(write_video(video, formats)?)),
                    // Media that stay in the replay leave a mark of nothing.
                    _ => None,
                },
            };
            parts.push(pb::Part { content });
        }
        messages.push(pb::Message { role: role.into(), parts });
    }
    Ok(pb::Conversation { messages })
}

/// A constant of the plan.
pub(super) fn write_literal(literal: &Literal) -> pb::Value {
    let kind = match literal {
        Literal::Int(value) => Given::Int(*value),
        Literal::Float(value) => Given::Float(*value),
        Literal::Bool(value) => Given::Bool(*value),
        Literal::Text(text) => Given::Text(text.clone()),
        Literal::Texts(texts) => {
            let items = texts.iter().map(|text| pb::Value { kind: Some(Given::Text(text.clone())) });
            Given::List(pb::List { items: items.collect() })
        }
    };
    pb::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(ty: Type, media: Option<Type>) -> Input {
        let name = "it".to_owned();
        Input { name, ty, is_required: true, default: None, choices: Vec::new(), media }
    }

    fn wav(ms: u32) -> pb::Audio {
        let audio = Audio { rate_hz: 8000, samples: vec![0.0; 8 * ms as usize].into() };
        pb::Audio { content: Some(audio::Content::Encoded(write_wav(&audio).unwrap().into())) }
    }

    fn png() -> pb::Image {
        let image = Image { width: 2, height: 2, rgb: vec![9; 12].into() };
        pb::Image { content: Some(image::Content::Encoded(write_image(&image, Format::Png).unwrap().into())) }
    }

    fn value(kind: Given) -> pb::Value {
        pb::Value { kind: Some(kind) }
    }

    #[test]
    fn sound_is_bounded_alone_and_together() {
        let kind = Kind::Audio { rate_hz: None, max_ms: 500 };
        let sounds = input(Type::list(kind, 3), None);
        let list = |lengths: &[u32]| {
            let items = lengths.iter().map(|ms| value(Given::Audio(wav(*ms))));
            value(Given::List(pb::List { items: items.collect() }))
        };
        let limits = Limits { audio_ms: Some(800), ..Limits::default() };
        let read = |lengths: &[u32]| read(list(lengths), &sounds, &mut Budget::new(limits));
        assert!(read(&[400, 400]).is_ok());
        assert!(read(&[600]).unwrap_err().starts_with("item 0: "), "over the bound of the input");
        assert!(read(&[400, 300, 200]).unwrap_err().starts_with("item 2: "), "over that of the request");
        assert_eq!(read(&[1, 1, 1, 1]).unwrap_err(), "a list of 4 items is over the bound of 3");
    }

    #[test]
    fn samples_are_read_as_they_are() {
        let sound = input(Type::value(Kind::Audio { rate_hz: None, max_ms: 500 }), None);
        let samples = |f32: &'static [u8]| {
            let content = audio::Content::Samples(pb::Samples { rate_hz: 4, f32: Bytes::from_static(f32) });
            value(Given::Audio(pb::Audio { content: Some(content) }))
        };
        let mut budget = Budget::new(Limits::default());
        let read = read(samples(&[0, 0, 0, 63, 0, 0, 128, 191]), &sound, &mut budget).unwrap();
        let Datum::Audio(audio) = read else { panic!("a sound") };
        assert_eq!((audio.rate_hz, &audio.samples[..]), (4, &[0.5, -1.0][..]));
        let odd = super::read(samples(&[0, 0, 0]), &sound, &mut budget);
        assert_eq!(odd.unwrap_err(), "3 bytes, which are no 32-bit samples");
        for none in [&[0, 0, 0, 0, 0, 0, 192, 127], &[0, 0, 0, 0, 0, 0, 128, 255]] {
            let none = super::read(samples(none), &sound, &mut budget);
            assert_eq!(none.unwrap_err(), "sample 1 is not a number");
        }
    }

    #[test]
    fn media_of_a_conversation_stand_where_they_stood() {
        let media = Type::list(Kind::Media { rate: None, max_bytes: 1 << 20 }, 2);
        let messages = input(Type::value(Kind::Messages { max_parts: 8 }), Some(media));
        let part = |content| pb::Part { content: Some(content) };
        let said = |parts: Vec<pb::Part>| {
            let message = pb::Message { role: pb::Role::User.into(), parts };
            value(Given::Messages(pb::Conversation { messages: vec![message] }))
        };
        let text = part(part::Content::Text("what is this?".to_owned()));
        let image = part(part::Content::Image(png()));
        let sound = part(part::Content::Audio(wav(10)));
        let mut budget = Budget::new(Limits::default());
        let given = said(vec![image.clone(), text.clone(), sound.clone()]);
        let datum = read(given.clone(), &messages, &mut budget).unwrap();
        assert!(datum.check(&messages.ty.kind).is_ok());
        let Datum::Messages(conversation) = &datum else { panic!("a conversation") };
        let kinds: Vec<_> = conversation.parts().cloned().collect();
        assert_eq!(kinds[0], Part::Media(Modality::Image));
        assert_eq!(kinds[2], Part::Media(Modality::Audio));
        let formats = Formats { images: Some(Format::Png), wav: true };
        assert!(matches!(write(&datum, formats).unwrap().kind, Some(Given::Messages(_))));
        let many = said(vec![image.clone(), image.clone(), image]);
        let refused = read(many, &messages, &mut budget).unwrap_err();
        assert_eq!(refused, "message 0, part 2: it is over the bound of 2 media");
    }

    #[test]
    fn frames_are_in_order_and_bounded_together() {
        let video = input(Type::value(Kind::Video { rate: None, max_bytes: 24 }), None);
        let frames = |times: &[u64]| {
            let frame = |time_us: &u64| pb::Frame { time_us: *time_us, image: Some(png()) };
            value(Given::Video(pb::Video { frames: times.iter().map(frame).collect(), encoded: None }))
        };
        let mut budget = Budget::new(Limits::default());
        let mut read = |times: &[u64]| super::read(frames(times), &video, &mut budget);
        assert!(read(&[0, 40_000]).is_ok());
        assert!(read(&[40_000, 0]).unwrap_err().starts_with("frame 1: it is before"));
        assert!(read(&[0, 1, 2]).unwrap_err().starts_with("frame 2: "));
        let twice_a_second = Kind::Video { rate: Some(FrameRate(2000)), max_bytes: 24 };
        let thinned = input(Type::value(twice_a_second), None);
        let read = super::read(frames(&[0, 1, 2, 500_000]), &thinned, &mut budget).unwrap();
        let Datum::Video(video) = read else { panic!("a video") };
        assert_eq!(video.frames.iter().map(|frame| frame.time_us).collect::<Vec<_>>(), [0, 500_000]);
    }
}
