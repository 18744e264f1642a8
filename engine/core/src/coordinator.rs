//! The coordinator: looks recordings up, admits requests, chooses replicas, and sends one message
//! to each stage that takes an input. No step of a replay returns here; it hears of a request
//! again only when a stage's replay is over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use corn_plan::ids::Id;
use corn_plan::{RecordingId, Signature, StageId, Step, Verified, WorkerId};

use crate::datum::Datum;
use crate::fault::{Blame, Fault};
use crate::intake;
use crate::look_up::{self, Routes};
use crate::message::{CoordinatorAction, CoordinatorEvent, Header, RequestId, Seat, Submission};

/// Requests that may wait for admission, for each one that may be in flight.
const WAITING_PER_INFLIGHT: usize = 4;

/// The coordinator's state.
#[derive(Debug)]
pub struct Coordinator {
    plan: Arc<Verified>,
    routes: Routes,
    flights: BTreeMap<RequestId, Flight>,
    waiting: VecDeque<Submission>,
    deadlines: BTreeSet<(u64, RequestId)>,
    /// Replays under way on each worker.
    load: Vec<u32>,
    /// The epoch of each worker that is ready.
    ready: Vec<Option<u32>>,
}

/// A request in flight.
#[derive(Debug)]
struct Flight {
    replicas: Arc<[Seat]>,
    deadline_us: Option<u64>,
    /// Stages whose replay is not over yet.
    open: BTreeSet<StageId>,
    failed: bool,
}

