//! One request on one stage: the steps of a program fire as their operands arrive.
//!
//! A replay is driven by what happens to its values. Whoever changes a slot puts the steps that
//! wait for it on a queue; [`Replay::settle`] lets them fire until nothing moves. No step is
//! looked at that has no reason to move, so a replay's cost follows its steps, not their waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use corn_plan::{Adaptor, Plan, Run, StageId, Step, ValueId, WorkerId};

use crate::adapt::{Adapting, join};
use crate::datum::Datum;
use crate::executor::{Call, CallId, CallInput, Report};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::message::{Body, CallTrace, HandOver, Header, WorkerAction};
use crate::program::LoadedProgram;
use crate::slot::{Next, Released, Slot};

/// What a replay may touch of its worker while it moves.
pub(crate) struct Scope<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) now_us: u64,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) calls: &'a mut Calls,
    pub(crate) actions: &'a mut Vec<WorkerAction>,
}

/// The calls that are open on a worker: which step of which replay each belongs to.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    next: u64,
    pub(crate) open: std::collections::BTreeMap<CallId, CallSite>,
}

/// Where a call came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSite {
    pub(crate) replay: u64,
    step: usize,
    /// Which item of an `each` it works on.
    element: usize,
}

impl Calls {
    fn open(&mut self, site: CallSite) -> CallId {
        let id = CallId(self.next);
        self.next += 1;
        self.open.insert(id, site);
        id
    }
}

/// A request on a stage.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Its number on this worker.
    pub(crate) number: u64,
    pub(crate) header: Header,
    pub(crate) stage: StageId,
    program: Arc<LoadedProgram>,
    slots: Vec<Slot>,
    steps: Vec<StepState>,
    unfinished: usize,
    queue: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct StepState {
    queued: bool,
    done: bool,
    work: Work,
}

/// What a step has under way.
#[derive(Debug, Default)]
enum Work {
    #[default]
    Idle,
    Call(Running),
    Each(Each),
    Adapt(Adapt),
    Send {
        credit: u32,
    },
    Output {
        window: u32,
    },
}

/// One call of a component.
#[derive(Debug)]
struct Running {
    call: CallId,
    trace: CallTrace,
    /// Operands (by position) whose stream has been ended at the executor.
    ended: Vec<bool>,
}

/// One call for each item of a list.
#[derive(Debug)]
struct Each {
    calls: Vec<CallId>,
    open: usize,
    trace: CallTrace,
    /// By result, then by item.
    made: Vec<Vec<Option<Datum>>>,
}

#[derive(Debug)]
struct Adapt {
    state: Adapting,
    made: VecDeque<Datum>,
    ended: bool,
}

impl Replay {
    pub(crate) fn new(
        number: u64,
        header: Header,
        stage: StageId,
        program: Arc<LoadedProgram>,
        scope: &mut Scope<'_>,
    ) -> Self {
        let slots: Vec<Slot> = program.slots.iter().map(Slot::new).collect();
        scope.ledger.open(slots.len() as u64);
        let mut replay = Self {
            number,
            header,
            stage,
            steps: program.steps.iter().map(|_| StepState::default()).collect(),
            unfinished: program.steps.len(),
            queue: VecDeque::with_capacity(program.steps.len()),
            slots,
            program,
        };
        for step in 0..replay.steps.len() {
            replay.wake(step);
        }
        replay
    }

    /// Whether every step is done, and so everything given back.
    pub(crate) const fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Gives everything back without finishing.
    pub(crate) fn abandon(self, scope: &mut Scope<'_>) {
        for (step, state) in self.steps.iter().enumerate() {
            let component = match &self.program.steps[step] {
                Step::Run(run) => run.component,
                _ => continue,
            };
            let calls = match &state.work {
                Work::Call(running) => std::slice::from_ref(&running.call),
                Work::Each(each) => &each.calls,
                _ => continue,
            };
            for call in calls {
                if scope.calls.open.remove(call).is_some() {
                    scope.actions.push(WorkerAction::Abort(component, *call));
                }
            }
        }
        for slot in self.slots.iter().filter(|slot| slot.users > 0) {
            scope.ledger.release(slot.bytes());
            scope.ledger.close();
        }
    }

