//! `POST /v1/chat/completions`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request as HttpRequest;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::Datum;
use corn_core::datum::{Conversation, Message, Part, Role};
use corn_core::message::Priority;
use corn_plan::Modality;
use serde_json::{Value, json};

use super::answer::Outputs;
use super::events::{Say, events};
use super::fields::{Fields, one_of, wrong};
use super::media::{Medium, Room, bounds};
use super::models::{self, Brought, Choice, Model};
use super::refusal::Refusal;
use super::sound::{Pcm, wav};
use super::talk::{self, Said, Turn};
use super::usage::Used;
use super::{Face, RequestName, body, measured, now_s};
use crate::Request;

/// What is answered, and how.
struct Asked {
    request: Request,
    is_streamed: bool,
    says_usage: bool,
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum SoundFormat {
    Wav,
    Pcm16,
}

pub(super) async fn answer(
    State(face): State<Arc<Face>>,
    Extension(name): Extension<RequestName>,
    request: HttpRequest<Body>,
) -> Response {
    let path = "chat";
    measured(&face, path, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), path);
        let body = body::whole(request, max_bytes).await?;
        let asked = face.prepared(move |face| read(face, &body, &name)).await?;
        let outputs = face.ask(asked.request, &meter).await?;
        if asked.is_streamed {
            let says = Chunks {
                told: asked.told,
                says_usage: asked.says_usage,
                pcm: Pcm::default(),
                made: Used::default(),
            };
            return Ok(events(says, outputs));
        }
        whole(&asked.told, outputs).await
    })
    .await
}

fn read(face: &Face, body: &[u8], name: &RequestName) -> Result<Asked, Refusal> {
    let mut fields = Fields::from_json(body)?;
    let model = models::find(face.served.plan(), &fields.needed_text("model")?, "chat")?;
    model.check_body(body.len())?;
    let is_streamed = fields.flag("stream")?;
    let says_usage = says_usage(&mut fields, is_streamed)?;
    let (tier, priority) = tier(&mut fields)?;
    let wants_sound = modalities(fields.take("modalities"), &model)?;
    let mut sound = sound(fields.take("audio"), wants_sound, is_streamed)?;
    let with = wants_sound.then_some("audio");
    let turns = talk::read(fields.take("messages"))?;
    let (choice, mut inputs) = bring(model, with, turns)?;
    let brought = Used::of(inputs.iter().map(|(_, datum)| datum));
    fields.voice(sound.as_mut().and_then(|sound| sound.voice.take()), "audio.voice", &choice)?;
    fields.alias("max_completion_tokens", "max_tokens", &choice);
    fields.alias("max_tokens", "max_completion_tokens", &choice);
    inputs.extend(fields.rest(&choice)?);
    inputs.extend(choice.fixed(&inputs));
    let told = Told {
        id: format!("chatcmpl-{}", name.0),
        created_s: now_s(),
        model: model.name().to_owned(),
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

fn says_usage(fields: &mut Fields, is_streamed: bool) -> Result<bool, Refusal> {
    let mut options = match fields.take("stream_options") {
        None => return Ok(false),
        Some(Value::Object(options)) if is_streamed => options,
        Some(Value::Object(_)) => {
            let message = "'stream_options' is only for answers that are streamed";
            return Err(Refusal::param("stream_options", message));
        }
        Some(other) => return Err(wrong("stream_options", "an object", &other)),
    };
    let says_usage = match options.remove("include_usage") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(flag)) => flag,
        Some(other) => return Err(wrong("stream_options.include_usage", "true or false", &other)),
    };
    let rest = options.into_iter().find(|(_, value)| !value.is_null() && *value != false);
    match rest {
        Some((name, _)) => {
            let param = format!("stream_options.{name}");
            Err(Refusal::param(&param, format!("'{param}' is not taken")))
        }
        None => Ok(says_usage),
    }
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
        Some(Value::String(word)) => one_of("audio.format", &word, &["wav", "pcm16"], "that is not written")?,
        Some(other) => return Err(wrong("audio.format", "a string", &other)),
    };
    if let Some((name, _)) = said.into_iter().find(|(_, value)| !value.is_null()) {
        let param = format!("audio.{name}");
        return Err(Refusal::param(&param, format!("'{param}' is not taken")));
    }
    if is_streamed && word == "wav" {
        let message =
            "'audio.format' must be pcm16 where the answer is streamed: a WAV file begins with its length";
        return Err(Refusal::param("audio.format", message));
    }
    let format = if word == "wav" { SoundFormat::Wav } else { SoundFormat::Pcm16 };
    Ok(Some(Sound { format, voice }))
}

