//! Makes an executor of a model: its calls take turns, one step each, oldest first.
//!
//! At most `max` calls are worked on at once; the others wait in order of arrival. A call that
//! waits for an item or for room is passed over, so a slow reader holds back its own call and no
//! other. When every open call waits like that, the next one is opened beyond `max`: it may be the
//! very reader that they wait for. Calls in flight bound how many that can be.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::datum::Datum;
use crate::executor::{
    Call, CallId, CallInput, Executor, Io, Memory, Model, Report, Step, Taken, Turn, Usage,
};
use crate::fault::Fault;

/// An executor that gives the calls of a model one step each in turn.
pub struct Interleaved<M: Model> {
    model: M,
    max_open: usize,
    waiting: VecDeque<Pending<M::Session>>,
    open: VecDeque<Pending<M::Session>>,
}

struct Pending<S> {
    streams: Streams,
    inputs: Vec<CallInput>,
    session: Option<S>,
    runnable: bool,
}

struct Streams {
    call: CallId,
    inputs: Vec<InputStream>,
    room: Vec<Option<u32>>,
    out: Vec<Report>,
}

#[derive(Default)]
struct InputStream {
    items: VecDeque<Datum>,
    ended: bool,
}

impl<M: Model> Interleaved<M> {
    /// At most `max_open` calls of `model` are open at once.
    pub fn new(model: M, max_open: u32) -> Self {
        Self { model, max_open: max_open.max(1) as usize, waiting: VecDeque::new(), open: VecDeque::new() }
    }

    fn pending(&mut self, call: CallId) -> Option<&mut Pending<M::Session>> {
        self.open.iter_mut().chain(&mut self.waiting).find(|pending| pending.streams.call == call)
    }

    fn step(&mut self, pending: &mut Pending<M::Session>) -> Result<Step, Fault> {
        if pending.session.is_none() {
            pending.session = Some(self.model.open(&pending.inputs)?);
            pending.inputs.clear();
        }
        let session = pending.session.as_mut().expect("opened just above");
        self.model.step(session, &mut pending.streams)
    }
}

impl<M: Model> Executor for Interleaved<M> {
    fn start(&mut self, call: Call) {
        let streams = Streams {
            call: call.id,
            inputs: call.inputs.iter().map(|_| InputStream::default()).collect(),
            room: call.outputs,
            out: Vec::new(),
        };
        self.waiting.push_back(Pending { streams, inputs: call.inputs, session: None, runnable: true });
    }

    fn feed(&mut self, call: CallId, port: u32, item: Datum) {
        if let Some(pending) = self.pending(call) {
            pending.streams.inputs[port as usize].items.push_back(item);
            pending.runnable = true;
        }
    }

    fn end(&mut self, call: CallId, port: u32) {
        if let Some(pending) = self.pending(call) {
            pending.streams.inputs[port as usize].ended = true;
            pending.runnable = true;
        }
    }

    fn grant(&mut self, call: CallId, port: u32, count: u32) {
        if let Some(pending) = self.pending(call)
            && let Some(room) = &mut pending.streams.room[port as usize]
        {
            *room += count;
            pending.runnable = true;
        }
    }

    fn cancel(&mut self, call: CallId) {
        self.open.retain(|pending| pending.streams.call != call);
        self.waiting.retain(|pending| pending.streams.call != call);
    }

    fn advance(&mut self, _now_us: u64, reports: &mut dyn FnMut(Report)) -> Turn {
        while self.open.len() < self.max_open
            && let Some(pending) = self.waiting.pop_front()
        {
            self.open.push_back(pending);
        }
        let next = self.open.iter().position(|pending| pending.runnable);
        let pending = match next {
            Some(next) => self.open.remove(next),
            None => self.waiting.pop_front(),
        };
        let Some(mut pending) = pending else { return Turn::Idle };
        let outcome = self.step(&mut pending);
        pending.streams.out.drain(..).for_each(&mut *reports);
        let call = pending.streams.call;
        match outcome {
            Ok(Step::More) => self.open.push_back(pending),
            Ok(Step::Wait) => {
                pending.runnable = false;
                self.open.push_back(pending);
            }
            Ok(Step::Done) => reports(Report::Done { call }),
            Err(fault) => reports(Report::Failed { call, fault }),
        }
        Turn::Busy
    }

    fn memory_bytes(&self) -> u64 {
        self.model.memory_bytes()
    }

    fn is_light(&self) -> bool {
        self.model.is_light()
    }

    fn make_in(&mut self, memory: Arc<dyn Memory>) {
        self.model.make_in(memory);
    }
}

impl Io for Streams {
    fn take(&mut self, port: u32) -> Taken {
        let stream = &mut self.inputs[port as usize];
        match stream.items.pop_front() {
            Some(item) => {
                self.out.push(Report::Took { call: self.call, port, count: 1 });
                Taken::Item(item)
            }
            None if stream.ended => Taken::Ended,
            None => Taken::Nothing,
        }
    }

    fn has_room(&self, port: u32) -> bool {
        self.room[port as usize].is_none_or(|room| room > 0)
    }

    fn is_wanted(&self, port: u32) -> bool {
        self.room[port as usize].is_some()
    }

    fn emit(&mut self, port: u32, item: Datum) {
        if let Some(room) = &mut self.room[port as usize] {
            assert!(*room > 0, "a model emits only where there is room");
            *room -= 1;
            self.out.push(Report::Emitted { call: self.call, port, item });
        }
    }

    fn used(&mut self, usage: Usage) {
        self.out.push(Report::Used { call: self.call, usage });
    }
}
