//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request as HttpRequest;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::Datum;
use corn_core::executor::Usage;
use corn_core::message::Priority;
use corn_media::{SoundFormat, SoundWriter};
use serde_json::{Value, json};

use super::answer::Outputs;
use super::events::{Say, events};
use super::fields::{Fields, SaysUsage, one_of, wrong};
use super::models::{self, Model};
use super::refusal::Refusal;
use super::schema;
use super::sound::{self, NOT_WRITTEN};
use super::talk::{self, Turn};
use super::usage::Used;
use super::{Face, RequestName, body, bring, measured, media, now_s};
use crate::Request;
use crate::fetch::BytesLeft;

/// What a body says, before what it names by URL has been fetched.
struct Said {
    bytes: u64,
    /// Most that it and what is fetched may hold together.
    max_bytes: u64,
    fields: Fields,
    model: String,
    turns: Vec<Turn>,
    is_streamed: bool,
    says_usage: SaysUsage,
    tier: Option<&'static str>,
    priority: Priority,
    sound: Option<Sound>,
}

/// What is answered, and how.
struct Asked {
    request: Request,
    is_streamed: bool,
    says_usage: SaysUsage,
    told: Told,
}

/// What the answer says of itself, and where its text and its sound are among the outputs.
struct Told {
    id: String,
    created_s: u64,
    model: String,
    tier: Option<&'static str>,
    brought: Used,
    text: Option<usize>,
    sound: Option<(usize, SoundFormat)>,
}

const SOUND_FORMATS: &[&str] = &["wav", "mp3", "flac", "opus", "pcm16"];

pub(super) async fn answer(
    State(face): State<Arc<Face>>,
    Extension(name): Extension<RequestName>,
    request: HttpRequest<Body>,
) -> Response {
    let path = "chat";
    measured(&face, path, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), path);
        let (body, taken) = body::whole(request, max_bytes, &face.intake).await?;
        let mut said = face.prepared(move |face| read(face, &body)).await?;
        let left = BytesLeft::new(said.max_bytes, said.bytes);
        media::fetch(&face.fetcher, talk::media(&mut said.turns), left).await?;
        let asked = face.prepared(move |face| prepare(face, said, &name)).await?;
        drop(taken);
        let outputs = face.ask(asked.request, &meter).await?;
        if asked.is_streamed {
            let sound = asked.told.sound.map(|(_, format)| SoundWriter::new(format));
            let says =
                Chunks { told: asked.told, says_usage: asked.says_usage, sound, made: Used::default() };
            return Ok(events(says, outputs));
        }
        whole(&asked.told, outputs).await
    })
    .await
}

/// Reads all but media, and sees to it that the model would take what there is.
fn read(face: &Face, body: &[u8]) -> Result<Said, Refusal> {
    let mut fields = Fields::from_json(body)?;
    let name = fields.needed_text("model")?;
    let model = models::find(face.served.plan(), &name, "chat")?;
    model.check_body(body.len())?;
    let is_streamed = fields.flag("stream")?;
    let says_usage = fields.says_usage(is_streamed)?;
    let (tier, priority) = tier(&mut fields)?;
    let wants_sound = modalities(fields.take("modalities"), &model)?;
    let sound = sound(fields.take("audio"), wants_sound, is_streamed)?;
    let turns = talk::read(fields.take("messages"))?;
    bring::choose(model, with(sound.as_ref()), &turns)?;
    let (bytes, max_bytes) = (body.len() as u64, model.body_bytes());
    Ok(Said { bytes, max_bytes, fields, model: name, turns, is_streamed, says_usage, tier, priority, sound })
}

fn with(sound: Option<&Sound>) -> Option<&'static str> {
    sound.map(|_| "audio")
}

