//! `GET /v1/realtime`: sessions over WebSocket, in which a client sends sound and texts and hears answers while they
//! are made.
//!
//! A session is one task ([`session`]); an answer under way is another ([`making`]), which waits when its client does
//! not read. Everything that a session keeps is bounded: the sound that is being sent ([`buffer`]), the conversation
//! ([`conversation`]), and what waits to go out ([`outbox`]). The engine knows nothing of sessions: each answer is a
//! request of its own.

mod answering;
mod asked;
mod buffer;
mod context;
mod conversation;
mod item;
mod listening;
mod making;
mod outbox;
mod pulse;
mod refused;
mod session;
mod settings;
mod transcribing;
mod turns;
mod voice;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tokio::sync::watch;

use super::fields::missing;
use super::refusal::Refusal;
use super::{Face, RequestName, measured, models};
use crate::accept::InUse;
use crate::keys::Pass;
use crate::seen;
use session::Session;

/// What `serve` calls it.
const ENDPOINT: &str = "realtime";
/// What metrics call sessions; their answers are called as the endpoint is.
const SESSIONS: &str = "realtime.sessions";
/// Most bytes of an event, as clients send it. Other APIs have the same bound for a piece of sound.
const MAX_EVENT_BYTES: u64 = 16 << 20;
/// What a connection sets aside for reading before anything comes: most events of a session are short.
const READ_BYTES: usize = 4 << 10;
/// The subprotocol that browsers ask for, and how they bring their key, since they cannot set headers.
const PROTOCOL: &str = "realtime";
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// What the sessions of a face share.
pub(super) struct Sessions {
    stop: watch::Receiver<bool>,
    /// Each session holds it as long as it lives.
    in_use: InUse,
}

impl Sessions {
    /// Sessions that end when `stop` says so.
    pub(super) const fn new(stop: watch::Receiver<bool>, in_use: InUse) -> Self {
        Self { stop, in_use }
    }
}

/// The key that a browser brings.
pub(super) fn key(headers: &HeaderMap) -> Option<&str> {
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|it| it.to_str().ok());
    protocols.flat_map(|it| it.split(',')).find_map(|protocol| protocol.trim().strip_prefix(KEY_PROTOCOL))
}

pub(super) async fn answer(
    State(face): State<Arc<Face>>,
    Extension(name): Extension<RequestName>,
    Extension(pass): Extension<Pass>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    measured(&face, SESSIONS, async |meter| {
        let Query(query) =
            query.map_err(|error| Refusal::request(StatusCode::BAD_REQUEST, error.body_text()))?;
        let model = asked_model(query)?;
        let found = models::find(face.served.plan(), &model, ENDPOINT)?;
        let max_bytes = found.body_bytes().min(MAX_EVENT_BYTES) as usize;
        let upgrade = upgrade.map_err(|error| {
            let message = format!(
                "sessions are held over WebSocket, and this request asks for none: {}",
                error.body_text()
            );
            Refusal::request(StatusCode::UPGRADE_REQUIRED, message).code("no_websocket")
        })?;
        let opened = seen::current().map(|call| call.opened());
        let session = Session::new(Arc::clone(&face), model, &name, pass, opened)?;
        let upgrade = upgrade.protocols([PROTOCOL]).read_buffer_size(READ_BYTES).write_buffer_size(0);
        let upgrade = upgrade.max_message_size(max_bytes).max_frame_size(max_bytes);
        let in_use = face.sessions.in_use.clone();
        Ok(upgrade.on_upgrade(async move |socket| {
            let _in_use = in_use;
            if session.hold(socket).await.is_ok() {
                meter.end(200);
            }
        }))
    })
    .await
}

fn asked_model(mut query: BTreeMap<String, String>) -> Result<String, Refusal> {
    let model = query.remove("model").ok_or_else(|| missing("model"))?;
    match query.into_keys().next() {
        Some(name) => Err(Refusal::param(&name, format!("'{name}' is not taken"))),
        None => Ok(model),
    }
}
