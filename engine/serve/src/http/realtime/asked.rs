//! What clients say: events of JSON, each read whole or refused with the place that is wrong in it.

use serde_json::{Map, Value};

use super::item::samples;
use crate::http::fields::{missing, wrong};
use crate::http::refusal::Refusal;
use crate::http::talk::unknown;

/// The types of events that are taken.
const KNOWN: &[&str] = &[
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
    "output_audio_buffer.clear",
];
/// Longest id of an event; it is sent back with what is wrong in the event.
const MAX_ID: usize = 512;

/// An event.
#[derive(Debug)]
pub(super) enum Asked {
    Update(Value),
    /// Sound: 16-bit samples.
    Append(Vec<u8>),
    Commit,
    Clear,
    Create {
        item: Value,
        after: Option<String>,
    },
    Retrieve(String),
    Truncate {
        item: String,
        place: usize,
        end_ms: u64,
    },
    Delete(String),
    Respond(Map<String, Value>),
    /// The answer of this id, or whichever is under way.
    Cancel(Option<String>),
    ClearOutput,
}

impl Asked {
    /// What its type is, if it is worth a line when it is refused: clients say few of these, and much depends on them.
    pub(super) const fn told(&self) -> Option<&'static str> {
        match self {
            Self::Update(_) => Some("session.update"),
            Self::Respond(_) => Some("response.create"),
            _ => None,
        }
    }
}

/// The id that an event has for its sender, and the event.
pub(super) fn read(text: &str) -> (Option<String>, Result<Asked, Refusal>) {
    let mut event: Map<String, Value> = match serde_json::from_str(text) {
        Ok(event) => event,
        Err(error) => return (None, Err(not_json(&error))),
    };
    match event.remove("event_id") {
        None | Some(Value::Null) => (None, asked(event)),
        Some(Value::String(id)) if id.len() <= MAX_ID => (Some(id), asked(event)),
        Some(_) => {
            let message = format!("'event_id' must be a string of at most {MAX_ID} bytes");
            (None, Err(Refusal::param("event_id", message)))
        }
    }
}

fn not_json(error: &serde_json::Error) -> Refusal {
    let message = format!("the message is no JSON object: {error}");
    Refusal::request(axum::http::StatusCode::BAD_REQUEST, message).code("invalid_json")
}

fn asked(mut event: Map<String, Value>) -> Result<Asked, Refusal> {
    let kind = text(&mut event, "type")?;
    let asked = match kind.as_str() {
        "session.update" => Asked::Update(event.remove("session").ok_or_else(|| missing("session"))?),
        "input_audio_buffer.append" => Asked::Append(samples(&text(&mut event, "audio")?, "audio")?),
        "input_audio_buffer.commit" => Asked::Commit,
        "input_audio_buffer.clear" => Asked::Clear,
        "conversation.item.create" => Asked::Create {
            item: event.remove("item").ok_or_else(|| missing("item"))?,
            after: maybe_text(&mut event, "previous_item_id")?,
        },
        "conversation.item.retrieve" => Asked::Retrieve(text(&mut event, "item_id")?),
        "conversation.item.truncate" => Asked::Truncate {
            item: text(&mut event, "item_id")?,
            place: usize::try_from(number(&mut event, "content_index")?).unwrap_or(usize::MAX),
            end_ms: number(&mut event, "audio_end_ms")?,
        },
        "conversation.item.delete" => Asked::Delete(text(&mut event, "item_id")?),
        "response.create" => Asked::Respond(match event.remove("response") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(response)) => response,
            Some(other) => return Err(wrong("response", "an object", &other)),
        }),
        "response.cancel" => Asked::Cancel(maybe_text(&mut event, "response_id")?),
        "output_audio_buffer.clear" => Asked::ClearOutput,
        other => {
            let message =
                format!("'type' is {other:?}, which is no event here; there is {}", KNOWN.join(", "));
            return Err(Refusal::param("type", message).code("unknown_event"));
        }
    };
    match event.into_iter().find(|(_, value)| !value.is_null()) {
        Some((name, _)) => Err(unknown(&kind, &name)),
        None => Ok(asked),
    }
}

fn maybe_text(event: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match event.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(name, "a string", &other)),
    }
}

fn text(event: &mut Map<String, Value>, name: &str) -> Result<String, Refusal> {
    maybe_text(event, name)?.ok_or_else(|| missing(name))
}

fn number(event: &mut Map<String, Value>, name: &str) -> Result<u64, Refusal> {
    let value = event.remove(name).ok_or_else(|| missing(name))?;
    value.as_u64().ok_or_else(|| {
        let message = format!("'{name}' is {value}, and must be a whole number from 0 on");
        Refusal::param(name, message)
    })
}
