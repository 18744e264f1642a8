//! One request on one stage: the steps of a program fire as their operands arrive.
//!
//! A replay is driven by what happens to its values. Whoever changes a slot puts the steps that
//! wait for it on a queue; [`Replay::settle`] lets them fire until nothing moves. No step is
//! looked at that has no reason to move, so a replay's cost follows its steps, not their waiting.
//!
//! What stands inside of a branch or a loop is a list of steps that begins and ends as a whole ([`blocks`]). A step
//! whose list is not under way is done: nothing wakes it.

mod blocks;
mod exchange;
mod flow;
mod hand_over;
mod run;

use std::collections::VecDeque;
use std::sync::Arc;

use corn_plan::{Plan, StageId, ValueId, Verified};

use crate::adapt::Adapting;
use crate::datum::Datum;
use crate::executor::CallId;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::message::{CallTrace, Header, WorkerAction};
use crate::program::{LoadedProgram, Op, Operand, WHOLE, Writer};
use crate::replay::blocks::{Round, RoundCount};
use crate::replay::hand_over::Inbox;
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
    /// For each list of steps how many of them are not done.
    unfinished: Vec<usize>,
    rounds: Vec<RoundCount>,
    inboxes: Vec<Inbox>,
    /// For each value that leaves how often it has.
    left: Vec<u64>,
    queue: VecDeque<usize>,
    /// Whether the coordinator's word that opens it is still on its way. It is waited for, so that it cannot come
    /// when all is done and open another replay.
    awaits_opening: bool,
}

#[derive(Debug)]
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
    /// Which stream is looked at first for the next item.
    Merge(usize),
    /// The list of the case that is taken.
    Branch(usize),
    Loop(Round),
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
    /// Operands (by position) whose stream has been ended at the executor, or never was one.
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

