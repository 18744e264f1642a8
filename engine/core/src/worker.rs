//! The worker: holds the replays of its stages and turns events into actions.
//!
//! A replay opens when the first thing of it arrives, from the coordinator or from another stage,
//! since every hand-over says what it belongs to. It closes when all its steps are done, when a
//! call fails, when it is cancelled or when its deadline passes; in each case everything that it
//! held has been given back before the coordinator hears of it.
//!
//! It also closes when a worker is lost with which it has yet to exchange something. What is said to or by a
//! former life of this worker or for it is nobody's: a header names the life that each stage is replayed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use corn_plan::{StageId, Verified, WorkerId};

use crate::coordinator::lost_fault;
use crate::fault::{Blame, Fault};
use crate::ledger::Ledger;
use crate::message::{Body, HandOver, Header, RequestId, Seat, WorkerAction, WorkerEvent};
use crate::program::{LoadedProgram, load};
use crate::replay::{Calls, Exchange, Replay, Scope};

/// Requests that ended early are remembered for this many times the plan's inflight, so that what
/// was on its way to them does not open them again.
const REMEMBERED_PER_INFLIGHT: usize = 64;

/// A worker's state.
#[derive(Debug)]
pub struct Worker {
    seat: Seat,
    /// Whether this life is over and the next has not begun.
    is_forsaken: bool,
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
            is_forsaken: false,
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

    /// Its present life, or the last one.
    pub const fn seat(&self) -> Seat {
        self.seat
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
                self.drive(now_us, header, stage, actions, |replay, scope| replay.opened(inputs, scope));
            }
            WorkerEvent::HandOver(hand_over) => self.hand_over(now_us, hand_over, actions),
            WorkerEvent::Report(_, report) => {
                // A call that was aborted may still have had something to say.
                let site = report.call().and_then(|call| self.calls.open.get(&call).copied());
                if let Some(site) = site {
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
            WorkerEvent::PeerLost(peer) => self.peer_lost(now_us, peer, actions),
            WorkerEvent::Forsaken => self.forsaken(now_us, actions),
            WorkerEvent::Seated(seat) => {
                // What is left of the life before is over with it, whether or not that was said.
                self.forsaken(now_us, actions);
                self.seat = seat;
                self.is_forsaken = false;
            }
            WorkerEvent::Tick => self.expire(now_us, actions),
        }
    }

    fn hand_over(&mut self, now_us: u64, hand_over: HandOver, actions: &mut Vec<WorkerAction>) {
        let HandOver { header, from, to, value, turn, body } = hand_over;
        if let Body::Credit(count) = body {
            // A producer that has ended needs no credit, and must not be opened by one.
            if self.is_for_us(&header, to) == Ok(true)
                && let Some(number) = self.numbers.get(&(header.request, to)).copied()
            {
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
        let number = match (self.is_for_us(&header, stage), self.numbers.get(&key)) {
            (Ok(false), _) => return,
            (Ok(true), Some(number)) => Ok(*number),
            (Ok(true), None) => self.open(now_us, header, stage, actions),
            (Err(fault), _) => Err(fault),
        };
        match number {
            Ok(number) => self.change(now_us, number, actions, change),
            Err(fault) => {
                self.ended_early.remember(key);
                actions.push(WorkerAction::Closed { request: key.0, stage, outcome: Err(fault) });
            }
        }
    }

    /// Whether `header` is for this life of this worker. What is for a former life came late; what is for another
    /// worker, or for a life that has not begun, should not have come.
    fn is_for_us(&self, header: &Header, stage: StageId) -> Result<bool, Fault> {
        let named = header.replicas.get(stage.0 as usize).copied();
        match named {
            Some(named) if named == self.seat => Ok(!self.is_forsaken),
            Some(named) if named.worker == self.seat.worker && named.epoch < self.seat.epoch => Ok(false),
            _ => {
                let named = named.map_or_else(|| "nobody".to_owned(), |named| named.to_string());
                Err(Fault::setup(format!(
                    "what {stage} of {} takes reached worker {}, and is for {named}",
                    header.request, self.seat
                )))
            }
        }
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

    /// Closes what has yet to exchange something with `peer`, and says what has not.
    fn peer_lost(&mut self, now_us: u64, peer: Seat, actions: &mut Vec<WorkerAction>) {
        let mut lost = Vec::new();
        let mut kept = Vec::new();
        for (number, replay) in &self.replays {
            let stages = self.plan.plan().stages.ids().zip(replay.header.replicas.iter());
            let theirs = stages.filter(|(_, seat)| **seat == peer).map(|(stage, _)| stage);
            let exchanges: Vec<(StageId, Exchange)> =
                theirs.map(|stage| (stage, replay.exchange(stage))).collect();
            let open = exchanges.iter().filter(|(_, exchange)| *exchange == Exchange::Open);
            let open: Vec<StageId> = open.map(|(stage, _)| *stage).collect();
            if !open.is_empty() {
                lost.push((*number, open));
            } else if exchanges.iter().any(|(_, exchange)| *exchange == Exchange::Over) {
                kept.push((replay.header.request, replay.stage));
            }
        }
        for (number, stages) in lost {
            let message = format!("worker {} lost {peer} while both worked on this request", self.seat);
            self.close_early(now_us, number, lost_fault(&self.plan, &stages, &message), actions);
        }
        actions.push(WorkerAction::Parted { peer, kept });
    }

    /// Gives everything back. Nobody waits to hear what closed: to the coordinator, all of it has.
    fn forsaken(&mut self, now_us: u64, actions: &mut Vec<WorkerAction>) {
        self.is_forsaken = true;
        self.numbers.clear();
        self.deadlines.clear();
        for (_, replay) in std::mem::take(&mut self.replays) {
            let mut scope = Scope::new(&self.plan, now_us, &mut self.ledger, &mut self.calls, actions);
            replay.abandon(&mut scope);
        }
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
