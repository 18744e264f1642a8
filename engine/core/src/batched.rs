//! Makes an executor of a model that works on several calls at once: which calls share a batch, and when it begins.
//!
//! Calls stand in one queue, in order of arrival. A batch is made around the oldest that can be worked on. Later ones
//! of the same key join it in order, until it has as many items, or costs as much, as it may; none is overtaken by one
//! of its own key, and nobody waits for ever, because the oldest is always part. An item that is not done after a
//! batch keeps its place, and may have other company in the next one: so windows of a long text and steps of a
//! diffusion are joined and left at their borders.
//!
//! A batch that is not full waits for company, for no longer than `within` since its oldest call came; not at all if
//! one of its calls has begun, nor for a call that came while another batch was worked on for that long.
//! The executor reads no clock, so it takes a call to have come when the turn began that it was not yet seen in, which
//! is never too late. While the oldest call waits nobody overtakes it: a batch of another key waits too.
//!
//! What a call needs done is looked at when it may join a batch, so calls that wait are bounded by those in flight and
//! hold nothing but their inputs until then. A call that cannot be prepared, or whose item fails, fails alone. A call
//! that is cancelled leaves the queue; what a batch has made of it by then, nobody hears of.

use std::collections::VecDeque;
use std::sync::Arc;

use corn_plan::Batch;

use crate::datum::Datum;
use crate::executor::{Call, CallId, CallInput, Executor, Memory, Report, Turn, Usage};
use crate::fault::Fault;

/// A model that works on the calls of a batch at once. Its inputs are whole.
pub trait BatchModel: Send {
    /// What one call needs done, in one batch or in several, one after the other.
    type Item: Send;
    /// What is to be done for a call: `inputs` holds one entry for each input port.
    fn prepare(&mut self, inputs: &[CallInput]) -> Result<Self::Item, Fault>;
    /// Items share a batch only if their keys are equal.
    fn key(&self, item: &Self::Item) -> u64 {
        let _ = item;
        0
    }
    /// What an item adds to its next batch, in the unit of [`Limits::cost`]: tokens, pixels, samples.
    fn cost(&self, item: &Self::Item) -> u64 {
        let _ = item;
        1
    }
    /// Works on a batch for one bounded turn: one outcome for each item, in their order.
    fn run(&mut self, batch: Vec<Self::Item>) -> Vec<Result<Ran<Self::Item>, Fault>>;
    /// Memory held by the weights, in bytes.
    fn memory_bytes(&self) -> u64;
    /// Whether each batch is light, as [`Executor::is_light`] says of a turn.
    fn is_light(&self) -> bool {
        false
    }
    /// As [`Executor::make_in`].
    fn make_in(&mut self, memory: Arc<dyn Memory>) {
        let _ = memory;
    }
}

/// What a batch has come to for one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran<I> {
    /// Items of output ports, at most one for each: the call took part because each wanted port had room for one.
    pub made: Vec<(u32, Datum)>,
    /// What is left to do; the call is done if that is nothing.
    pub rest: Option<I>,
    /// What the call has used, if that is known now.
    pub used: Option<Usage>,
}

impl<I> Ran<I> {
    /// All is done, and this is what it has come to on output `port`.
    pub fn done(port: u32, datum: Datum) -> Self {
        Self { made: vec![(port, datum)], rest: None, used: None }
    }

    /// More is to be done, and nothing can be said yet.
    pub const fn more(rest: I) -> Self {
        Self { made: Vec::new(), rest: Some(rest), used: None }
    }

    /// The same, and this is what the call has used.
    #[must_use]
    pub fn using(self, usage: Usage) -> Self {
        Self { used: Some(usage), ..self }
    }
}

/// What bounds a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most items, at least one.
    pub items: u32,
    /// Most that its items may cost together; one that costs more makes a batch of its own.
    pub cost: u64,
    /// How long a call may wait for others.
    pub within_us: u64,
}

impl Limits {
    /// What a component declares, with at most `cost` for a batch.
    pub fn new(batch: Batch, cost: u64) -> Self {
        Self { items: batch.max, cost, within_us: batch.within_ms.saturating_mul(1000) }
    }
}

/// An executor that works on calls of a model together.
pub struct Batched<M: BatchModel> {
    model: M,
    limits: Limits,
    /// In order of arrival.
    queue: VecDeque<Pending<M::Item>>,
    /// When the last turn began, if it worked on a batch.
    ran_us: Option<u64>,
}

struct Pending<I> {
    call: CallId,
    room: Vec<Option<u32>>,
    work: Work<I>,
    /// When it came, as far as is known; `None` before it was seen by a turn.
    came_us: Option<u64>,
    has_begun: bool,
}

enum Work<I> {
    /// Not looked at yet.
    Inputs(Vec<CallInput>),
    Ready(I),
    /// It is part of the batch that runs.
    Running,
}

/// The batch that could run now.
#[derive(Default)]
struct Chosen {
    /// Places in the queue, in order.
    places: Vec<usize>,
    cost: u64,
    /// No later call may join.
    is_full: bool,
}

impl<M: BatchModel> Batched<M> {
    /// Batches of `model` within `limits`.
    pub fn new(model: M, limits: Limits) -> Self {
        Self { model, limits, queue: VecDeque::new(), ran_us: None }
    }