impl Each {
    /// Bytes of the items that are there, which become a value only with the last of them.
    fn bytes(&self) -> u64 {
        self.made.iter().flatten().flatten().map(Datum::bytes).sum()
    }
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
        let idle = || StepState { queued: false, done: true, work: Work::Idle };
        let mut replay = Self {
            number,
            header,
            stage,
            slots: program.slots.iter().map(Slot::new).collect(),
            steps: program.steps.iter().map(|_| idle()).collect(),
            unfinished: vec![0; program.lists.len()],
            rounds: program.loops.iter().map(RoundCount::new).collect(),
            inboxes: program.arriving.iter().map(Inbox::new).collect(),
            left: vec![0; program.leaving.len()],
            queue: VecDeque::with_capacity(program.lists[WHOLE].steps.len()),
            awaits_opening: program.awaits_opening,
            program,
        };
        replay.begin(WHOLE, scope);
        replay
    }

    /// Whether every step is done, so that everything is given back, and nothing more is on its way here.
    pub(crate) fn is_finished(&self) -> bool {
        self.unfinished[WHOLE] == 0 && !self.awaits_opening && self.rounds.iter().all(RoundCount::is_over)
    }

    /// Gives everything back without finishing.
    pub(crate) fn abandon(self, scope: &mut Scope<'_>) {
        for (step, state) in self.steps.iter().enumerate() {
            let Op::Run(run) = &self.program.steps[step].op else { continue };
            let calls = match &state.work {
                Work::Call(running) => std::slice::from_ref(&running.call),
                Work::Each(each) => {
                    scope.ledger.release(each.bytes());
                    &each.calls
                }
                _ => continue,
            };
            for call in calls {
                if scope.calls.open.remove(call).is_some() {
                    scope.actions.push(WorkerAction::Abort(run.component, *call));
                }
            }
        }
        for slot in self.slots.iter().filter(|slot| slot.users > 0) {
            scope.ledger.release(slot.bytes());
            scope.ledger.close();
        }
        for inbox in &self.inboxes {
            scope.ledger.release(inbox.bytes());
        }
    }

    /// The coordinator opens it, with what the request brings.
    pub(crate) fn opened(
        &mut self,
        inputs: Vec<(ValueId, Datum)>,
        scope: &mut Scope<'_>,
    ) -> Result<(), Fault> {
        self.awaits_opening = false;
        for (value, datum) in inputs {
            let input = self.program.inputs.iter().find(|(input, _)| *input == value).map(|(_, slot)| *slot);
            let slot = input.ok_or_else(|| {
                Fault::component(format!("{value} was brought to {}, which does not take it", self.stage))
            })?;
            self.push(slot, datum, scope)?;
        }
        Ok(())
    }

    /// The client has taken items of an output.
    pub(crate) fn consumed(&mut self, value: ValueId, count: u32, scope: &mut Scope<'_>) {
        let output = self.program.outputs.iter().find(|(output, _)| *output == value);
        let Some(step) = output.map(|(_, step)| *step).filter(|step| !self.steps[*step].done) else { return };
        if let Work::Output { window } = &mut self.steps[step].work {
            *window += count;
        }
        let program = Arc::clone(&self.program);
        if let Op::Output { from, .. } = &program.steps[step].op {
            self.release(*from, count, scope);
        }
        self.wake(step);
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
        match &program.steps[step].op {
            Op::Input { slot } => {
                if self.slots[*slot].is_complete() {
                    self.finish(step, scope);
                }
                Ok(())
            }
            Op::Const { slot, datum } => {
                self.push(*slot, datum.clone(), scope)?;
                self.finish(step, scope);
                Ok(())
            }
            Op::Recv { slot, edge } => self.fire_recv(step, *slot, *edge, scope),
            Op::Run(run) if run.each => self.fire_each(step, run, scope),
            Op::Run(run) => {
                self.fire_run(step, run, scope);
                Ok(())
            }
            Op::Adapt { adaptor, operands, results } => {
                self.fire_adapt(step, adaptor, operands, results, scope)
            }
            Op::Branch { subject, arms } => self.fire_branch(step, *subject, arms, scope),
            Op::Loop(number) => self.fire_loop(step, *number, scope),
            Op::Yield { from, to } => self.fire_yield(step, *from, *to, scope),
            Op::Send { from, edge, within } => {
                self.fire_send(step, *from, *edge, *within, scope);
                Ok(())
            }
            Op::Output { from, value } => {
                self.fire_output(step, *from, *value, scope);
                Ok(())
            }
        }
    }

    fn push(&mut self, slot: usize, datum: Datum, scope: &mut Scope<'_>) -> Result<(), Fault> {
        self.put(slot, datum, scope).map_err(|problem| {
            let (recording, value) = (self.header.recording, self.program.slots[slot].value);
            let name = &scope.plan.recordings[recording].values[value].name;
            Fault::component(format!("value '{name}': {problem}"))
        })
    }

    /// As [`Self::push`], where whoever calls knows what to call the value.
    fn put(&mut self, slot: usize, datum: Datum, scope: &mut Scope<'_>) -> Result<(), String> {
        let program = Arc::clone(&self.program);
        let plan = &program.slots[slot];
        datum.check_type(&plan.ty)?;
        if let Some(number) = plan.ends {
            self.look_at_until(number, &datum);
        }
        let bytes = datum.bytes();
        scope.ledger.hold(bytes);
        match self.slots[slot].push(datum) {
            Ok(released) => self.give_back(slot, released, scope),
            Err(problem) => {
                scope.ledger.release(bytes);
                return Err(problem.to_owned());
            }
        }
        self.wake_users(slot);
        Ok(())
    }

    fn end(&mut self, slot: usize) {
        self.slots[slot].end();
        self.wake_users(slot);
    }

    /// An optional value turns out absent, or is sure to be there.
    fn settle_presence(&mut self, slot: usize, is_absent: bool) {
        if self.slots[slot].settle_presence(is_absent) {
            self.wake_users(slot);
        }
    }

    /// A reader is done with `count` items of a stream: the slowest reader's progress gives the producer credits.
    fn release(&mut self, from: Operand, count: u32, scope: &mut Scope<'_>) {
        if count > 0 {
            let released = self.slots[from.slot].done(from.reader, count);
            self.give_back(from.slot, released, scope);
        }
    }

    /// A reader takes nothing more of a stream.
    fn leave(&mut self, from: Operand, scope: &mut Scope<'_>) {
        let released = self.slots[from.slot].leave(from.reader);
        self.give_back(from.slot, released, scope);
    }

    fn give_back(&mut self, slot: usize, released: Released, scope: &mut Scope<'_>) {
        scope.ledger.release(released.bytes);
        if released.items == 0 {
            return;
        }
        let program = Arc::clone(&self.program);
        match &program.slots[slot].writer {
            Writer::Arrival { edge: Some(edge), .. } => {
                if !self.slots[slot].is_complete() {
                    self.give_credit(*edge, released.items, scope);
                }
            }
            Writer::Arrival { edge: None, .. } => {}
            Writer::Call { step, port } => {
                if let (Op::Run(run), Work::Call(running)) =
                    (&program.steps[*step].op, &self.steps[*step].work)
                {
                    let (call, count) = (running.call, released.items);
                    scope.actions.push(WorkerAction::Grant(run.component, call, *port, count));
                }
            }
            Writer::Steps(steps) => steps.iter().for_each(|step| self.wake(*step)),
        }
    }

    /// A step is done: it uses its values no more, and the last of its list ends that.
    fn finish(&mut self, step: usize, scope: &mut Scope<'_>) {
        let program = Arc::clone(&self.program);
        let plan = &program.steps[step];
        for from in &plan.streams {
            self.leave(*from, scope);
        }
        let state = &mut self.steps[step];
        assert!(!std::mem::replace(&mut state.done, true), "a step ends once");
        state.work = Work::Idle;
        for slot in &plan.uses {
            self.drop_use(*slot, scope);
        }
        self.unfinished[plan.list] -= 1;
        if self.unfinished[plan.list] == 0
            && let Some(owner) = program.lists[plan.list].owner
        {
            self.wake(owner);
        }
    }

    /// The last user of a value gives it back.
    fn drop_use(&mut self, slot: usize, scope: &mut Scope<'_>) {
        let slot = &mut self.slots[slot];
        slot.users -= 1;
        if slot.users == 0 {
            scope.ledger.release(slot.bytes());
            scope.ledger.close();
            slot.clear();
        }
    }

    fn wake(&mut self, step: usize) {
        let state = &mut self.steps[step];
        if !state.done && !state.queued {
            state.queued = true;
            self.queue.push_back(step);
        }
    }

    /// Wakes whoever waits for `slot`.
    fn wake_users(&mut self, slot: usize) {
        let program = Arc::clone(&self.program);
        let plan = &program.slots[slot];
        if let Writer::Arrival { step, .. } = &plan.writer {
            self.wake(*step);
        }
        plan.readers.iter().for_each(|reader| self.wake(*reader));
    }
}
