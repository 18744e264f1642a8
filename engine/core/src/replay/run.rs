//! Steps that call components: starting calls, feeding their streams, taking what they make.

use std::sync::Arc;

use corn_plan::Plan;

use crate::datum::Datum;
use crate::executor::{Call, CallInput, Report};
use crate::fault::Fault;
use crate::message::{CallTrace, WorkerAction};
use crate::program::{Op, RunPlan};
use crate::replay::{CallSite, Each, Replay, Running, Scope, Work};
use crate::slot::{Next, Slot};

impl Replay {
    /// An executor reports on a call of this replay.
    pub(crate) fn report(
        &mut self,
        site: CallSite,
        report: Report,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let program = Arc::clone(&self.program);
        let Op::Run(run) = &program.steps[site.step].op else {
            unreachable!("calls belong to run steps");
        };
        match report {
            Report::Emitted { port, item, .. } => self.emitted(site, run, port, item, scope),
            Report::Took { port, count, .. } => {
                if let Some(operand) = run.operands.iter().find(|operand| operand.port == port) {
                    self.release(operand.from, count, scope);
                    self.wake(site.step);
                }
                Ok(())
            }
            Report::Used { usage, .. } => {
                scope.actions.push(WorkerAction::Used { request: self.header.request, usage });
                Ok(())
            }
            Report::Done { call } => {
                scope.calls.open.remove(&call);
                self.call_done(site, run, scope)
            }
            Report::Failed { call, fault } => {
                scope.calls.open.remove(&call);
                Err(fault.in_component(&scope.plan.components[run.component].name))
            }
            Report::Batch { .. } => Ok(()),
        }
    }

    pub(super) fn fire_run(&mut self, step: usize, run: &RunPlan, scope: &mut Scope<'_>) {
        let mut running = match std::mem::take(&mut self.steps[step].work) {
            Work::Call(running) => running,
            _ => match self.start(step, run, scope) {
                Some(running) => running,
                None => return,
            },
        };
        for (position, operand) in run.operands.iter().enumerate() {
            while !running.ended[position] {
                match self.slots[operand.from.slot].give(operand.from.reader) {
                    Next::Item(item) => {
                        let (component, call) = (run.component, running.call);
                        scope.actions.push(WorkerAction::Feed(component, call, operand.port, item));
                    }
                    Next::Ended => {
                        scope.actions.push(WorkerAction::End(run.component, running.call, operand.port));
                        running.ended[position] = true;
                    }
                    Next::Nothing => break,
                }
            }
        }
        self.steps[step].work = Work::Call(running);
    }

    /// Starts a call if every whole operand is there, and of each that is optional it is known whether it is.
    fn start(&mut self, step: usize, run: &RunPlan, scope: &mut Scope<'_>) -> Option<Running> {
        let component = &scope.plan.components[run.component];
        let mut inputs = vec![CallInput::Absent; component.inputs.len()];
        for operand in &run.operands {
            let slot = &self.slots[operand.from.slot];
            inputs[operand.port as usize] = match slot.whole() {
                Some(datum) => CallInput::Value(datum.clone()),
                None if slot.is_absent() => CallInput::Absent,
                None if slot.is_open_stream() => CallInput::Stream,
                None => return None,
            };
        }
        let ended = run.operands.iter().map(|operand| inputs[operand.port as usize] != CallInput::Stream);
        let ended = ended.collect();
        let mut outputs = vec![None; component.outputs.len()];
        for (port, slot) in &run.results {
            outputs[*port as usize] = Some(self.slots[*slot].room());
            if self.slots[*slot].is_stream() {
                self.settle_presence(*slot, false);
            }
        }
        let id = scope.calls.open(CallSite { replay: self.number, step, element: 0 });
        scope.actions.push(WorkerAction::Start(
            run.component,
            self.header.recording,
            Call { id, inputs, outputs },
        ));
        let trace = self.trace(run, scope);
        Some(Running { call: id, trace, ended })
    }

    fn tell_trace(&self, trace: &CallTrace, scope: &mut Scope<'_>) {
        if self.header.is_traced {
            scope.actions.push(WorkerAction::Trace(CallTrace { ended_us: scope.now_us, ..trace.clone() }));
        }
    }

    fn trace(&self, run: &RunPlan, scope: &Scope<'_>) -> CallTrace {
        CallTrace {
            request: self.header.request,
            component: run.component,
            calls: 1,
            started_us: scope.now_us,
            first_us: None,
            ended_us: scope.now_us,
            items: 0,
        }
    }

