//! What users say, written down for the client: beside the answers, by a graph that answers `audio.transcriptions`.
//!
//! A turn is written down after the one before it, each as a request of its own, so a session has one of them under way and
//! a few that wait. What is heard so is for the client; the model that answers hears the sound itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use corn_core::Datum;
use corn_plan::{Modality, Plan};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::refused::Refused;
use super::session::Session;
use super::voice::RATE_HZ;
use crate::http::answer::Outputs;
use crate::http::fields::Fields;
use crate::http::media::{Content, Medium};
use crate::http::metrics::Meter;
use crate::http::models::{self, Model};
use crate::http::refusal::Refusal;
use crate::http::{Face, transcriptions};
use crate::keys::Slot;
use crate::seen::{Call, within};

/// Where it stands in the settings.
const AT: &str = "session.audio.input.transcription";
/// What metrics call it.
const ENDPOINT: &str = "realtime.transcriptions";
/// Turns that may wait while one is written down.
const MAX_WAITING: usize = 8;
/// Pieces of text that wait to be taken.
const PIECES: usize = 2;

/// How turns are written down.
#[derive(Clone, Debug)]
pub(super) struct Transcription {
    model: String,
    /// What else is said of it; it sets inputs.
    fields: BTreeMap<String, Value>,
}

impl Transcription {
    /// Reads what a session of `of` wants.
    pub(super) fn read(of: Model<'_>, said: Map<String, Value>, refused: &mut Refused) -> Option<Self> {
        let mut fields: BTreeMap<String, Value> =
            said.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let model = match fields.remove("model") {
            Some(Value::String(name)) => named(of.plan(), name),
            Some(other) => {
                let param = format!("{AT}.model");
                Err(Refusal::param(&param, format!("'{param}' is {other}, and must be a string")))
            }
            None => unnamed(of),
        };
        let transcription = Self { model: refused.ok(model)?, fields };
        if let Err(whole) = transcription.check(of.plan()) {
            let alone = transcription.fields.iter().filter_map(|(name, value)| {
                let fields = BTreeMap::from([(name.clone(), value.clone())]);
                Self { fields, model: transcription.model.clone() }.check(of.plan()).err()
            });
            refused.each(AT, alone, whole);
        }
        Some(transcription)
    }

    /// Whether there is a recording that it can be said to.
    fn check(&self, plan: &Plan) -> Result<(), Refusal> {
        let model = models::find(plan, &self.model, transcriptions::PATH)?;
        let mut fields = self.said();
        let (choice, _) = transcriptions::choose(model, &mut fields, "model")?;
        fields.rest(&choice).map(drop)
    }

    fn said(&self) -> Fields {
        Fields::from_values(self.fields.clone())
    }

    /// As a session shows it.
    pub(super) fn shown(&self) -> Value {
        let mut shown: Map<String, Value> = self.fields.clone().into_iter().collect();
        shown.insert("model".to_owned(), self.model.as_str().into());
        shown.into()
    }
}

/// The model that `name` means: the one of that name, or the only one that writes down what it hears, which clients
/// know by the names of another server's.
fn named(plan: &Plan, name: String) -> Result<String, Refusal> {
    let known = models::answering(plan, transcriptions::PATH);
    if known.contains(&name.as_str()) {
        return Ok(name);
    }
    if let [only] = known.as_slice() {
        return Ok((*only).to_owned());
    }
    let param = format!("{AT}.model");
    Err(Refusal::param(
        &param,
        format!("'{param}' is {name:?}, which transcribes nothing here; {}", there_is(&known)),
    ))
}

/// The session's own model, or the only one that writes down what it hears.
fn unnamed(of: Model<'_>) -> Result<String, Refusal> {
    let known = models::answering(of.plan(), transcriptions::PATH);
    match known.as_slice() {
        known if known.contains(&of.name()) => Ok(of.name().to_owned()),
        [only] => Ok((*only).to_owned()),
        known => {
            let param = format!("{AT}.model");
            Err(Refusal::param(&param, format!("'{param}' is missing; {}", there_is(known))))
        }
    }
}

fn there_is(known: &[&str]) -> String {
    if known.is_empty() {
        return "no graph of this program answers audio.transcriptions".to_owned();
    }
    format!("there is {}", known.join(", "))
}

/// A turn that is to be written down.
struct Turn {
    item: String,
    samples: Bytes,
    how: Transcription,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    Text(Arc<str>),
    /// All of it, and what was used.
    All(Value),
    Failed(Refusal),
}

/// The turn that is being written down.
struct Writing {
    task: JoinHandle<()>,
    heard: mpsc::Receiver<Heard>,
    item: String,
    text: String,
    meter: Meter,
    call: Option<Arc<Call>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes down turns, one after the other.
#[derive(Default)]
pub(super) struct Scribe {
    writing: Option<Writing>,
    waiting: VecDeque<Turn>,
}

impl Scribe {
    /// Whether nothing is left to be written down.
    pub(super) fn is_idle(&self) -> bool {
        self.writing.is_none()
    }

