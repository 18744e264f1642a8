//! Spans on their way to a collector: OTLP over HTTP, as protobuf.
//!
//! What makes a span never waits: it leaves it in a bounded queue, and where that is full the span is dropped and counted. A thread of its
//! own sends what there is, a second later at most; what cannot be sent is dropped as well.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use corn_core::Fault;
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::trace::Span;
use crate::trust;

/// Spans that may wait.
const QUEUE: usize = 8192;
/// Spans of one message.
const BATCH: usize = 512;
/// How long the first span of a message waits for others.
const WAITS: Duration = Duration::from_secs(1);
/// How long a collector has to take a message.
const PATIENCE: Duration = Duration::from_secs(5);
const FLUSH: Duration = Duration::from_secs(2);

/// The messages of OTLP that are used, with the numbers of its fields (opentelemetry-proto 1.x).
mod pb {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Export {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_spans: Vec<ResourceSpans>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_spans: Vec<ScopeSpans>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ScopeSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Scope {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) version: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(int32, tag = "6")]
        pub(super) kind: i32,
        #[prost(fixed64, tag = "7")]
        pub(super) start_time_unix_nano: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) end_time_unix_nano: u64,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<KeyValue>,
        #[prost(message, optional, tag = "15")]
        pub(super) status: Option<Status>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Status {
        #[prost(int32, tag = "3")]
        pub(super) code: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct AnyValue {
        #[prost(string, optional, tag = "1")]
        pub(super) string_value: Option<String>,
    }
}

const KIND_INTERNAL: i32 = 1;
const KIND_SERVER: i32 = 2;
const STATUS_ERROR: i32 = 2;

#[derive(Default)]
struct Counts {
    told: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Of what was told, how much is neither sent nor dropped yet.
    fn left(&self) -> u64 {
        let done = self.sent.load(Ordering::Relaxed) + self.dropped.load(Ordering::Relaxed);
        self.told.load(Ordering::Relaxed).saturating_sub(done)
    }
}

/// Takes spans, and sends them.
pub(super) struct Exporter {
    spans: Sender<Span>,
    counts: Arc<Counts>,
}

/// Where spans are sent.
struct Collector {
    authority: String,
    address: String,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    resource: pb::Resource,
}

impl Exporter {
    pub(super) fn start(endpoint: &str, authorities: Option<&Path>, plan: &str) -> Result<Self, Fault> {
        let collector = Collector::new(endpoint, authorities, plan)?;
        let (spans, waiting) = channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::setup(format!("no event loop for traces: {error}")))?;
        let counted = Arc::clone(&counts);
        let thread = std::thread::Builder::new().name("corn-traces".to_owned());
        thread
            .spawn(move || runtime.block_on(send_all(&collector, waiting, &counted)))
            .map_err(|error| Fault::setup(format!("no thread for traces: {error}")))?;
        Ok(Self { spans, counts })
    }

    pub(super) fn tell(&self, span: Span) {
        self.counts.told.fetch_add(1, Ordering::Relaxed);
        if self.spans.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.counts.sent.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }

    pub(super) fn flush(&self) {
        let begun = std::time::Instant::now();
        while self.counts.left() > 0 && begun.elapsed() < FLUSH {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

async fn send_all(collector: &Collector, mut waiting: Receiver<Span>, counts: &Counts) {
    let mut batch = Vec::new();
    while let Some(first) = waiting.recv().await {
        batch.push(first);
        let filled = async { while batch.len() < BATCH && waiting.recv_many(&mut batch, BATCH).await > 0 {} };
        // What has come by then is enough.
        let _ = timeout(WAITS, filled).await;
        let spans = batch.len() as u64;
        let sent = timeout(PATIENCE, collector.send(std::mem::take(&mut batch))).await;
        let count = if matches!(sent, Ok(true)) { &counts.sent } else { &counts.dropped };
        count.fetch_add(spans, Ordering::Relaxed);
    }
}

impl Collector {
    fn new(endpoint: &str, authorities: Option<&Path>, plan: &str) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            Fault::setup(format!(
                "traces cannot be sent to '{endpoint}': {why}; say it as http://localhost:4318"
            ))
        };
        let uri: Uri = endpoint.parse().map_err(|_| wrong("it is no URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") if authorities.is_some() => {
                return Err(wrong("who vouches for it is asked of https only"));
            }
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("only URLs of http and https are taken")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = is_tls.then(|| -> Result<_, Fault> {
            let name = ServerName::try_from(host).map_err(|_| wrong("its host is no name for TLS"))?;
            Ok((TlsConnector::from(Arc::new(trust::config(authorities, None)?)), name))
        });
        let service = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "corn".to_owned());
        let attributes = [
            ("service.name", service.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("corn.plan", plan),
        ];
        Ok(Self {
            authority: authority.to_string(),
            address: format!("{}:{port}", authority.host()),
            path: format!("{}/v1/traces", uri.path().trim_end_matches('/')),
            tls: tls.transpose()?,
            resource: pb::Resource {
                attributes: attributes.map(|(key, value)| attribute(key, value)).to_vec(),
            },
        })
    }

    /// Whether the collector has taken them.
    async fn send(&self, spans: Vec<Span>) -> bool {
        let scope = pb::Scope { name: "corn".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let spans = spans.into_iter().map(written).collect();
        let scope_spans = vec![pb::ScopeSpans { scope: Some(scope), spans }];
        let of = pb::ResourceSpans { resource: Some(self.resource.clone()), scope_spans };
        let body = pb::Export { resource_spans: vec![of] }.encode_to_vec();
        self.post(body).await.is_some_and(|status| status.is_success())
    }

    async fn post(&self, body: Vec<u8>) -> Option<StatusCode> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        match &self.tls {
            None => self.post_over(stream, body).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.ok()?;
                self.post_over(stream, body).await
            }
        }
    }

    async fn post_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        body: Vec<u8>,
    ) -> Option<StatusCode> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(Body::from(body))
            .ok()?;
        let answered = async {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status();
            response.into_body().collect().await.ok()?;
            Some(status)
        };
        let mut answered = pin!(answered);
        tokio::select! {
            status = &mut answered => status,
            // It may end with the answer, which is there then.
            _ = connection => answered.await,
        }
    }
}

fn attribute(key: &str, value: &str) -> pb::KeyValue {
    let value = pb::AnyValue { string_value: Some(value.to_owned()) };
    pb::KeyValue { key: key.to_owned(), value: Some(value) }
}

fn written(span: Span) -> pb::Span {
    pb::Span {
        trace_id: span.trace.to_vec(),
        id: span.id.to_vec(),
        parent_span_id: span.parent.map(|it| it.to_vec()).unwrap_or_default(),
        name: span.name,
        kind: if span.is_server { KIND_SERVER } else { KIND_INTERNAL },
        start_time_unix_nano: span.from_us.saturating_mul(1000),
        end_time_unix_nano: span.to_us.saturating_mul(1000),
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: span.has_failed.then_some(pb::Status { code: STATUS_ERROR }),
    }
}
