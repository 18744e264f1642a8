//! What is seen of requests, whichever face they came by: how many of each route, how they ended, and when.

mod body;
mod call;
mod log;
mod otlp;
mod recent;
mod trace;

use std::sync::Arc;
use std::time::{Duration, Instant};

use corn_core::Fault;
use corn_core::message::RequestId;
use corn_engine::{Answer, Ask, Engine, Piece};
use corn_plan::{Plan, Recording};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::grpc::status::{BLAMES, blame_word};

pub(crate) use body::Counted;
pub(crate) use call::{Call, Opened, Told, Why, current, within};
pub use log::Log;
use recent::Recent;
pub use trace::Traces;

/// Bounds of times in seconds, from what one hand-over takes to what a long answer does.
const BUCKETS_S: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
const WELL: &str = "ok";
/// The client went away before its answer was whole.
const GONE: &str = "gone";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    graph: String,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    graph: String,
    route: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    graph: String,
    blame: &'static str,
}

/// Counts and times of every route.
pub(crate) struct Seen {
    registry: Registry,
    requests: Family<Ended, Counter>,
    refused: Family<Refused, Counter>,
    good: Family<Of, Counter>,
    items: Family<Of, Counter>,
    bytes: Family<Of, Counter>,
    in_flight: Family<Of, Gauge>,
    first: Family<Of, Histogram>,
    whole: Family<Of, Histogram>,
    recent: Family<Of, Recent>,
}

/// How requests of a route fare: since the start, now, and lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fares {
    pub(crate) ok: u64,
    /// Their clients went away.
    pub(crate) gone: u64,
    pub(crate) failed: u64,
    pub(crate) in_flight: i64,
    /// Of those that ended well in the last minute, half had their first item in this time, and half were whole.
    pub(crate) p50_first_us: Option<u64>,
    pub(crate) p50_answer_us: Option<u64>,
}

impl Seen {
    /// With a row for each route of `plan`, so that one which was never asked is there as well.
    pub(crate) fn new(plan: &Plan) -> Self {
        let histogram = || Family::new_with_constructor((|| Histogram::new(BUCKETS_S)) as fn() -> Histogram);
        let mut seen = Self {
            registry: Registry::with_prefix("corn_route"),
            requests: Family::default(),
            refused: Family::default(),
            good: Family::default(),
            items: Family::default(),
            bytes: Family::default(),
            in_flight: Family::default(),
            first: histogram(),
            whole: histogram(),
            recent: Family::default(),
        };
        seen.register();
        for recording in plan.recordings.ids().map(|id| &plan.recordings[id]) {
            let of = Of::route(recording);
            drop(seen.in_flight.get_or_create(&of));
            drop(seen.good.get_or_create(&of));
            drop(seen.requests.get_or_create(&of.ended(WELL)));
        }
        seen
    }

    fn register(&mut self) {
        let Self { registry, requests, refused, good, items, bytes, in_flight, first, whole, recent: _ } =
            self;
        let about = "Requests that ended, by how: ok, gone (the client went away), or whose fault it was";
        registry.register("requests", about, requests.clone());
        let about = "Requests that no recording was found for, or that came before one was loaded";
        registry.register("refused", about, refused.clone());
        let about = "Requests that ended well, and within the deadline of their `serve` where it has one";
        registry.register("good", about, good.clone());
        registry.register("items", "Items that clients took", items.clone());
        registry.register_with_unit("taken", "Bytes of them", Unit::Bytes, bytes.clone());
        registry.register("in_flight", "Requests under way", in_flight.clone());
        let about = "From a request to the first item of its answer";
        registry.register_with_unit("first_item", about, Unit::Seconds, first.clone());
        let about = "From a request to the end of its answer, of those that ended well";
        registry.register_with_unit("answer", about, Unit::Seconds, whole.clone());
    }

    pub(crate) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How requests of a route fare.
    pub(crate) fn fares(&self, graph: &str, route: &str) -> Fares {
        let of = Of { graph: graph.to_owned(), route: route.to_owned() };
        let count = |outcome| self.requests.get(&of.ended(outcome)).map_or(0, |count| count.get());
        let recent = self.recent.get(&of);
        let (p50_first_us, p50_answer_us) = recent.map(|recent| recent.medians_us()).unwrap_or_default();
        Fares {
            ok: count(WELL),
            gone: count(GONE),
            failed: BLAMES.into_iter().map(|blame| count(blame_word(blame))).sum(),
            in_flight: self.in_flight.get(&of).map_or(0, |gauge| gauge.get()),
            p50_first_us,
            p50_answer_us,
        }
    }

