//! The faces of a deployment: what clients speak, made into requests to the engine and back.
//!
//! Only this crate knows protobuf and the JSON of public APIs. Each face is a module: `grpc` has Corn's own service
//! and KServe v2, `http` the OpenAI-compatible API; `client` asks such a server. What a request may bring and ask for
//! comes from the plan, so a client's mistake is answered with what the plan says.

mod accept;
pub mod client;
mod faces;
mod fetch;
mod grpc;
mod http;
mod intake;
mod keys;
mod pem;
mod seen;
mod trust;

pub use grpc::proto;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use corn_core::message::Priority;
use corn_core::{Blame, Datum, Fault};
use corn_engine::{Ask, Engine};
use corn_plan::{Plan, RecordingId, Verified};
use tokio::sync::watch;

pub use accept::{Bounds, Tls};
pub use faces::{Sockets, serve};
pub use fetch::MediaSources;
pub use http::Origins;
pub use keys::Keys;
use seen::{Fares, Seen, Told};
pub use seen::{Log, Traces, Watched};
pub use trust::KnownBy;

/// What is served: every route of a plan, by an engine that may still be loading its components.
pub struct Served {
    plan: Arc<Verified>,
    engine: OnceLock<Arc<Engine>>,
    seen: Arc<Seen>,
    told: OnceLock<Told>,
    /// Sessions of it are to end.
    retired: watch::Sender<bool>,
    /// The faces serve something else, and nothing of it is under way.
    left: watch::Sender<bool>,
    /// What the faces serve in its place.
    next: OnceLock<Arc<Self>>,
}

/// Where the faces listen, as `HOST:PORT`; port 0 is any that is free.
#[derive(Clone, Debug, Default)]
pub struct Listening {
    /// The OpenAI-compatible HTTP API.
    pub http: Option<String>,
    /// Corn's own gRPC service, KServe v2, health and reflection.
    pub grpc: Option<String>,
    /// The keys of which each client must know one; without, nobody needs any.
    pub keys: Option<Keys>,
    /// From where media are fetched that requests name by URL.
    pub media: MediaSources,
    /// Pages of other hosts that may ask over HTTP, and read what is answered.
    pub origins: Origins,
    /// What both are known by; without, they are not encrypted.
    pub tls: Option<Tls>,
    /// What the clients of each face may take together.
    pub bounds: Bounds,
    /// Who hears of what happens while they serve.
    pub notices: Notices,
}

/// Takes what is said to whoever runs the faces, line by line.
#[derive(Clone, Copy, Debug)]
pub struct Notices(pub fn(&str));

impl Default for Notices {
    /// Nobody hears.
    fn default() -> Self {
        Self(|_| ())
    }
}

impl Notices {
    fn say(self, line: &str) {
        (self.0)(line);
    }
}

/// Where they do listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    /// The OpenAI-compatible HTTP API.
    pub http: Option<SocketAddr>,
    /// The gRPC services.
    pub grpc: Option<SocketAddr>,
}

/// What a client asks for, in the plan's terms.
#[derive(Clone, Debug)]
pub struct Request {
    /// The graph.
    pub graph: String,
    /// What it brings, by name.
    pub inputs: Vec<(String, Datum)>,
    /// The outputs that it wants.
    pub outputs: Vec<String>,
    /// When to give up, from now.
    pub deadline: Option<Duration>,
    /// How urgent it is.
    pub priority: Priority,
}

impl Served {
    /// Every route of `engine`.
    pub fn new(engine: Arc<Engine>) -> Arc<Self> {
        let served = Self::awaiting(Arc::clone(engine.plan()));
        served.begin(engine);
        served
    }

    /// Every route of `plan`. Requests are refused as those that can be asked again, until its engine
    /// [begins](Self::begin).
    pub fn awaiting(plan: Arc<Verified>) -> Arc<Self> {
        let seen = Arc::new(Seen::new(plan.plan()));
        let (retired, left) = (watch::Sender::new(false), watch::Sender::new(false));
        let (engine, told, next) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Arc::new(Self { plan, engine, seen, told, retired, left, next })
    }

