//! What is counted of requests, as Prometheus reads it.

mod format;
mod work;

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::Served;
pub(super) use format::Format;

/// Bounds of the times in seconds: from what one hand-over takes to what a long answer does.
const BUCKETS_S: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];
/// A client that went away before its answer was whole; no status says so, and this is what proxies write.
const GONE: u16 = 499;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    endpoint: &'static str,
    status: u16,
}

/// Every count, and the registry that writes them.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Ended, Counter>,
    in_flight: Family<Of, Gauge>,
    first: Family<Of, Histogram>,
    whole: Family<Of, Histogram>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let histogram = || Family::new_with_constructor((|| Histogram::new(BUCKETS_S)) as fn() -> Histogram);
        let mut metrics = Self {
            registry: Registry::with_prefix("corn_http"),
            requests: Family::default(),
            in_flight: Family::default(),
            first: histogram(),
            whole: histogram(),
        };
        let Self { registry, requests, in_flight, first, whole } = &mut metrics;
        let about = "Requests that ended, by endpoint and status; 499 is a client that went away, and an answer that \
                     broke off counts with the status of what broke it";
        registry.register("requests", about, requests.clone());
        registry.register("requests_in_flight", "Requests under way", in_flight.clone());
        let about = "From the request to the first piece of its answer";
        registry.register_with_unit("first_piece", about, Unit::Seconds, first.clone());
        let about = "From the request to the end of its answer";
        registry.register_with_unit("answer", about, Unit::Seconds, whole.clone());
        metrics
    }

    /// Everything, of this face, of routes whichever face was asked, and of the engine.
    pub(super) fn text(&self, served: &Served, format: Format) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode_registry(&mut text, &self.registry);
        let _ = encode_registry(&mut text, served.seen.registry());
        if let Some(traces) = served.told().traces {
            work::spans(&mut text, traces.counts());
        }
        if let Ok(engine) = served.engine() {
            work::write(&mut text, served.plan(), &engine.status());
        }
        let _ = encode_eof(&mut text);
        match format {
            Format::OpenMetrics => text,
            Format::Classic => format::classic(&text),
        }
    }

    /// A request at `endpoint` begins.
    pub(super) fn begin(self: &Arc<Self>, endpoint: &'static str) -> Meter {
        self.in_flight.get_or_create(&Of { endpoint }).inc();
        Meter(Arc::new(Measured {
            metrics: Arc::clone(self),
            endpoint,
            began: Instant::now(),
            has_begun: AtomicBool::new(false),
            status: AtomicU16::new(GONE),
            ended: Mutex::new(None),
        }))
    }
}

/// Measures one request. It is over when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Meter(Arc<Measured>);

struct Measured {
    metrics: Arc<Metrics>,
    endpoint: &'static str,
    began: Instant,
    has_begun: AtomicBool,
    status: AtomicU16,
    ended: Mutex<Option<Instant>>,
}

impl Meter {
    /// A piece of the answer is there.
    pub(super) fn piece(&self) {
        let measured = &self.0;
        if !measured.has_begun.swap(true, Ordering::Relaxed) {
            let first = measured.metrics.first.get_or_create(&Of { endpoint: measured.endpoint });
            first.observe(measured.began.elapsed().as_secs_f64());
        }
    }

    /// The answer has come to an end, of whatever kind; the first that is said counts.
    pub(super) fn end(&self, status: u16) {
        let mut ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            *ended = Some(Instant::now());
            self.0.status.store(status, Ordering::Relaxed);
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let Self { metrics, endpoint, began, status, ended, .. } = self;
        let (endpoint, status) = (*endpoint, status.load(Ordering::Relaxed));
        metrics.in_flight.get_or_create(&Of { endpoint }).dec();
        metrics.requests.get_or_create(&Ended { endpoint, status }).inc();
        if let Some(ended) = ended.get_mut().unwrap_or_else(PoisonError::into_inner)
            && status == 200
        {
            let whole = metrics.whole.get_or_create(&Of { endpoint });
            whole.observe(ended.duration_since(*began).as_secs_f64());
        }
    }
}