    /// A request was not taken.
    pub(crate) fn refused(&self, graph: &str, fault: &Fault) {
        let refused = Refused { graph: graph.to_owned(), blame: blame_word(fault.blame) };
        self.refused.get_or_create(&refused).inc();
    }

    /// Submits a request, and sees it to its end. `declared` is the deadline of its `serve`.
    pub(crate) fn submit(
        self: &Arc<Self>,
        engine: &Engine,
        ask: Ask,
        recording: &Recording,
        declared: Option<Duration>,
    ) -> Watched {
        let of = Of::route(recording);
        let call = call::current();
        let answer = match call.as_ref().and_then(|call| call.traced()) {
            Some((traces, context)) => traces.submit(engine, ask, context),
            None => engine.submit(ask),
        };
        if let Some(call) = &call {
            call.replays(answer.request().number, &of.graph, &of.route);
        }
        self.in_flight.get_or_create(&of).inc();
        let seen = Arc::clone(self);
        Watched {
            answer,
            call,
            seen,
            of,
            declared,
            began: Instant::now(),
            first: None,
            ended: None,
            outcome: GONE,
        }
    }
}

impl Of {
    fn route(recording: &Recording) -> Self {
        Self { graph: recording.graph.clone(), route: recording.route.clone() }
    }

    fn ended(&self, outcome: &'static str) -> Ended {
        Ended { graph: self.graph.clone(), route: self.route.clone(), outcome }
    }
}

/// The answer to a request, counted as its client takes it. Dropping it before its end cancels the request.
pub struct Watched {
    answer: Answer,
    /// The call of a client that it is for, if it came by a face.
    call: Option<Arc<Call>>,
    seen: Arc<Seen>,
    of: Of,
    declared: Option<Duration>,
    began: Instant,
    first: Option<Duration>,
    ended: Option<Duration>,
    outcome: &'static str,
}

impl Watched {
    /// The request's id.
    pub const fn request(&self) -> RequestId {
        self.answer.request()
    }

    /// Gives the request up; see [`Answer::cancel`].
    pub fn cancel(&self) {
        self.answer.cancel();
    }

    /// It is given up because of `why`.
    pub(crate) fn refused(&self, why: &Why) {
        self.call.iter().for_each(|call| call.refused(why));
    }

    /// The next piece; see [`Answer::next`].
    pub async fn next(&mut self) -> Option<Piece> {
        let piece = self.answer.next().await;
        match &piece {
            Some(Piece::Item { datum, .. }) => {
                if self.first.is_none() {
                    let first = self.began.elapsed();
                    self.first = Some(first);
                    self.seen.first.get_or_create(&self.of).observe(first.as_secs_f64());
                }
                self.call.iter().for_each(|call| call.item());
                self.seen.items.get_or_create(&self.of).inc();
                self.seen.bytes.get_or_create(&self.of).inc_by(datum.bytes());
            }
            Some(Piece::End { .. } | Piece::Used(_)) => {}
            Some(Piece::Failed(fault)) => self.end(blame_word(fault.blame)),
            None => self.end(WELL),
        }
        piece
    }

    /// It ended so; the first that is said counts.
    fn end(&mut self, outcome: &'static str) {
        if self.ended.is_none() {
            self.ended = Some(self.began.elapsed());
            self.outcome = outcome;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Self { seen, of, outcome, .. } = self;
        self.call.iter().for_each(|call| call.outcome(outcome));
        seen.in_flight.get_or_create(of).dec();
        seen.requests.get_or_create(&of.ended(outcome)).inc();
        if let Some(took) = self.ended
            && *outcome == WELL
        {
            seen.whole.get_or_create(of).observe(took.as_secs_f64());
            seen.recent.get_or_create(of).ended(self.first.unwrap_or(took), took);
            if self.declared.is_none_or(|declared| took <= declared) {
                seen.good.get_or_create(of).inc();
            }
        }
    }
}
