//! A session: what its client says, what is answered, and when it ends.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::answering::Answering;
use super::asked::{self, Asked};
use super::buffer::Buffer;
use super::context;
use super::conversation::Conversation;
use super::item::Item;
use super::listening::Listening;
use super::outbox::{self, Outbox};
use super::pulse::{Beat, Pulse};
use super::settings::Settings;
use super::transcribing::Scribe;
use crate::http::models::{self, Model};
use crate::http::refusal::Refusal;
use crate::http::{Face, RequestName};
use crate::keys::Pass;
use crate::seen::Opened;
use crate::stopped;

/// How long the last words to a client may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The client is gone: nothing more can be said to it.
pub(super) struct Gone;

/// Everything of a session but its connection.
pub(super) struct Session {
    pub(super) face: Arc<Face>,
    /// By which its answers are counted.
    pub(super) pass: Pass,
    /// The call that opened it, of which its answers are told as parts.
    pub(super) opened: Option<Opened>,
    /// Bytes that the client has said since an answer was begun last.
    pub(super) bytes_in: usize,
    pub(super) model: String,
    name: String,
    next: u64,
    pub(super) settings: Settings,
    /// The longest sound that the model takes at once.
    pub(super) longest_ms: u64,
    pub(super) conversation: Conversation,
    pub(super) buffer: Buffer,
    /// Where the client lets turns be found.
    pub(super) listening: Option<Listening>,
    pub(super) answering: Option<Answering>,
    /// Writes down what the client says.
    pub(super) scribe: Scribe,
    /// The id of the answer that was begun last.
    pub(super) last_answer: Option<String>,
    pub(super) outbox: Outbox,
    pulse: Pulse,
    /// No new answers are begun.
    pub(super) is_ending: bool,
}

/// What happened.
enum Event {
    Sent(Result<bool, axum::Error>),
    Frame(Option<Result<Message, axum::Error>>),
    Made(super::making::Made),
    Heard(super::transcribing::Heard),
    Beat(Beat),
    Stop,
}

/// Whether the session goes on; else how it ends.
type Next = Result<(), End>;

