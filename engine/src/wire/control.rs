//! What processes say to each other once in a while, as JSON: who they are, what they replay, who else there is.

use corn_core::message::{CallTrace, RequestId};
use corn_plan::{ComponentId, StageId, Transport, ValueId};
use serde::{Deserialize, Serialize};

use super::Malformed;
use crate::clock::Clock;
use crate::counts::Work;
use crate::deployment::SeenGpu;
use crate::observe::HandOverTrace;

/// The version of everything in [`crate::wire`]; both ends must have the same.
pub(crate) const VERSION: u32 = 4;

/// Something said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Control {
    /// Whoever listens begins: prove that you know the token.
    Challenge { version: u32, nonce: String },
    /// A worker asks to join a coordinator.
    Join(Join),
    /// A worker opens a link to another.
    Peer {
        nonce: String,
        proof: String,
        from: Worker,
        to: Worker,
        /// The size of the arena whose descriptor came before.
        arena_bytes: Option<u64>,
        /// The sizes of those of its GPUs, whose descriptors came with it.
        device_bytes: Vec<u64>,
        link: u64,
    },
    /// A worker opens a connection beside a link, for pieces of large payloads.
    Lane { nonce: String, proof: String, from: Worker, to: Worker, link: u64, lane: u8 },
    /// Whoever listens knows the token as well, and goes on.
    Welcome { proof: String },
    /// Whoever listens does not go on.
    Refused { reason: String },
    /// The coordinator says what to replay, and as whom.
    Replay { worker: Worker, plan: String },
    /// A worker loads.
    Loading { what: String, done: u64, total: u64 },
    /// The GPUs of a worker, now that it works on some of them.
    Gpus(Vec<SeenGpu>),
    /// A worker has loaded its components.
    Ready,
    /// What a worker has done so far.
    Worked(Work),
    /// What a call took.
    Called(Called),
    /// What a hand-over took.
    Handed(Handed),
    /// A worker cannot load.
    Failed { message: String, component: Option<String> },
    /// The workers that are ready, and where they are.
    Peers { peers: Vec<Address> },
    /// A worker is to end once it holds nothing.
    End,
}

/// A worker that asks to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Join {
    /// Of the worker.
    pub(crate) nonce: String,
    /// That it knows the token.
    pub(crate) proof: String,
    /// Which worker of the plan it is to be; any that is free if it does not care.
    pub(crate) worker: Option<u32>,
    /// Epochs that it knows to be over.
    pub(crate) epochs: u32,
    /// Its process.
    pub(crate) pid: u32,
    /// Where peers reach it.
    pub(crate) host: Host,
    /// Its host's name.
    pub(crate) name: String,
    /// Cores that it may use.
    pub(crate) cpus: u32,
    /// Memory of its host.
    pub(crate) memory_bytes: u64,
    /// The GPUs that its process sees.
    pub(crate) gpus: Vec<SeenGpu>,
    /// Why it sees none.
    pub(crate) no_gpus: Option<String>,
}

/// What a call took; times are in µs since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Called {
    pub(crate) request: u64,
    pub(crate) attempt: u32,
    pub(crate) component: u32,
    pub(crate) calls: u32,
    pub(crate) started_us: u64,
    pub(crate) first_us: Option<u64>,
    pub(crate) ended_us: u64,
    pub(crate) items: u64,
}

/// What a hand-over took; times are in µs since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handed {
    pub(crate) request: u64,
    pub(crate) attempt: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) value: u32,
    /// How it got there, by the plan's word for it.
    pub(crate) transport: String,
    pub(crate) bytes: u64,
    pub(crate) sent_us: u64,
    pub(crate) taken_us: u64,
}

impl Called {
    /// Of a trace by `clock`.
    pub(crate) fn new(trace: &CallTrace, clock: Clock) -> Self {
        Self {
            request: trace.request.number,
            attempt: trace.request.attempt,
            component: trace.component.0,
            calls: trace.calls,
            started_us: clock.to_unix_us(trace.started_us),
            first_us: trace.first_us.map(|us| clock.to_unix_us(us)),
            ended_us: clock.to_unix_us(trace.ended_us),
            items: trace.items,
        }
    }

    /// The trace, by `clock`.
    pub(crate) fn trace(&self, clock: Clock) -> CallTrace {
        CallTrace {
            request: RequestId { number: self.request, attempt: self.attempt },
            component: ComponentId(self.component),
            calls: self.calls,
            started_us: clock.of_unix_us(self.started_us),
            first_us: self.first_us.map(|us| clock.of_unix_us(us)),
            ended_us: clock.of_unix_us(self.ended_us),
            items: self.items,
        }
    }
}

impl Handed {
    /// Of a trace whose times are in µs since 1970.
    pub(crate) fn new(trace: &HandOverTrace) -> Self {
        Self {
            request: trace.request.number,
            attempt: trace.request.attempt,
            from: trace.from.0,
            to: trace.to.0,
            value: trace.value.0,
            transport: trace.transport.name().to_owned(),
            bytes: trace.bytes,
            sent_us: trace.sent_us,
            taken_us: trace.taken_us,
        }
    }

    /// The trace, by `clock`.
    pub(crate) fn trace(&self, clock: Clock) -> HandOverTrace {
        HandOverTrace {
            request: RequestId { number: self.request, attempt: self.attempt },
            from: StageId(self.from),
            to: StageId(self.to),
            value: ValueId(self.value),
            transport: Transport::ALL
                .into_iter()
                .find(|transport| transport.name() == self.transport)
                .unwrap_or(Transport::SharedMemory),
            bytes: self.bytes,
            sent_us: clock.of_unix_us(self.sent_us),
            taken_us: clock.of_unix_us(self.taken_us),
        }
    }
}

/// Where a worker listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    /// What tells one running host from another.
    pub(crate) boot: String,
    /// Its Unix socket, for peers of the same host.
    pub(crate) unix: String,
    /// Its TCP address, for others.
    pub(crate) tcp: String,
}

/// A seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) id: u32,
    pub(crate) epoch: u32,
}

/// A worker that is ready, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) worker: Worker,
    pub(crate) host: Host,
}

impl From<corn_core::message::Seat> for Worker {
    fn from(seat: corn_core::message::Seat) -> Self {
        Self { id: seat.worker.0, epoch: seat.epoch }
    }
}

impl From<Worker> for corn_core::message::Seat {
    fn from(worker: Worker) -> Self {
        Self { worker: corn_plan::WorkerId(worker.id), epoch: worker.epoch }
    }
}

/// The JSON of a message.
pub(crate) fn write<T: Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).expect("plain data has a JSON form")
}

/// A message from its JSON.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(json: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(json).map_err(|error| Malformed(error.to_string()))
}
