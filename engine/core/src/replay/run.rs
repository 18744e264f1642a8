//! Steps that call components: starting calls, feeding their streams, taking what they make.

use std::sync::Arc;

use corn_plan::{Plan, Run, Step};

use crate::datum::Datum;
use crate::executor::{Call, CallInput, Report};
use crate::fault::Fault;
use crate::message::{CallTrace, WorkerAction};
use crate::program::LoadedProgram;
use crate::replay::{CallSite, Each, Replay, Running, Scope, Work, reader_of};
use crate::slot::Next;

impl Replay {
    /// An executor reports on a call of this replay.
    pub(crate) fn report(
        &mut self,
        site: CallSite,
        report: Report,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let program = Arc::clone(&self.program);
        let Step::Run(run) = &program.steps[site.step] else {
            unreachable!("calls belong to run steps");
        };
        match report {
            Report::Emitted { port, item, .. } => self.emitted(site, run, port, item, scope),
            Report::Took { port, count, .. } => {
                if let Some(operand) = run.operands.iter().find(|operand| operand.port == port) {
                    self.release(site.step, program.slot(operand.value), count, scope);
                    self.wake(site.step);
                }
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
        }
    }

    pub(super) fn fire_run(
        &mut self,
        step: usize,
        run: &Run,
        program: &LoadedProgram,
        scope: &mut Scope<'_>,
    ) {
        let mut running = match std::mem::take(&mut self.steps[step].work) {
            Work::Call(running) => running,
            _ => match self.start(step, run, program, scope) {
                Some(running) => running,
                None => return,
            },
        };
        for (position, operand) in run.operands.iter().enumerate() {
            let slot = program.slot(operand.value);
            if !self.slots[slot].is_stream() || running.ended[position] {
                continue;
            }
            let reader = reader_of(program, slot, step);
            loop {
                match self.slots[slot].give(reader) {
                    Next::Item(item) => {
                        scope.actions.push(WorkerAction::Feed(
                            run.component,
                            running.call,
                            operand.port,
                            item,
                        ));
                    }
                    Next::Ended => {
                        scope.actions.push(WorkerAction::End(run.component, running.call, operand.port));
                        running.ended[position] = true;
                        break;
                    }
                    Next::Nothing => break,
                }
            }
        }
        self.steps[step].work = Work::Call(running);
    }

    /// Starts a call if every whole operand is there.
    fn start(
        &mut self,
        step: usize,
        run: &Run,
        program: &LoadedProgram,
        scope: &mut Scope<'_>,
    ) -> Option<Running> {
        let component = &scope.plan.components[run.component];
        let mut inputs = vec![CallInput::Absent; component.inputs.len()];
        for operand in &run.operands {
            let slot = &self.slots[program.slot(operand.value)];
            inputs[operand.port as usize] = match slot.whole() {
                Some(datum) => CallInput::Value(datum.clone()),
                None if slot.is_stream() => CallInput::Stream,
                None => return None,
            };
        }
        let mut outputs = vec![None; component.outputs.len()];
        for (port, value) in &run.results {
            outputs[*port as usize] = Some(self.slots[program.slot(*value)].room());
        }
        let id = scope.calls.open(CallSite { replay: self.number, step, element: 0 });
        scope.actions.push(WorkerAction::Start(run.component, Call { id, inputs, outputs }));
        let trace = self.trace(run, scope);
        Some(Running { call: id, trace, ended: vec![false; run.operands.len()] })
    }

    fn trace(&self, run: &Run, scope: &Scope<'_>) -> CallTrace {
        CallTrace {
            request: self.header.request,
            component: run.component,
            started_us: scope.now_us,
            first_us: None,
            ended_us: scope.now_us,
            items: 0,
        }
    }

    pub(super) fn fire_each(
        &mut self,
        step: usize,
        run: &Run,
        program: &LoadedProgram,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        if matches!(self.steps[step].work, Work::Each(_)) {
            return Ok(());
        }
        let wholes: Option<Vec<&Datum>> =
            run.operands.iter().map(|operand| self.slots[program.slot(operand.value)].whole()).collect();
        let Some(wholes) = wholes else { return Ok(()) };
        let component = &scope.plan.components[run.component];
        let count = each_count(run, &wholes).map_err(|fault| fault.in_component(&component.name))?;
        let mut calls = Vec::with_capacity(count);
        for element in 0..count {
            let mut inputs = vec![CallInput::Absent; component.inputs.len()];
            for (operand, whole) in run.operands.iter().zip(&wholes) {
                let datum = match whole {
                    Datum::List(items) if operand.each => items[element].clone(),
                    whole => (*whole).clone(),
                };
                inputs[operand.port as usize] = CallInput::Value(datum);
            }
            let mut outputs = vec![None; component.outputs.len()];
            for (port, _) in &run.results {
                outputs[*port as usize] = Some(1);
            }
            let id = scope.calls.open(CallSite { replay: self.number, step, element });
            scope.actions.push(WorkerAction::Start(run.component, Call { id, inputs, outputs }));
            calls.push(id);
        }
        let made = run.results.iter().map(|_| vec![None; count]).collect();
        let trace = self.trace(run, scope);
        self.steps[step].work = Work::Each(Each { open: calls.len(), calls, trace, made });
        if count == 0 { self.each_done(step, run, scope) } else { Ok(()) }
    }

    fn emitted(
        &mut self,
        site: CallSite,
        run: &Run,
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
        let value = run.results[result].1;
        if let Work::Each(each) = &mut self.steps[site.step].work {
            let declared = &component.outputs[port as usize];
            item.check(&declared.ty.kind)
                .map_err(|problem| emitted_wrong(&component.name, &declared.name, &problem))?;
            each.made[result][site.element] = Some(item);
            return Ok(());
        }
        let slot = self.program.slot(value);
        let name = &component.outputs[port as usize].name;
        self.push(slot, item, scope).map_err(|fault| emitted_wrong(&component.name, name, &fault.message))
    }

    fn call_done(&mut self, site: CallSite, run: &Run, scope: &mut Scope<'_>) -> Result<(), Fault> {
        if let Work::Each(each) = &mut self.steps[site.step].work {
            each.open -= 1;
            return if each.open == 0 { self.each_done(site.step, run, scope) } else { Ok(()) };
        }
        let program = Arc::clone(&self.program);
        for (port, value) in &run.results {
            let slot = program.slot(*value);
            if self.slots[slot].is_stream() {
                self.end(slot);
            } else if !self.slots[slot].is_complete() {
                return Err(ended_without(scope.plan, run, *port));
            }
        }
        // What the call left untaken is nobody's any more.
        for operand in &run.operands {
            self.leave(site.step, program.slot(operand.value), scope);
        }
        if let Work::Call(running) = std::mem::take(&mut self.steps[site.step].work) {
            let trace = CallTrace { ended_us: scope.now_us, ..running.trace };
            scope.actions.push(WorkerAction::Trace(trace));
        }
        self.finish(site.step, scope);
        Ok(())
    }

    fn each_done(&mut self, step: usize, run: &Run, scope: &mut Scope<'_>) -> Result<(), Fault> {
        let Work::Each(each) = std::mem::take(&mut self.steps[step].work) else {
            unreachable!("its calls have just ended");
        };
        for ((port, value), made) in run.results.iter().zip(each.made) {
            let items: Option<Vec<Datum>> = made.into_iter().collect();
            let items = items.ok_or_else(|| ended_without(scope.plan, run, *port))?;
            self.push(self.program.slot(*value), Datum::List(items.into()), scope)?;
        }
        scope.actions.push(WorkerAction::Trace(CallTrace { ended_us: scope.now_us, ..each.trace }));
        self.finish(step, scope);
        Ok(())
    }
}

fn each_count(run: &Run, wholes: &[&Datum]) -> Result<usize, Fault> {
    let lengths = run.operands.iter().zip(wholes).filter(|(operand, _)| operand.each);
    let mut lengths = lengths.map(|(_, whole)| if let Datum::List(items) = whole { items.len() } else { 0 });
    let first = lengths.next().unwrap_or(0);
    if lengths.all(|length| length == first) {
        return Ok(first);
    }
    Err(Fault::request("it is called for each item of lists that differ in length"))
}

fn emitted_wrong(component: &str, port: &str, problem: &str) -> Fault {
    Fault::component(format!("output '{port}': {problem}")).in_component(component)
}

fn ended_without(plan: &Plan, run: &Run, port: u32) -> Fault {
    let component = &plan.components[run.component];
    let name = &component.outputs[port as usize].name;
    Fault::component(format!("it ended without making output '{name}'")).in_component(&component.name)
}