    /// The oldest call that can be worked on, and those that may join it. Calls that cannot be prepared fail.
    fn choose(&mut self, reports: &mut dyn FnMut(Report)) -> Chosen {
        let mut chosen = Chosen::default();
        let mut key = None;
        let mut place = 0;
        while place < self.queue.len() && !chosen.is_full {
            let pending = &mut self.queue[place];
            if !pending.has_room() {
                place += 1;
                continue;
            }
            if let Work::Inputs(inputs) = &pending.work {
                match self.model.prepare(inputs) {
                    Ok(item) => pending.work = Work::Ready(item),
                    Err(fault) => {
                        reports(Report::Failed { call: pending.call, fault });
                        self.queue.remove(place);
                        continue;
                    }
                }
            }
            if let Work::Ready(item) = &pending.work
                && *key.get_or_insert(self.model.key(item)) == self.model.key(item)
            {
                chosen.add(place, self.model.cost(item), self.limits);
            }
            place += 1;
        }
        chosen
    }

    /// Until when the chosen calls may wait for others.
    fn wait_until_us(&self, chosen: &Chosen) -> u64 {
        let of = |place: &usize| {
            let pending = &self.queue[*place];
            let came_us = pending.came_us.filter(|_| !pending.has_begun && !chosen.is_full);
            came_us.map_or(0, |came_us| came_us.saturating_add(self.limits.within_us))
        };
        chosen.places.iter().map(of).min().unwrap_or(0)
    }

    fn run(&mut self, chosen: &Chosen, reports: &mut dyn FnMut(Report)) {
        let Self { model, queue, .. } = self;
        let mut batch = Vec::with_capacity(chosen.places.len());
        for place in &chosen.places {
            if let Work::Ready(item) = std::mem::replace(&mut queue[*place].work, Work::Running) {
                batch.push(item);
            }
        }
        reports(Report::Batch { calls: batch.len() as u32 });
        let outcomes = model.run(batch);
        assert_eq!(outcomes.len(), chosen.places.len(), "a batch comes to one outcome for each item");
        for (place, outcome) in chosen.places.iter().zip(outcomes) {
            queue[*place].take_in(outcome, reports);
        }
        queue.retain(|pending| !matches!(pending.work, Work::Running));
    }
}

impl Chosen {
    /// Adds an item, unless that would cost too much; then none after it is added either, so none is overtaken.
    fn add(&mut self, place: usize, cost: u64, limits: Limits) {
        let together = self.cost.saturating_add(cost);
        if !self.places.is_empty() && together > limits.cost {
            self.is_full = true;
            return;
        }
        self.places.push(place);
        self.cost = together;
        self.is_full = self.places.len() >= limits.items.max(1) as usize || together >= limits.cost;
    }
}

impl<I> Pending<I> {
    /// Whether an item may be emitted on each output that is wanted.
    fn has_room(&self) -> bool {
        self.room.iter().flatten().all(|room| *room > 0)
    }

    /// Reports what a batch has come to for this call. If it is over, its work is left [`Work::Running`].
    fn take_in(&mut self, outcome: Result<Ran<I>, Fault>, reports: &mut dyn FnMut(Report)) {
        let call = self.call;
        self.has_begun = true;
        let ran = match outcome {
            Ok(ran) => ran,
            Err(fault) => return reports(Report::Failed { call, fault }),
        };
        // Before what it made: the last of that ends the answer.
        if let Some(usage) = ran.used {
            reports(Report::Used { call, usage });
        }
        for (port, item) in ran.made {
            if let Some(room) = &mut self.room[port as usize] {
                assert!(*room > 0, "a batch emits one item on a port");
                *room -= 1;
                reports(Report::Emitted { call, port, item });
            }
        }
        match ran.rest {
            Some(item) => self.work = Work::Ready(item),
            None => reports(Report::Done { call }),
        }
    }
}

impl<M: BatchModel> Executor for Batched<M> {
    fn start(&mut self, call: Call) {
        self.queue.push_back(Pending {
            call: call.id,
            room: call.outputs,
            work: Work::Inputs(call.inputs),
            came_us: None,
            has_begun: false,
        });
    }

    fn feed(&mut self, _call: CallId, _port: u32, _item: Datum) {
        // No input of such a model is a stream; the compiler has checked it.
    }

    fn end(&mut self, _call: CallId, _port: u32) {}

    fn grant(&mut self, call: CallId, port: u32, count: u32) {
        if let Some(pending) = self.queue.iter_mut().find(|pending| pending.call == call)
            && let Some(room) = &mut pending.room[port as usize]
        {
            *room = room.saturating_add(count);
        }
    }

    fn cancel(&mut self, call: CallId) {
        self.queue.retain(|pending| pending.call != call);
    }

    fn advance(&mut self, now_us: u64, reports: &mut dyn FnMut(Report)) -> Turn {
        // Those that are new may have come at any time of a turn that worked, and came just now if there was none.
        let came_us = self.ran_us.take().unwrap_or(now_us);
        for pending in self.queue.iter_mut().rev().take_while(|pending| pending.came_us.is_none()) {
            pending.came_us = Some(came_us);
        }
        let chosen = self.choose(reports);
        if chosen.places.is_empty() {
            return Turn::Idle;
        }
        let until_us = self.wait_until_us(&chosen);
        if now_us < until_us {
            return Turn::Until(until_us);
        }
        self.ran_us = Some(now_us);
        self.run(&chosen, reports);
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
