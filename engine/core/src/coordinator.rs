//! The coordinator: looks recordings up, admits requests, chooses replicas, and sends one message
//! to each stage that takes an input. No step of a replay returns here; it hears of a request
//! again only when a stage's replay is over.
//!
//! It holds the inputs of a request until its answer has begun. If a worker is lost before that, the stages that
//! are left are given up, and when all are closed, so that nothing is held twice, the request is replayed on
//! workers that are ready. After that a lost worker ends the request with a fault that names what was lost.

mod beginnings;
mod intake;
mod queue;
mod roster;
mod shares;
mod stalled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corn_plan::ids::Id;
use corn_plan::{RecordingId, Signature, StageId, Verified, WorkerId};

use crate::coordinator::beginnings::Reading;
use crate::coordinator::intake::{Ask, Before, Part, check, parts};
use crate::coordinator::queue::Queue;
use crate::coordinator::roster::{Roster, Silence};
use crate::coordinator::shares::Shares;
use crate::coordinator::stalled::{Stall, Stalled};
use crate::datum::Datum;
use crate::fault::{Blame, Fault};
use crate::look_up::{self, Routes};
use crate::message::{CoordinatorAction, CoordinatorEvent, Header, RequestId, Seat, Submission};

pub use crate::coordinator::roster::Patience;

/// Requests that may wait for admission, for each one that may be in flight.
const WAITING_PER_INFLIGHT: usize = 4;

/// How often a request is tried in all. Whoever loses three workers in a row is not helped by a fourth.
const ATTEMPTS: u32 = 3;

/// The coordinator's state.
#[derive(Debug)]
pub struct Coordinator {
    plan: Arc<Verified>,
    routes: Routes,
    /// By recording, then one for each stage that takes part.
    parts: Vec<Vec<Part>>,
    flights: BTreeMap<u64, Flight>,
    shares: Shares,
    waiting: Queue,
    stalled: Stalled,
    deadlines: BTreeSet<(u64, u64)>,
    roster: Roster,
    /// Workers (first) that were asked what goes on in spite of a broken link to another (second).
    asked: BTreeSet<(Seat, Seat)>,
}

/// A request in flight.
#[derive(Debug)]
struct Flight {
    ask: Ask,
    replicas: Arc<[Seat]>,
    /// Stages whose replay is not over yet.
    open: BTreeSet<StageId>,
    /// What its stages read and remember, until they have.
    readings: Vec<Reading>,
    course: Course,
    /// Whether a piece of the answer has reached the client.
    is_answered: bool,
    /// What made the coordinator replay it, the last time.
    loss: Option<Fault>,
    /// Workers that could not reach each other.
    avoided: Vec<WorkerId>,
}

/// Where a request in flight is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// To its answer.
    On,
    /// To its next attempt, when everything of this one is closed.
    Again,
    /// To its end: its client has the fault.
    Failed,
}

impl Coordinator {
    /// A coordinator of `plan` with nothing in flight and no worker ready.
    ///
    /// Workers that are silent for longer than `patience` are given up; without it, only those that are said to
    /// be [lost](CoordinatorEvent::Lost).
    pub fn new(plan: Arc<Verified>, patience: Option<Patience>) -> Self {
        Self {
            routes: Routes::new(plan.plan()),
            parts: parts(plan.plan()),
            flights: BTreeMap::new(),
            shares: Shares::new(plan.plan()),
            waiting: Queue::default(),
            stalled: Stalled::default(),
            deadlines: BTreeSet::new(),
            roster: Roster::new(plan.plan(), patience),
            asked: BTreeSet::new(),
            plan,
        }
    }

    /// What a recording is looked up by for a request that brings `inputs` and asks for `outputs` of `graph`: what of
    /// it decides, be it a word, a truth value or kinds of media.
    pub fn signature(&self, graph: &str, inputs: &[(String, Datum)], outputs: &[String]) -> Signature {
        look_up::signature(self.plan.plan(), graph, inputs, outputs)
    }

