//! One call of a client, over HTTP or gRPC, from its head to the end of its answer.
//!
//! Whoever answers it runs inside of it ([`within`]), so that what it submits to the engine is known to be of it. It is over when nobody
//! holds it any more, the body of its answer included; then it is logged and its span is told. Nothing of its payload is kept.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};

use super::log::Log;
use super::trace::{Context, Span, Traces, text};
use crate::keys::Pass;

/// A client that went away before it was answered; no status says so, and this is what proxies write.
const GONE: u16 = 499;
/// The paths of those calls that are worth a line: what asks a model, not what looks how the server is.
const TOLD: [&str; 4] = ["/v1/", "/corn/v1/infer", "/corn.v1.Corn/", "/inference.GRPCInferenceService/"];
/// Most characters of a place that is wrong in a call.
const PLACE_CHARS: usize = 200;

tokio::task_local! {
    static CALL: Arc<Call>;
}

/// What calls are told to.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) log: Option<Log>,
    pub(crate) traces: Option<Arc<Traces>>,
}

/// A call under way.
pub(crate) struct Call {
    told: Told,
    is_told: bool,
    face: &'static str,
    method: String,
    path: String,
    id: Mutex<Option<String>>,
    /// How the key that it brings is called.
    key: Mutex<Option<String>>,
    began: Instant,
    began_unix_us: u64,
    /// The span of this call, and the one that it is part of, if it is traced.
    context: Option<Context>,
    status: AtomicU16,
    /// The status that gRPC gives after an answer; one more than it, so that 0 is none.
    grpc_status: AtomicU16,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    was_cut: AtomicBool,
    why: Mutex<Why>,
    replayed: Mutex<Replayed>,
}

/// Why a call is refused, in words that hold nothing of what it brought: the place that is wrong in it, and the word for
/// programs that its client is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Why {
    param: Option<String>,
    code: Option<String>,
}

impl Why {
    /// Names of fields are what a client makes them, so what is not to be read is left out, and there is an end.
    pub(crate) fn new(param: Option<&str>, code: Option<&str>) -> Self {
        let readable = |text: &str| text.chars().filter(|it| !it.is_control()).take(PLACE_CHARS).collect();
        Self { param: param.map(readable), code: code.map(readable) }
    }
}

/// A session that a call has opened. What is asked in it are calls of their own, in the same trace.
#[derive(Clone)]
pub(crate) struct Opened {
    told: Told,
    path: String,
    key: Option<String>,
    context: Option<Context>,
}

impl Opened {
    /// A call called `id`, by what its client `said`.
    pub(crate) fn call(&self, said: &str, id: &str) -> Arc<Call> {
        let context = self.context.as_ref().and_then(Context::below);
        let call = Call::new(self.told.clone(), "session", said, &self.path, context);
        call.name(id.to_owned());
        lock(&call.key).clone_from(&self.key);
        Arc::new(call)
    }
}

/// What the engine did for it.
#[derive(Default)]
struct Replayed {
    request: Option<u64>,
    graph: String,
    route: String,
    outcome: Option<&'static str>,
    first: Option<Duration>,
    items: u64,
}

impl Call {
    /// A call whose head is `request`'s.
    pub(crate) fn begin<B>(told: &Told, face: &'static str, request: &Request<B>) -> Arc<Self> {
        let path = request.uri().path();
        let is_told = TOLD.iter().any(|part| path.starts_with(part));
        let is_traced = is_told && told.traces.is_some();
        let context = is_traced.then(|| context(request.headers())).flatten();
        let mut call = Self::new(told.clone(), face, request.method().as_str(), path, context);
        call.is_told = is_told;
        Arc::new(call)
    }

    fn new(told: Told, face: &'static str, method: &str, path: &str, context: Option<Context>) -> Self {
        Self {
            told,
            is_told: true,
            face,
            method: method.to_owned(),
            path: path.to_owned(),
            id: Mutex::new(None),
            key: Mutex::new(None),
            began: Instant::now(),
            began_unix_us: unix_us(),
            context,
            status: AtomicU16::new(GONE),
            grpc_status: AtomicU16::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            was_cut: AtomicBool::new(true),
            why: Mutex::default(),
            replayed: Mutex::default(),
        }
    }

    /// What the calls of the session that it opens have of it.
    pub(crate) fn opened(&self) -> Opened {
        Opened {
            told: self.told.clone(),
            path: self.path.clone(),
            key: lock(&self.key).clone(),
            context: self.context.clone(),
        }
    }

    /// It is called so in answers.
    pub(crate) fn name(&self, id: String) {
        *lock(&self.id) = Some(id);
    }

    /// It brings the key of `pass`.
    pub(crate) fn known_by(&self, pass: &Pass) {
        *lock(&self.key) = pass.name().map(str::to_owned);
    }

    /// The head of its answer is there.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    /// It is refused, or its answer breaks off.
    pub(crate) fn refused(&self, why: &Why) {
        lock(&self.why).clone_from(why);
    }

