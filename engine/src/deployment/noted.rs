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
    plan: Arc<Verified>,
    recording: RecordingId,
    told: oneshot::Receiver<Sums>,
}

struct Noting {
    /// When it was submitted.
    from_us: u64,
    sums: Sums,
    tell: oneshot::Sender<Sums>,
}

/// What was told of an attempt, added up.
#[derive(Default)]
struct Sums {
    attempt: u32,
    calls: BTreeMap<ComponentId, Calls>,
    hand_overs: BTreeMap<(StageId, StageId, ValueId, &'static str), HandOvers>,
}

struct Calls {
    count: u64,
    started_us: u64,
    first_us: Option<u64>,
    ended_us: u64,
    items: u64,
}

#[derive(Default)]
struct HandOvers {
    items: u64,
    bytes: u64,
    took_us: u64,
    longest_us: u64,
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
            wanted.insert(request.number, Noting { from_us, sums: Sums::default(), tell });
        }
        Note { number: request.number, noted: Arc::clone(self), plan, recording, told }
    }

    /// Nothing more is told: whoever waits for it gets nothing.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// Adds to what is known of an attempt at `request`, if that is wanted and there is none after it.
    fn add(&self, request: RequestId, add: impl FnOnce(&mut Sums, u64)) {
        let mut wanted = self.lock();
        let Some(noting) = wanted.as_mut().and_then(|wanted| wanted.get_mut(&request.number)) else { return };
        if request.attempt > noting.sums.attempt {
            noting.sums = Sums { attempt: request.attempt, ..Sums::default() };
        }
        if request.attempt == noting.sums.attempt {
            add(&mut noting.sums, noting.from_us);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Noting>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    /// All of it, once the request is over.
    pub(super) async fn whole(mut self) -> RequestTimes {
        let sums = (&mut self.told).await.unwrap_or_default();
        sums.named(self.plan.plan(), self.recording)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(wanted) = self.noted.lock().as_mut() {
            wanted.remove(&self.number);
        }
    }
}

impl Sums {
    fn named(self, plan: &Plan, recording: RecordingId) -> RequestTimes {
        let stage = |stage: StageId| {
            let names = plan.stages[stage].components.iter().map(|id| plan.components[*id].name.as_str());
            names.collect::<Vec<_>>().join("+")
        };
        let calls = self.calls.into_iter().map(|(component, calls)| CallTimes {
            component: plan.components[component].name.clone(),
            calls: calls.count,
            started_us: calls.started_us,
            first_us: calls.first_us,
            ended_us: calls.ended_us,
            items: calls.items,
        });
        let mut calls: Vec<CallTimes> = calls.collect();
        calls.sort_by_key(|calls| calls.started_us);
        let hand_overs =
            self.hand_overs.into_iter().map(|((from, to, value, transport), sum)| HandOverTimes {
                value: plan.recordings[recording].values[value].name.clone(),
                from: stage(from),
                to: stage(to),
                transport: transport.to_owned(),
                items: sum.items,
                bytes: sum.bytes,
                took_us: sum.took_us,
                longest_us: sum.longest_us,
            });
        RequestTimes { calls, hand_overs: hand_overs.collect() }
    }
}

impl Observer for Noted {
    fn call(&self, trace: &CallTrace) {
        self.add(trace.request, |sums, from_us| {
            let since = |us: u64| us.saturating_sub(from_us);
            let calls = sums.calls.entry(trace.component).or_insert(Calls {
                count: 0,
                started_us: u64::MAX,
                first_us: None,
                ended_us: 0,
                items: 0,
            });
            calls.count += u64::from(trace.calls);
            calls.started_us = calls.started_us.min(since(trace.started_us));
            calls.first_us = calls.first_us.into_iter().chain(trace.first_us.map(since)).min();
            calls.ended_us = calls.ended_us.max(since(trace.ended_us));
            calls.items += trace.items;
        });
        self.next.call(trace);
    }

    fn hand_over(&self, trace: &HandOverTrace) {
        self.add(trace.request, |sums, _| {
            let way = (trace.from, trace.to, trace.value, trace.transport.name());
            let took_us = trace.taken_us.saturating_sub(trace.sent_us);
            let sum = sums.hand_overs.entry(way).or_default();
            sum.items += 1;
            sum.bytes += trace.bytes;
            sum.took_us += took_us;
            sum.longest_us = sum.longest_us.max(took_us);
        });
        self.next.hand_over(trace);
    }

    fn finished(&self, request: RequestId) {
        let noting = self.lock().as_mut().and_then(|wanted| wanted.remove(&request.number));
        if let Some(Noting { sums, tell, .. }) = noting {
            // Whoever wanted it may have gone meanwhile.
            let _ = tell.send(sums);
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
