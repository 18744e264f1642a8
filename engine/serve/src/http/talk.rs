//! The messages of a chat, read part by part.

use corn_core::datum::Role;
use corn_plan::Modality;
use serde_json::{Map, Value};

use super::fields::{missing, one_of, wrong};
use super::media::{Content, Medium};
use super::refusal::Refusal;

/// Most parts that are read; the bound of the graph's input is held later.
const MAX_PARTS: usize = 16_384;

/// A message.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) said: Vec<Said>,
}

/// A part of a message.
#[derive(Debug)]
pub(super) enum Said {
    Text(String),
    Medium(Medium),
}

/// Reads `messages`.
pub(super) fn read(messages: Option<Value>) -> Result<Vec<Turn>, Refusal> {
    let messages = match messages {
        Some(Value::Array(messages)) if !messages.is_empty() => messages,
        Some(Value::Array(_)) => return Err(Refusal::param("messages", "'messages' is empty")),
        Some(other) => return Err(wrong("messages", "a list of messages", &other)),
        None => return Err(missing("messages")),
    };
    let turns = messages.into_iter().enumerate();
    let turns: Vec<Turn> =
        turns.map(|(at, message)| turn(&format!("messages[{at}]"), message)).collect::<Result<_, _>>()?;
    if turns.iter().map(|turn| turn.said.len()).sum::<usize>() > MAX_PARTS {
        return Err(Refusal::param("messages", format!("'messages' has more than {MAX_PARTS} parts")));
    }
    Ok(turns)
}

/// The media in turns, to be fetched.
pub(super) fn media(turns: &mut [Turn]) -> impl Iterator<Item = &mut Medium> {
    let said = turns.iter_mut().flat_map(|turn| &mut turn.said);
    said.filter_map(|said| if let Said::Medium(medium) = said { Some(medium) } else { None })
}

fn turn(at: &str, message: Value) -> Result<Turn, Refusal> {
    let mut message = object(at, message)?;
    let role = needed_text(&mut message, at, "role")?;
    let role = match role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let param = format!("{at}.role");
            let roles = "there is system, developer, user, assistant";
            let message = format!("'{param}' is {other:?}, which no graph takes; {roles}");
            return Err(Refusal::param(param, message));
        }
    };
    let param = format!("{at}.content");
    let said = match message.remove("content") {
        Some(Value::String(text)) => vec![Said::Text(text)],
        Some(Value::Array(parts)) => {
            let parts = parts.into_iter().enumerate();
            parts.map(|(n, part)| said(&format!("{param}[{n}]"), part)).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(wrong(&param, "a string or a list of parts", &other)),
        None => return Err(missing(&param)),
    };
    // Clients send an assistant's message as they got it, with what it has nothing of.
    let leftover = message.into_iter().find(|(_, value)| *value != Value::Array(Vec::new()));
    match leftover {
        Some((name, _)) if name == "audio" => {
            let param = format!("{at}.audio");
            let message = format!("'{param}': sounds are not kept; send the transcript as content");
            Err(Refusal::param(param, message))
        }
        Some((name, _)) => Err(unknown(at, &name)),
        None => Ok(Turn { role, said }),
    }
}

fn said(at: &str, part: Value) -> Result<Said, Refusal> {
    let mut part = object(at, part)?;
    let kind = needed_text(&mut part, at, "type")?;
    let said = match kind.as_str() {
        "text" => Said::Text(needed_text(&mut part, at, "text")?),
        "image_url" => Said::Medium(from_url(&mut part, at, "image_url", Modality::Image)?),
        "audio_url" => Said::Medium(from_url(&mut part, at, "audio_url", Modality::Audio)?),
        "video_url" => Said::Medium(from_url(&mut part, at, "video_url", Modality::Video)?),
        "input_audio" => Said::Medium(input_audio(&mut part, at)?),
        other => {
            let param = format!("{at}.type");
            let kinds = "there is text, image_url, input_audio, audio_url, video_url";
            let message = format!("'{param}' is {other:?}, which is not taken; {kinds}");
            return Err(Refusal::param(param, message));
        }
    };
    match part.into_iter().next() {
        Some((name, _)) => Err(unknown(at, &name)),
        None => Ok(said),
    }
}

fn from_url(part: &mut Map<String, Value>, at: &str, name: &str, kind: Modality) -> Result<Medium, Refusal> {
    let at = format!("{at}.{name}");
    let mut inner = object(&at, part.remove(name).ok_or_else(|| missing(&at))?)?;
    let url = needed_text(&mut inner, &at, "url")?;
    if let Some(detail) = inner.remove("detail")
        && detail != "auto"
    {
        let param = format!("{at}.detail");
        let message =
            format!("'{param}' is {detail}; how finely a picture is looked at is the graph's choice: auto");
        return Err(Refusal::param(param, message));
    }
    match inner.into_iter().next() {
        Some((name, _)) => Err(unknown(&at, &name)),
        None => Medium::from_url(kind, at, &url),
    }
}

/// Formats of sound by the names that clients have for them.
const SOUNDS: [&str; 10] = ["wav", "mp3", "flac", "ogg", "opus", "aac", "m4a", "mp4", "webm", "mkv"];

fn input_audio(part: &mut Map<String, Value>, at: &str) -> Result<Medium, Refusal> {
    let at = format!("{at}.input_audio");
    let mut inner = object(&at, part.remove("input_audio").ok_or_else(|| missing(&at))?)?;
    let data = needed_text(&mut inner, &at, "data")?;
    let format = needed_text(&mut inner, &at, "format")?;
    one_of(&format!("{at}.format"), &format, &SOUNDS, "that is not read")?;
    if let Some((name, _)) = inner.into_iter().next() {
        return Err(unknown(&at, &name));
    }
    let content = Content::Base64(data, Some(format));
    Ok(Medium { kind: Modality::Audio, param: at, content })
}

/// The fields of an object, without those that are null.
pub(super) fn object(at: &str, value: Value) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Object(fields) => Ok(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => Err(wrong(at, "an object", &other)),
    }
}

/// A field of an object that is a text and must be there.
pub(super) fn needed_text(fields: &mut Map<String, Value>, at: &str, name: &str) -> Result<String, Refusal> {
    let param = format!("{at}.{name}");
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(wrong(&param, "a string", &other)),
        None => Err(missing(&param)),
    }
}

/// Nothing takes the field `name` of the object at `at`.
pub(super) fn unknown(at: &str, name: &str) -> Refusal {
    let param = format!("{at}.{name}");
    let message = format!("'{param}' is not taken");
    Refusal::param(param, message)
}