    /// The recording for what a request brings and asks for. What decides and is not named is as it is by default.
    pub fn look_up(&self, signature: &Signature) -> Result<RecordingId, Fault> {
        self.routes.look_up(self.plan.plan(), signature)
    }

    /// Whether some worker could begin with every stage of `recording` now.
    pub fn is_ready(&self, recording: RecordingId) -> bool {
        self.roster.lacking(self.plan.plan(), &self.parts[recording.index()]).is_none()
    }

    /// The components of a stage of `recording` with which no worker could begin now, if there is one.
    pub fn lacking(&self, recording: RecordingId) -> Option<String> {
        let stage = self.roster.lacking(self.plan.plan(), &self.parts[recording.index()])?;
        Some(components(&self.plan, &[stage]))
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Requests that wait, for admission or for a worker to come back.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.stalled.len()
    }

    /// The seat for a worker that connects now: its next life. It gets replays once it has
    /// [joined](CoordinatorEvent::Joined) with it. The worker may know of lives that this coordinator never saw:
    /// epochs below `over` are over.
    pub fn welcome(&mut self, worker: WorkerId, over: u32) -> Seat {
        self.roster.welcome(worker, over)
    }

    /// When it must be told that time has passed.
    pub fn next_deadline_us(&self) -> Option<u64> {
        let deadline_us = self.deadlines.first().map(|(deadline_us, _)| *deadline_us);
        deadline_us.into_iter().chain(self.roster.next_due_us()).chain(self.stalled.next_due_us()).min()
    }

    /// Hears `event` at `now_us` and appends what to do to `actions`.
    pub fn handle(&mut self, now_us: u64, event: CoordinatorEvent, actions: &mut Vec<CoordinatorAction>) {
        match event {
            CoordinatorEvent::Submit(submission) => self.submit(now_us, &submission, actions),
            CoordinatorEvent::Closed { request, stage, outcome } => {
                self.closed(now_us, request, stage, outcome, actions);
            }
            CoordinatorEvent::Answered(request) => self.answered(request, actions),
            CoordinatorEvent::Cancel(request) => {
                let fault = Fault::new(Blame::Cancelled, "the request was cancelled");
                self.give_up(request.number, &fault, actions);
            }
            CoordinatorEvent::Joined(seat) => self.joined(now_us, seat, actions),
            CoordinatorEvent::Heard(seat) => self.heard(now_us, seat),
            CoordinatorEvent::Lost(seat) => self.lost(now_us, seat, actions),
            CoordinatorEvent::Parted { worker, peer, kept } => {
                self.parted(now_us, worker, peer, &kept, actions);
            }
            CoordinatorEvent::Drain(worker) => {
                if self.roster.drain(worker) {
                    actions.push(CoordinatorAction::Drained(worker));
                }
                self.stall_waiting(now_us, actions);
            }
            CoordinatorEvent::Tick => self.tick(now_us, actions),
        }
        while self.flights.len() < self.plan.plan().inflight as usize
            && let Some(next) = self.waiting.pop(|share| self.shares.has_room(share))
        {
            self.admit(now_us, next, actions);
        }
    }

    fn tick(&mut self, now_us: u64, actions: &mut Vec<CoordinatorAction>) {
        while let Some((deadline_us, number)) = self.deadlines.first().copied()
            && deadline_us <= now_us
        {
            self.deadlines.pop_first();
            self.give_up(number, &deadline_passed(), actions);
        }
        while let Some(stall) = self.stalled.remove_due(now_us) {
            self.stall(now_us, stall.ask, actions);
        }
        while let Some(silence) = self.roster.silence(now_us) {
            match silence {
                Silence::Suspect => self.stall_waiting(now_us, actions),
                Silence::Eject(seat) => {
                    actions.push(CoordinatorAction::Eject(seat));
                    self.lost(now_us, seat, actions);
                }
            }
        }
    }