/// The messages as inputs of the graph, and the recording that takes them.
fn bring<'p>(
    model: Model<'p>,
    with: Option<&str>,
    turns: Vec<Turn>,
) -> Result<(Choice<'p>, Vec<(String, Datum)>), Refusal> {
    let media: Vec<&Medium> = turns
        .iter()
        .flat_map(|turn| &turn.said)
        .filter_map(|said| if let Said::Medium(medium) = said { Some(medium) } else { None })
        .collect();
    let mut room = Room::new(&model.limits(), &media)?;
    let kinds: BTreeSet<Modality> = media.iter().map(|medium| medium.kind).collect();
    if model.takes(with, "messages") {
        let brought = Brought { items: vec![("messages", 1)], kinds };
        let choice = model.choose(with, &brought);
        let choice = choice.ok_or_else(|| model.takes_else("messages", with, &brought))?;
        check_count(&choice, "messages", &media)?;
        let conversation = conversation(&choice, turns, &mut room)?;
        let input = choice.bring("messages", vec![Datum::Messages(conversation.into())], "messages")?;
        return Ok((choice, vec![input]));
    }
    let count = |kind| media.iter().filter(|medium| medium.kind == kind).count();
    let has_text = media.is_empty()
        || turns
            .iter()
            .any(|turn| turn.role == Role::User && turn.said.iter().any(|it| matches!(it, Said::Text(_))));
    let mut apart = vec![("text", usize::from(has_text))];
    apart.extend(Modality::ALL.map(|kind| (kind.name(), count(kind))));
    apart.retain(|(_, count)| *count > 0);
    let apart = Brought { items: apart, kinds: BTreeSet::new() };
    let mut together = vec![("text", usize::from(has_text)), ("media", media.len())];
    together.retain(|(_, count)| *count > 0);
    let together = Brought { items: together, kinds };
    let choice = model.choose(with, &apart).or_else(|| model.choose(with, &together));
    let choice = choice.ok_or_else(|| model.takes_else("messages", with, &apart))?;
    for word in ["image", "audio", "video", "media"] {
        check_count(&choice, word, &media)?;
    }
    let inputs = separately(&choice, turns, &mut room, has_text)?;
    Ok((choice, inputs))
}

/// Holds how many media there are against what `word` takes, before any is decoded.
fn check_count(choice: &Choice<'_>, word: &str, media: &[&Medium]) -> Result<(), Refusal> {
    if choice.input(word).is_none() {
        return Ok(());
    }
    let (_, max) = choice.media_type(word);
    let mut of_word =
        media.iter().filter(|medium| medium.kind.name() == word || matches!(word, "messages" | "media"));
    match of_word.nth(max as usize) {
        Some(over) => {
            let param = &over.param;
            Err(Refusal::param(param, format!("'{param}' is one more than the {max} that the model takes")))
        }
        None => Ok(()),
    }
}

fn conversation(choice: &Choice<'_>, turns: Vec<Turn>, room: &mut Room) -> Result<Conversation, Refusal> {
    let (kind, _) = choice.media_type("messages");
    let mut conversation = Conversation::default();
    for turn in turns {
        let mut parts = Vec::new();
        for said in turn.said {
            match said {
                Said::Text(text) => parts.push(Part::Text(text.into())),
                Said::Medium(medium) => {
                    parts.push(Part::Media(medium.kind));
                    let kind = bounds(medium.kind, &kind);
                    conversation.media.push(medium.read(&kind, room)?);
                }
            }
        }
        conversation.messages.push(Message { role: turn.role, parts });
    }
    Ok(conversation)
}

