//! Steps that move values: adaptors, hand-overs to other stages, outputs to the client.

use std::collections::VecDeque;
use std::sync::Arc;

use corn_plan::{Adaptor, StageId, ValueId};

use crate::adapt::{Adapting, join};
use crate::datum::Datum;
use crate::fault::Fault;
use crate::message::{Body, HandOver, WorkerAction};
use crate::replay::{Adapt, Replay, Scope, Work, reader_of};
use crate::slot::Next;

impl Replay {
    pub(super) fn fire_adapt(
        &mut self,
        step: usize,
        adaptor: &Adaptor,
        operands: &[ValueId],
        result: ValueId,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let program = Arc::clone(&self.program);
        let target = program.slot(result);
        if matches!(adaptor, Adaptor::Join | Adaptor::List) {
            let wholes: Option<Vec<&Datum>> =
                operands.iter().map(|value| self.slots[program.slot(*value)].whole()).collect();
            let Some(wholes) = wholes else { return Ok(()) };
            let datum = match adaptor {
                Adaptor::Join => join(wholes.into_iter()),
                _ => Datum::List(wholes.into_iter().cloned().collect()),
            };
            self.push(target, datum, scope)?;
            self.finish(step, scope);
            return Ok(());
        }
        let mut adapt = match std::mem::take(&mut self.steps[step].work) {
            Work::Adapt(adapt) => adapt,
            _ => Adapt {
                state: Adapting::new(adaptor, &program.slots[target].ty).expect("the others take streams"),
                made: VecDeque::new(),
                ended: false,
            },
        };
        let source = program.slot(operands[0]);
        let finished = self.adapt_items(step, &mut adapt, source, target, scope)?;
        self.steps[step].work = Work::Adapt(adapt);
        if finished {
            self.end(target);
            self.finish(step, scope);
        }
        Ok(())
    }

    /// Moves items through an adaptor while its result has room; whether it has ended.
    fn adapt_items(
        &mut self,
        step: usize,
        adapt: &mut Adapt,
        source: usize,
        target: usize,
        scope: &mut Scope<'_>,
    ) -> Result<bool, Fault> {
        let program = Arc::clone(&self.program);
        let reader = reader_of(&program, source, step);
        loop {
            while self.slots[target].room() > 0
                && let Some(item) = adapt.made.pop_front()
            {
                self.push(target, item, scope)?;
            }
            if !adapt.made.is_empty() {
                return Ok(false);
            }
            if adapt.ended {
                return Ok(true);
            }
            if let Some(whole) = self.slots[source].whole() {
                adapt.state.item(whole.clone(), &mut adapt.made)?;
            } else {
                match self.slots[source].give(reader) {
                    Next::Item(item) => {
                        adapt.state.item(item, &mut adapt.made)?;
                        self.release(step, source, 1, scope);
                        continue;
                    }
                    Next::Nothing => return Ok(false),
                    Next::Ended => {}
                }
            }
            adapt.state.end(&program.slots[target].ty, &mut adapt.made)?;
            adapt.ended = true;
        }
    }

    pub(super) fn fire_send(&mut self, step: usize, value: ValueId, to: StageId, scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        let slot = program.slot(value);
        let worker = self.header.replicas[to.0 as usize];
        let hand_over = |body: Body| {
            let header = self.header.clone();
            WorkerAction::HandOver(worker, HandOver { header, from: self.stage, to, value, body })
        };
        if let Some(whole) = self.slots[slot].whole() {
            scope.actions.push(hand_over(Body::Item(whole.clone())));
            self.finish(step, scope);
            return;
        }
        let Some(window) = program.slots[slot].window() else { return };
        let mut credit = match self.steps[step].work {
            Work::Send { credit } => credit,
            _ => window,
        };
        let reader = reader_of(&program, slot, step);
        let mut sent = 0;
        let mut ended = false;
        while !ended {
            let next =
                if credit > 0 { self.slots[slot].give(reader) } else { self.slots[slot].ended_for(reader) };
            match next {
                Next::Item(item) => {
                    credit -= 1;
                    sent += 1;
                    scope.actions.push(hand_over(Body::Item(item)));
                }
                Next::Ended => {
                    scope.actions.push(hand_over(Body::End));
                    ended = true;
                }
                Next::Nothing => break,
            }
        }
        self.steps[step].work = Work::Send { credit };
        self.release(step, slot, sent, scope);
        if ended {
            self.finish(step, scope);
        }
    }

    pub(super) fn fire_output(&mut self, step: usize, value: ValueId, scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        let slot = program.slot(value);
        let output =
            |item| WorkerAction::Output { request: self.header.request, stage: self.stage, value, item };
        if let Some(whole) = self.slots[slot].whole() {
            scope.actions.push(output(Some(whole.clone())));
            scope.actions.push(output(None));
            self.finish(step, scope);
            return;
        }
        let Some(full) = program.slots[slot].window() else { return };
        let mut window = match self.steps[step].work {
            Work::Output { window } => window,
            _ => full,
        };
        let reader = reader_of(&program, slot, step);
        let mut ended = false;
        loop {
            let next =
                if window > 0 { self.slots[slot].give(reader) } else { self.slots[slot].ended_for(reader) };
            match next {
                Next::Item(item) => {
                    window -= 1;
                    scope.actions.push(output(Some(item)));
                }
                Next::Ended => {
                    scope.actions.push(output(None));
                    ended = true;
                    break;
                }
                Next::Nothing => break,
            }
        }
        self.steps[step].work = Work::Output { window };
        if ended {
            // What is still under way to the client is the client's from here on.
            self.leave(step, slot, scope);
            self.finish(step, scope);
        }
    }
}
