//! What a client holds of a request: its outputs as they are made, straight from the workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::executor::Usage;
use corn_core::message::{CoordinatorEvent, RequestId, Seat, WorkerEvent};
use corn_core::{Datum, Fault};
use corn_plan::{RecordingId, StageId, ValueId, Verified};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::coordinator::{Desk, Told};

/// Something of a request's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// A whole output, or the next item of a streamed one.
    Item {
        /// The output's place among the recording's outputs.
        output: usize,
        /// What was made.
        datum: Datum,
    },
    /// An output has ended.
    End {
        /// The output's place among the recording's outputs.
        output: usize,
    },
    /// What has been used for the answer so far, over all calls that say it. It is no part of the answer, and comes again
    /// when there is more.
    Used(Usage),
    /// The request has failed; no item comes after this.
    Failed(Fault),
}

/// How workers and coordinator reach the clients.
#[derive(Clone, Default)]
pub(crate) struct Clients {
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    open: BTreeMap<u64, Client>,
    /// Why no request can be answered any more.
    closed: Option<Fault>,
}

struct Client {
    messages: UnboundedSender<Message>,
    has_failed: bool,
    /// The attempt whose pieces count.
    attempt: u32,
    /// Something of that attempt has been given to the client.
    is_answered: bool,
}

/// What travels to a client. At most a window of items of each output is under way.
#[derive(Debug)]
pub(crate) enum Message {
    Output { worker: Seat, request: RequestId, stage: StageId, value: ValueId, item: Option<Datum> },
    Used { request: RequestId, usage: Usage },
    Failed(Fault),
}

impl Clients {
    pub(crate) fn add(&self, request: RequestId, messages: UnboundedSender<Message>) {
        let mut known = self.lock();
        let mut client = Client { messages, has_failed: false, attempt: request.attempt, is_answered: false };
        match known.closed.clone() {
            Some(fault) => client.fail(fault),
            None => {
                known.open.insert(request.number, client);
            }
        }
    }

    /// Sends something of an answer, unless the request has failed or is replayed anew.
    pub(crate) fn send(&self, request: RequestId, message: Message) {
        if let Some(client) = self.lock().open.get(&request.number)
            && !client.has_failed
            && client.attempt == request.attempt
        {
            // A client that has gone away has cancelled by going.
            let _ = client.messages.send(message);
        }
    }

    /// The client takes a piece of `request` now; whether it is the attempt that counts, and the first of it.
    fn take(&self, request: RequestId) -> Taken {
        match self.lock().open.get_mut(&request.number) {
            Some(client) if client.attempt != request.attempt => Taken::Stale,
            Some(client) if !client.is_answered => {
                client.is_answered = true;
                Taken::First
            }
            // What is still under way when the request is over is the client's.
            _ => Taken::Another,
        }
    }

    /// Whether `request` is the attempt that counts.
    fn counts(&self, request: RequestId) -> bool {
        self.lock().open.get(&request.number).is_none_or(|client| client.attempt == request.attempt)
    }

    /// The request is replayed as `request`, unless its client has got something of the attempt before in the
    /// meantime.
    pub(crate) fn again(&self, request: RequestId) {
        if let Some(client) = self.lock().open.get_mut(&request.number)
            && !client.is_answered
        {
            client.attempt = request.attempt;
        }
    }

    /// Tells a client that its request has failed; it hears nothing after that.
    pub(crate) fn fail(&self, request: RequestId, fault: Fault) {
        if let Some(client) = self.lock().open.get_mut(&request.number) {
            client.fail(fault);
        }
    }

    /// Every request fails with `fault`, those under way and those to come.
    pub(crate) fn close(&self, fault: &Fault) {
        let mut known = self.lock();
        for (_, mut client) in std::mem::take(&mut known.open) {
            client.fail(fault.clone());
        }
        known.closed.get_or_insert_with(|| fault.clone());
    }

    /// The request is over: its answer ends. If what the client got was of an attempt before, the rest of that is lost.
    pub(crate) fn remove(&self, request: RequestId) {
        if let Some(mut client) = self.lock().open.remove(&request.number)
            && client.is_answered
            && client.attempt != request.attempt
        {
            client.fail(Fault::cut_short());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().open.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn fail(&mut self, fault: Fault) {
        if !std::mem::replace(&mut self.has_failed, true) {
            let _ = self.messages.send(Message::Failed(fault));
        }
    }
}

/// What a piece is to the client that takes it.
enum Taken {
    /// Of an attempt that is given up.
    Stale,
    /// The first of its attempt.
    First,
    Another,
}

/// The answer to a request. Dropping it before its end cancels the request.
pub struct Answer {
    pub(crate) request: RequestId,
    pub(crate) recording: RecordingId,
    pub(crate) plan: Arc<Verified>,
    pub(crate) messages: UnboundedReceiver<Message>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) told: Told,
    /// What has been used so far, by the attempt that it was used for.
    pub(crate) used: (u32, Usage),
    pub(crate) is_over: bool,
}

impl Answer {
    /// The request's id.
    pub const fn request(&self) -> RequestId {
        self.request
    }

    /// What is replayed.
    pub const fn recording(&self) -> RecordingId {
        self.recording
    }

    /// The next piece; `None` when the request is over and holds nothing any more.
    ///
    /// Cancel safe: a piece is either returned or still there.
    pub async fn next(&mut self) -> Option<Piece> {
        loop {
            let Some(message) = self.messages.recv().await else {
                self.is_over = true;
                return None;
            };
            match message {
                Message::Failed(fault) => return Some(Piece::Failed(fault)),
                Message::Used { request, usage } => {
                    if self.desk.clients.counts(request) {
                        let (attempt, before) = self.used;
                        let before = if attempt == request.attempt { before } else { Usage::default() };
                        self.used = (request.attempt, before.and(usage));
                        return Some(Piece::Used(self.used.1));
                    }
                }
                Message::Output { worker, request, stage, value, item } => {
                    match self.desk.clients.take(request) {
                        Taken::Stale => continue,
                        Taken::First => self.told.tell(CoordinatorEvent::Answered(request)),
                        Taken::Another => {}
                    }
                    return Some(self.piece(worker, request, stage, value, item));
                }
            }
        }
    }

    fn piece(
        &self,
        worker: Seat,
        request: RequestId,
        stage: StageId,
        value: ValueId,
        item: Option<Datum>,
    ) -> Piece {
        let recording = &self.plan.plan().recordings[self.recording];
        let output = recording.outputs.iter().position(|output| output.value == value);
        let output = output.expect("a worker sends outputs of the recording");
        let Some(datum) = item else { return Piece::End { output } };
        // A whole value is over as soon as it is sent: nothing waits for room.
        if recording.values[value].ty.is_stream() {
            self.desk.ports.send(worker, WorkerEvent::Consumed { request, stage, value, count: 1 });
        }
        Piece::Item { output, datum }
    }

    /// Whether something has come that is not taken yet.
    pub(crate) fn has_next(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Waits for no more: every output has ended, and that the request gives back what it held need not be seen.
    pub(crate) fn leave(mut self) {
        self.is_over = true;
    }

    /// Gives the request up. What is left of the answer is the fault that says so.
    pub fn cancel(&self) {
        self.told.tell(CoordinatorEvent::Cancel(self.request));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_over {
            self.cancel();
        }
    }
}
