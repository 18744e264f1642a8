//! Values as JSON and as text.

use corn_core::{Conversation, Datum, Message, Part, Tensor};
use corn_plan::Form;
use serde_json::{Value as Json, json};

/// What an output gave: one value, a list, or a stream's items. Streams of text are one text.
pub(super) fn to_json(items: &[Datum], form: Form) -> Json {
    let texts: Option<String> =
        items.iter().map(|item| if let Datum::Text(text) = item { Some(&**text) } else { None }).collect();
    match (form, texts, items) {
        (Form::Stream { .. }, Some(text), [_, ..]) => Json::String(text),
        (Form::Stream { .. }, _, items) => Json::Array(items.iter().map(one).collect()),
        (_, _, [only, ..]) => one(only),
        (_, _, []) => Json::Null,
    }
}

/// The same for a person: texts as they are, everything else as JSON.
pub(super) fn to_text(items: &[Datum], form: Form) -> String {
    match to_json(items, form) {
        Json::String(text) => text,
        json => json.to_string(),
    }
}

/// One item.
pub(super) fn one(datum: &Datum) -> Json {
    match datum {
        Datum::Text(text) => json!(**text),
        Datum::Int(value) => json!(value),
        Datum::Float(value) => json!(value),
        Datum::Bool(value) => json!(value),
        Datum::List(items) => Json::Array(items.iter().map(one).collect()),
        Datum::Tensor(tensor) => tensor_json(tensor),
        Datum::Image(image) => json!({ "width": image.width, "height": image.height }),
        Datum::Audio(audio) => json!({ "rate_hz": audio.rate_hz, "samples": audio.samples.len() }),
        Datum::Video(video) => json!({ "frames": video.frames.len() }),
        Datum::Messages(conversation) => messages_json(conversation),
        Datum::OnDevice(_) => unreachable!("what clients get lies in the host's memory"),
    }
}

/// Who says what; media as the words for their kinds.
fn messages_json(conversation: &Conversation) -> Json {
    let part = |part: &Part| match part {
        Part::Text(text) => json!({ "text": **text }),
        Part::Media(kind) => json!({ "media": kind.name() }),
    };
    let message = |message: &Message| {
        let parts: Vec<Json> = message.parts.iter().map(part).collect();
        json!({ "role": message.role.name(), "parts": parts })
    };
    Json::Array(conversation.messages.iter().map(message).collect())
}

/// f32 tensors as their numbers, flat; others as what they are.
fn tensor_json(tensor: &Tensor) -> Json {
    match tensor.to_f32s() {
        Some(values) => json!(values),
        None => json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape }),
    }
}
