//! A client of sessions that sees every event.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::Audio;
use corn_media::{AudioLimits, read_audio, resample};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::Server;

/// How long any event may take.
const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const RATE_HZ: u32 = 24_000;

pub(crate) struct Talk {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// Why there is no session: the status and the error of the answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) error: Value,
}

impl Talk {
    /// Opens a session of `model` with these headers.
    pub(crate) async fn open_with(
        server: &Server,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let mut request =
            format!("ws://{}/v1/realtime?{query}", server.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(answer)) => {
                let body: Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
                Err(Refused { status: answer.status().as_u16(), error: body["error"].clone() })
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a session of `model`, and hears that it is there.
    pub(crate) async fn open(server: &Server, model: &str) -> Self {
        let mut talk = Self::open_with(server, &format!("model={model}"), &[]).await.unwrap();
        assert_eq!(talk.hear().await["type"], "session.created");
        talk
    }

    pub(crate) async fn say(&mut self, event: &Value) {
        self.socket.send(Message::text(event.to_string())).await.unwrap();
    }

    /// Changes settings, which must succeed.
    pub(crate) async fn set(&mut self, session: Value) -> Value {
        self.say(&json!({ "type": "session.update", "session": session })).await;
        let updated = self.hear().await;
        assert_eq!(updated["type"], "session.updated", "{updated}");
        updated["session"].clone()
    }

    /// Says something in writing, and hears that it is an item. Returns its id.
    pub(crate) async fn write(&mut self, text: &str) -> String {
        let content = json!([{ "type": "input_text", "text": text }]);
        let item = json!({ "type": "message", "role": "user", "content": content });
        self.say(&json!({ "type": "conversation.item.create", "item": item })).await;
        let events = self.until("conversation.item.done").await;
        assert_eq!(kinds(&events), ["conversation.item.added", "conversation.item.done"]);
        events[1]["item"]["id"].as_str().unwrap().to_owned()
    }

    /// Sends sound, in pieces of 100 ms.
    pub(crate) async fn sound(&mut self, samples: &[f32]) {
        for piece in samples.chunks(RATE_HZ as usize / 10) {
            self.say(&append(piece)).await;
        }
    }

    /// Asks for an answer, and hears it to its end.
    pub(crate) async fn answer(&mut self) -> Vec<Value> {
        self.say(&json!({ "type": "response.create" })).await;
        self.until("response.done").await
    }

    /// The next event.
    pub(crate) async fn hear(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                assert!(event["event_id"].as_str().unwrap().starts_with("event_"), "{event}");
                event
            }
            other => panic!("no event: {other:?}"),
        }
    }

    /// All events up to the first of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.hear().await;
            let is_last = event["type"] == kind;
            assert!(is_last || event["type"] != "error", "{event} and not {kind}");
            events.push(event);
            if is_last {
                return events;
            }
        }
    }

    /// The next frame but pings; None when the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<Message> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("no frame in time");
            match frame.transpose() {
                Ok(Some(Message::Ping(_))) => {}
                Ok(frame) => return frame,
                Err(_) => return None,
            }
        }
    }

    /// The code that the connection is closed with, after whatever else comes.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.frame().await {
                Some(Message::Close(Some(frame))) => return frame.code.into(),
                Some(Message::Text(_)) => {}
                other => panic!("not closed with a code: {other:?}"),
            }
        }
    }
}

/// An event that brings sound.
pub(crate) fn append(samples: &[f32]) -> Value {
    let bytes: Vec<u8> = samples.iter().flat_map(|it| ((it * 32_767.0) as i16).to_le_bytes()).collect();
    json!({ "type": "input_audio_buffer.append", "audio": BASE64.encode(bytes) })
}

/// What a person says in 2 s.
pub(crate) fn speech() -> Vec<f32> {
    let wav = include_bytes!("../../../../dsl-examples/media/question.wav");
    let audio: Audio = read_audio(wav, AudioLimits { max_ms: 10_000 }).unwrap();
    resample(&audio, RATE_HZ).samples.to_vec()
}

pub(crate) fn silence(ms: usize) -> Vec<f32> {
    vec![0.0; ms * RATE_HZ as usize / 1000]
}

pub(crate) fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The types of events, with those that follow one of their own type left out.
pub(crate) fn course(events: &[Value]) -> Vec<&str> {
    let mut kinds = kinds(events);
    kinds.dedup();
    kinds
}

/// What all deltas of a type say together.
pub(crate) fn joined(events: &[Value], kind: &str) -> String {
    let deltas = events.iter().filter(|event| event["type"] == kind);
    deltas.map(|event| event["delta"].as_str().unwrap()).collect()
}

/// The milliseconds of sound in all events.
pub(crate) fn spoken_ms(events: &[Value]) -> usize {
    let deltas = events.iter().filter(|event| event["type"] == "response.output_audio.delta");
    let bytes = deltas.map(|event| BASE64.decode(event["delta"].as_str().unwrap()).unwrap().len());
    bytes.sum::<usize>() / 2 * 1000 / RATE_HZ as usize
}

/// The response that the last event is about.
pub(crate) fn response(events: &[Value]) -> &Value {
    &events.last().unwrap()["response"]
}
