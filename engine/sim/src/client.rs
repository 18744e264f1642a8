//! Clients, and what passes the pieces of answers on to them.
//!
//! The passing on follows the rule of [`CoordinatorAction::Again`](corn_core::message::CoordinatorAction::Again):
//! only pieces of the newest attempt, and after the first one no piece of a later attempt.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use corn_core::message::{Priority, RequestId, Seat};
use corn_core::{Datum, Fault};
use corn_plan::{RecordingId, StageId, ValueId};

/// What a client asks, and how it behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The recording.
    pub recording: RecordingId,
    /// Inputs by name.
    pub inputs: Vec<(String, Datum)>,
    /// When to give up, on simulated time.
    pub deadline_us: Option<u64>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long the client takes over each item.
    pub take_us: u64,
    /// When the client goes away, on simulated time.
    pub leave_us: Option<u64>,
}

impl Request {
    /// Of a client that waits for everything and takes it at once.
    pub fn new(recording: RecordingId, inputs: Vec<(String, Datum)>) -> Self {
        let priority = Priority::Normal;
        Self { recording, inputs, deadline_us: None, priority, take_us: 0, leave_us: None }
    }
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The attempt that made it.
    pub attempt: u32,
    /// What it is.
    pub datum: Datum,
}

/// What a client has got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it asked.
    pub request: Request,
    /// When it asked.
    pub asked_us: u64,
    /// When the first piece came.
    pub first_us: Option<u64>,
    /// When the request was over, everywhere.
    pub finished_us: Option<u64>,
    /// When the last output ended or the fault came.
    pub ended_us: Option<u64>,
    /// The newest attempt.
    pub attempt: RequestId,
    /// The items of each output.
    pub pieces: BTreeMap<ValueId, Vec<Piece>>,
    /// Outputs that have ended.
    pub ended: BTreeSet<ValueId>,
    /// The fault it ended with.
    pub failure: Option<Fault>,
    /// The attempt whose pieces are passed on, once one was.
    pub(crate) passing: Option<RequestId>,
    /// Items that the client has not taken yet.
    pub(crate) inbox: VecDeque<Untaken>,
    pub(crate) is_taking: bool,
}

/// An item on its way to a client, and whom to tell that it was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untaken {
    pub(crate) from: Seat,
    pub(crate) request: RequestId,
    pub(crate) stage: StageId,
    pub(crate) value: ValueId,
}

impl Answer {
    pub(crate) fn new(request: Request, id: RequestId, asked_us: u64) -> Self {
        Self {
            request,
            asked_us,
            first_us: None,
            finished_us: None,
            ended_us: None,
            attempt: id,
            pieces: BTreeMap::new(),
            ended: BTreeSet::new(),
            failure: None,
            passing: None,
            inbox: VecDeque::new(),
            is_taking: false,
        }
    }

    /// Whether a piece of this attempt is passed on.
    pub(crate) fn passes(&self, request: RequestId) -> bool {
        self.failure.is_none()
            && self.finished_us.is_none()
            && self.passing.unwrap_or(self.attempt) == request
    }

    /// Whether anything has reached the client.
    pub fn has_begun(&self) -> bool {
        self.passing.is_some()
    }

    /// The items of one output.
    pub fn items(&self, value: ValueId) -> Vec<Datum> {
        let pieces = self.pieces.get(&value).map_or(&[][..], Vec::as_slice);
        pieces.iter().map(|piece| piece.datum.clone()).collect()
    }
}
