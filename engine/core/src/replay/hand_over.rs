//! Values from and to other stages.

use std::collections::VecDeque;
use std::sync::Arc;

use corn_plan::{StageId, ValueId};

use crate::fault::Fault;
use crate::message::{Body, HandOver, WorkerAction};
use crate::program::{Edge, Operand};
use crate::replay::{Replay, Scope, Work};
use crate::slot::Next;

/// What has come of a value from another stage.
#[derive(Debug)]
pub(super) struct Inbox {
    is_stream: bool,
    /// How often the value has come, to its end.
    arrived: u64,
    /// How often it was taken, to its end.
    taken: u64,
    /// The slot of the step that takes it now.
    taken_by: Option<usize>,
    /// What no step takes yet: the case or the round that does has not begun here.
    early: VecDeque<Body>,
}

impl Inbox {
    pub(super) const fn new(edge: &Edge) -> Self {
        let early = VecDeque::new();
        Self { is_stream: edge.is_stream, arrived: 0, taken: 0, taken_by: None, early }
    }

    /// Whether nothing more comes of the value this time.
    const fn is_end(&self, body: &Body) -> bool {
        match body {
            Body::End | Body::Absent => true,
            Body::Item(_) => !self.is_stream,
            Body::Present | Body::RoundEnded(_) | Body::Credit(_) => false,
        }
    }

    /// Bytes of what no step takes yet.
    pub(super) fn bytes(&self) -> u64 {
        self.early.iter().map(bytes).sum()
    }
}

fn bytes(body: &Body) -> u64 {
    if let Body::Item(datum) = body { datum.bytes() } else { 0 }
}

impl Replay {
    /// Another stage hands over something of `value`, or says something about a round.
    pub(crate) fn arrive(
        &mut self,
        value: ValueId,
        from: StageId,
        turn: u64,
        body: Body,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        if let Body::RoundEnded(block) = body {
            return self.round_ended(block, from, turn);
        }
        let edge = Edge::find(&self.program.arriving, value, from).ok_or_else(|| {
            Fault::component(format!("{value} was handed to {} from {from}, where it never is", self.stage))
        })?;
        let inbox = &mut self.inboxes[edge];
        if turn != inbox.arrived {
            let (stage, due) = (self.stage, inbox.arrived);
            let message = format!("turn {turn} of {value} was handed to {stage}, and turn {due} was due");
            return Err(Fault::component(message));
        }
        inbox.arrived += u64::from(inbox.is_end(&body));
        if let Some(slot) = inbox.taken_by {
            return self.take_in(slot, edge, body, scope);
        }
        scope.ledger.hold(bytes(&body));
        inbox.early.push_back(body);
        Ok(())
    }

    /// Takes in what came early, then waits for the rest.
    pub(super) fn fire_recv(
        &mut self,
        step: usize,
        slot: usize,
        edge: usize,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        if self.slots[slot].is_complete() {
            self.finish(step, scope);
            return Ok(());
        }
        if self.inboxes[edge].taken_by.is_some() {
            return Ok(());
        }
        self.inboxes[edge].taken_by = Some(slot);
        while self.inboxes[edge].taken_by.is_some()
            && let Some(body) = self.inboxes[edge].early.pop_front()
        {
            scope.ledger.release(bytes(&body));
            self.take_in(slot, edge, body, scope)?;
        }
        Ok(())
    }

    fn take_in(&mut self, slot: usize, edge: usize, body: Body, scope: &mut Scope<'_>) -> Result<(), Fault> {
        let inbox = &mut self.inboxes[edge];
        if inbox.is_end(&body) {
            inbox.taken += 1;
            inbox.taken_by = None;
        }
        match body {
            Body::Item(datum) => self.push(slot, datum, scope)?,
            Body::End => self.end(slot),
            Body::Present => self.settle_presence(slot, false),
            Body::Absent => self.settle_presence(slot, true),
            Body::RoundEnded(_) | Body::Credit(_) => unreachable!("those are about no value that comes"),
        }
        Ok(())
    }

    pub(super) fn give_credit(&mut self, edge: usize, count: u32, scope: &mut Scope<'_>) {
        let turn = self.inboxes[edge].taken;
        self.tell(self.program.arriving[edge], turn, Body::Credit(count), scope);
    }

    /// The consumer of a sent stream takes more.
    pub(crate) fn arrive_credit(&mut self, value: ValueId, to: StageId, turn: u64, count: u32) {
        let Some(edge) = Edge::find(&self.program.leaving, value, to) else { return };
        // What was sent before has ended, and takes no credit.
        if self.left[edge] != turn {
            return;
        }
        let program = Arc::clone(&self.program);
        for step in &program.sending[edge] {
            if let Work::Send { credit } = &mut self.steps[*step].work {
                *credit += count;
                self.wake(*step);
            }
        }
    }

    pub(super) fn fire_send(
        &mut self,
        step: usize,
        from: Operand,
        edge: usize,
        within: Option<usize>,
        scope: &mut Scope<'_>,
    ) {
        let program = Arc::clone(&self.program);
        let to = program.leaving[edge];
        if !self.may_send(within, to.stage) {
            return;
        }
        let turn = self.left[edge];
        if self.slots[from.slot].is_absent() {
            self.tell(to, turn, Body::Absent, scope);
            self.sent(step, edge, scope);
        } else if let Some(whole) = self.slots[from.slot].whole().cloned() {
            self.tell(to, turn, Body::Item(whole), scope);
            self.sent(step, edge, scope);
        } else if self.slots[from.slot].is_open_stream() {
            self.send_items(step, from, edge, scope);
        }
    }

    /// Sends the items of a stream for which there is credit.
    fn send_items(&mut self, step: usize, from: Operand, edge: usize, scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        let (to, turn, plan) = (program.leaving[edge], self.left[edge], &program.slots[from.slot]);
        let mut credit = if let Work::Send { credit } = self.steps[step].work {
            credit
        } else {
            if plan.is_optional {
                self.tell(to, turn, Body::Present, scope);
            }
            plan.window().expect("it is a stream")
        };
        let mut sent = 0;
        let mut ended = false;
        while !ended {
            let slot = &mut self.slots[from.slot];
            let next = if credit > 0 { slot.give(from.reader) } else { slot.ended_for(from.reader) };
            match next {
                Next::Item(item) => {
                    credit -= 1;
                    sent += 1;
                    self.tell(to, turn, Body::Item(item), scope);
                }
                Next::Ended => {
                    self.tell(to, turn, Body::End, scope);
                    ended = true;
                }
                Next::Nothing => break,
            }
        }
        self.steps[step].work = Work::Send { credit };
        self.release(from, sent, scope);
        if ended {
            self.sent(step, edge, scope);
        }
    }

    fn sent(&mut self, step: usize, edge: usize, scope: &mut Scope<'_>) {
        self.left[edge] += 1;
        self.finish(step, scope);
    }

    /// Says something to another stage.
    pub(super) fn tell(&self, to: Edge, turn: u64, body: Body, scope: &mut Scope<'_>) {
        let Edge { value, stage, .. } = to;
        let header = self.header.clone();
        let seat = header.replicas[stage.0 as usize];
        let hand_over = HandOver { header, from: self.stage, to: stage, value, turn, body };
        scope.actions.push(WorkerAction::HandOver(seat, hand_over));
    }
}
