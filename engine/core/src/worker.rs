//! The worker: holds the replays of its stages and turns events into actions.
//!
//! A replay opens when the first thing of it arrives, from the coordinator or from another stage,
//! since every hand-over says what it belongs to. It closes when all its steps are done, when a
//! call fails, when it is cancelled or when its deadline passes; in each case everything that it
//! held has been given back before the coordinator hears of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use corn_plan::{StageId, Verified, WorkerId};

use crate::fault::{Blame, Fault};
use crate::ledger::Ledger;
use crate::message::{Body, HandOver, Header, RequestId, Seat, WorkerAction, WorkerEvent};
use crate::program::{LoadedProgram, load};
use crate::replay::{Calls, Replay, Scope};

/// Requests that ended early are remembered for this many times the plan's inflight, so that what
/// was on its way to them does not open them again.
const REMEMBERED_PER_INFLIGHT: usize = 64;

/// A worker's state.
#[derive(Debug)]
pub struct Worker {
    seat: Seat,
    plan: Arc<Verified>,
    programs: Vec<Vec<Option<Arc<LoadedProgram>>>>,
    replays: BTreeMap<u64, Replay>,
    numbers: BTreeMap<(RequestId, StageId), u64>,
    next_number: u64,
    deadlines: BTreeSet<(u64, u64)>,
    ended_early: EndedEarly,
    calls: Calls,
    ledger: Ledger,
}

/// Replays that ended early, the oldest forgotten first.
#[derive(Debug)]
struct EndedEarly {
    known: BTreeSet<(RequestId, StageId)>,
    order: VecDeque<(RequestId, StageId)>,
    capacity: usize,
}

