//! What can be seen of an engine at work.

use corn_core::message::{Body, CallTrace, HandOver, RequestId};
use corn_plan::{ComponentId, StageId, Transport, ValueId};

/// Is told what the engine does. Called on the engine's own threads: it must return at once.
pub trait Observer: Send + Sync {
    /// A call of a component has ended, of a request that is traced.
    fn call(&self, trace: &CallTrace) {
        let _ = trace;
    }

    /// A value or an item of a request that is traced has come to another stage.
    fn hand_over(&self, trace: &HandOverTrace) {
        let _ = trace;
    }

    /// A request is over, whatever came of it: no more is told of it.
    fn finished(&self, request: RequestId) {
        let _ = request;
    }

    /// A component's executor worked from `from_us` to `to_us` of the engine's clock. Not told of workers that are processes;
    /// [`Engine::status`](crate::Engine::status) has the sum.
    fn busy(&self, component: ComponentId, from_us: u64, to_us: u64) {
        let _ = (component, from_us, to_us);
    }

    /// A component's executor worked on `calls` calls at once. Only those are told whose calls can share a turn,
    /// and not of workers that are processes.
    fn batch(&self, component: ComponentId, calls: u32) {
        let _ = (component, calls);
    }
}

/// What a hand-over took, in µs of the engine's clock. Between hosts it is as exact as their clocks agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOverTrace {
    /// The request.
    pub request: RequestId,
    /// The stage that handed over.
    pub from: StageId,
    /// The stage that took.
    pub to: StageId,
    /// What was handed over.
    pub value: ValueId,
    /// How it got there.
    pub transport: Transport,
    /// Bytes of it.
    pub bytes: u64,
    /// When it was sent.
    pub sent_us: u64,
    /// When it came.
    pub taken_us: u64,
}

impl HandOverTrace {
    /// Of `hand_over`, which was sent and came then; `None` if nobody wants to know, or if it is no item.
    pub(crate) fn of(
        hand_over: &HandOver,
        transport: Transport,
        sent_us: u64,
        taken_us: u64,
    ) -> Option<Self> {
        let Body::Item(datum) = &hand_over.body else { return None };
        hand_over.header.is_traced.then(|| Self {
            request: hand_over.header.request,
            from: hand_over.from,
            to: hand_over.to,
            value: hand_over.value,
            transport,
            bytes: datum.bytes(),
            sent_us,
            taken_us,
        })
    }
}

/// Nobody looks.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl Observer for NoObserver {}