    /// A value of the request, or a whole value or item handed over.
    pub(crate) fn arrive(
        &mut self,
        value: ValueId,
        datum: Datum,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        let slot = self.held(value)?;
        self.push(slot, datum, scope)
    }

    /// A stream handed over has ended.
    pub(crate) fn arrive_end(&mut self, value: ValueId) -> Result<(), Fault> {
        let slot = self.held(value)?;
        self.end(slot);
        Ok(())
    }

    /// The consumer of a sent stream takes more.
    pub(crate) fn arrive_credit(&mut self, value: ValueId, to: StageId, count: u32) {
        let program = Arc::clone(&self.program);
        let sends = |step: &Step| matches!(step, Step::Send { value: sent, to: stage, .. } if (*sent, *stage) == (value, to));
        if let Some(step) = program.steps.iter().position(sends)
            && let Work::Send { credit } = &mut self.steps[step].work
        {
            *credit += count;
            self.wake(step);
        }
    }

    /// The client has taken items of an output.
    pub(crate) fn consumed(&mut self, value: ValueId, count: u32, scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        let sends = |step: &Step| matches!(step, Step::Output { value: sent } if *sent == value);
        if let Some(step) = program.steps.iter().position(sends) {
            if let Work::Output { window } = &mut self.steps[step].work {
                *window += count;
            }
            self.release(step, program.slot(value), count, scope);
            self.wake(step);
        }
    }

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

    /// Lets steps fire until nothing moves.
    pub(crate) fn settle(&mut self, scope: &mut Scope<'_>) -> Result<(), Fault> {
        let program = Arc::clone(&self.program);
        while let Some(step) = self.queue.pop_front() {
            self.steps[step].queued = false;
            if !self.steps[step].done {
                self.fire(step, &program, scope)?;
            }
        }
        Ok(())
    }

    fn fire(&mut self, step: usize, program: &LoadedProgram, scope: &mut Scope<'_>) -> Result<(), Fault> {
        match &program.steps[step] {
            Step::Input { value } | Step::Recv { value, .. } => {
                if self.slots[program.slot(*value)].is_complete() {
                    self.finish(step, scope);
                }
                Ok(())
            }
            Step::Const { value, literal } => {
                self.push(program.slot(*value), literal.into(), scope)?;
                self.finish(step, scope);
                Ok(())
            }
            Step::Run(run) if run.each => self.fire_each(step, run, program, scope),
            Step::Run(run) => {
                self.fire_run(step, run, program, scope);
                Ok(())
            }
            Step::Adapt { adaptor, operands, result } => {
                self.fire_adapt(step, adaptor, operands, *result, scope)
            }
            Step::Send { value, to, .. } => {
                self.fire_send(step, *value, *to, scope);
                Ok(())
            }
            Step::Output { value } => {
                self.fire_output(step, *value, scope);
                Ok(())
            }
            // Done by `finish` of the value's last user.
            Step::Free { .. } => Ok(()),
        }
    }