    fn submit(&mut self, now_us: u64, submission: &Submission, actions: &mut Vec<CoordinatorAction>) {
        let request = submission.request;
        let is_known = self.waiting.contains(request.number) || self.stalled.contains(request.number);
        let is_new = !self.flights.contains_key(&request.number) && !is_known;
        assert!(is_new, "the caller chooses new ids");
        let ask = match check(now_us, &self.plan.plan().recordings[submission.recording], submission) {
            Ok(ask) => ask,
            Err(fault) => return refuse(request, fault, actions),
        };
        // Who waits, waits for another share or for room in all, since whoever could be admitted has been.
        let share = self.shares.of(ask.recording);
        let is_ready = self.is_ready(ask.recording);
        let has_room = self.flights.len() < self.plan.plan().inflight as usize;
        let is_free = is_ready && self.shares.has_room(share) && has_room;
        let waiting = self.waiting.len_of(share) + self.stalled.len_of(share);
        if let Err(fault) = self.shares.check(share, waiting, is_free) {
            return refuse(request, fault, actions);
        }
        if let Some(deadline_us) = ask.deadline_us {
            self.deadlines.insert((deadline_us, request.number));
        }
        if is_free {
            self.admit(now_us, ask, actions);
        } else if is_ready {
            self.waiting.push(share, ask);
        } else {
            self.stall(now_us, ask, actions);
        }
    }

    /// A request that needs a stage which nobody would take waits for a while, and is refused if that is over.
    fn stall(&mut self, now_us: u64, ask: Ask, actions: &mut Vec<CoordinatorAction>) {
        let share = self.shares.of(ask.recording);
        let Some(stage) = self.roster.lacking(self.plan.plan(), &self.parts[ask.recording.index()]) else {
            return self.waiting.push(share, ask);
        };
        let until_us = self.roster.waits_until_us(stage);
        if until_us <= now_us {
            self.forget_deadline(&ask);
            return refuse(ask.request, self.unavailable(stage), actions);
        }
        self.stalled.push(Stall { ask, share, until_us });
    }

    /// Begins a request's first attempt, or its next one if it had to wait for that.
    fn admit(&mut self, now_us: u64, mut ask: Ask, actions: &mut Vec<CoordinatorAction>) {
        let parts = &self.parts[ask.recording.index()];
        let avoided = ask.before.as_ref().map_or(&[][..], |before| &before.avoided);
        let readings = beginnings::readings(parts, &ask.inputs);
        let Ok(replicas) = self.roster.choose(now_us, self.plan.plan(), parts, &readings, avoided) else {
            return self.stall(now_us, ask, actions);
        };
        if ask.before.is_some() {
            ask.request = ask.request.next();
            actions.push(CoordinatorAction::Again(ask.request));
        }
        let (loss, avoided) = ask.before.take().map(|before| (before.loss, before.avoided)).unzip();
        let number = ask.request.number;
        self.shares.begin(ask.recording);
        let flight = Flight {
            ask,
            replicas,
            open: BTreeSet::new(),
            readings,
            course: Course::On,
            is_answered: false,
            loss,
            avoided: avoided.unwrap_or_default(),
        };
        self.flights.insert(number, flight);
        self.open(number, actions);
    }

    /// Opens the stages of an attempt whose replicas are chosen.
    fn open(&mut self, number: u64, actions: &mut Vec<CoordinatorAction>) {
        let flight = self.flights.get_mut(&number).expect("it was admitted");
        let ask = &flight.ask;
        let header = Header {
            plan: self.plan.hash(),
            request: ask.request,
            recording: ask.recording,
            replicas: Arc::clone(&flight.replicas),
            deadline_us: ask.deadline_us,
            is_traced: ask.is_traced,
        };
        for part in &self.parts[ask.recording.index()] {
            let worker = flight.replicas[part.stage.index()];
            flight.open.insert(part.stage);
            self.roster.load(worker.worker);
            if part.is_opened {
                let inputs = part.inputs.iter().map(|value| (*value, ask.inputs[value].clone()));
                let (header, stage) = (header.clone(), part.stage);
                actions.push(CoordinatorAction::Open { worker, header, stage, inputs: inputs.collect() });
            }
        }
    }

