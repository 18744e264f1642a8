//! The OpenAI-compatible HTTP API.
//!
//! A served graph is a model. Which inputs a request fills and which outputs it gets comes from the plan
//! ([`models`]); each endpoint's module knows only the JSON that clients of it send and read.

mod answer;
mod body;
mod bring;
mod chat;
mod completions;
mod embeddings;
mod events;
mod fields;
mod health;
mod images;
mod infer;
mod media;
mod metrics;
mod models;
mod origin;
mod page;
mod realtime;
mod refusal;
mod schema;
mod sound;
mod speech;
mod talk;
mod transcriptions;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use corn_core::Fault;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::accept::{Held, InUse};
use crate::fetch::Fetcher;
use crate::grpc::native::Native;
use crate::intake::Intake;
use crate::keys::{Keys, Pass, Slot, Standing};
use crate::seen::{Call, Counted, Why, within};
use crate::{Listening, Served};
use answer::Outputs;
use metrics::{Format, Meter, Metrics};
pub use origin::Origins;
use refusal::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all requests share.
struct Face {
    served: Arc<Served>,
    keys: Option<Keys>,
    origins: Origins,
    /// Routes as `POST /corn/v1/infer` asks them.
    native: Native,
    metrics: Arc<Metrics>,
    fetcher: Arc<Fetcher>,
    sessions: realtime::Sessions,
    intake: Intake,
    began_s: u64,
    /// What request ids begin with, so that those of two lives of a server differ.
    life: u32,
    next: AtomicU64,
}

/// How a request is called in logs, and in what is answered to it.
#[derive(Clone)]
struct RequestName(Arc<str>);

/// What answers requests at the paths of the API. Sessions, which are no requests, end when `stop` says so, and are what
/// is `in_use` until then.
pub(crate) fn router(
    served: Arc<Served>,
    listening: Listening,
    intake: Intake,
    stop: watch::Receiver<bool>,
    in_use: InUse,
) -> Result<Router, Fault> {
    let Listening { keys, media, origins, .. } = listening;
    let mut life = [0; 4];
    getrandom::fill(&mut life).map_err(|error| Fault::setup(format!("no random numbers: {error}")))?;
    let face = Face {
        native: Native::open(Arc::clone(&served), intake.clone()),
        served,
        sessions: realtime::Sessions::new(stop, in_use),
        keys,
        origins,
        metrics: Arc::new(Metrics::new()),
        fetcher: Arc::new(Fetcher::new(media)?),
        intake,
        began_s: now_s(),
        life: u32::from_le_bytes(life),
        next: AtomicU64::new(0),
    };
    Ok(routes(Arc::new(face)))
}

fn routes(face: Arc<Face>) -> Router {
    let readers = face.origins.layer();
    let router = Router::new()
        .route("/", get(page::page))
        .route("/corn/v1/plan", get(page::plan))
        .route("/corn/v1/status", get(page::status))
        .route("/corn/v1/infer", post(infer::answer))
        .route("/health", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/version", get(health::version))
        .route("/metrics", get(metrics_text))
        .route("/v1/models", get(all_models))
        .route("/v1/models/{id}", get(one_model))
        .route("/v1/chat/completions", post(chat::answer))
        .route("/v1/audio/speech", post(speech::answer))
        .route("/v1/audio/transcriptions", post(transcriptions::answer))
        .route("/v1/completions", post(completions::answer))
        .route("/v1/images/generations", post(images::generate))
        .route("/v1/images/edits", post(images::edit))
        .route("/v1/embeddings", post(embeddings::answer))
        .route("/v1/realtime", get(realtime::answer))
        .route("/v2", any(kserve))
        .route("/v2/{*rest}", any(kserve))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&face), enter))
        .with_state(face);
    match readers {
        Some(readers) => router.layer(readers),
        None => router,
    }
}

/// Names a request, asks for its key, and holds what the key allows until the answer has gone out.
async fn enter(State(face): State<Arc<Face>>, mut request: Request, next: Next) -> Response {
    let number = face.next.fetch_add(1, Ordering::Relaxed);
    let name: Arc<str> = format!("{:08x}{number:08x}", face.life).into();
    let is_asking = ["/v1/", "/corn/"].iter().any(|part| request.uri().path().starts_with(part));
    request.extensions_mut().insert(RequestName(Arc::clone(&name)));
    let slot = if is_asking { face.admit(&mut request) } else { Ok(Slot::default()) };
    let call = Call::begin(&face.served.told(), "http", &request);
    call.name(format!("req_{name}"));
    if let Some(pass) = request.extensions().get::<Pass>() {
        call.known_by(pass);
    }
    let request = request.map(|body| Body::new(Counted::brought(body, Arc::clone(&call))));
    let mut response = match slot {
        Ok(slot) => held(within(Arc::clone(&call), next.run(request)).await, slot),
        Err(refusal) => refusal.into_response(),
    };
    if let Ok(value) = HeaderValue::try_from(format!("req_{name}")) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    call.answered(response.status());
    response.extensions().get::<Why>().into_iter().for_each(|why| call.refused(why));
    response.map(|body| Body::new(Counted::answer(body, call)))
}

/// The answer, with what is left of its key's rate in headers as the API has them, and the key's slot until it has
/// gone out.
fn held(mut response: Response, slot: Slot) -> Response {
    if let Some(Standing { limit, remaining, whole_in }) = slot.standing() {
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit-requests", HeaderValue::from(limit));
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from(remaining));
        if let Ok(reset) = HeaderValue::try_from(format!("{}ms", whole_in.as_millis())) {
            headers.insert("x-ratelimit-reset-requests", reset);
        }
    }
    if slot.is_any() { response.map(|body| Body::new(Held::new(body, slot))) } else { response }
}

