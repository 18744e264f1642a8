//! What the state machines say and hear: the events and actions of workers and coordinator.

use std::sync::Arc;

use corn_plan::{BlockId, ComponentId, PlanHash, RecordingId, StageId, ValueId, WorkerId};

use crate::datum::Datum;
use crate::executor::{Call, CallId, Report, Usage};
use crate::fault::Fault;

/// One attempt at a request. A request is unique while the coordinator lives; when a worker is lost
/// it is replayed as the next attempt, and whatever comes late from the one before is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The request.
    pub number: u64,
    /// How often it was replayed before.
    pub attempt: u32,
}

impl RequestId {
    /// The first attempt at request `number`.
    pub const fn first(number: u64) -> Self {
        Self { number, attempt: 0 }
    }

    /// The attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { number: self.number, attempt: self.attempt + 1 }
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.attempt {
            0 => write!(f, "q{}", self.number),
            attempt => write!(f, "q{}.{attempt}", self.number),
        }
    }
}

/// One life of a worker. A worker that was lost and comes back has another epoch, so what is said to
/// or by its former life is known for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// The worker.
    pub worker: WorkerId,
    /// Its life, from 0; the coordinator counts.
    pub epoch: u32,
}

impl std::fmt::Display for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.epoch {
            0 => write!(f, "{}", self.worker),
            epoch => write!(f, "{} (epoch {epoch})", self.worker),
        }
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
    /// For each stage of the plan, the worker that replays it for this request; anyone for stages that take no
    /// part in the recording.
    pub replicas: Arc<[Seat]>,
    /// When the request is given up, in µs of the engine's clock.
    pub deadline_us: Option<u64>,
    /// Whether somebody wants to know what it takes.
    pub is_traced: bool,
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
    /// The value it is about; at the end of a round one of those that are handed over in it.
    pub value: ValueId,
    /// How often this value was handed over between these stages before, or at the end of a round how often a
    /// round of this loop has ended. Both sides take the same cases and rounds, so they count alike, and nothing of
    /// one round is taken for another's.
    pub turn: u64,
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
    /// An optional stream is there: its items follow.
    Present,
    /// An optional value has turned out absent.
    Absent,
    /// A round of this loop is over where it received; goes to those that sent, who may be one round ahead.
    RoundEnded(BlockId),
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
    /// Another worker's life is over, or it cannot be reached: what this one replays with it has failed, unless
    /// all that was to be handed over is. Comes once for each link that breaks, before anything of the next link
    /// to the same worker, and again whenever something could not be sent to it; and from the coordinator, by
    /// [`CoordinatorAction::PeerLost`].
    PeerLost(Seat),
    /// The connection to the coordinator broke: this life is over. Everything is given back, and nothing is taken
    /// until the next one.
    Forsaken,
    /// The coordinator gives this worker its next life.
    Seated(Seat),
    /// Time has passed.
    Tick,
}

/// What a worker does.
#[derive(Clone, Debug)]
pub enum WorkerAction {
    /// Start a call, which a recording makes.
    Start(ComponentId, RecordingId, Call),
    /// Feed an item to a call's input stream.
    Feed(ComponentId, CallId, u32, Datum),
    /// End a call's input stream.
    End(ComponentId, CallId, u32),
    /// Let a call emit more.
    Grant(ComponentId, CallId, u32, u32),
    /// Forget a call.
    Abort(ComponentId, CallId),
    /// Hand something over to a stage on another worker.
    HandOver(Seat, HandOver),
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
    /// Tell the client what a call of its request has used.
    Used {
        /// The request.
        request: RequestId,
        /// What.
        usage: Usage,
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
    /// Tell the coordinator that `peer` was lost to this worker, after telling it what has closed because of that:
    /// what `peer` had sent last may never have come, so that a replay was not even opened.
    Parted {
        /// The worker that cannot be reached, or was not for a moment.
        peer: Seat,
        /// The replays with it that go on, because everything was handed over.
        kept: Vec<(RequestId, StageId)>,
    },
    /// What a call took, if its request is traced.
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
    /// How many calls these are: one, or one for each item of a list.
    pub calls: u32,
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
    /// The first piece of this attempt's answer has reached the client, so the request cannot be replayed any
    /// more. If it is being replayed already, because this and [`Self::Lost`] crossed, it fails.
    Answered(RequestId),
    /// The client went away or said stop. Whichever attempt is named, the request is meant.
    Cancel(RequestId),
    /// A worker has loaded its components and can take replays. Its life before, if that was not lost yet, is
    /// lost by that; a life that is older than the one known is nobody's.
    Joined(Seat),
    /// A worker was heard of; every message of it counts. What has come already must be heard before a tick:
    /// otherwise a coordinator that was held up takes all its workers for silent.
    Heard(Seat),
    /// Worker `worker` has told that it lost `peer`; see [`WorkerAction::Parted`].
    Parted {
        /// The worker that tells.
        worker: Seat,
        /// The worker that it lost.
        peer: Seat,
        /// The replays of `worker` with it that go on.
        kept: Vec<(RequestId, StageId)>,
    },
    /// A worker's life is over: its process ended or its connection broke.
    Lost(Seat),
    /// A worker takes no new replays from now on; those under way go on.
    Drain(WorkerId),
    /// Time has passed.
    Tick,
}

/// How urgent a request is. Higher classes are admitted first; a request that waits rises with time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// Most requests.
    #[default]
    Normal,
    /// Before others.
    High,
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
    /// How urgent it is.
    pub priority: Priority,
    /// Whether somebody wants to know what it takes; see [`WorkerAction::Trace`].
    pub is_traced: bool,
}

/// What the coordinator does.
#[derive(Clone, Debug)]
pub enum CoordinatorAction {
    /// Open a stage's replay on a worker.
    Open {
        /// The worker.
        worker: Seat,
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
        worker: Seat,
        /// The request.
        request: RequestId,
        /// The stage.
        stage: StageId,
        /// Why.
        fault: Fault,
    },
    /// The request has failed: its client gets this, and nothing after it.
    Failed(RequestId, Fault),
    /// The request is replayed from its beginning, as this attempt: the client gets what comes of it, and
    /// nothing that still comes of attempts before. Whoever passes pieces on to clients holds them against the
    /// attempt: it passes those of the newest that it was told of, and no other. If it has passed one on already
    /// (its [`CoordinatorEvent::Answered`] is on its way, then) it passes no piece of the new attempt either: the
    /// request fails as soon as that is heard. Should [`Self::Finished`] come first, since the new attempt was faster
    /// than that, the answer ends with [`Fault::cut_short`].
    Again(RequestId),
    /// Every replay of the request is over and everything is given back.
    Finished(RequestId),
    /// A worker has been silent for too long and counts as lost: whoever holds its connection closes it. The
    /// workers that are left are told by [`Self::PeerLost`].
    Eject(Seat),
    /// Tell `worker` that `peer` is lost, or that a link between them broke: [`WorkerEvent::PeerLost`].
    PeerLost {
        /// Who is told.
        worker: Seat,
        /// Who is lost.
        peer: Seat,
    },
    /// Nothing is under way on a worker that drains: it can be replaced.
    Drained(WorkerId),
}
