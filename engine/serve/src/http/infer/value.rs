//! Values as JSON: texts, numbers and lists as they are; everything else as an object whose one key says what it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use corn_media::{MediaKind, sniff};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::value::Kind;
use crate::grpc::proto::corn::{audio, image, part};

/// What an object may say that stands for a value.
const WORDS: &str = "image, audio, video, messages or tensor";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Video {
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    time_us: u64,
    image: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: Role,
    content: Content,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    User,
    Assistant,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Json>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
    data: String,
}

/// The value that `given` stands for; the error says what is wrong.
pub(super) fn read(given: Json) -> Result<pb::Value, String> {
    let kind = match given {
        Json::String(text) => Kind::Text(text),
        Json::Bool(value) => Kind::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Kind::Int(whole),
            (None, Some(float)) => Kind::Float(float),
            (None, None) => return Err(format!("{number} is no number of 64 bits")),
        },
        Json::Array(items) => {
            let read = |(place, item)| read(item).map_err(|problem| format!("item {place}: {problem}"));
            let items = items.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
            Kind::List(pb::List { items })
        }
        Json::Null => return Err("null is no value; leave the input out".to_owned()),
        Json::Object(object) => {
            let mut entries = object.into_iter();
            let (Some((word, content)), None) = (entries.next(), entries.next()) else {
                return Err(format!("an object has one key, which is {WORDS}"));
            };
            read_object(&word, content)?
        }
    };
    Ok(pb::Value { kind: Some(kind) })
}

fn read_object(word: &str, content: Json) -> Result<Kind, String> {
    Ok(match word {
        "text" => Kind::Text(typed(word, content)?),
        "image" => Kind::Image(picture(&typed::<String>(word, content)?)?),
        "audio" => Kind::Audio(sound(&typed::<String>(word, content)?)?),
        "video" => Kind::Video(video(content)?),
        "messages" => Kind::Messages(conversation(typed(word, content)?)?),
        "tensor" => {
            let Tensor { dtype, shape, data } = typed(word, content)?;
            Kind::Tensor(pb::Tensor { dtype, shape, data: file(&data)? })
        }
        other => {
            return Err(format!("'{other}' is no kind of value; an object has one key, which is {WORDS}"));
        }
    })
}

fn typed<T: DeserializeOwned>(word: &str, content: Json) -> Result<T, String> {
    serde_json::from_value(content).map_err(|error| format!("as '{word}': {error}"))
}

/// The bytes of base64, with or without what data URLs have before it.
fn file(text: &str) -> Result<Bytes, String> {
    let content = match text.strip_prefix("data:").and_then(|url| url.split_once(',')) {
        Some((head, content)) if head.ends_with(";base64") => content,
        Some(_) => return Err("a data URL must be in base64 (data:…;base64,…)".to_owned()),
        None => text,
    };
    BASE64.decode(content).map(Bytes::from).map_err(|error| format!("it is no base64: {error}"))
}

fn picture(text: &str) -> Result<pb::Image, String> {
    Ok(pb::Image { content: Some(image::Content::Encoded(file(text)?)) })
}

fn sound(text: &str) -> Result<pb::Audio, String> {
    Ok(pb::Audio { content: Some(audio::Content::Encoded(file(text)?)) })
}

/// A file, or frames.
fn video(content: Json) -> Result<pb::Video, String> {
    if let Json::String(text) = &content {
        return Ok(pb::Video { frames: Vec::new(), encoded: Some(file(text)?) });
    }
    let Video { frames } = typed("video", content)?;
    let frame = |(place, frame): (usize, Frame)| {
        let image = picture(&frame.image).map_err(|problem| format!("frame {place}: {problem}"))?;
        Ok::<_, String>(pb::Frame { time_us: frame.time_us, image: Some(image) })
    };
    let frames = frames.into_iter().enumerate().map(frame).collect::<Result<_, _>>()?;
    Ok(pb::Video { frames, encoded: None })
}

fn conversation(messages: Vec<Message>) -> Result<pb::Conversation, String> {
    let mut read = Vec::with_capacity(messages.len());
    for (place, Message { role, content }) in messages.into_iter().enumerate() {
        let role = match role {
            Role::System => pb::Role::System,
            Role::User => pb::Role::User,
            Role::Assistant => pb::Role::Assistant,
        };
        let parts = match content {
            Content::Text(text) => vec![pb::Part { content: Some(part::Content::Text(text)) }],
            Content::Parts(parts) => {
                let part =
                    |(at, it)| part(it).map_err(|problem| format!("message {place}, part {at}: {problem}"));
                parts.into_iter().enumerate().map(part).collect::<Result<_, _>>()?
            }
        };
        read.push(pb::Message { role: role.into(), parts });
    }
    Ok(pb::Conversation { messages: read })
}