impl EndedEarly {
    fn remember(&mut self, key: (RequestId, StageId)) {
        if self.known.insert(key) {
            self.order.push_back(key);
        }
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Worker {
    /// The worker of `seat`, of `plan`, with nothing under way.
    pub fn new(seat: Seat, plan: Arc<Verified>) -> Self {
        let capacity = plan.plan().inflight as usize * REMEMBERED_PER_INFLIGHT;
        Self {
            seat,
            programs: load(plan.plan()),
            plan,
            replays: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            deadlines: BTreeSet::new(),
            ended_early: EndedEarly { known: BTreeSet::new(), order: VecDeque::new(), capacity },
            calls: Calls::default(),
            ledger: Ledger::default(),
        }
    }

    /// Its id.
    pub const fn id(&self) -> WorkerId {
        self.seat.worker
    }

    /// What its values hold.
    pub const fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// When it must be told that time has passed.
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_us, _)| *deadline_us)
    }

    /// Hears `event` at `now_us` and appends what to do to `actions`.
    pub fn handle(&mut self, now_us: u64, event: WorkerEvent, actions: &mut Vec<WorkerAction>) {
        match event {
            WorkerEvent::Open { header, stage, inputs } => {
                self.drive(now_us, header, stage, actions, |replay, scope| {
                    inputs.into_iter().try_for_each(|(value, datum)| replay.bring(value, datum, scope))
                });
            }
            WorkerEvent::HandOver(hand_over) => self.hand_over(now_us, hand_over, actions),
            WorkerEvent::Report(_, report) => {
                use crate::executor::Report;
                let (Report::Emitted { call, .. }
                | Report::Took { call, .. }
                | Report::Done { call }
                | Report::Failed { call, .. }) = &report;
                // A call that was aborted may still have had something to say.
                if let Some(site) = self.calls.open.get(call).copied() {
                    self.change(now_us, site.replay, actions, |replay, scope| {
                        replay.report(site, report, scope)
                    });
                }
            }
            WorkerEvent::Consumed { request, stage, value, count } => {
                if let Some(number) = self.numbers.get(&(request, stage)).copied() {
                    self.change(now_us, number, actions, |replay, scope| {
                        replay.consumed(value, count, scope);
                        Ok(())
                    });
                }
            }
            WorkerEvent::Cancel { request, stage, fault } => {
                self.give_up(now_us, request, stage, fault, actions);
            }
            WorkerEvent::PeerLost(_) => {}
            WorkerEvent::Tick => self.expire(now_us, actions),
        }
    }

    fn hand_over(&mut self, now_us: u64, hand_over: HandOver, actions: &mut Vec<WorkerAction>) {
        let HandOver { header, from, to, value, turn, body } = hand_over;
        if let Body::Credit(count) = body {
            // A producer that has ended needs no credit, and must not be opened by one.
            if let Some(number) = self.numbers.get(&(header.request, to)).copied() {
                self.change(now_us, number, actions, |replay, _| {
                    replay.arrive_credit(value, from, turn, count);
                    Ok(())
                });
            }
            return;
        }
        self.drive(now_us, header, to, actions, |replay, scope| {
            replay.arrive(value, from, turn, body, scope)
        });
    }

    /// Changes a replay, which is opened first if this is the first that is heard of it.
    fn drive(
        &mut self,
        now_us: u64,
        header: Header,
        stage: StageId,
        actions: &mut Vec<WorkerAction>,
        change: impl FnOnce(&mut Replay, &mut Scope<'_>) -> Result<(), Fault>,
    ) {
        let key = (header.request, stage);
        if self.ended_early.known.contains(&key) {
            return;
        }
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None => match self.open(now_us, header, stage, actions) {
                Ok(number) => number,
                Err(fault) => {
                    self.ended_early.remember(key);
                    actions.push(WorkerAction::Closed { request: key.0, stage, outcome: Err(fault) });
                    return;
                }
            },
        };
        self.change(now_us, number, actions, change);
    }

    fn open(
        &mut self,
        now_us: u64,
        header: Header,
        stage: StageId,
        actions: &mut Vec<WorkerAction>,
    ) -> Result<u64, Fault> {
        if header.plan != self.plan.hash() {
            let (theirs, ours) = (header.plan, self.plan.hash());
            return Err(Fault::setup(format!(
                "a hand-over of plan {theirs} reached worker {}, which replays {ours}",
                self.seat
            )));
        }
        let by_stage = self.programs.get(header.recording.0 as usize);
        let program = by_stage.and_then(|programs| programs.get(stage.0 as usize)).and_then(Clone::clone);
        let program = program.ok_or_else(|| {
            Fault::setup(format!("{stage} takes no part in {} of plan {}", header.recording, header.plan))
        })?;
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert((header.request, stage), number);
        if let Some(deadline_us) = header.deadline_us {
            self.deadlines.insert((deadline_us, number));
        }
        let mut scope = Scope::new(&self.plan, now_us, &mut self.ledger, &mut self.calls, actions);
        self.replays.insert(number, Replay::new(number, header, stage, program, &mut scope));
        Ok(number)
    }

    /// Changes a replay, lets it move, and closes it if it has ended or failed.
    fn change(
        &mut self,
        now_us: u64,
        number: u64,
        actions: &mut Vec<WorkerAction>,
        change: impl FnOnce(&mut Replay, &mut Scope<'_>) -> Result<(), Fault>,
    ) {
        let Some(replay) = self.replays.get_mut(&number) else { return };
        let mut scope = Scope::new(&self.plan, now_us, &mut self.ledger, &mut self.calls, actions);
        let outcome = change(replay, &mut scope).and_then(|()| replay.settle(&mut scope));
        match outcome {
            Ok(()) if !replay.is_finished() => {}
            Ok(()) => {
                let replay = self.forget(number);
                let (request, stage) = (replay.header.request, replay.stage);
                actions.push(WorkerAction::Closed { request, stage, outcome: Ok(()) });
            }
            Err(fault) => self.close_early(now_us, number, fault, actions),
        }
    }

    fn give_up(
        &mut self,
        now_us: u64,
        request: RequestId,
        stage: StageId,
        fault: Fault,
        actions: &mut Vec<WorkerAction>,
    ) {
        if let Some(number) = self.numbers.get(&(request, stage)).copied() {
            self.close_early(now_us, number, fault, actions);
        } else {
            // It may not have been opened yet; what is on its way must not open it.
            self.ended_early.remember((request, stage));
            actions.push(WorkerAction::Closed { request, stage, outcome: Err(fault) });
        }
    }

    fn close_early(&mut self, now_us: u64, number: u64, fault: Fault, actions: &mut Vec<WorkerAction>) {
        let replay = self.forget(number);
        let (request, stage) = (replay.header.request, replay.stage);
        self.ended_early.remember((request, stage));
        let mut scope = Scope::new(&self.plan, now_us, &mut self.ledger, &mut self.calls, actions);
        replay.abandon(&mut scope);
        actions.push(WorkerAction::Closed { request, stage, outcome: Err(fault) });
    }

    fn forget(&mut self, number: u64) -> Replay {
        let replay = self.replays.remove(&number).expect("it is open");
        self.numbers.remove(&(replay.header.request, replay.stage));
        if let Some(deadline_us) = replay.header.deadline_us {
            self.deadlines.remove(&(deadline_us, number));
        }
        replay
    }

    fn expire(&mut self, now_us: u64, actions: &mut Vec<WorkerAction>) {
        while let Some((deadline_us, number)) = self.deadlines.first().copied()
            && deadline_us <= now_us
        {
            let fault = Fault::new(Blame::Deadline, "the deadline passed before the request was done");
            self.close_early(now_us, number, fault, actions);
        }
    }
}