async fn nowhere(request: Request) -> Refusal {
    // What a proxy is asked for has no path.
    let there = match request.uri().path() {
        "" => request.uri().to_string(),
        path => path.to_owned(),
    };
    let (no, hint) = (format!("there is no {there} here"), elsewhere(&there));
    let message = hint.map_or_else(|| no.clone(), |hint| format!("{no}; {hint}"));
    Refusal::request(StatusCode::NOT_FOUND, message).code("unknown_url")
}

/// What to ask instead of a path of another API, or of another part of this one.
fn elsewhere(path: &str) -> Option<String> {
    let of_v1 =
        ["/chat/completions", "/completions", "/embeddings", "/models", "/audio/", "/images/", "/realtime"];
    let is_of_v1 = |rest: &str| of_v1.iter().any(|known| rest.starts_with(known));
    Some(match path {
        _ if path.starts_with("/v1/responses") => {
            "the API of responses is not spoken; ask /v1/chat/completions: clients have a setting for that"
                .to_owned()
        }
        _ if path.starts_with("/v1/messages") || path.starts_with("/api/") => {
            "this is the OpenAI API: ask /v1/chat/completions".to_owned()
        }
        "/v1/audio/translations" => "ask /v1/audio/transcriptions".to_owned(),
        _ if is_of_v1(path) => format!("did you mean /v1{path}? A client's base URL ends with /v1"),
        _ if path.strip_prefix("/v1").is_some_and(|rest| rest.starts_with("/v1/")) => {
            format!("did you mean {}? A client's base URL ends with /v1, once", &path["/v1".len()..])
        }
        _ => return None,
    })
}

/// KServe v2 is spoken over gRPC only, and its clients read errors in their own way.
async fn kserve() -> Response {
    let error = "KServe v2 is spoken over gRPC here (--grpc), not over HTTP: use tritonclient.grpc, or /v1 and /corn/v1/infer";
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

async fn wrong_method(method: Method, request: Request) -> Refusal {
    let message = format!("{} is not asked with {method}", request.uri().path());
    Refusal::request(StatusCode::METHOD_NOT_ALLOWED, message).code("wrong_method")
}

async fn metrics_text(State(face): State<Arc<Face>>, headers: HeaderMap) -> Response {
    let format = Format::asked(&headers);
    let kind = [(header::CONTENT_TYPE, format.media_type()), (header::VARY, "accept")];
    (kind, face.metrics.text(&face.served, format)).into_response()
}

async fn all_models(State(face): State<Arc<Face>>) -> Json<Value> {
    let plan = face.served.plan();
    let models: Vec<Value> = models::served(plan).into_iter().map(|name| face.model(name)).collect();
    Json(json!({ "object": "list", "data": models }))
}

async fn one_model(
    State(face): State<Arc<Face>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let Path(id) =
        id.map_err(|_| Refusal::model("the name of a model is text in UTF-8, and that in the path is none"))?;
    let known = models::served(face.served.plan());
    if known.contains(&id.as_str()) {
        return Ok(Json(face.model(&id)));
    }
    Err(models::unknown(&id, &known))
}

impl Face {
    /// What the key of a request allows, if it brings one that is known.
    fn pass(&self, headers: &HeaderMap) -> Result<Pass, Refusal> {
        let Some(keys) = &self.keys else { return Ok(Pass::default()) };
        let brought = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let of_browser = || realtime::key(headers).and_then(|key| keys.pass_of(key));
        keys.pass(brought).or_else(of_browser).ok_or_else(Refusal::key)
    }

    /// A place among those that a key allows. Who only looks at what there is takes none, and sessions take one for
    /// each answer.
    fn admit(&self, request: &mut Request) -> Result<Slot, Refusal> {
        if self.keys.is_none() {
            self.origins.check(request.headers())?;
        }
        let pass = self.pass(request.headers())?;
        request.extensions_mut().insert(pass.clone());
        let path = request.uri().path();
        if path.starts_with("/v1/models") || path == "/v1/realtime" {
            return Ok(Slot::default());
        }
        pass.begin().map_err(|over| Refusal::over(&over))
    }

    fn model(&self, name: &str) -> Value {
        json!({ "id": name, "object": "model", "created": self.began_s, "owned_by": "corn" })
    }

    /// Reads a request, where that takes a while: apart from whoever serves the others.
    async fn prepared<T: Send + 'static>(
        self: &Arc<Self>,
        prepare: impl FnOnce(&Face) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let face = Arc::clone(self);
        self.intake.apart(None, move || prepare(&face)).await?
    }

    /// Submits a request and waits until its answer begins.
    async fn ask(&self, asked: crate::Request, meter: &Meter) -> Result<Outputs, Refusal> {
        let mut outputs = Outputs::new(self.served.submit(asked)?, meter.clone());
        outputs.begin().await?;
        Ok(outputs)
    }
}

/// Answers at an endpoint, and measures it.
async fn measured(
    face: &Face,
    endpoint: &'static str,
    answer: impl AsyncFnOnce(Meter) -> Result<Response, Refusal>,
) -> Response {
    let meter = face.metrics.begin(endpoint);
    // Before a body is read that nobody could work on yet.
    let answered = match health::loaded(&face.served) {
        Ok(()) => answer(meter.clone()).await,
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(response) => response,
        Err(refusal) => {
            meter.end(refusal.status.as_u16());
            refusal.into_response()
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