    pub(crate) fn brought(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// gRPC has ended its answer with this.
    pub(crate) fn ended(&self, trailers: &HeaderMap) {
        let status =
            trailers.get("grpc-status").and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
        if let Some(status) = status.filter(|status: &u16| *status < u16::MAX) {
            self.grpc_status.store(status + 1, Ordering::Relaxed);
        }
        if let Some(blame) = trailers.get("corn-blame").and_then(|it| it.to_str().ok()) {
            self.refused(&Why::new(None, Some(blame)));
        }
    }

    /// Its answer has gone out whole.
    pub(crate) fn whole(&self) {
        self.was_cut.store(false, Ordering::Relaxed);
    }

    /// The engine replays `request` for it. Of several the last is told.
    pub(super) fn replays(&self, request: u64, graph: &str, route: &str) {
        let mut replayed = lock(&self.replayed);
        replayed.request = Some(request);
        graph.clone_into(&mut replayed.graph);
        route.clone_into(&mut replayed.route);
    }

    pub(super) fn item(&self) {
        let mut replayed = lock(&self.replayed);
        replayed.items += 1;
        replayed.first.get_or_insert_with(|| self.began.elapsed());
    }

    pub(super) fn outcome(&self, outcome: &'static str) {
        lock(&self.replayed).outcome = Some(outcome);
    }

    /// Where the spans of what it makes the engine do belong, if it is traced.
    pub(super) fn traced(&self) -> Option<(&Arc<Traces>, &Context)> {
        self.told.traces.as_ref().zip(self.context.as_ref())
    }

    /// What is said of it, in the order in which people read it.
    fn fields(&mut self) -> Vec<(&'static str, Value)> {
        let ms = |time: Duration| json!((time.as_secs_f64() * 1e5).round() / 100.0);
        let mut fields =
            vec![("face", json!(self.face)), ("method", json!(self.method)), ("path", json!(self.path))];
        let id = self.id.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        fields.extend(id.map(|id| ("id", json!(id))));
        let key = self.key.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        fields.extend(key.map(|key| ("key", json!(key))));
        let replayed = std::mem::take(self.replayed.get_mut().unwrap_or_else(PoisonError::into_inner));
        fields.extend(replayed.request.map(|number| ("request", json!(format!("r{number}")))));
        if replayed.request.is_some() {
            fields.push(("graph", json!(replayed.graph)));
            fields.push(("route", json!(replayed.route)));
        }
        fields.push(("status", json!(self.status.get_mut())));
        let grpc_status = *self.grpc_status.get_mut();
        fields.extend(grpc_status.checked_sub(1).map(|status| ("grpc_status", json!(status))));
        let Why { param, code } = std::mem::take(self.why.get_mut().unwrap_or_else(PoisonError::into_inner));
        fields.extend(param.map(|param| ("param", json!(param))));
        fields.extend(code.map(|code| ("code", json!(code))));
        fields.extend(replayed.outcome.map(|outcome| ("outcome", json!(outcome))));
        fields.push(("cut", json!(self.was_cut.get_mut())));
        fields.push(("duration_ms", ms(self.began.elapsed())));
        fields.extend(replayed.first.map(|first| ("first_item_ms", ms(first))));
        fields.push(("items", json!(replayed.items)));
        fields.push(("bytes_in", json!(self.bytes_in.get_mut())));
        fields.push(("bytes_out", json!(self.bytes_out.get_mut())));
        fields.extend(self.context.as_ref().map(|context| ("trace", json!(context.trace_hex()))));
        fields
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_told || (self.told.log.is_none() && self.context.is_none()) {
            return;
        }
        let fields = self.fields();
        if let Some(log) = self.told.log {
            log.say(self.began_unix_us, &fields);
        }
        if let Some((traces, context)) = self.told.traces.as_ref().zip(self.context.as_ref()) {
            let attributes =
                fields.iter().map(|(name, value)| (format!("corn.{name}"), text(value))).collect();
            let (status, grpc) =
                (self.status.load(Ordering::Relaxed), self.grpc_status.load(Ordering::Relaxed));
            traces.tell(Span {
                trace: context.trace,
                id: context.span,
                parent: context.parent,
                name: format!("{} {}", self.method, self.path),
                is_server: true,
                from_us: self.began_unix_us,
                to_us: self.began_unix_us + u64::try_from(self.began.elapsed().as_micros()).unwrap_or(0),
                attributes,
                has_failed: status >= 500 || grpc > 1,
            });
        }
    }
}

/// The context of a call that comes with `headers`: part of the trace that its client says, or a trace of its own. None if its client does
/// not want it traced.
fn context(headers: &HeaderMap) -> Option<Context> {
    let said = headers.get("traceparent").and_then(|value| value.to_str().ok());
    match said.and_then(Context::parse) {
        Some((context, is_sampled)) => is_sampled.then_some(context),
        None => Context::new(),
    }
}

/// Answers a call, with what it submits known to be of it.
pub(crate) async fn within<T>(call: Arc<Call>, answer: impl Future<Output = T>) -> T {
    CALL.scope(call, answer).await
}

/// The call that is being answered.
pub(crate) fn current() -> Option<Arc<Call>> {
    CALL.try_with(Arc::clone).ok()
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
