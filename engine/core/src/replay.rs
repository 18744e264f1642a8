//! One request on one stage: the steps of a program fire as their operands arrive.
//!
//! A replay is driven by what happens to its values. Whoever changes a slot puts the steps that
//! wait for it on a queue; [`Replay::settle`] lets them fire until nothing moves. No step is
//! looked at that has no reason to move, so a replay's cost follows its steps, not their waiting.

mod exchange;
mod flow;
mod run;

use std::collections::VecDeque;
use std::sync::Arc;

use corn_plan::{Plan, StageId, Step, ValueId, Verified};

use crate::adapt::Adapting;
use crate::datum::Datum;
use crate::executor::CallId;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::message::{Body, CallTrace, HandOver, Header, Seat, WorkerAction};
use crate::program::LoadedProgram;
use crate::slot::{Released, Slot};

pub(crate) use crate::replay::exchange::Exchange;

/// What a replay may touch of its worker while it moves.
pub(crate) struct Scope<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) now_us: u64,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) calls: &'a mut Calls,
    pub(crate) actions: &'a mut Vec<WorkerAction>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(
        plan: &'a Verified,
        now_us: u64,
        ledger: &'a mut Ledger,
        calls: &'a mut Calls,
        actions: &'a mut Vec<WorkerAction>,
    ) -> Self {
        Self { plan: plan.plan(), now_us, ledger, calls, actions }
    }
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
            Step::Adapt { adaptor, operands, results } => {
                self.fire_adapt(step, adaptor, operands, results[0], scope)
            }
            Step::Branch(_) | Step::Loop(_) => {
                Err(Fault::setup("a block cannot be replayed; the plan should not have been loaded"))
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

    fn held(&self, value: ValueId) -> Result<usize, Fault> {
        let slot = self.program.find(value);
        slot.ok_or_else(|| {
            Fault::component(format!("{value} was handed to {}, which does not hold it", self.stage))
        })
    }

    fn push(&mut self, slot: usize, datum: Datum, scope: &mut Scope<'_>) -> Result<(), Fault> {
        let plan = &self.program.slots[slot];
        datum
            .check_type(&plan.ty)
            .map_err(|problem| Fault::component(format!("{}: {problem}", plan.value)))?;
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

    fn replica(&self, stage: StageId) -> Seat {
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