impl Coordinator {
    /// A coordinator of `plan` with nothing in flight.
    pub fn new(plan: Arc<Verified>) -> Self {
        let routes = Routes::new(plan.plan());
        let load = vec![0; plan.plan().workers.len()];
        let ready = vec![None; plan.plan().workers.len()];
        Self {
            plan,
            routes,
            flights: BTreeMap::new(),
            waiting: VecDeque::new(),
            deadlines: BTreeSet::new(),
            load,
            ready,
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

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// When it must be told that time has passed.
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_us, _)| *deadline_us)
    }

    /// Hears `event` at `now_us` and appends what to do to `actions`.
    pub fn handle(&mut self, now_us: u64, event: CoordinatorEvent, actions: &mut Vec<CoordinatorAction>) {
        match event {
            CoordinatorEvent::Submit(submission) => self.submit(submission, actions),
            CoordinatorEvent::Closed { request, stage, outcome } => {
                self.closed(request, stage, outcome, actions);
            }
            CoordinatorEvent::Cancel(request) => {
                self.give_up(request, &Fault::new(Blame::Cancelled, "the request was cancelled"), actions);
            }
            CoordinatorEvent::Joined(seat) => self.ready[seat.worker.index()] = Some(seat.epoch),
            CoordinatorEvent::Answered(_)
            | CoordinatorEvent::Heard(_)
            | CoordinatorEvent::Lost(_)
            | CoordinatorEvent::Drain(_) => {}
            CoordinatorEvent::Tick => {
                while let Some((deadline_us, request)) = self.deadlines.first().copied()
                    && deadline_us <= now_us
                {
                    self.deadlines.pop_first();
                    let message = "the deadline passed before the request was done";
                    self.give_up(request, &Fault::new(Blame::Deadline, message), actions);
                }
            }
        }
    }

    fn submit(&mut self, submission: Submission, actions: &mut Vec<CoordinatorAction>) {
        let request = submission.request;
        assert!(!self.flights.contains_key(&request), "the caller chooses new ids");
        let recording = &self.plan.plan().recordings[submission.recording];
        if let Err(fault) = intake::check(recording, &submission.inputs) {
            actions.push(CoordinatorAction::Failed(request, fault));
            actions.push(CoordinatorAction::Finished(request));
            return;
        }
        let inflight = self.plan.plan().inflight as usize;
        if self.waiting.is_empty() && self.flights.len() < inflight {
            self.admit(submission, actions);
        } else if self.waiting.len() < inflight * WAITING_PER_INFLIGHT {
            if let Some(deadline_us) = submission.deadline_us {
                self.deadlines.insert((deadline_us, request));
            }
            self.waiting.push_back(submission);
        } else {
            let message = format!(
                "{inflight} requests are in flight and {} wait; the plan admits no more: try again later",
                self.waiting.len()
            );
            actions.push(CoordinatorAction::Failed(request, Fault::new(Blame::Busy, message)));
            actions.push(CoordinatorAction::Finished(request));
        }
    }

    fn admit(&mut self, submission: Submission, actions: &mut Vec<CoordinatorAction>) {
        let Submission { request, recording: recording_id, inputs, deadline_us, .. } = submission;
        let plan = Arc::clone(&self.plan);
        let recording = &plan.plan().recordings[recording_id];
        let replicas = self.replicas();
        let header = Header {
            plan: plan.hash(),
            request,
            recording: recording_id,
            replicas: Arc::clone(&replicas),
            deadline_us,
        };
        let brought = intake::values(recording, &inputs);
        let mut open = BTreeSet::new();
        for program in &recording.programs {
            let stage = program.stage;
            let worker = replicas[stage.index()];
            open.insert(stage);
            self.load[worker.worker.index()] += 1;
            let taken = program.steps.iter().filter_map(|step| match step {
                Step::Input { value } => brought.get(value).map(|datum| (*value, datum.clone())),
                _ => None,
            });
            let inputs: Vec<_> = taken.collect();
            let receives = program.steps.iter().any(|step| matches!(step, Step::Recv { .. }));
            // A stage that only receives opens with its first hand-over.
            if !inputs.is_empty() || !receives {
                actions.push(CoordinatorAction::Open { worker, header: header.clone(), stage, inputs });
            }
        }
        if let Some(deadline_us) = deadline_us {
            self.deadlines.insert((deadline_us, request));
        }
        self.flights.insert(request, Flight { replicas, deadline_us, open, failed: false });
    }

    /// For each stage the least loaded of its replicas; among equals one that this request uses
    /// already, so that hand-overs stay on a worker.
    fn replicas(&self) -> Arc<[Seat]> {
        let mut chosen: Vec<Seat> = Vec::new();
        for stage in &self.plan.plan().stages {
            let seat =
                |worker: &WorkerId| Seat { worker: *worker, epoch: self.ready[worker.index()].unwrap_or(0) };
            let cost = |seat: &Seat| (self.load[seat.worker.index()], !chosen.contains(seat), seat.worker);
            let best = stage.replicas.iter().map(seat).min_by_key(cost);
            chosen.push(best.expect("a verified stage has a replica"));
        }
        chosen.into()
    }

    fn closed(
        &mut self,
        request: RequestId,
        stage: StageId,
        outcome: Result<(), Fault>,
        actions: &mut Vec<CoordinatorAction>,
    ) {
        let Some(flight) = self.flights.get_mut(&request) else { return };
        if !flight.open.remove(&stage) {
            return;
        }
        self.load[flight.replicas[stage.index()].worker.index()] -= 1;
        if let Err(fault) = outcome {
            self.fail(request, &fault, actions);
        }
        let flight = &self.flights[&request];
        if flight.open.is_empty() {
            if let Some(deadline_us) = flight.deadline_us {
                self.deadlines.remove(&(deadline_us, request));
            }
            self.flights.remove(&request);
            actions.push(CoordinatorAction::Finished(request));
            while self.flights.len() < self.plan.plan().inflight as usize
                && let Some(next) = self.waiting.pop_front()
            {
                self.admit(next, actions);
            }
        }
    }

    fn give_up(&mut self, request: RequestId, fault: &Fault, actions: &mut Vec<CoordinatorAction>) {
        if let Some(place) = self.waiting.iter().position(|waiting| waiting.request == request) {
            if let Some(deadline_us) = self.waiting.remove(place).and_then(|waiting| waiting.deadline_us) {
                self.deadlines.remove(&(deadline_us, request));
            }
            actions.push(CoordinatorAction::Failed(request, fault.clone()));
            actions.push(CoordinatorAction::Finished(request));
        } else if self.flights.contains_key(&request) {
            self.fail(request, fault, actions);
        }
    }

    /// The client hears of the first failure; every stage that is still open is told to give up.
    fn fail(&mut self, request: RequestId, fault: &Fault, actions: &mut Vec<CoordinatorAction>) {
        let Some(flight) = self.flights.get_mut(&request) else { return };
        if std::mem::replace(&mut flight.failed, true) {
            return;
        }
        actions.push(CoordinatorAction::Failed(request, fault.clone()));
        for stage in &flight.open {
            let worker = flight.replicas[stage.index()];
            actions.push(CoordinatorAction::Cancel { worker, request, stage: *stage, fault: fault.clone() });
        }
    }
}
