//! Answers of a session: begun when a client or the end of a turn asks for one, one at a time, and told piece by
//! piece.

use axum::body::Bytes;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::datum::Role;
use serde_json::{Map, Value, json};

use super::context;
use super::item::{Item, Part};
use super::making::{Made, Making};
use super::session::Session;
use super::settings::Settings;
use crate::http::fields::wrong;
use crate::http::refusal::Refusal;
use crate::http::usage::Used;

/// Most items that a client may send with its wish for an answer.
const MAX_INPUT: usize = 256;

/// Most bytes of text of an answer, whatever the conversation has room for: its last events say all of it again.
const MAX_TEXT: usize = 1 << 20;

/// The answer under way.
pub(super) struct Answering {
    making: Making,
    id: String,
    item_id: String,
    settings: Settings,
    metadata: Value,
    /// Whether it becomes part of the conversation.
    is_kept: bool,
    has_begun: bool,
    text: String,
    samples: u64,
}

/// How an answer ends.
enum Ending {
    Completed(Spent),
    /// Given up, for this reason.
    Cancelled(&'static str),
    /// It is as long as may be: its text, or what models may make, which is told then.
    Full(Option<Spent>),
    Failed(Refusal),
}

/// What an answer was made of.
struct Spent {
    brought: Used,
    made: Used,
}

impl Answering {
    /// What was made next. Given up in the middle, it has lost nothing.
    pub(super) async fn next(&mut self) -> Made {
        self.making.next().await
    }

    /// Its item as far as it goes.
    fn item(&self, status: &'static str) -> Item {
        let part = if self.settings.speaks {
            Part::Spoken { transcript: self.text.clone(), samples: self.samples }
        } else {
            Part::Text(self.text.clone())
        };
        let parts = if self.has_begun { vec![part] } else { Vec::new() };
        Item { id: self.item_id.clone(), role: Role::Assistant, parts, status }
    }

    fn part(&self) -> Value {
        if self.settings.speaks {
            json!({ "type": "audio", "transcript": self.text })
        } else {
            json!({ "type": "text", "text": self.text })
        }
    }

    /// What all events about its only part say.
    fn place(&self) -> Value {
        json!({ "response_id": self.id, "item_id": self.item_id, "output_index": 0, "content_index": 0 })
    }

    /// An event about its only part.
    fn about(&self, name: &str, value: impl Into<Value>) -> Value {
        let mut about = self.place();
        about[name] = value.into();
        about
    }

