//! The faces of a deployment: what clients speak, made into requests to the engine and back.
//!
//! Only this crate knows protobuf and the JSON of public APIs. Each face is a module: `grpc` has Corn's own service
//! and KServe v2, `http` the OpenAI-compatible API. What a request may bring and ask for comes from the plan, so a
//! client's mistake is answered with what the plan says.

mod fetch;
mod grpc;
mod http;
mod keys;

pub use grpc::proto;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use corn_core::message::Priority;
use corn_core::{Datum, Fault};
use corn_engine::{Answer, Ask, Engine};
use corn_plan::{Plan, RecordingId};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use fetch::MediaSources;
pub use keys::Keys;

/// How long requests under way may take to end after the faces have been told to stop.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// What is served: every route of the engine's plan.
pub struct Served {
    engine: Arc<Engine>,
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
        Arc::new(Self { engine })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.engine.plan().plan()
    }

    /// Whether every component is ready on some worker.
    pub fn is_ready(&self) -> bool {
        self.plan().recordings.ids().all(|recording| self.engine.is_ready(recording))
    }

    /// The recording for what a request brings and asks for.
    pub fn look_up(&self, request: &Request) -> Result<RecordingId, Fault> {
        let signature = self.engine.signature(&request.graph, &request.inputs, &request.outputs);
        self.engine.look_up(&signature)
    }

    /// Submits a request. Dropping the answer cancels it on every worker.
    pub fn submit(&self, request: Request) -> Result<Answer, Fault> {
        let recording = self.look_up(&request)?;
        let Request { graph, inputs, deadline, priority, .. } = request;
        let declared = self.plan().serves.iter().find(|serve| serve.graph == graph);
        let declared = declared.and_then(|serve| serve.deadline_ms).map(Duration::from_millis);
        let deadline = deadline.or(declared);
        Ok(self.engine.submit(Ask { recording, inputs, deadline, priority }))
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
    let http = bind(listening.http.as_deref()).await?;
    let grpc = bind(listening.grpc.as_deref()).await?;
    let address = |listener: &Option<TcpListener>| listener.as_ref().and_then(|it| it.local_addr().ok());
    bound(Bound { http: address(&http), grpc: address(&grpc) });
    let keys = listening.keys.clone();
    let (stopping, stopped) = watch::channel(false);
    let faces = async {
        tokio::try_join!(
            async {
                match http {
                    Some(listener) => {
                        let media = listening.media.clone();
                        http::serve(listener, Arc::clone(&served), keys, media, stopped.clone()).await
                    }
                    None => Ok(()),
                }
            },
            async {
                match grpc {
                    Some(listener) => {
                        grpc::serve(listener, Arc::clone(&served), listening.keys.clone(), stopped.clone())
                            .await
                    }
                    None => Ok(()),
                }
            },
        )
        .map(drop)
    };
    let mut faces = std::pin::pin!(faces);
    tokio::select! {
        outcome = &mut faces => return outcome,
        () = stop => {}
    }
    let _ = stopping.send(true);
    tokio::time::timeout(ENDS_WITHIN, faces).await.unwrap_or(Ok(()))
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
