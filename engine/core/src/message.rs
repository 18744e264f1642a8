//! What the state machines say and hear: the events and actions of workers and coordinator.

use std::sync::Arc;

use corn_plan::{ComponentId, PlanHash, RecordingId, StageId, ValueId, WorkerId};

use crate::datum::Datum;
use crate::executor::{Call, CallId, Report};
use crate::fault::Fault;

/// A request, unique while the coordinator lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "q{}", self.0)
    }
}

/// What travels with every hand-over, so that the next worker can open its replay by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The plan that the sender replays.
    pub plan: PlanHash,
    /// The request.
    pub request: RequestId,
    /// The recording it replays.
    pub recording: RecordingId,
    /// For each stage of the plan, the worker that replays it for this request.
    pub replicas: Arc<[WorkerId]>,
    /// When the request is given up, in µs of the engine's clock.
    pub deadline_us: Option<u64>,
}

/// From one stage's replay to another's.
#[derive(Clone, Debug, PartialEq)]
pub struct HandOver {
    /// The replay it belongs to.
    pub header: Header,
    /// The stage that sends.
    pub from: StageId,
    /// The stage that receives.
    pub to: StageId,
    /// The value it is about.
    pub value: ValueId,
    /// What is handed over.
    pub body: Body,
}

/// The content of a [`HandOver`].
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A whole value, or the next item of a stream.
    Item(Datum),
    /// The stream has ended.
    End,
    /// So many more items of the stream may be sent; goes from consumer to producer.
    Credit(u32),
}

/// What a worker hears.
#[derive(Clone, Debug)]
pub enum WorkerEvent {
    /// The coordinator opens a replay with the inputs that `stage` takes.
    Open {
        /// The replay.
        header: Header,
        /// The stage.
        stage: StageId,
        /// The values of its input steps.
        inputs: Vec<(ValueId, Datum)>,
    },
    /// Another stage hands something over.
    HandOver(HandOver),
    /// An executor of this worker reports.
    Report(ComponentId, Report),
    /// The client has taken `count` items of a streamed output.
    Consumed {
        /// The request.
        request: RequestId,
        /// The stage that sends the output.
        stage: StageId,
        /// The output's value.
        value: ValueId,
        /// How many items.
        count: u32,
    },
    /// The request is given up on `stage`.
    Cancel {
        /// The request.
        request: RequestId,
        /// The stage.
        stage: StageId,
        /// Why.
        fault: Fault,
    },
    /// Time has passed.
    Tick,
}

/// What a worker does.
#[derive(Clone, Debug)]
pub enum WorkerAction {
    /// Start a call.
    Start(ComponentId, Call),
    /// Feed an item to a call's input stream.
    Feed(ComponentId, CallId, u32, Datum),
    /// End a call's input stream.
    End(ComponentId, CallId, u32),
    /// Let a call emit more.
    Grant(ComponentId, CallId, u32, u32),
    /// Forget a call.
    Abort(ComponentId, CallId),
    /// Hand something over to a stage on another worker.
    HandOver(WorkerId, HandOver),
    /// Send to the client.
    Output {
        /// The request.
        request: RequestId,
        /// The stage that sends.
        stage: StageId,
        /// The output's value.
        value: ValueId,
        /// An item, or `None` at the end.
        item: Option<Datum>,
    },
    /// Tell the coordinator that the replay of `stage` is over and holds nothing any more.
    Closed {
        /// The request.
        request: RequestId,
        /// The stage.
        stage: StageId,
        /// How it ended.
        outcome: Result<(), Fault>,
    },
    /// What a call took.
    Trace(CallTrace),
}

/// When a call of a component was started, made its first item and ended, in µs of the engine's
/// clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTrace {
    /// The request.
    pub request: RequestId,
    /// The component.
    pub component: ComponentId,
    /// When it was handed to the executor.
    pub started_us: u64,
    /// When its first item came, if one did.
    pub first_us: Option<u64>,
    /// When it ended.
    pub ended_us: u64,
    /// Items it made, over all outputs.
    pub items: u64,
}

/// What the coordinator hears.
#[derive(Clone, Debug)]
pub enum CoordinatorEvent {
    /// A client asks.
    Submit(Submission),
    /// A stage's replay is over.
    Closed {
        /// The request.
        request: RequestId,
        /// The stage.
        stage: StageId,
        /// How it ended.
        outcome: Result<(), Fault>,
    },
    /// The client went away or said stop.
    Cancel(RequestId),
    /// Time has passed.
    Tick,
}

/// A request as a client makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The id the caller chose for it; it must be new.
    pub request: RequestId,
    /// The recording, from [`Coordinator::look_up`](crate::coordinator::Coordinator::look_up).
    pub recording: RecordingId,
    /// Inputs by name; those with a default may be left out.
    pub inputs: Vec<(String, Datum)>,
    /// When to give up, in µs of the engine's clock.
    pub deadline_us: Option<u64>,
}

/// What the coordinator does.
#[derive(Clone, Debug)]
pub enum CoordinatorAction {
    /// Open a stage's replay on a worker.
    Open {
        /// The worker.
        worker: WorkerId,
        /// The replay.
        header: Header,
        /// The stage.
        stage: StageId,
        /// The values of its input steps.
        inputs: Vec<(ValueId, Datum)>,
    },
    /// Give a stage's replay up.
    Cancel {
        /// The worker.
        worker: WorkerId,
        /// The request.
        request: RequestId,
        /// The stage.
        stage: StageId,
        /// Why.
        fault: Fault,
    },
    /// The request has failed: its client gets this, and nothing after it.
    Failed(RequestId, Fault),
    /// Every replay of the request is over and everything is given back.
    Finished(RequestId),
}
