//! What processes say to each other once in a while, as JSON: who they are, what they replay, who else there is.

use serde::{Deserialize, Serialize};

use super::Malformed;
use crate::counts::Work;

/// The version of everything in [`crate::wire`]; both ends must have the same.
pub(crate) const VERSION: u32 = 2;

/// Something said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Control {
    /// Whoever listens begins: prove that you know the token.
    Challenge { version: u32, nonce: String },
    /// A worker asks to join a coordinator.
    Join(Join),
    /// A worker opens a link to another.
    Peer { nonce: String, proof: String, from: Worker, to: Worker, arena_bytes: Option<u64> },
    /// Whoever listens knows the token as well, and goes on.
    Welcome { proof: String },
    /// Whoever listens does not go on.
    Refused { reason: String },
    /// The coordinator says what to replay, and as whom.
    Replay { worker: Worker, plan: String },
    /// A worker loads.
    Loading { what: String, done: u64, total: u64 },
    /// A worker has loaded its components.
    Ready,
    /// What a worker has done so far.
    Worked(Work),
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
