//! An item of a conversation: a message of a user, an assistant or the system, as clients send and read it.

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::datum::Role;
use corn_plan::Modality;
use serde_json::{Value, json};

use super::voice::RATE_HZ;
use crate::http::fields::{missing, one_of, wrong};
use crate::http::media::Medium;
use crate::http::refusal::Refusal;
use crate::http::talk::{needed_text, object, unknown};

/// Most parts of an item.
const MAX_PARTS: usize = 256;
/// What an item takes besides its parts, in bytes, so that empty ones count too.
const ITEM_BYTES: usize = 256;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) role: Role,
    pub(super) parts: Vec<Part>,
    pub(super) status: &'static str,
}

/// A part of it.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    /// What a user said: 16-bit samples at [`RATE_HZ`], and their words as far as they were written down.
    Sound {
        samples: Bytes,
        transcript: Option<String>,
    },
    /// A picture, as a data URL.
    Picture(String),
    /// What an assistant said: its words, and how long it was.
    Spoken {
        transcript: String,
        samples: u64,
    },
}

/// How long sound of 16-bit samples at [`RATE_HZ`] is.
pub(super) const fn duration_ms(samples: u64) -> u64 {
    samples * 1000 / RATE_HZ as u64
}

/// Sound in base64, as 16-bit samples.
pub(super) fn samples(text: &str, param: &str) -> Result<Vec<u8>, Refusal> {
    let wrong = |problem: String| Refusal::param(param, format!("'{param}': {problem}"));
    let bytes = BASE64.decode(text).map_err(|error| wrong(format!("it is no base64: {error}")))?;
    if bytes.len() % 2 == 1 {
        let message = format!("it has {} bytes, and samples of 16 bits have an even number", bytes.len());
        return Err(wrong(message));
    }
    Ok(bytes)
}

impl Item {
    /// Reads an item that stood at `at`. `new_id` is its id if it says none.
    pub(super) fn read(at: &str, item: Value, new_id: impl FnOnce() -> String) -> Result<Self, Refusal> {
        let mut item = object(at, item)?;
        let kind = needed_text(&mut item, at, "type")?;
        let param = format!("{at}.type");
        one_of(&param, &kind, &["message"], "no graph takes that")?;
        let param = format!("{at}.role");
        let role = needed_text(&mut item, at, "role")?;
        let role = match one_of(&param, &role, &["user", "assistant", "system"], "nobody has that role")? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => Role::System,
        };
        let id = match item.remove("id") {
            None => new_id(),
            Some(Value::String(id)) if (1..=64).contains(&id.len()) => id,
            Some(_) => {
                let param = format!("{at}.id");
                return Err(Refusal::param(&param, format!("'{param}' must be a string of 1 to 64 bytes")));
            }
        };
        // What an item says of itself when it was got from here.
        item.remove("object");
        item.remove("status");
        let param = format!("{at}.content");
        let parts = match item.remove("content") {
            Some(Value::Array(parts)) if (1..=MAX_PARTS).contains(&parts.len()) => parts,
            Some(Value::Array(parts)) => {
                let message = format!("'{param}' has {} parts; 1 to {MAX_PARTS} are taken", parts.len());
                return Err(Refusal::param(&param, message));
            }
            Some(other) => return Err(wrong(&param, "a list of parts", &other)),
            None => return Err(missing(&param)),
        };
        if let Some((name, _)) = item.into_iter().next() {
            return Err(unknown(at, &name));
        }
        let parts = parts.into_iter().enumerate();
        let parts = parts.map(|(n, part)| Part::read(&format!("{param}[{n}]"), part, role));
        Ok(Self { id, role, parts: parts.collect::<Result<_, _>>()?, status: "completed" })
    }

    /// As events say it; `in_full` with the sounds in it.
    pub(super) fn shown(&self, in_full: bool) -> Value {
        let parts: Vec<Value> = self.parts.iter().map(|part| part.shown(self.role, in_full)).collect();
        json!({
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role.name(),
            "content": parts,
        })
    }

    /// What it takes to keep, roughly.
    pub(super) fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) | Part::Picture(text) | Part::Spoken { transcript: text, .. } => text.len(),
            Part::Sound { samples, transcript } => samples.len() + transcript.as_ref().map_or(0, String::len),
        });
        ITEM_BYTES + parts.sum::<usize>()
    }

    /// The length of the user's sounds in it.
    pub(super) fn heard_ms(&self) -> u64 {
        let heard = |part: &Part| match part {
            Part::Sound { samples, .. } => duration_ms(samples.len() as u64 / 2),
            _ => 0,
        };
        self.parts.iter().map(heard).sum()
    }

    /// How many pictures are in it.
    pub(super) fn pictures(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Picture(_))).count()
    }

    /// The words of its sound are these.
    pub(super) fn set_transcript(&mut self, words: &str) {
        for part in &mut self.parts {
            if let Part::Sound { transcript, .. } = part {
                *transcript = Some(words.to_owned());
            }
        }
    }

    /// Forgets what was said after the first `end_ms` of the spoken part `place`.
    pub(super) fn truncate(&mut self, place: usize, end_ms: u64) -> Result<(), Refusal> {
        let Some(Part::Spoken { transcript, samples }) = self.parts.get_mut(place) else {
            let message = format!("'content_index' is {place}, and no part there was spoken by an assistant");
            return Err(Refusal::param("content_index", message));
        };
        let whole_ms = duration_ms(*samples);
        if end_ms > whole_ms {
            let message = format!("'audio_end_ms' is {end_ms}, and only {whole_ms} ms were spoken");
            return Err(Refusal::param("audio_end_ms", message).code("invalid_value"));
        }
        // Which word was spoken when is not known; voices are even enough for a share of the words.
        let words: Vec<&str> = transcript.split_inclusive(char::is_whitespace).collect();
        let kept = (words.len() as u64 * end_ms).checked_div(whole_ms).unwrap_or(0);
        *transcript = words.into_iter().take(kept as usize).collect();
        *samples = end_ms * u64::from(RATE_HZ) / 1000;
        Ok(())
    }
}