    /// Says of each call what it was, at its end: as a line, and as a trace. What is said first counts.
    pub fn tell(&self, log: Option<Log>, traces: Option<Arc<Traces>>) {
        let _ = self.told.set(Told { log, traces });
    }

    /// What calls are told to.
    pub(crate) fn told(&self) -> Told {
        self.told.get().cloned().unwrap_or_default()
    }

    /// Asks `engine` from now on, unless there is one.
    pub fn begin(&self, engine: Arc<Engine>) {
        let _ = self.engine.set(engine);
    }

    /// Tells sessions of it to end; requests under way may end by themselves.
    pub fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// Ends when the faces serve something else in its place, and no request and no session of it is under way.
    pub async fn left(&self) {
        stopped(self.left.subscribe()).await;
    }

    /// What the faces serve in its place, if it was replaced.
    pub(crate) fn newest(&self) -> Option<&Arc<Self>> {
        std::iter::successors(self.next.get(), |served| served.next.get()).last()
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.plan.plan()
    }

    /// Requests of `graph` that may be in flight at once.
    fn admits(&self, graph: &str) -> u32 {
        let declared = self.plan().serves.iter().find(|serve| serve.graph == graph);
        let own = declared.and_then(|serve| serve.limits.inflight);
        own.unwrap_or(self.plan().inflight).clamp(1, self.plan().inflight.max(1))
    }

    /// Whether every component is ready on some worker.
    pub fn is_ready(&self) -> bool {
        self.plan().recordings.ids().all(|recording| self.has_ready(recording))
    }

    fn has_ready(&self, recording: RecordingId) -> bool {
        self.engine.get().is_some_and(|engine| engine.is_ready(recording))
    }

    /// The components that no worker has ready, as far as is known.
    fn lacking(&self) -> BTreeSet<String> {
        match self.engine.get() {
            Some(engine) => self.plan().recordings.ids().filter_map(|it| engine.lacking(it)).collect(),
            None => self.plan().components.iter().map(|component| component.name.clone()).collect(),
        }
    }

    /// How requests of a route fare.
    fn fares(&self, graph: &str, route: &str) -> Fares {
        self.seen.fares(graph, route)
    }

    fn engine(&self) -> Result<&Arc<Engine>, Fault> {
        let loading = || Fault::new(Blame::Unavailable, "the components are still loading: try again later");
        self.engine.get().ok_or_else(loading)
    }

    /// The recording for what a request brings and asks for.
    pub fn look_up(&self, request: &Request) -> Result<RecordingId, Fault> {
        let engine = self.engine()?;
        let signature = engine.signature(&request.graph, &request.inputs, &request.outputs);
        engine.look_up(&signature)
    }

    /// Submits a request. Dropping the answer cancels it on every worker.
    pub fn submit(&self, request: Request) -> Result<Watched, Fault> {
        let recording =
            self.look_up(&request).inspect_err(|fault| self.seen.refused(&request.graph, fault))?;
        let Request { graph, inputs, deadline, priority, .. } = request;
        let declared = self.plan().serves.iter().find(|serve| serve.graph == graph);
        let declared = declared.and_then(|serve| serve.deadline_ms).map(Duration::from_millis);
        let deadline = deadline.or(declared);
        let ask = Ask { recording, inputs, deadline, priority, is_traced: false };
        Ok(self.seen.submit(self.engine()?, ask, &self.plan().recordings[recording], declared))
    }
}

/// A message that may repeat what a client has said, which can be long: without its middle then.
pub(crate) fn shortened(message: &str) -> Cow<'_, str> {
    const SIDE_BYTES: usize = 1 << 10;
    if message.len() <= 2 * SIDE_BYTES {
        return message.into();
    }
    let start = &message[..message.floor_char_boundary(SIDE_BYTES)];
    let end = &message[message.ceil_char_boundary(message.len() - SIDE_BYTES)..];
    format!("{start} … {end}").into()
}

/// Ends when the faces are told to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // Whoever would tell them is gone: they are as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