fn prepare(face: &Face, said: Said, name: &RequestName) -> Result<Asked, Refusal> {
    let Said { mut fields, turns, is_streamed, says_usage, tier, priority, mut sound, .. } = said;
    let model = models::find(face.served.plan(), &said.model, "chat")?;
    let choice = bring::choose(model, with(sound.as_ref()), &turns)?;
    let mut inputs = bring::inputs(&choice, turns)?;
    let brought = Used::of(inputs.iter().map(|(_, datum)| datum));
    fields.voice(sound.as_mut().and_then(|sound| sound.voice.take()), "audio.voice", &choice)?;
    fields.alias("max_completion_tokens", "max_tokens", &choice);
    fields.alias("max_tokens", "max_completion_tokens", &choice);
    schema::read(&mut fields, &choice)?;
    inputs.extend(fields.rest(&choice)?);
    inputs.extend(choice.fixed(&inputs));
    let told = Told {
        id: format!("chatcmpl-{}", name.0),
        created_s: now_s(),
        model: said.model,
        tier,
        brought,
        text: choice.output("text"),
        sound: choice.output("audio").zip(sound.map(|sound| sound.format)),
    };
    let request = Request {
        graph: model.name().to_owned(),
        inputs,
        outputs: choice.outputs(),
        deadline: None,
        priority,
    };
    Ok(Asked { request, is_streamed, says_usage, told })
}

/// A tier is how urgent a request is.
fn tier(fields: &mut Fields) -> Result<(Option<&'static str>, Priority), Refusal> {
    let words = &["auto", "default", "flex", "priority"];
    let said = fields.word("service_tier", words, "that is no tier here")?;
    Ok(match said {
        Some("flex") => (Some("flex"), Priority::Low),
        Some("priority") => (Some("priority"), Priority::High),
        Some(_) => (Some("default"), Priority::Normal),
        None => (None, Priority::Normal),
    })
}

/// Whether sound is asked for.
fn modalities(said: Option<Value>, model: &Model<'_>) -> Result<bool, Refusal> {
    let param = "modalities";
    let wants_sound = match said {
        None => false,
        Some(Value::Array(words)) => {
            for word in &words {
                let Value::String(word) = word else { return Err(wrong(param, "a list of strings", word)) };
                one_of(param, word, &["text", "audio"], "that is not made in chats")?;
            }
            if words.is_empty() {
                return Err(Refusal::param(param, "'modalities' is empty"));
            }
            words.iter().any(|word| word == "audio")
        }
        Some(other) => return Err(wrong(param, "a list of strings", &other)),
    };
    let name = model.name();
    if wants_sound && !model.answers_with("audio") {
        return Err(Refusal::param(param, format!("the model '{name}' answers chats in text only")));
    }
    if !wants_sound && !model.answers_plainly() {
        let message = format!("the model '{name}' answers chats with [\"text\", \"audio\"] only");
        return Err(Refusal::param(param, message));
    }
    Ok(wants_sound)
}

struct Sound {
    format: SoundFormat,
    voice: Option<Value>,
}

fn sound(said: Option<Value>, wants_sound: bool, is_streamed: bool) -> Result<Option<Sound>, Refusal> {
    let mut said = match said {
        None if !wants_sound => return Ok(None),
        None => serde_json::Map::new(),
        Some(Value::Object(_)) if !wants_sound => {
            let message = "'audio' is only for answers with sound; say modalities: [\"text\", \"audio\"]";
            return Err(Refusal::param("audio", message));
        }
        Some(Value::Object(said)) => said,
        Some(other) => return Err(wrong("audio", "an object", &other)),
    };
    let voice = said.remove("voice").filter(|voice| !voice.is_null());
    let word = match said.remove("format") {
        None | Some(Value::Null) if is_streamed => "pcm16",
        None | Some(Value::Null) => "wav",
        Some(Value::String(word)) => one_of("audio.format", &word, SOUND_FORMATS, NOT_WRITTEN)?,
        Some(other) => return Err(wrong("audio.format", "a string", &other)),
    };
    if let Some((name, _)) = said.into_iter().find(|(_, value)| !value.is_null()) {
        let param = format!("audio.{name}");
        return Err(Refusal::param(&param, format!("'{param}' is not taken")));
    }
    if is_streamed && word == "wav" {
        let message = "'audio.format' cannot be wav where the answer is streamed, since a WAV file begins with its length; there is pcm16, mp3, flac, opus";
        return Err(Refusal::param("audio.format", message));
    }
    Ok(Some(Sound { format: sound::format(word), voice }))
}