impl Part {
    fn read(at: &str, part: Value, role: Role) -> Result<Self, Refusal> {
        let mut part = object(at, part)?;
        let kind = needed_text(&mut part, at, "type")?;
        let read = match (role, kind.as_str()) {
            (Role::User | Role::System, "input_text") | (Role::Assistant, "output_text") => {
                Self::Text(needed_text(&mut part, at, "text")?)
            }
            (Role::User, "input_audio") => {
                let param = format!("{at}.audio");
                let samples = samples(&needed_text(&mut part, at, "audio")?, &param)?.into();
                let transcript = match part.remove("transcript") {
                    None | Some(Value::Null) => None,
                    Some(Value::String(words)) => Some(words),
                    Some(other) => return Err(wrong(&format!("{at}.transcript"), "a string", &other)),
                };
                Self::Sound { samples, transcript }
            }
            (Role::User, "input_image") => picture(&mut part, at)?,
            // A voice of another time: no graph takes it, and what it said is known.
            (Role::Assistant, "output_audio") => {
                let transcript = needed_text(&mut part, at, "transcript")?;
                Self::Spoken { transcript, samples: 0 }
            }
            (role, other) => {
                let param = format!("{at}.type");
                let kinds = match role {
                    Role::User => "input_text, input_audio, input_image",
                    Role::System => "input_text",
                    Role::Assistant => "output_text, output_audio",
                };
                let role = role.name();
                let message =
                    format!("'{param}' is {other:?}; an item of the role {role} has parts of {kinds}");
                return Err(Refusal::param(param, message));
            }
        };
        match part.into_iter().next() {
            Some((name, _)) => Err(unknown(at, &name)),
            None => Ok(read),
        }
    }

    fn shown(&self, role: Role, in_full: bool) -> Value {
        match self {
            Self::Text(text) if role == Role::Assistant => json!({ "type": "output_text", "text": text }),
            Self::Text(text) => json!({ "type": "input_text", "text": text }),
            Self::Sound { samples, transcript } if in_full => {
                json!({ "type": "input_audio", "audio": BASE64.encode(samples), "transcript": transcript })
            }
            Self::Sound { transcript, .. } => json!({ "type": "input_audio", "transcript": transcript }),
            Self::Picture(url) if in_full => json!({ "type": "input_image", "image_url": url }),
            Self::Picture(_) => json!({ "type": "input_image" }),
            Self::Spoken { transcript, .. } => json!({ "type": "output_audio", "transcript": transcript }),
        }
    }
}

fn picture(part: &mut serde_json::Map<String, Value>, at: &str) -> Result<Part, Refusal> {
    let param = format!("{at}.image_url");
    let url = needed_text(part, at, "image_url")?;
    if !url.starts_with("data:") {
        let message =
            format!("'{param}' is no data URL (data:image/…;base64,…), and nothing is fetched in sessions");
        return Err(Refusal::param(param, message).code("url_not_allowed"));
    }
    Medium::from_url(Modality::Image, param, &url)?;
    if let Some(detail) = part.remove("detail")
        && detail != "auto"
    {
        let param = format!("{at}.detail");
        let message =
            format!("'{param}' is {detail}; how finely a picture is looked at is the graph's choice: auto");
        return Err(Refusal::param(param, message));
    }
    Ok(Part::Picture(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_heard_is_forgotten() {
        let spoken = Part::Spoken { transcript: "one two three four".to_owned(), samples: 48_000 };
        let mut item =
            Item { id: "a".to_owned(), role: Role::Assistant, parts: vec![spoken], status: "completed" };
        assert!(item.truncate(1, 0).is_err() && item.truncate(0, 2001).is_err());
        item.truncate(0, 1000).unwrap();
        assert_eq!(item.shown(false)["content"][0]["transcript"], "one two ");
        item.truncate(0, 1000).unwrap();
        assert_eq!(item.shown(false)["content"][0]["transcript"], "one two ");
        item.truncate(0, 0).unwrap();
        assert_eq!(item.shown(false)["content"][0]["transcript"], "");
        item.truncate(0, 0).unwrap();
    }
}