    fn shown(&self, status: &str, conversation_id: &str) -> Value {
        let output: Vec<Value> = Vec::new();
        json!({
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": null,
            "output": output,
            "conversation_id": self.is_kept.then_some(conversation_id),
            "output_modalities": [self.settings.modality()],
            "audio": { "output": self.settings.shown_output() },
            "metadata": self.metadata,
            "usage": null,
        })
    }
}

impl Session {
    /// Begins an answer. `said` is what the client says of it.
    pub(super) fn respond(&mut self, mut said: Map<String, Value>) -> Result<(), Refusal> {
        if let Some(answering) = &self.answering {
            let message = format!("the answer {} is under way: wait for its end or cancel it", answering.id);
            let refusal = Refusal::request(StatusCode::CONFLICT, message);
            return Err(refusal.code("conversation_already_has_active_response"));
        }
        if self.is_ending {
            let refusal = Refusal::request(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down");
            return Err(refusal.code("shutting_down"));
        }
        let metadata = metadata(said.remove("metadata"))?;
        let is_kept = is_kept(said.remove("conversation"))?;
        let input = said.remove("input").filter(|input| !input.is_null());
        let input = input.map(|input| self.read_input(input)).transpose()?;
        let model = self.model()?;
        let settings = self.settings.for_answer(model, said)?;
        let turns = match &input {
            Some(items) => context::turns(model, &settings, items.iter()),
            None => context::turns(model, &settings, self.conversation.items()),
        };
        let turns = turns?;
        let id = self.id("resp");
        let call = self.opened.as_ref().map(|opened| opened.call("response.create", &id));
        let bytes_in = std::mem::take(&mut self.bytes_in);
        if let Some(call) = &call {
            call.brought(bytes_in);
        }
        let making = Making::begin(&self.face, &self.pass, call, self.model.clone(), settings.clone(), turns);
        let answering = Answering {
            making,
            id,
            item_id: self.id("item"),
            settings,
            metadata,
            is_kept,
            has_begun: false,
            text: String::new(),
            samples: 0,
        };
        let shown = answering.shown("in_progress", &self.conversation_id());
        self.last_answer = Some(answering.id.clone());
        self.answering = Some(answering);
        self.say("response.created", json!({ "response": shown }));
        Ok(())
    }

    /// The items that an answer is asked for with, in place of the conversation.
    fn read_input(&mut self, input: Value) -> Result<Vec<Item>, Refusal> {
        let param = "response.input";
        let Value::Array(input) = input else { return Err(wrong(param, "a list of items", &input)) };
        if input.len() > MAX_INPUT {
            let message = format!("'{param}' has {} items; at most {MAX_INPUT} are taken", input.len());
            return Err(Refusal::param(param, message));
        }
        let mut items = Vec::with_capacity(input.len());
        for (place, item) in input.into_iter().enumerate() {
            let at = format!("{param}[{place}]");
            let is_reference = item.get("type").is_some_and(|kind| kind == "item_reference");
            let named = item.get("id").and_then(Value::as_str).filter(|_| is_reference);
            items.push(match named {
                Some(id) => self.conversation.find(id).cloned().map_err(|refusal| refusal.within(&at))?,
                None => Item::read(&at, item, || self.id("item"))?,
            });
        }
        Ok(items)
    }

    /// Gives up the answer that is under way, as the client asks.
    pub(super) fn cancel(&mut self, id: Option<&str>) -> Result<(), Refusal> {
        let under_way = self.answering.as_ref().map(|answering| answering.id.as_str());
        if under_way.is_none() || id.is_some_and(|id| Some(id) != under_way) {
            let message = "there is no such answer under way to cancel";
            return Err(Refusal::param("response_id", message).code("response_cancel_not_active"));
        }
        self.give_up("client_cancelled");
        Ok(())
    }

    /// Drops the sound that has not gone out yet.
    pub(super) fn clear_output(&mut self) -> Result<(), Refusal> {
        let Some(id) = self.last_answer.clone() else {
            let refusal = Refusal::request(StatusCode::BAD_REQUEST, "nothing has been answered yet");
            return Err(refusal.code("nothing_answered"));
        };
        self.outbox.forget_sound();
        self.say("output_audio_buffer.cleared", json!({ "response_id": id }));
        Ok(())
    }

    /// Gives up whatever answer is under way.
    pub(super) fn give_up(&mut self, reason: &'static str) {
        if let Some(answering) = self.answering.take() {
            self.end_answer(answering, &Ending::Cancelled(reason));
        }
    }

    /// Tells what was made.
    pub(super) fn made(&mut self, made: Made) {
        let Some(mut answering) = self.answering.take() else { return };
        let ending = match made {
            Made::Text(text) if answering.text.len() + text.len() > self.max_text() => {
                Some(Ending::Full(None))
            }
            Made::Text(text) => {
                self.begin_answer(&mut answering);
                answering.text.push_str(&text);
                let spoken = "response.output_audio_transcript.delta";
                let kind = if answering.settings.speaks { spoken } else { "response.output_text.delta" };
                self.say(kind, answering.about("delta", &*text));
                None
            }
            Made::Sound(samples) => {
                self.begin_answer(&mut answering);
                self.say_sound(&mut answering, &samples);
                None
            }
            Made::All { brought, made } if made.is_cut() => Some(Ending::Full(Some(Spent { brought, made }))),
            Made::All { brought, made } => Some(Ending::Completed(Spent { brought, made })),
            Made::Failed(refusal) => Some(Ending::Failed(refusal)),
        };
        match ending {
            Some(ending) => self.end_answer(answering, &ending),
            None => self.answering = Some(answering),
        }
    }

    pub(super) fn max_text(&self) -> usize {
        self.conversation.max_bytes().min(MAX_TEXT)
    }

    fn say_sound(&mut self, answering: &mut Answering, samples: &Bytes) {
        answering.samples += samples.len() as u64 / 2;
        let delta = answering.about("delta", BASE64.encode(samples));
        let delta = self.named("response.output_audio.delta", delta);
        self.outbox.push_sound(&delta);
    }

    /// Tells of the item that an answer is, if it has not been told yet.
    fn begin_answer(&mut self, answering: &mut Answering) {
        if answering.has_begun {
            return;
        }
        let item = answering.item("in_progress");
        let (id, shown) = (&answering.id, item.shown(false));
        self.say(
            "response.output_item.added",
            json!({ "response_id": id, "output_index": 0, "item": shown }),
        );
        if answering.is_kept
            && let Err(refusal) = self.add(item, None)
        {
            self.refuse(&refusal, None);
        }
        answering.has_begun = true;
        self.say("response.content_part.added", answering.about("part", answering.part()));
    }

    fn end_answer(&mut self, mut answering: Answering, ending: &Ending) {
        let status = match ending {
            Ending::Completed(_) => "completed",
            Ending::Cancelled(_) => "cancelled",
            Ending::Full(_) => "incomplete",
            Ending::Failed(_) => "failed",
        };
        let is_whole = matches!(ending, Ending::Completed(_));
        if is_whole {
            // One that says nothing is an item too.
            self.begin_answer(&mut answering);
        }
        let item = answering.item(if is_whole { "completed" } else { "incomplete" });
        let mut shown = answering.shown(status, &self.conversation_id());
        if answering.has_begun {
            self.end_item(&answering, &item);
            shown["output"] = json!([item.shown(false)]);
        }
        shown["status_details"] = match ending {
            Ending::Completed(_) => json!({ "type": status }),
            Ending::Full(_) => json!({ "type": status, "reason": "max_output_tokens" }),
            Ending::Cancelled(reason) => json!({ "type": status, "reason": reason }),
            Ending::Failed(refusal) => json!({ "type": status, "error": refusal.body()["error"] }),
        };
        if let Ending::Completed(Spent { brought, made }) | Ending::Full(Some(Spent { brought, made })) =
            ending
        {
            shown["usage"] = brought.speech(made);
        }
        self.say("response.done", json!({ "response": shown }));
    }

    /// Tells that the item of an answer is over.
    fn end_item(&mut self, answering: &Answering, item: &Item) {
        if answering.settings.speaks {
            self.say("response.output_audio.done", answering.place());
            let words = answering.about("transcript", &*answering.text);
            self.say("response.output_audio_transcript.done", words);
        } else {
            self.say("response.output_text.done", answering.about("text", &*answering.text));
        }
        self.say("response.content_part.done", answering.about("part", answering.part()));
        let shown = item.shown(false);
        if answering.is_kept {
            // A client may have deleted it meanwhile.
            let kept = self.conversation.change(&item.id, |it| {
                *it = item.clone();
                Ok(())
            });
            if kept.is_ok() {
                let before = self.conversation.before(&item.id).map(str::to_owned);
                self.say("conversation.item.done", json!({ "previous_item_id": before, "item": shown }));
            }
        }
        let id = &answering.id;
        self.say("response.output_item.done", json!({ "response_id": id, "output_index": 0, "item": shown }));
    }
}

fn metadata(said: Option<Value>) -> Result<Value, Refusal> {
    let param = "response.metadata";
    match said {
        None | Some(Value::Null) => Ok(Value::Null),
        Some(Value::Object(pairs)) if pairs.len() <= 16 => Ok(Value::Object(pairs)),
        Some(Value::Object(_)) => Err(Refusal::param(param, format!("'{param}' has more than 16 pairs"))),
        Some(other) => Err(wrong(param, "an object", &other)),
    }
}

/// Whether an answer becomes part of the conversation.
fn is_kept(said: Option<Value>) -> Result<bool, Refusal> {
    let param = "response.conversation";
    match said {
        None | Some(Value::Null) => Ok(true),
        Some(Value::String(word)) if word == "auto" => Ok(true),
        Some(Value::String(word)) if word == "none" => Ok(false),
        Some(other) => {
            Err(Refusal::param(param, format!("'{param}' is {other}; there is \"auto\", \"none\"")))
        }
    }
}