async fn whole(told: &Told, mut outputs: Outputs) -> Result<Response, Refusal> {
    let (mut text, mut sounds, mut made) = (String::new(), Vec::new(), Used::default());
    while let Some((place, datum)) = outputs.next().await? {
        made.add(&datum);
        match datum {
            Datum::Text(piece) if Some(place) == told.text => text.push_str(&piece),
            sound @ Datum::Audio(_) => sounds.push(sound),
            other => return Err(Refusal::ours(format!("a chat was answered with {}", other.word()))),
        }
    }
    made.tell(outputs.usage());
    let message = match told.sound {
        None => json!({ "role": "assistant", "content": text, "refusal": null }),
        Some((_, format)) => {
            let bytes = sound::whole(&sounds, format)?;
            json!({
                "role": "assistant",
                "content": null,
                "refusal": null,
                "audio": {
                    "id": told.audio_id(),
                    "data": BASE64.encode(bytes),
                    "expires_at": told.created_s,
                    "transcript": text,
                },
            })
        }
    };
    let mut whole = told.head("chat.completion");
    whole["choices"] =
        json!([{ "index": 0, "message": message, "finish_reason": made.finish(), "logprobs": null }]);
    whole["usage"] = told.brought.chat(&made);
    outputs.end();
    Ok(Json(whole).into_response())
}

impl Told {
    fn head(&self, object: &str) -> Value {
        let Self { id, created_s, model, .. } = self;
        let mut head = json!({ "id": id, "object": object, "created": created_s, "model": model });
        if let Some(tier) = self.tier {
            head["service_tier"] = tier.into();
        }
        head
    }

    fn audio_id(&self) -> String {
        format!("audio-{}", self.id)
    }
}

/// An answer in pieces.
struct Chunks {
    told: Told,
    says_usage: SaysUsage,
    /// None where there is only text.
    sound: Option<SoundWriter>,
    made: Used,
}

impl Chunks {
    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Value {
        let mut chunk = self.told.head("chat.completion.chunk");
        chunk["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish, "logprobs": null }]);
        match self.says_usage {
            SaysUsage::Never => {}
            SaysUsage::AtTheEnd => chunk["usage"] = Value::Null,
            SaysUsage::Always => chunk["usage"] = self.told.brought.chat(&self.made),
        }
        chunk
    }

    fn sound_chunk(&self, bytes: &[u8]) -> Option<Value> {
        let data = (!bytes.is_empty()).then(|| BASE64.encode(bytes))?;
        Some(self.chunk(&json!({ "audio": { "data": data } }), None))
    }
}

impl Say for Chunks {
    fn begin(&mut self) -> Vec<Value> {
        let delta = match self.told.sound {
            None => json!({ "role": "assistant", "content": "" }),
            Some(_) => json!({ "role": "assistant", "audio": { "id": self.told.audio_id() } }),
        };
        vec![self.chunk(&delta, None)]
    }

    fn item(&mut self, place: usize, datum: &Datum) -> Result<Vec<Value>, Refusal> {
        self.made.add(datum);
        match datum {
            Datum::Text(text) if Some(place) == self.told.text => {
                let delta = match self.told.sound {
                    None => json!({ "content": &**text }),
                    Some(_) => json!({ "audio": { "transcript": &**text } }),
                };
                Ok(vec![self.chunk(&delta, None)])
            }
            Datum::Audio(audio) => {
                let pushed = self.sound.as_mut().map(|sound| sound.push(audio)).transpose();
                let bytes = pushed.map_err(|error| Refusal::ours(error.to_string()))?.unwrap_or_default();
                Ok(self.sound_chunk(&bytes).into_iter().collect())
            }
            other => Err(Refusal::ours(format!("a chat was answered with {}", other.word()))),
        }
    }

    fn used(&mut self, usage: Usage) {
        self.made.tell(Some(usage));
    }

    fn end(&mut self) -> Result<Vec<Value>, Refusal> {
        let mut last = Vec::new();
        if let Some(sound) = &mut self.sound {
            let bytes = sound.finish().map_err(|error| Refusal::ours(error.to_string()))?;
            last.extend(self.sound_chunk(&bytes));
            last.push(self.chunk(&json!({ "audio": { "expires_at": self.told.created_s } }), None));
        }
        last.push(self.chunk(&json!({}), Some(self.made.finish())));
        if self.says_usage != SaysUsage::Never {
            let mut usage = self.told.head("chat.completion.chunk");
            usage["choices"] = json!([]);
            usage["usage"] = self.told.brought.chat(&self.made);
            last.push(usage);
        }
        Ok(last)
    }

    fn says_done(&self) -> bool {
        true
    }
}