    fn fire_run(&mut self, step: usize, run: &Run, program: &LoadedProgram, scope: &mut Scope<'_>) {
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

    fn fire_each(
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

    fn fire_adapt(
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

    fn fire_send(&mut self, step: usize, value: ValueId, to: StageId, scope: &mut Scope<'_>) {
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

    fn fire_output(&mut self, step: usize, value: ValueId, scope: &mut Scope<'_>) {
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

    fn held(&self, value: ValueId) -> Result<usize, Fault> {
        let slot = self.program.find(value);
        slot.ok_or_else(|| {
            Fault::component(format!("{value} was handed to {}, which does not hold it", self.stage))
        })
    }

    fn push(&mut self, slot: usize, datum: Datum, scope: &mut Scope<'_>) -> Result<(), Fault> {
        let plan = &self.program.slots[slot];
        check(&datum, &plan.ty).map_err(|problem| Fault::component(format!("{}: {problem}", plan.value)))?;
        scope.ledger.hold(datum.bytes());
        let bytes = datum.bytes();
        match self.slots[slot].push(datum) {
            Ok(released) => self.give_back(slot, released, scope),
            Err(problem) => {
                scope.ledger.release(bytes);
                return Err(Fault::component(format!("{}: {problem}", plan.value)));
            }
        }
        self.wake_users(slot);
        Ok(())
    }

    fn end(&mut self, slot: usize) {
        self.slots[slot].end();
        self.wake_users(slot);
    }

    /// Reader `step` is done with `count` items of a stream: the slowest reader's progress gives
    /// the producer credits.
    fn release(&mut self, step: usize, slot: usize, count: u32, scope: &mut Scope<'_>) {
        if count == 0 || !self.slots[slot].is_stream() {
            return;
        }
        let reader = reader_of(&self.program, slot, step);
        let released = self.slots[slot].done(reader, count);
        self.give_back(slot, released, scope);
    }

    /// Reader `step` takes nothing more of a stream.
    fn leave(&mut self, step: usize, slot: usize, scope: &mut Scope<'_>) {
        if self.slots[slot].is_stream() {
            let released = self.slots[slot].leave(reader_of(&self.program, slot, step));
            self.give_back(slot, released, scope);
        }
    }

    fn give_back(&mut self, slot: usize, released: Released, scope: &mut Scope<'_>) {
        scope.ledger.release(released.bytes);
        if released.items > 0 {
            self.give_credit(slot, released.items, scope);
        }
    }

    fn give_credit(&mut self, slot: usize, count: u32, scope: &mut Scope<'_>) {
        let plan = &self.program.slots[slot];
        let (writer, value) = (plan.writer, plan.value);
        if let Some(from) = plan.from {
            if !self.slots[slot].is_complete() {
                let hand_over = HandOver {
                    header: self.header.clone(),
                    from: self.stage,
                    to: from,
                    value,
                    body: Body::Credit(count),
                };
                scope.actions.push(WorkerAction::HandOver(self.replica(from), hand_over));
            }
            return;
        }
        match (&self.program.steps[writer], &self.steps[writer].work) {
            (Step::Run(run), Work::Call(running)) => {
                let port = run.results.iter().find(|(_, result)| *result == value).map(|(port, _)| *port);
                if let Some(port) = port {
                    scope.actions.push(WorkerAction::Grant(run.component, running.call, port, count));
                }
            }
            _ => self.wake(writer),
        }
    }

    fn replica(&self, stage: StageId) -> WorkerId {
        self.header.replicas[stage.0 as usize]
    }

    /// A step is done: it uses its values no more, and the last user of a value gives it back.
    fn finish(&mut self, step: usize, scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        self.complete(step);
        let mut values = program.steps[step].reads();
        values.sort();
        values.dedup();
        values.extend(program.steps[step].writes());
        for value in values {
            let slot = program.slot(value);
            self.slots[slot].users -= 1;
            if self.slots[slot].users == 0 {
                scope.ledger.release(self.slots[slot].bytes());
                scope.ledger.close();
                self.slots[slot].clear();
                self.complete(program.slots[slot].free);
            }
        }
    }

    fn complete(&mut self, step: usize) {
        assert!(!std::mem::replace(&mut self.steps[step].done, true), "a step ends once");
        self.unfinished -= 1;
    }

    fn wake(&mut self, step: usize) {
        let state = &mut self.steps[step];
        if !state.done && !state.queued {
            state.queued = true;
            self.queue.push_back(step);
        }
    }

    fn wake_users(&mut self, slot: usize) {
        let program = Arc::clone(&self.program);
        self.wake(program.slots[slot].writer);
        for reader in &program.slots[slot].readers {
            self.wake(*reader);
        }
    }
}

/// Which of a slot's readers a step is.
fn reader_of(program: &LoadedProgram, slot: usize, step: usize) -> usize {
    let readers = &program.slots[slot].readers;
    readers.iter().position(|reader| *reader == step).expect("a step reads its operands")
}

fn check(datum: &Datum, ty: &corn_plan::Type) -> Result<(), String> {
    match (datum, ty.form) {
        (Datum::List(items), corn_plan::Form::List { max }) => {
            if items.len() > max as usize {
                return Err(format!("a list of {} items is over the bound of {max}", items.len()));
            }
            items.iter().try_for_each(|item| item.check(&ty.kind))
        }
        (_, corn_plan::Form::List { .. }) => Err(format!("{} where a list is declared", datum.word())),
        _ => datum.check(&ty.kind),
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