enum End {
    /// The connection is closed for this reason.
    Close((u16, &'static str)),
    /// The client has closed it.
    Closed,
    Gone,
}

impl Session {
    /// A session of `model`, which answers the endpoint.
    pub(super) fn new(
        face: Arc<Face>,
        model: String,
        name: &RequestName,
        pass: Pass,
        opened: Option<Opened>,
    ) -> Result<Self, Refusal> {
        let found = models::find(face.served.plan(), &model, super::ENDPOINT)?;
        let (settings, max_bytes) = (Settings::new(found), found.body_bytes());
        let longest_ms = context::longest_ms(found, settings.with());
        Ok(Self {
            face,
            pass,
            opened,
            bytes_in: 0,
            model,
            name: name.0.to_string(),
            next: 0,
            settings,
            longest_ms,
            conversation: Conversation::new(usize::try_from(max_bytes).unwrap_or(usize::MAX)),
            buffer: Buffer::default(),
            listening: None,
            answering: None,
            scribe: Scribe::default(),
            last_answer: None,
            outbox: Outbox::default(),
            pulse: Pulse::new(),
            is_ending: false,
        })
    }

    /// Holds the session to its end.
    ///
    /// # Errors
    /// If the client goes away without a word.
    pub(super) async fn hold(mut self, socket: WebSocket) -> Result<(), Gone> {
        let (mut writer, mut reader) = socket.split();
        self.say("session.created", json!({ "session": self.shown() }));
        loop {
            let event = self.event(&mut writer, &mut reader).await;
            let Err(end) = self.take(event).await else { continue };
            // Nobody waits for it any more.
            self.answering = None;
            self.scribe = Scribe::default();
            match end {
                End::Gone => return Err(Gone),
                End::Close((code, reason)) => self.outbox.close(code, reason),
                // Nothing more is read there; what is left to do is to answer its closing.
                End::Closed => self.outbox = Outbox::default(),
            }
            let last = async {
                while self.outbox.is_waiting() {
                    self.outbox.send(&mut writer).await?;
                }
                writer.close().await
            };
            // It may have hung up already, which is an end as good as any.
            let _ = timeout(LAST_WORDS, last).await;
            return Ok(());
        }
    }

    /// Waits for something to happen.
    async fn event(
        &mut self,
        writer: &mut SplitSink<WebSocket, Message>,
        reader: &mut SplitStream<WebSocket>,
    ) -> Event {
        let (has_room, has_room_for_answers) = (self.outbox.has_room(), self.outbox.has_room_for_answers());
        let (is_waiting, is_ending) = (self.outbox.is_waiting(), self.is_ending);
        let Self { outbox, answering, scribe, pulse, face, .. } = self;
        let made = async {
            match answering {
                Some(answering) => answering.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            sent = outbox.send(writer), if is_waiting => Event::Sent(sent),
            frame = reader.next(), if has_room => Event::Frame(frame),
            made = made, if has_room_for_answers => Event::Made(made),
            heard = scribe.next(), if has_room_for_answers => Event::Heard(heard),
            beat = pulse.beat() => Event::Beat(beat),
            () = stopped(face.sessions.stop.clone()), if !is_ending => Event::Stop,
        }
    }

    async fn take(&mut self, event: Event) -> Next {
        match event {
            Event::Sent(sent) => {
                if sent.map_err(|_| End::Gone)? {
                    self.pulse.sign();
                }
            }
            Event::Frame(frame) => {
                self.pulse.sign();
                self.frame(frame).await?;
            }
            Event::Made(made) => {
                self.pulse.event();
                self.made(made);
            }
            Event::Heard(heard) => {
                self.pulse.event();
                self.heard(heard);
            }
            Event::Beat(Beat::Ask) => self.outbox.ping(),
            Event::Beat(Beat::Gone) => return Err(End::Gone),
            Event::Beat(Beat::Idle) => return Err(End::Close(outbox::IDLE)),
            Event::Stop => self.is_ending = true,
        }
        if self.is_ending && self.answering.is_none() && self.scribe.is_idle() {
            return Err(End::Close(outbox::ENDING));
        }
        Ok(())
    }

    async fn frame(&mut self, frame: Option<Result<Message, axum::Error>>) -> Next {
        match frame {
            Some(Ok(Message::Text(text))) => {
                self.pulse.event();
                self.bytes_in += text.len();
                let (id, asked) = asked::read(&text);
                let told = asked.as_ref().ok().and_then(Asked::told);
                let done = match asked {
                    Ok(asked) => self.asked(asked).await,
                    Err(refusal) => Err(refusal),
                };
                if let Err(refusal) = done {
                    if let Some(said) = told {
                        self.tell(said, text.len(), &refusal);
                    }
                    self.refuse(&refusal, id.as_deref());
                }
            }
            Some(Ok(Message::Binary(_))) => {
                let message = "frames of bytes are not taken; events are JSON in frames of text, and sound is base64 in them";
                let refusal = Refusal::request(axum::http::StatusCode::BAD_REQUEST, message);
                self.refuse(&refusal.code("binary_frame"), None);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) => return Err(End::Closed),
            Some(Err(error)) => return Err(self.broken(error)),
            None => return Err(End::Gone),
        }
        Ok(())
    }

    /// How a session ends whose frames cannot be read.
    fn broken(&mut self, error: axum::Error) -> End {
        let error = error.into_inner().downcast::<Error>();
        let (message, code, end) = match error.as_deref() {
            Ok(Error::Capacity(problem)) => {
                (format!("the message is too large: {problem}"), "event_too_large", outbox::TOO_LARGE)
            }
            Ok(Error::Utf8(_)) => ("the message is no UTF-8".to_owned(), "invalid_utf8", outbox::BROKEN),
            Ok(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return End::Gone,
            Ok(Error::Protocol(problem)) => {
                (format!("the frames are broken: {problem}"), "broken_frames", outbox::BROKEN)
            }
            _ => return End::Gone,
        };
        let refusal = Refusal::request(axum::http::StatusCode::BAD_REQUEST, message).code(code);
        self.refuse(&refusal, None);
        End::Close(end)
    }

    async fn asked(&mut self, asked: Asked) -> Result<(), Refusal> {
        match asked {
            Asked::Update(session) => {
                self.settings = self.settings.updated(self.model()?, session)?;
                self.set_listening()?;
                self.say("session.updated", json!({ "session": self.shown() }));
            }
            Asked::Append(samples) => self.hear(&samples).await?,
            Asked::Commit => self.commit()?,
            Asked::Clear => self.clear(),
            Asked::Create { item, after } => {
                let item = Item::read("item", item, || self.id("item"))?;
                self.put(&item, after.as_deref())?;
            }
            Asked::Retrieve(id) => {
                let item = self.conversation.find(&id)?.shown(true);
                self.say("conversation.item.retrieved", json!({ "item": item }));
            }
            Asked::Truncate { item, place, end_ms } => {
                self.conversation.change(&item, |item| item.truncate(place, end_ms))?;
                let said = json!({ "item_id": item, "content_index": place, "audio_end_ms": end_ms });
                self.say("conversation.item.truncated", said);
            }
            Asked::Delete(id) => {
                self.conversation.delete(&id)?;
                self.say("conversation.item.deleted", json!({ "item_id": id }));
            }
            Asked::Respond(response) => self.respond(response)?,
            Asked::ClearOutput => self.clear_output()?,
            Asked::Cancel(id) => self.cancel(id.as_deref())?,
        }
        Ok(())
    }

    /// Puts an item into the conversation, and says so.
    pub(super) fn put(&mut self, item: &Item, after: Option<&str>) -> Result<(), Refusal> {
        let after = self.add(item.clone(), after)?;
        self.say("conversation.item.done", json!({ "previous_item_id": after, "item": item.shown(false) }));
        Ok(())
    }

    /// The same for an item that may change yet. Returns the id of the one before it.
    pub(super) fn add(&mut self, item: Item, after: Option<&str>) -> Result<Option<String>, Refusal> {
        let shown = item.shown(false);
        let put = self.conversation.put(item, after)?;
        for id in put.forgotten {
            self.say("conversation.item.deleted", json!({ "item_id": id }));
        }
        self.say("conversation.item.added", json!({ "previous_item_id": put.after, "item": shown }));
        Ok(put.after)
    }

    /// The model, which was found when the session began.
    pub(super) fn model(&self) -> Result<Model<'_>, Refusal> {
        models::find(self.face.served.plan(), &self.model, super::ENDPOINT)
    }

    fn shown(&self) -> Value {
        self.settings.shown(&self.model, &self.session_id())
    }

    fn session_id(&self) -> String {
        format!("sess_{}", self.name)
    }

    /// Tells of an event of so many bytes that is refused.
    fn tell(&self, said: &'static str, bytes: usize, why: &Refusal) {
        let Some(opened) = &self.opened else { return };
        let call = opened.call(said, &self.session_id());
        call.brought(bytes);
        call.refused(&why.why());
        call.answered(why.status);
        call.whole();
    }

    pub(super) fn conversation_id(&self) -> String {
        format!("conv_{}", self.name)
    }

    /// A new id.
    pub(super) fn id(&mut self, of: &str) -> String {
        self.next += 1;
        format!("{of}_{}_{}", self.name, self.next)
    }

    /// Says an event.
    pub(super) fn say(&mut self, kind: &str, event: Value) {
        let event = self.named(kind, event);
        self.outbox.push(&event);
    }

    /// An event with its type and an id.
    pub(super) fn named(&mut self, kind: &str, mut event: Value) -> Value {
        event["type"] = kind.into();
        event["event_id"] = self.id("event").into();
        event
    }

    /// Says what is wrong, in the event `id` of the client if it has one.
    pub(super) fn refuse(&mut self, refusal: &Refusal, id: Option<&str>) {
        let mut body = refusal.body();
        body["error"]["event_id"] = id.into();
        self.say("error", body);
    }
}