    fn closed(
        &mut self,
        now_us: u64,
        request: RequestId,
        stage: StageId,
        outcome: Result<(), Fault>,
        actions: &mut Vec<CoordinatorAction>,
    ) {
        let Some(flight) = self.flights.get_mut(&request.number) else { return };
        if flight.ask.request != request || !flight.open.remove(&stage) {
            return;
        }
        let (seat, is_again) = (flight.replicas[stage.index()], flight.course == Course::Again);
        self.heard(now_us, seat);
        if self.roster.unload(seat.worker) {
            actions.push(CoordinatorAction::Drained(seat.worker));
        }
        match outcome {
            Ok(()) => {}
            Err(fault) if fault.blame == Blame::Lost => self.part(now_us, request.number, fault, actions),
            // On the way to the next attempt, what else went wrong with this one is of no account.
            Err(_) if is_again => {}
            Err(fault) => self.fail(request.number, &fault, actions),
        }
        self.settle(now_us, request.number, actions);
    }

    fn answered(&mut self, request: RequestId, actions: &mut Vec<CoordinatorAction>) {
        let waits = self.stalled.remove(request.number).map(|stall| stall.ask);
        if let Some(ask) = waits.or_else(|| self.waiting.remove(request.number)) {
            // It waits for its next attempt, which it cannot have any more.
            self.forget_deadline(&ask);
            let loss = ask.before.map_or_else(Fault::cut_short, |before| before.loss);
            return refuse(ask.request, loss, actions);
        }
        let Some(flight) = self.flights.get_mut(&request.number) else { return };
        flight.is_answered = true;
        // They were held to replay it.
        flight.ask.inputs = BTreeMap::new();
        let is_late = flight.ask.request != request || flight.course == Course::Again;
        if !is_late {
            self.roster.note_read(&flight.replicas, &std::mem::take(&mut flight.readings));
        }
        if is_late && let Some(loss) = flight.loss.clone() {
            self.fail(request.number, &loss, actions);
        }
    }

    fn joined(&mut self, now_us: u64, seat: Seat, actions: &mut Vec<CoordinatorAction>) {
        if !self.roster.may_join(seat) {
            return;
        }
        if let Some(known) = self.roster.seat(seat.worker) {
            self.lost(now_us, known, actions);
        }
        self.roster.join(now_us, seat);
        self.resume(now_us);
    }

    fn heard(&mut self, now_us: u64, seat: Seat) {
        if self.roster.heard(now_us, seat) {
            self.resume(now_us);
        }
    }

    /// Someone takes replays again: whoever waits for that waits for admission now.
    fn resume(&mut self, now_us: u64) {
        self.roster.note_lacking(now_us, self.plan.plan());
        let Self { plan, roster, parts, stalled, waiting, .. } = self;
        let is_ready =
            |recording: RecordingId| roster.lacking(plan.plan(), &parts[recording.index()]).is_none();
        for Stall { ask, share, .. } in stalled.remove_ready(is_ready) {
            waiting.push(share, ask);
        }
    }

    fn lost(&mut self, now_us: u64, seat: Seat, actions: &mut Vec<CoordinatorAction>) {
        if !self.roster.leave(seat) {
            return;
        }
        self.roster.note_lacking(now_us, self.plan.plan());
        self.asked.retain(|(worker, peer)| *worker != seat && *peer != seat);
        let others = self.roster.seats();
        actions.extend(others.map(|worker| CoordinatorAction::PeerLost { worker, peer: seat }));
        let numbers: Vec<u64> = self.flights.keys().copied().collect();
        for number in numbers {
            let Some(flight) = self.flights.get_mut(&number) else { continue };
            let here = |stage: &StageId| flight.replicas[stage.index()] == seat;
            let stages: Vec<StageId> = flight.open.iter().copied().filter(here).collect();
            if !stages.is_empty() {
                flight.open.retain(|stage| !stages.contains(stage));
                let message = format!("worker {seat} was lost while it worked on this request");
                let fault = lost_fault(&self.plan, &stages, &message);
                self.interrupt(now_us, number, fault, actions);
                self.settle(now_us, number, actions);
            }
        }
        self.stall_waiting(now_us, actions);
    }

