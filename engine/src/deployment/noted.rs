//! What is told of single requests, for whoever asked for it with the request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::message::{CallTrace, RequestId};
use corn_plan::ComponentId;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::observe::{HandOverTrace, Observer};
use crate::wire::control::{Called, Handed};

/// Passes on what is told, and keeps what is wanted here.
pub(crate) struct Noted {
    next: Arc<dyn Observer>,
    wanted: Mutex<BTreeMap<u64, Noting>>,
}

/// A request that is under way.
struct Noting {
    /// By this clock times become those since 1970.
    clock: Clock,
    trace: Trace,
    tell: oneshot::Sender<Trace>,
}

/// The calls of a request that have ended, and what came to another stage.
type Trace = (Vec<Called>, Vec<Handed>);

/// What will be told of one request. It is noted for as long as this lives.
pub(crate) struct Note {
    number: u64,
    noted: Arc<Noted>,
    told: oneshot::Receiver<Trace>,
}

impl Noted {
    pub(super) fn new(next: Arc<dyn Observer>) -> Self {
        Self { next, wanted: Mutex::default() }
    }

    /// From now on what is told of `request` is noted, of all its attempts.
    pub(super) fn note(self: &Arc<Self>, request: RequestId, clock: Clock) -> Note {
        let (tell, told) = oneshot::channel();
        self.lock().insert(request.number, Noting { clock, trace: Trace::default(), tell });
        Note { number: request.number, noted: Arc::clone(self), told }
    }

    fn with(&self, request: RequestId, note: impl FnOnce(&mut Trace, Clock)) {
        if let Some(noting) = self.lock().get_mut(&request.number) {
            note(&mut noting.trace, noting.clock);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Noting>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    /// All of it, once the request is over. Never ends if it was over before it was noted.
    pub(super) async fn whole(mut self) -> Trace {
        (&mut self.told).await.unwrap_or_default()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.noted.lock().remove(&self.number);
    }
}

impl Observer for Noted {
    fn call(&self, trace: &CallTrace) {
        self.with(trace.request, |(calls, _), clock| calls.push(Called::new(trace, clock)));
        self.next.call(trace);
    }

    fn hand_over(&self, trace: &HandOverTrace) {
        self.with(trace.request, |(_, hand_overs), clock| {
            hand_overs.push(Handed::new(trace, |us| clock.to_unix_us(us)));
        });
        self.next.hand_over(trace);
    }

    fn finished(&self, request: RequestId) {
        if let Some(Noting { trace, tell, .. }) = self.lock().remove(&request.number) {
            // Whoever wanted it may have gone meanwhile.
            let _ = tell.send(trace);
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