    pub(super) fn fire_each(
        &mut self,
        step: usize,
        run: &RunPlan,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        if matches!(self.steps[step].work, Work::Each(_)) {
            return Ok(());
        }
        let slots = run.operands.iter().map(|operand| &self.slots[operand.from.slot]);
        if slots.clone().any(|slot| !slot.is_complete()) {
            return Ok(());
        }
        let wholes: Vec<Option<&Datum>> = slots.map(Slot::whole).collect();
        let component = &scope.plan.components[run.component];
        let count = each_count(run, &wholes).map_err(|fault| fault.in_component(&component.name))?;
        let mut calls = Vec::with_capacity(count);
        for element in 0..count {
            let mut inputs = vec![CallInput::Absent; component.inputs.len()];
            for (operand, whole) in run.operands.iter().zip(&wholes) {
                inputs[operand.port as usize] = match whole {
                    None => CallInput::Absent,
                    Some(Datum::List(items)) if operand.each => CallInput::Value(items[element].clone()),
                    Some(whole) => CallInput::Value((*whole).clone()),
                };
            }
            let mut outputs = vec![None; component.outputs.len()];
            for (port, _) in &run.results {
                outputs[*port as usize] = Some(1);
            }
            let id = scope.calls.open(CallSite { replay: self.number, step, element });
            scope.actions.push(WorkerAction::Start(
                run.component,
                self.header.recording,
                Call { id, inputs, outputs },
            ));
            calls.push(id);
        }
        let made = run.results.iter().map(|_| vec![None; count]).collect();
        let trace = CallTrace { calls: calls.len() as u32, ..self.trace(run, scope) };
        self.steps[step].work = Work::Each(Each { open: calls.len(), calls, trace, made });
        if count == 0 { self.each_done(step, run, scope) } else { Ok(()) }
    }

    fn emitted(
        &mut self,
        site: CallSite,
        run: &RunPlan,
        port: u32,
        item: Datum,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let component = &scope.plan.components[run.component];
        let Some(result) = run.results.iter().position(|(result, _)| *result == port) else {
            let message = format!("it emitted on output {port}, which this recording does not use");
            return Err(Fault::component(message).in_component(&component.name));
        };
        let trace = match &mut self.steps[site.step].work {
            Work::Call(running) => &mut running.trace,
            Work::Each(each) => &mut each.trace,
            _ => unreachable!("a call is open, so its step has it under way"),
        };
        trace.first_us.get_or_insert(scope.now_us);
        trace.items += 1;
        let slot = run.results[result].1;
        if let Work::Each(each) = &mut self.steps[site.step].work {
            let declared = &component.outputs[port as usize];
            item.check(&declared.ty.kind)
                .map_err(|problem| emitted_wrong(&component.name, &declared.name, &problem))?;
            scope.ledger.hold(item.bytes());
            if let Some(before) = each.made[result][site.element].replace(item) {
                scope.ledger.release(before.bytes());
            }
            return Ok(());
        }
        let name = &component.outputs[port as usize].name;
        self.put(slot, item, scope).map_err(|problem| emitted_wrong(&component.name, name, &problem))
    }

    fn call_done(&mut self, site: CallSite, run: &RunPlan, scope: &mut Scope<'_>) -> Result<(), Fault> {
        if let Work::Each(each) = &mut self.steps[site.step].work {
            each.open -= 1;
            return if each.open == 0 { self.each_done(site.step, run, scope) } else { Ok(()) };
        }
        for (port, slot) in &run.results {
            if self.slots[*slot].is_stream() {
                self.end(*slot);
            } else if !self.slots[*slot].is_complete() {
                return Err(ended_without(scope.plan, run, *port));
            }
        }
        if let Work::Call(running) = std::mem::take(&mut self.steps[site.step].work) {
            self.tell_trace(&running.trace, scope);
        }
        self.finish(site.step, scope);
        Ok(())
    }

    fn each_done(&mut self, step: usize, run: &RunPlan, scope: &mut Scope<'_>) -> Result<(), Fault> {
        let Work::Each(each) = std::mem::take(&mut self.steps[step].work) else {
            unreachable!("its calls have just ended");
        };
        scope.ledger.release(each.bytes());
        for ((port, slot), made) in run.results.iter().zip(each.made) {
            let items: Option<Vec<Datum>> = made.into_iter().collect();
            let items = items.ok_or_else(|| ended_without(scope.plan, run, *port))?;
            self.push(*slot, Datum::List(items.into()), scope)?;
        }
        self.tell_trace(&each.trace, scope);
        self.finish(step, scope);
        Ok(())
    }
}

/// How many items the lists have; what is absent has none to call for, and leaves it to the others.
fn each_count(run: &RunPlan, wholes: &[Option<&Datum>]) -> Result<usize, Fault> {
    let lists = run.operands.iter().zip(wholes).filter(|(operand, _)| operand.each);
    let length = |whole: &Datum| if let Datum::List(items) = whole { items.len() } else { 0 };
    let mut lengths = lists.filter_map(|(_, whole)| whole.map(length));
    let first = lengths.next().unwrap_or(0);
    if lengths.all(|length| length == first) {
        return Ok(first);
    }
    Err(Fault::request("it is called for each item of lists that differ in length"))
}

fn emitted_wrong(component: &str, port: &str, problem: &str) -> Fault {
    Fault::component(format!("output '{port}': {problem}")).in_component(component)
}

fn ended_without(plan: &Plan, run: &RunPlan, port: u32) -> Fault {
    let component = &plan.components[run.component];
    let name = &component.outputs[port as usize].name;
    Fault::component(format!("it ended without making output '{name}'")).in_component(&component.name)
}
