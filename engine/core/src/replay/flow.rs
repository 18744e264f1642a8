//! Steps that move values within a stage: adaptors, and outputs to the client.

use std::collections::VecDeque;
use std::sync::Arc;

use corn_plan::{Adaptor, ValueId};

use crate::adapt::{Adapting, of_wholes};
use crate::datum::Datum;
use crate::fault::Fault;
use crate::message::WorkerAction;
use crate::program::Operand;
use crate::replay::{Adapt, Replay, Scope, Work};
use crate::slot::Next;

impl Replay {
    pub(super) fn fire_adapt(
        &mut self,
        step: usize,
        adaptor: &Adaptor,
        operands: &[Operand],
        results: &[usize],
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        if let Adaptor::Merge { tags } = adaptor {
            return self.fire_merge(step, tags, operands, results, scope);
        }
        let target = results[0];
        let program = Arc::clone(&self.program);
        let ty = &program.slots[target].ty;
        let Some(state) = Adapting::new(adaptor, ty) else {
            let slots = operands.iter().map(|from| &self.slots[from.slot]);
            if slots.clone().any(|slot| !slot.is_complete()) {
                return Ok(());
            }
            let wholes: Vec<&Datum> = slots.filter_map(|slot| slot.whole()).collect();
            let datum = of_wholes(adaptor, &wholes)?;
            self.push(target, datum, scope)?;
            self.finish(step, scope);
            return Ok(());
        };
        self.move_items(step, state, operands[0], target, scope)
    }

    /// Moves the items of a stream as they are.
    pub(super) fn pass_on(
        &mut self,
        step: usize,
        from: Operand,
        to: usize,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        self.move_items(step, Adapting::Pass, from, to, scope)
    }

    /// Moves items through an adaptor, which begins as `state`.
    fn move_items(
        &mut self,
        step: usize,
        state: Adapting,
        from: Operand,
        target: usize,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let mut adapt = if let Work::Adapt(adapt) = std::mem::take(&mut self.steps[step].work) {
            adapt
        } else {
            if self.slots[target].is_stream() {
                self.settle_presence(target, false);
            }
            Adapt { state, made: VecDeque::new(), ended: false }
        };
        let finished = self.adapt_items(&mut adapt, from, target, scope)?;
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
        adapt: &mut Adapt,
        from: Operand,
        target: usize,
        scope: &mut Scope<'_>,
    ) -> Result<bool, Fault> {
        let program = Arc::clone(&self.program);
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
            if let Some(whole) = self.slots[from.slot].whole() {
                adapt.state.item(whole.clone(), &mut adapt.made)?;
            } else {
                match self.slots[from.slot].give(from.reader) {
                    Next::Item(item) => {
                        adapt.state.item(item, &mut adapt.made)?;
                        self.release(from, 1, scope);
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

    /// Takes an item where there is one, from each stream in turn, while there is room for it and for its tag.
    fn fire_merge(
        &mut self,
        step: usize,
        tags: &[String],
        operands: &[Operand],
        results: &[usize],
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        for result in results {
            self.settle_presence(*result, false);
        }
        let mut first = if let Work::Merge(first) = self.steps[step].work { first } else { 0 };
        let mut ended = false;
        while !ended && results.iter().all(|result| self.slots[*result].room() > 0) {
            let mut found = None;
            ended = true;
            for place in (first..operands.len()).chain(0..first) {
                match self.slots[operands[place].slot].give(operands[place].reader) {
                    Next::Item(item) => {
                        found = Some((place, item));
                        ended = false;
                        break;
                    }
                    Next::Nothing => ended = false,
                    Next::Ended => {}
                }
            }
            let Some((place, item)) = found else { break };
            first = (place + 1) % operands.len();
            self.push(results[0], item, scope)?;
            if let (Some(tag), Some(word)) = (results.get(1), tags.get(place)) {
                self.push(*tag, Datum::text(word.as_str()), scope)?;
            }
            self.release(operands[place], 1, scope);
        }
        self.steps[step].work = Work::Merge(first);
        if ended {
            for result in results {
                self.end(*result);
            }
            self.finish(step, scope);
        }
        Ok(())
    }

    pub(super) fn fire_output(&mut self, step: usize, from: Operand, value: ValueId, scope: &mut Scope<'_>) {
        let (request, stage) = (self.header.request, self.stage);
        let output = |item| WorkerAction::Output { request, stage, value, item };
        let slot = &mut self.slots[from.slot];
        if slot.is_absent() {
            scope.actions.push(output(None));
            self.finish(step, scope);
            return;
        }
        if let Some(whole) = slot.whole() {
            scope.actions.push(output(Some(whole.clone())));
            scope.actions.push(output(None));
            self.finish(step, scope);
            return;
        }
        let Some(full) = self.program.slots[from.slot].window() else { return };
        let mut window = match self.steps[step].work {
            Work::Output { window } => window,
            _ => full,
        };
        let mut ended = false;
        while !ended {
            let next = if window > 0 { slot.give(from.reader) } else { slot.ended_for(from.reader) };
            match next {
                Next::Item(item) => {
                    window -= 1;
                    scope.actions.push(output(Some(item)));
                }
                Next::Ended => {
                    scope.actions.push(output(None));
                    ended = true;
                }
                Next::Nothing => break,
            }
        }
        self.steps[step].work = Work::Output { window };
        if ended {
            // What is still under way to the client is the client's from here on.
            self.finish(step, scope);
        }
    }
}