fn part(given: Json) -> Result<pb::Part, String> {
    let content = match self::read(given)?.kind {
        Some(Kind::Text(text)) => part::Content::Text(text),
        Some(Kind::Image(image)) => part::Content::Image(image),
        Some(Kind::Audio(audio)) => part::Content::Audio(audio),
        Some(Kind::Video(video)) => part::Content::Video(video),
        _ => return Err("a part is a text, an image, an audio or a video".to_owned()),
    };
    Ok(pb::Part { content: Some(content) })
}

/// `value` as clients get it: as [`read`] takes it.
pub(super) fn write(value: &pb::Value) -> Json {
    match &value.kind {
        None => Json::Null,
        Some(Kind::Text(text)) => json!(text),
        Some(Kind::Int(value)) => json!(value),
        Some(Kind::Float(value)) => json!(value),
        Some(Kind::Bool(value)) => json!(value),
        Some(Kind::List(list)) => list.items.iter().map(write).collect(),
        Some(Kind::Image(image)) => json!({ "image": write_picture(image) }),
        Some(Kind::Audio(audio)) => json!({ "audio": write_sound(audio) }),
        Some(Kind::Video(video)) => json!({ "video": write_video(video) }),
        Some(Kind::Messages(conversation)) => json!({ "messages": write_conversation(conversation) }),
        Some(Kind::Tensor(pb::Tensor { dtype, shape, data })) => {
            json!({ "tensor": { "dtype": dtype, "shape": shape, "data": BASE64.encode(data) } })
        }
    }
}

fn write_picture(picture: &pb::Image) -> Json {
    match &picture.content {
        Some(image::Content::Encoded(bytes)) => {
            let media_type = match sniff(bytes) {
                Some(MediaKind::Jpeg) => "image/jpeg",
                Some(MediaKind::WebP) => "image/webp",
                _ => "image/png",
            };
            json!(format!("data:{media_type};base64,{}", BASE64.encode(bytes)))
        }
        _ => Json::Null,
    }
}

fn write_sound(sound: &pb::Audio) -> Json {
    match &sound.content {
        Some(audio::Content::Encoded(bytes)) => {
            json!(format!("data:audio/wav;base64,{}", BASE64.encode(bytes)))
        }
        _ => Json::Null,
    }
}

fn write_video(video: &pb::Video) -> Json {
    let frame = |frame: &pb::Frame| json!({ "time_us": frame.time_us, "image": frame.image.as_ref().map(write_picture) });
    json!({ "frames": video.frames.iter().map(frame).collect::<Vec<_>>() })
}

fn write_conversation(conversation: &pb::Conversation) -> Json {
    let part = |part: &pb::Part| match &part.content {
        Some(part::Content::Text(text)) => json!({ "text": text }),
        Some(part::Content::Image(image)) => json!({ "image": write_picture(image) }),
        Some(part::Content::Audio(audio)) => json!({ "audio": write_sound(audio) }),
        Some(part::Content::Video(video)) => json!({ "video": write_video(video) }),
        None => Json::Null,
    };
    let message = |message: &pb::Message| {
        let role = match message.role() {
            pb::Role::System => "system",
            pb::Role::Assistant => "assistant",
            pb::Role::User | pb::Role::Unspecified => "user",
        };
        json!({ "role": role, "content": message.parts.iter().map(part).collect::<Vec<_>>() })
    };
    conversation.messages.iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_they_are_read() {
        let values = json!([
            "hi", 7, 0.5, true, ["a", "b"],
            { "image": "data:image/png;base64,iVBORw0KGgo=" },
            { "audio": "data:audio/wav;base64,UklGRg==" },
            { "video": { "frames": [{ "time_us": 3, "image": "data:image/png;base64,iVBORw0KGgo=" }] } },
            { "messages": [{ "role": "user", "content": [{ "text": "what is" }, { "image": "data:image/png;base64,iVBORw0KGgo=" }] }] },
            { "tensor": { "dtype": "f32", "shape": [1], "data": "AACAPw==" } },
        ]);
        assert_eq!(write(&read(values.clone()).unwrap()), values);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let problem = |given: Json| read(given).unwrap_err();
        assert_eq!(
            problem(json!(["a", { "image": "%" }])),
            "item 1: it is no base64: Invalid symbol 37, offset 0."
        );
        assert!(problem(json!({ "sound": "" })).starts_with("'sound' is no kind of value"));
        assert!(problem(json!({})).starts_with("an object has one key"));
        assert!(
            problem(json!({ "messages": [{ "role": "user", "content": [7] }] }))
                .starts_with("message 0, part 0")
        );
        assert!(problem(json!({ "image": "data:image/png,x" })).contains("must be in base64"));
        assert!(problem(json!({ "video": "%" })).starts_with("it is no base64"));
        assert!(problem(json!({ "video": 7 })).starts_with("as 'video': "));
    }
}
