//! What is told of single requests, for whoever asked for it with the request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::message::{CallTrace, RequestId};
use corn_plan::{ComponentId, Plan, RecordingId, StageId, ValueId, Verified};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::observe::{HandOverTrace, Observer};

/// What a request took that was replayed: its last attempt, if there were several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestTimes {
    /// By component, in the order in which they began.
    pub calls: Vec<CallTimes>,
    /// By value and way.
    pub hand_overs: Vec<HandOverTimes>,
}

/// The calls of a component; times are in µs since the request was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallTimes {
    /// Its name.
    pub component: String,
    /// How many they are.
    pub calls: u64,
    /// When the first was handed to the executor.
    pub started_us: u64,
    /// When the first item came, if one did.
    pub first_us: Option<u64>,
    /// When the last ended.
    pub ended_us: u64,
    /// Items that they made.
    pub items: u64,
}

/// What was handed over of a value from a stage to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOverTimes {
    /// The value's name.
    pub value: String,
    /// The components of the stage that handed over.
    pub from: String,
    /// Those of the one that took.
    pub to: String,
    /// How, by the plan's word for it.
    pub transport: String,
    /// Items, or one for a value that is whole.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// µs on the way, all of them together.
    pub took_us: u64,
    /// µs of the one that took longest.
    pub longest_us: u64,
}

/// Passes on what is told, and keeps what is wanted here.
pub(crate) struct Noted {
    next: Arc<dyn Observer>,
    /// By request; `None` when nothing more is told.
    wanted: Mutex<Option<BTreeMap<u64, Noting>>>,
}

/// What will be told of one request. It is noted for as long as this lives.
pub(crate) struct Note {
    number: u64,
    noted: Arc<Noted>,
    told: oneshot::Receiver<RequestTimes>,
}

/// What was told of the last attempt at a request, added up.
struct Noting {
    plan: Arc<Verified>,
    recording: RecordingId,
    /// When it was submitted.
    from_us: u64,
    attempt: u32,
    calls: BTreeMap<ComponentId, CallTimes>,
    hand_overs: BTreeMap<(StageId, StageId, ValueId, &'static str), HandOverTimes>,
    tell: oneshot::Sender<RequestTimes>,
}

impl CallTimes {
    /// None yet of a component.
    pub fn of(component: &str) -> Self {
        let component = component.to_owned();
        Self { component, calls: 0, started_us: u64::MAX, first_us: None, ended_us: 0, items: 0 }
    }

    /// Adds a call of a request that was submitted at `from_us` of the same clock.
    pub fn add(&mut self, trace: &CallTrace, from_us: u64) {
        let since = |us: u64| us.saturating_sub(from_us);
        self.calls += u64::from(trace.calls);
        self.started_us = self.started_us.min(since(trace.started_us));
        self.first_us = self.first_us.into_iter().chain(trace.first_us.map(since)).min();
        self.ended_us = self.ended_us.max(since(trace.ended_us));
        self.items += trace.items;
    }
}

impl Noted {
    pub(super) fn new(next: Arc<dyn Observer>) -> Self {
        Self { next, wanted: Mutex::new(Some(BTreeMap::new())) }
    }

    /// From now on what is told of `request` is noted. It was submitted at `from_us`, as `recording` of `plan`.
    pub(super) fn note(
        self: &Arc<Self>,
        request: RequestId,
        plan: Arc<Verified>,
        recording: RecordingId,
        from_us: u64,
    ) -> Note {
        let (tell, told) = oneshot::channel();
        if let Some(wanted) = self.lock().as_mut() {
            let (attempt, calls, hand_overs) = Default::default();
            let noting = Noting { plan, recording, from_us, attempt, calls, hand_overs, tell };
            wanted.insert(request.number, noting);
        }
        Note { number: request.number, noted: Arc::clone(self), told }
    }

    /// Nothing more is told: whoever waits for it gets nothing.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// Adds to what is known of an attempt at `request`, if that is wanted and there is none after it.
    fn add(&self, request: RequestId, add: impl FnOnce(&mut Noting)) {
        let mut wanted = self.lock();
        let Some(noting) = wanted.as_mut().and_then(|wanted| wanted.get_mut(&request.number)) else { return };
        if request.attempt > noting.attempt {
            noting.attempt = request.attempt;
            noting.calls.clear();
            noting.hand_overs.clear();
        }
        if request.attempt == noting.attempt {
            add(noting);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Noting>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    /// All of it, once the request is over.
    pub(super) async fn whole(mut self) -> RequestTimes {
        (&mut self.told).await.unwrap_or_default()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(wanted) = self.noted.lock().as_mut() {
            wanted.remove(&self.number);
        }
    }
}

impl Observer for Noted {
    fn call(&self, trace: &CallTrace) {
        self.add(trace.request, |noting| {
            let name = || CallTimes::of(&noting.plan.plan().components[trace.component].name);
            noting.calls.entry(trace.component).or_insert_with(name).add(trace, noting.from_us);
        });
        self.next.call(trace);
    }

    fn hand_over(&self, trace: &HandOverTrace) {
        self.add(trace.request, |noting| {
            let plan = noting.plan.plan();
            let transport = trace.transport.name();
            let named = || HandOverTimes {
                value: plan.recordings[noting.recording].values[trace.value].name.clone(),
                from: components(plan, trace.from),
                to: components(plan, trace.to),
                transport: transport.to_owned(),
                items: 0,
                bytes: 0,
                took_us: 0,
                longest_us: 0,
            };
            let way = (trace.from, trace.to, trace.value, transport);
            let sum = noting.hand_overs.entry(way).or_insert_with(named);
            let took_us = trace.taken_us.saturating_sub(trace.sent_us);
            sum.items += 1;
            sum.bytes += trace.bytes;
            sum.took_us += took_us;
            sum.longest_us = sum.longest_us.max(took_us);
        });
        self.next.hand_over(trace);
    }

    fn finished(&self, request: RequestId) {
        let noting = self.lock().as_mut().and_then(|wanted| wanted.remove(&request.number));
        if let Some(Noting { calls, hand_overs, tell, .. }) = noting {
            let mut calls: Vec<CallTimes> = calls.into_values().collect();
            calls.sort_by_key(|calls| calls.started_us);
            // Whoever wanted it may have gone meanwhile.
            let _ = tell.send(RequestTimes { calls, hand_overs: hand_overs.into_values().collect() });
        }
        self.next.finished(request);
    }

    fn busy(&self, component: ComponentId, from_us: u64, to_us: u64) {
        self.next.busy(component, from_us, to_us);
    }

    fn batch(&self, component: ComponentId, calls: u32) {
        self.next.batch(component, calls);
    }
}

/// What a stage is of.
fn components(plan: &Plan, stage: StageId) -> String {
    let names = plan.stages[stage].components.iter().map(|id| plan.components[*id].name.as_str());
    names.collect::<Vec<_>>().join("+")
}