    /// A link between two workers broke. The one that tells has closed what it knows to be incomplete. What it
    /// does not know of, since the message that would have opened it was lost, is given up from here; and the
    /// other is asked the same, for it may not have noticed.
    fn parted(
        &mut self,
        now_us: u64,
        worker: Seat,
        peer: Seat,
        kept: &[(RequestId, StageId)],
        actions: &mut Vec<CoordinatorAction>,
    ) {
        self.heard(now_us, worker);
        let is_answer = self.asked.remove(&(worker, peer));
        let both_live = [worker, peer].iter().all(|seat| self.roster.seat(seat.worker) == Some(*seat));
        if both_live {
            self.roster.part(now_us, worker.worker, peer.worker);
        }
        let kept: BTreeSet<(RequestId, StageId)> = kept.iter().copied().collect();
        let numbers: Vec<u64> = self.flights.keys().copied().collect();
        for number in numbers {
            let flight = &self.flights[&number];
            let with_peer = |part: &&Part| {
                flight.replicas[part.stage.index()] == worker
                    && part.peers.iter().any(|stage| flight.replicas[stage.index()] == peer)
            };
            let parts = self.parts[flight.ask.recording.index()].iter().filter(with_peer);
            let stages = parts.map(|part| part.stage);
            let lost = stages
                .filter(|stage| flight.open.contains(stage) && !kept.contains(&(flight.ask.request, *stage)));
            let lost: Vec<StageId> = lost.collect();
            if !lost.is_empty() {
                let message = format!("worker {worker} lost {peer} while both worked on this request");
                let fault = lost_fault(&self.plan, &lost, &message);
                self.part(now_us, number, fault, actions);
                self.settle(now_us, number, actions);
            }
        }
        if both_live && !is_answer && self.asked.insert((peer, worker)) {
            actions.push(CoordinatorAction::PeerLost { worker: peer, peer: worker });
        }
    }

    /// Two workers of a request cannot reach each other: its next attempt keeps away from both.
    fn part(&mut self, now_us: u64, number: u64, fault: Fault, actions: &mut Vec<CoordinatorAction>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let parts = self.parts[flight.ask.recording.index()].iter().filter(|part| !part.peers.is_empty());
        flight.avoided = parts.map(|part| flight.replicas[part.stage.index()].worker).collect();
        self.interrupt(now_us, number, fault, actions);
    }

    /// An attempt cannot come to its end: the request goes on to the next one if it may, and fails if not.
    fn interrupt(&mut self, now_us: u64, number: u64, fault: Fault, actions: &mut Vec<CoordinatorAction>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        if flight.course != Course::On {
            return;
        }
        let ask = &flight.ask;
        if ask.deadline_us.is_some_and(|deadline_us| deadline_us <= now_us) {
            self.fail(number, &deadline_passed(), actions);
        } else if flight.is_answered || ask.request.attempt + 1 >= ATTEMPTS {
            self.fail(number, &fault, actions);
        } else {
            flight.course = Course::Again;
            cancel_open(flight, &fault, actions);
            flight.loss = Some(fault);
        }
    }

    /// A request of which every stage is closed goes where it is going.
    fn settle(&mut self, now_us: u64, number: u64, actions: &mut Vec<CoordinatorAction>) {
        let Some(flight) = self.flights.get_mut(&number).filter(|flight| flight.open.is_empty()) else {
            return;
        };
        if flight.course == Course::Again {
            let parts = &self.parts[flight.ask.recording.index()];
            match self.roster.choose(now_us, self.plan.plan(), parts, &flight.readings, &flight.avoided) {
                Ok(replicas) => {
                    flight.course = Course::On;
                    flight.replicas = replicas;
                    flight.ask.request = flight.ask.request.next();
                    actions.push(CoordinatorAction::Again(flight.ask.request));
                    return self.open(number, actions);
                }
                Err(_) => return self.stall_flight(now_us, number, actions),
            }
        }
        if let Some(flight) = self.flights.remove(&number) {
            self.forget_deadline(&flight.ask);
            self.shares.end(flight.ask.recording);
            actions.push(CoordinatorAction::Finished(flight.ask.request));
        }
    }