/// One message, whose text and media are inputs of their own.
fn separately(
    choice: &Choice<'_>,
    turns: Vec<Turn>,
    room: &mut Room,
    has_text: bool,
) -> Result<Vec<(String, Datum)>, Refusal> {
    let model = choice.model.name();
    let (mut system, mut texts) = (Vec::new(), Vec::new());
    let mut media: Vec<(&str, Vec<Datum>)> = Vec::new();
    let mut asks = 0;
    for (at, turn) in turns.into_iter().enumerate() {
        let param = format!("messages[{at}]");
        asks += usize::from(turn.role == Role::User);
        if turn.role == Role::Assistant || asks > 1 {
            let message = format!(
                "'{param}': the model '{model}' takes one message of a user, not a conversation (its graph has no input \
                 of the type messages)"
            );
            return Err(Refusal::param(param, message));
        }
        if turn.role == Role::System && choice.knob("system").is_none() {
            let message =
                format!("'{param}': the model '{model}' has no input 'system' for what a system says");
            return Err(Refusal::param(param, message));
        }
        for said in turn.said {
            match said {
                Said::Text(text) if turn.role == Role::System => system.push(text),
                Said::Text(text) => texts.push(text),
                Said::Medium(medium) => {
                    let own = medium.kind.name();
                    let word = if choice.input(own).is_some() { own } else { "media" };
                    let kind = bounds(medium.kind, &choice.media_type(word).0);
                    let datum = medium.read(&kind, room)?;
                    match media.iter_mut().find(|(of, _)| *of == word) {
                        Some((_, data)) => data.push(datum),
                        None => media.push((word, vec![datum])),
                    }
                }
            }
        }
    }
    if asks == 0 {
        return Err(Refusal::param(
            "messages",
            format!("'messages' has no message of a user, and '{model}' takes one"),
        ));
    }
    let mut inputs = Vec::new();
    if has_text {
        inputs.push(choice.bring("text", vec![Datum::text(texts.join("\n\n"))], "messages")?);
    }
    if !system.is_empty() {
        inputs.push(("system".to_owned(), Datum::text(system.join("\n\n"))));
    }
    for (word, data) in media {
        inputs.push(choice.bring(word, data, "messages")?);
    }
    Ok(inputs)
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
    let message = match told.sound {
        None => json!({ "role": "assistant", "content": text, "refusal": null }),
        Some((_, format)) => {
            let bytes = match format {
                SoundFormat::Wav => wav(&sounds)?,
                SoundFormat::Pcm16 => pcm16(&sounds),
            };
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
    whole["choices"] = json!([{ "index": 0, "message": message, "finish_reason": "stop", "logprobs": null }]);
    whole["usage"] = told.brought.chat(&made);
    outputs.end();
    Ok(Json(whole).into_response())
}

fn pcm16(sounds: &[Datum]) -> Vec<u8> {
    let mut pcm = Pcm::default();
    let mut bytes = Vec::new();
    for sound in sounds {
        if let Datum::Audio(audio) = sound {
            bytes.extend(pcm.push(audio));
        }
    }
    bytes.extend(pcm.finish());
    bytes
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
    says_usage: bool,
    pcm: Pcm,
    made: Used,
}

impl Chunks {
    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Value {
        let mut chunk = self.told.head("chat.completion.chunk");
        chunk["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish, "logprobs": null }]);
        if self.says_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn sound(&self, bytes: &[u8]) -> Option<Value> {
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
                let bytes = self.pcm.push(audio);
                Ok(self.sound(&bytes).into_iter().collect())
            }
            other => Err(Refusal::ours(format!("a chat was answered with {}", other.word()))),
        }
    }

    fn end(&mut self) -> Vec<Value> {
        let mut last = Vec::new();
        if self.told.sound.is_some() {
            let bytes = self.pcm.finish();
            last.extend(self.sound(&bytes));
            last.push(self.chunk(&json!({ "audio": { "expires_at": self.told.created_s } }), None));
        }
        last.push(self.chunk(&json!({}), Some("stop")));
        if self.says_usage {
            let mut usage = self.told.head("chat.completion.chunk");
            usage["choices"] = json!([]);
            usage["usage"] = self.told.brought.chat(&self.made);
            last.push(usage);
        }
        last
    }

    fn says_done(&self) -> bool {
        true
    }
}