    /// What was heard next. Given up in the middle, it has lost nothing.
    pub(super) async fn next(&mut self) -> Heard {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        writing.heard.recv().await.unwrap_or_else(|| {
            Heard::Failed(Refusal::ours("writing down what was said panicked; this is a bug of corn"))
        })
    }
}

impl Session {
    /// Writes down the turn that has become the item `item`, if the client wants that.
    pub(super) fn transcribe(&mut self, item: String, samples: Bytes) {
        let Some(how) = self.settings.transcription.clone() else { return };
        let turn = Turn { item, samples, how };
        if self.scribe.writing.is_none() {
            self.begin_writing(turn);
        } else if self.scribe.waiting.len() < MAX_WAITING {
            self.scribe.waiting.push_back(turn);
        } else {
            let message =
                format!("{MAX_WAITING} turns before it are not written down yet, so this one is left out");
            let refusal = Refusal::request(StatusCode::TOO_MANY_REQUESTS, message).code("busy");
            self.say_untranscribed(&turn.item, &refusal);
        }
    }

    fn begin_writing(&mut self, turn: Turn) {
        let Turn { item, samples, how } = turn;
        let slot = self.pass.begin().map_err(|over| Refusal::over(&over));
        let call = self.opened.as_ref().map(|opened| opened.call("input_audio_transcription", &item));
        if let Some(call) = &call {
            call.brought(samples.len());
        }
        let meter = self.face.metrics.begin(ENDPOINT);
        let (out, heard) = mpsc::channel(PIECES);
        let (face, measured, of) = (Arc::clone(&self.face), meter.clone(), item.clone());
        let written = async move {
            let all = hear(&face, slot, how, &of, samples, measured, &out).await;
            // Nobody takes it if the session has ended.
            let _ = out.send(all.unwrap_or_else(Heard::Failed)).await;
        };
        let task = match call.clone() {
            Some(call) => tokio::spawn(within(call, written)),
            None => tokio::spawn(written),
        };
        self.scribe.writing = Some(Writing { task, heard, item, text: String::new(), meter, call });
    }

    /// Tells what was heard.
    pub(super) fn heard(&mut self, heard: Heard) {
        let max_text = self.max_text();
        let Some(writing) = &mut self.scribe.writing else { return };
        let ended = match heard {
            Heard::Text(text) if writing.text.len() + text.len() > max_text => {
                Err(Refusal::ours(format!("what was heard is over the bound of {max_text} bytes")))
            }
            Heard::Text(text) => {
                writing.text.push_str(&text);
                writing.call.iter().for_each(|call| call.sent(text.len()));
                let delta = json!({ "item_id": writing.item, "content_index": 0, "delta": &*text });
                self.say("conversation.item.input_audio_transcription.delta", delta);
                return;
            }
            Heard::All(usage) => Ok(usage),
            Heard::Failed(refusal) => Err(refusal),
        };
        let status = ended.as_ref().map_or_else(|refusal| refusal.status, |_| StatusCode::OK);
        writing.meter.end(status.as_u16());
        if let Some(call) = &writing.call {
            if let Err(refusal) = &ended {
                call.refused(&refusal.why());
            }
            call.answered(status);
            call.whole();
        }
        let (item, text) = (writing.item.clone(), std::mem::take(&mut writing.text));
        self.scribe.writing = None;
        match ended {
            Ok(usage) => {
                // The client may have deleted it meanwhile.
                let _ = self.conversation.change(&item, |item| {
                    item.set_transcript(&text);
                    Ok(())
                });
                let said = json!({ "item_id": item, "content_index": 0, "transcript": text, "usage": usage });
                self.say("conversation.item.input_audio_transcription.completed", said);
            }
            Err(refusal) => self.say_untranscribed(&item, &refusal),
        }
        if let Some(next) = self.scribe.waiting.pop_front() {
            self.begin_writing(next);
        }
    }

    fn say_untranscribed(&mut self, item: &str, refusal: &Refusal) {
        let error = &refusal.body()["error"];
        let said = json!({ "item_id": item, "content_index": 0, "error": error });
        self.say("conversation.item.input_audio_transcription.failed", said);
    }
}

async fn hear(
    face: &Arc<Face>,
    slot: Result<Slot, Refusal>,
    how: Transcription,
    item: &str,
    samples: Bytes,
    meter: Meter,
    out: &mpsc::Sender<Heard>,
) -> Result<Heard, Refusal> {
    let _slot = slot?;
    let param = format!("items.{item}.content[0].audio");
    let prepared = face.prepared(move |face| {
        let model = models::find(face.served.plan(), &how.model, transcriptions::PATH)?;
        let content = Content::Samples(RATE_HZ, samples);
        transcriptions::request(model, Medium { kind: Modality::Audio, param, content }, how.said())
    });
    let (request, brought) = prepared.await?;
    let mut outputs = Outputs::new(face.served.submit(request)?, meter);
    while let Some((_, datum)) = outputs.next().await? {
        let Datum::Text(piece) = datum else {
            return Err(Refusal::ours(format!("a transcription was answered with {}", datum.word())));
        };
        let taken = out.send(Heard::Text(piece.as_ref().into())).await;
        taken.map_err(|_| Refusal::ours("nobody takes what was heard"))?;
    }
    Ok(Heard::All(brought.transcription()))
}
