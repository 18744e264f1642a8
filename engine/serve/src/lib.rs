//! The faces of a deployment: what clients speak, made into requests to the engine and back.
//!
//! Only this crate knows protobuf and the JSON of public APIs. Each face is a module: `grpc` has Corn's own service
//! and KServe v2, `http` the OpenAI-compatible API; `client` asks such a server. What a request may bring and ask for
//! comes from the plan, so a client's mistake is answered with what the plan says.

mod accept;
pub mod client;
mod fetch;
mod grpc;
mod http;
mod keys;
mod pem;
mod seen;
mod trust;

pub use grpc::proto;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use corn_core::message::Priority;
use corn_core::{Blame, Datum, Fault};
use corn_engine::{Ask, Engine};
use corn_plan::{Plan, RecordingId, Verified};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use accept::{Bounds, Tls};
pub use fetch::MediaSources;
pub use keys::Keys;
use seen::{Fares, Seen, Told};
pub use seen::{Log, Traces, Watched};
pub use trust::KnownBy;

use accept::{Entrance, Speaks};

/// How long requests under way may take to end after the faces have been told to stop.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// How often files are looked at that may be replaced while the faces serve.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// What is served: every route of a plan, by an engine that may still be loading its components.
pub struct Served {
    plan: Arc<Verified>,
    engine: OnceLock<Arc<Engine>>,
    seen: Arc<Seen>,
    told: OnceLock<Told>,
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
        Arc::new(Self { plan, engine: OnceLock::new(), seen, told: OnceLock::new() })
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

/// The sockets of the faces. They listen already, so that an address that cannot be had is known before anything is
/// loaded; who connects is answered once they are [served](Self::serve).
pub struct Sockets {
    http: Option<TcpListener>,
    grpc: Option<TcpListener>,
    listening: Listening,
}

impl Sockets {
    /// # Errors
    /// Of the set-up, if an address cannot be listened at.
    pub async fn bind(listening: &Listening) -> Result<Self, Fault> {
        let http = bind(listening.http.as_deref()).await?;
        let grpc = bind(listening.grpc.as_deref()).await?;
        Ok(Self { http, grpc, listening: listening.clone() })
    }

    /// Where they listen.
    pub fn bound(&self) -> Bound {
        let address = |listener: &Option<TcpListener>| listener.as_ref().and_then(|it| it.local_addr().ok());
        Bound { http: address(&self.http), grpc: address(&self.grpc) }
    }

    /// Serves until `stop` ends; then takes no new requests and lets those under way end.
    pub async fn serve(self, served: Arc<Served>, stop: impl Future<Output = ()>) -> Result<(), Fault> {
        let Self { http, grpc, listening } = self;
        let Listening { keys, media, tls, bounds, notices, .. } = listening;
        let (stopping, stopped) = watch::channel(false);
        let entrance = |speaks| Entrance { speaks, tls: tls.clone(), bounds, notices };
        let faces = async {
            tokio::try_join!(
                async {
                    let Some(listener) = http else { return Ok(()) };
                    let (router, all_ended) =
                        http::router(Arc::clone(&served), keys.clone(), media, stopped.clone())?;
                    entrance(Speaks::Http).serve(listener, router, stopped.clone()).await;
                    all_ended.wait().await;
                    Ok(())
                },
                async {
                    let Some(listener) = grpc else { return Ok(()) };
                    let (router, health) = grpc::router(&served, keys.clone())?;
                    let serving = entrance(Speaks::Grpc).serve(listener, router, stopped.clone());
                    tokio::select! {
                        () = serving => Ok(()),
                        () = grpc::report(&served, &health, stopped.clone()) => {
                            unreachable!("health is reported for as long as there is a server")
                        }
                    }
                },
            )
            .map(drop)
        };
        let mut faces = std::pin::pin!(faces);
        tokio::select! {
            outcome = &mut faces => return outcome,
            () = look_again(tls.as_ref(), keys.as_ref(), notices) => {}
            () = stop => {}
        }
        let _ = stopping.send(true);
        tokio::time::timeout(ENDS_WITHIN, faces).await.unwrap_or(Ok(()))
    }
}

/// Serves until `stop` ends; then takes no new requests and lets those under way end. `bound` is told where the faces
/// listen, once all of them do.
pub async fn serve(
    served: Arc<Served>,
    listening: &Listening,
    bound: impl FnOnce(Bound),
    stop: impl Future<Output = ()>,
) -> Result<(), Fault> {
    let sockets = Sockets::bind(listening).await?;
    bound(sockets.bound());
    sockets.serve(served, stop).await
}

/// Looks at the files that the faces were told of, for as long as they serve: what was replaced is used from then on.
async fn look_again(tls: Option<&Tls>, keys: Option<&Keys>, notices: Notices) {
    loop {
        tokio::time::sleep(LOOKS_EVERY).await;
        let (tls, keys) = (tls.cloned(), keys.cloned());
        let looked = tokio::task::spawn_blocking(move || {
            [tls.and_then(|tls| tls.look_again()), keys.and_then(|keys| keys.look_again())]
        });
        for found in looked.await.into_iter().flatten().flatten() {
            match found {
                Ok(what) => notices.say(&what),
                Err(fault) => notices.say(&format!("what was there before is used: {fault}")),
            }
        }
    }
}

async fn bind(address: Option<&str>) -> Result<Option<TcpListener>, Fault> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|error| Fault::setup(format!("cannot listen at {address}: {error}")))
}

/// Ends when the faces are told to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // Whoever would tell them is gone: they are as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