    /// A request whose next attempt nobody could begin with leaves the flights and waits.
    fn stall_flight(&mut self, now_us: u64, number: u64, actions: &mut Vec<CoordinatorAction>) {
        let Some(Flight { mut ask, loss, avoided, .. }) = self.flights.remove(&number) else { return };
        self.shares.end(ask.recording);
        ask.before = Some(Before { loss: loss.unwrap_or_else(Fault::cut_short), avoided });
        self.stall(now_us, ask, actions);
    }

    fn give_up(&mut self, number: u64, fault: &Fault, actions: &mut Vec<CoordinatorAction>) {
        let stalled = || self.stalled.remove(number).map(|stall| stall.ask);
        if let Some(ask) = self.waiting.remove(number).or_else(stalled) {
            self.forget_deadline(&ask);
            refuse(ask.request, fault.clone(), actions);
        } else {
            self.fail(number, fault, actions);
        }
    }

    /// The client hears of the first failure; every stage that is still open is told to give up.
    fn fail(&mut self, number: u64, fault: &Fault, actions: &mut Vec<CoordinatorAction>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        match std::mem::replace(&mut flight.course, Course::Failed) {
            Course::Failed => {}
            // The stages were told already.
            Course::Again => actions.push(CoordinatorAction::Failed(flight.ask.request, fault.clone())),
            Course::On => {
                actions.push(CoordinatorAction::Failed(flight.ask.request, fault.clone()));
                cancel_open(flight, fault, actions);
            }
        }
    }

    /// Who would take what has changed: requests that wait for admission to a stage that nobody would take wait for that
    /// instead.
    fn stall_waiting(&mut self, now_us: u64, actions: &mut Vec<CoordinatorAction>) {
        self.roster.note_lacking(now_us, self.plan.plan());
        let recordings = self.plan.plan().recordings.ids();
        let recordings: Vec<RecordingId> =
            recordings.filter(|recording| !self.is_ready(*recording)).collect();
        for ask in self.waiting.remove_all(&recordings) {
            self.stall(now_us, ask, actions);
        }
    }

    fn forget_deadline(&mut self, ask: &Ask) {
        if let Some(deadline_us) = ask.deadline_us {
            self.deadlines.remove(&(deadline_us, ask.request.number));
        }
    }

    fn unavailable(&self, stage: StageId) -> Fault {
        let message = "no worker that has it is ready: try again later";
        Fault::new(Blame::Unavailable, message).in_component(components(&self.plan, &[stage]))
    }
}

fn refuse(request: RequestId, fault: Fault, actions: &mut Vec<CoordinatorAction>) {
    actions.push(CoordinatorAction::Failed(request, fault));
    actions.push(CoordinatorAction::Finished(request));
}

fn cancel_open(flight: &Flight, fault: &Fault, actions: &mut Vec<CoordinatorAction>) {
    let request = flight.ask.request;
    actions.extend(flight.open.iter().map(|stage| {
        let (worker, fault) = (flight.replicas[stage.index()], fault.clone());
        CoordinatorAction::Cancel { worker, request, stage: *stage, fault }
    }));
}

fn deadline_passed() -> Fault {
    Fault::new(Blame::Deadline, "the deadline passed before the request was done")
}

/// The names of the components of `stages`.
pub(crate) fn components(plan: &Verified, stages: &[StageId]) -> String {
    let components = stages.iter().flat_map(|stage| &plan.plan().stages[*stage].components);
    let names: Vec<&str> =
        components.map(|component| plan.plan().components[*component].name.as_str()).collect();
    names.join(", ")
}

/// Work on `stages` was lost: `message` says how.
pub(crate) fn lost_fault(plan: &Verified, stages: &[StageId], message: &str) -> Fault {
    let message = format!("{message}; asking again can succeed");
    Fault::new(Blame::Lost, message).in_component(components(plan, stages))
}
