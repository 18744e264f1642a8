//! The simulation: events in order of time, each changing one party, which makes further events.

mod hub;
mod mishap;
mod transit;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corn_core::message::{CoordinatorEvent, RequestId, Submission};
use corn_core::{Coordinator, Patience, Worker};
use corn_plan::ids::Id;
use corn_plan::{ComponentId, Verified, WorkerId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::client::{Answer, Request};
use crate::event::Event;
use crate::log::Log;
use crate::network::{Line, Links, Network, Place};
use crate::process::{Loader, Process};

pub use mishap::Mishap;

/// How a simulated cluster is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a worker may be silent.
    pub patience: Option<Patience>,
    /// How often a worker says that it lives.
    pub heartbeat_us: u64,
    /// Its connections.
    pub network: Network,
    /// The longest it takes an end to notice that a connection is broken; chance decides for each end.
    pub notice_us: u64,
    /// The longest it takes the coordinator to hear that the first piece of an answer has reached its client.
    pub answered_us: u64,
    /// How long a process takes to load its components.
    pub load_us: u64,
    /// How long a process waits before it connects again.
    pub back_off_us: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Some(Patience { suspect_us: 300_000, eject_us: 1_000_000, wait_us: 2_000_000 }),
            heartbeat_us: 50_000,
            network: Network {
                near: Line { latency_us: 5, jitter_us: 5, bytes_per_us: 10_000 },
                far: Line { latency_us: 50, jitter_us: 20, bytes_per_us: 1_000 },
            },
            notice_us: 50_000,
            answered_us: 500,
            load_us: 10_000,
            back_off_us: 20_000,
        }
    }
}

/// A cluster in one thread.
pub struct Simulation {
    plan: Arc<Verified>,
    settings: Settings,
    load: Loader,
    now_us: u64,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    rng: ChaCha8Rng,
    coordinator: Coordinator,
    coordinator_tick_us: Option<u64>,
    /// Whether the coordinator's process stands still.
    is_paused: bool,
    /// What happens to it meanwhile.
    backlog: VecDeque<Event>,
    /// Until when something was wrong with the coordinator, and so with everyone.
    all_disturbed_us: u64,
    processes: Vec<Process>,
    links: Links,
    answers: BTreeMap<u64, Answer>,
    unfinished: usize,
    log: Log,
    /// Promises that were broken on the way.
    violations: Vec<String>,
    /// Events handled.
    handled: u64,
}

impl Simulation {
    /// A cluster of `plan` whose workers start at time 0.
    pub fn new(plan: &Arc<Verified>, settings: Settings, load: Loader, seed: u64) -> Self {
        let workers = plan.plan().workers.len();
        let mut simulation = Self {
            plan: Arc::clone(plan),
            settings,
            load,
            now_us: 0,
            events: BTreeMap::new(),
            next_event: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            coordinator: Coordinator::new(Arc::clone(plan), settings.patience),
            coordinator_tick_us: None,
            is_paused: false,
            backlog: VecDeque::new(),
            all_disturbed_us: 0,
            processes: (0..workers).map(|_| Process { slowness: 1, ..Process::default() }).collect(),
            links: Links::default(),
            answers: BTreeMap::new(),
            unfinished: 0,
            log: Log::default(),
            violations: Vec::new(),
            handled: 0,
        };
        for worker in plan.plan().workers.ids() {
            simulation.at(0, Event::Start { worker });
        }
        simulation
    }

    /// From now on every event is written down.
    pub fn keep_log(&mut self) {
        self.log.is_kept = true;
    }

    /// What was written down, and forgets it.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log.lines)
    }

    /// A client asks at `at_us`, or now if that is past. Returns the request's number.
    pub fn ask_at(&mut self, at_us: u64, request: Request) -> u64 {
        let number = self.answers.len() as u64;
        let asked_us = at_us.max(self.now_us);
        if let Some(leave_us) = request.leave_us {
            self.at(leave_us.max(asked_us), Event::Leave(number));
        }
        self.answers.insert(number, Answer::new(request, RequestId::first(number), asked_us));
        self.unfinished += 1;
        self.at(asked_us, Event::Arrive(number));
        number
    }

    /// Something goes wrong at `at_us`, or now if that is past.
    pub fn inject_at(&mut self, at_us: u64, mishap: Mishap) {
        self.at(at_us, Event::Mishap(mishap));
    }

    /// Lets everything happen until `until_us`, inclusive.
    pub fn run_until(&mut self, until_us: u64) {
        while self.events.first_key_value().is_some_and(|((at_us, _), _)| *at_us <= until_us) {
            self.step();
        }
        self.now_us = self.now_us.max(until_us);
    }

    /// Lets everything happen until every request is over. False if one is not at `limit_us`.
    pub fn run_to_rest(&mut self, limit_us: u64) -> bool {
        while self.unfinished > 0
            && self.events.first_key_value().is_some_and(|((at_us, _), _)| *at_us <= limit_us)
        {
            self.step();
        }
        self.unfinished == 0
    }

    /// The simulated time.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Until when the coordinator's process stood still, the last time that it did.
    pub fn coordinator_paused_us(&self) -> u64 {
        self.all_disturbed_us
    }

    /// Events that have happened.
    pub fn handled(&self) -> u64 {
        self.handled
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Verified> {
        &self.plan
    }

    /// The coordinator.
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// A worker, if its process runs and has been connected.
    pub fn worker(&self, worker: WorkerId) -> Option<&Worker> {
        self.processes[worker.index()].worker.as_ref()
    }

    /// How long a worker has worked on calls of a component.
    pub fn busy_us(&self, worker: WorkerId, component: ComponentId) -> u64 {
        self.processes[worker.index()].busy_us.get(&component).copied().unwrap_or(0)
    }

    /// How many calls each batch of a component on a worker had, in order.
    pub fn batches(&self, worker: WorkerId, component: ComponentId) -> &[u32] {
        self.processes[worker.index()].batches.get(&component).map_or(&[], Vec::as_slice)
    }

    /// Whether a worker's process runs.
    pub fn is_running(&self, worker: WorkerId) -> bool {
        self.processes[worker.index()].is_up
    }

    /// Whether the coordinator has heard that a worker is ready.
    pub fn is_ready(&self, worker: WorkerId) -> bool {
        self.processes[worker.index()].joined_us.is_some()
    }

    /// What each client has got, in order of the requests.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.answers.values()
    }

    /// What one client has got.
    pub fn answer(&self, number: u64) -> &Answer {
        &self.answers[&number]
    }

    /// Promises that were broken on the way; [`verdict`](crate::verdict) adds what shows at the end.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.events.insert((at_us.max(self.now_us), self.next_event), event);
        self.next_event += 1;
    }

    fn after(&mut self, wait_us: u64, event: Event) {
        self.at(self.now_us.saturating_add(wait_us), event);
    }

    fn up_to(&mut self, most_us: u64) -> u64 {
        self.rng.random_range(0..=most_us)
    }

    fn violate(&mut self, what: &str) {
        let now_us = self.now_us;
        self.log.add(now_us, || format!("VIOLATION {what}"));
        self.violations.push(format!("at {now_us} µs: {what}"));
    }

    fn step(&mut self) {
        let Some(((at_us, _), event)) = self.events.pop_first() else { return };
        self.now_us = at_us;
        self.handled += 1;
        // What was lost on the way is lost even if the process that would hear it is paused.
        if let Event::Deliver { pair, to, generation, message } = &event {
            let reaches = self
                .links
                .by_pair
                .get(pair)
                .is_some_and(|link| link.reaches(at_us, *generation, pair.side(*to)));
            if !reaches {
                self.log.add(at_us, || format!("lost on the way to {to}: {}", message.line()));
                return;
            }
        }
        if self.is_paused && is_coordinators(&event) {
            // The time is looked at when it goes on, after all that has come.
            if !matches!(event, Event::CoordinatorTick) {
                self.backlog.push_back(event);
            }
            return;
        }
        match process_of(&event) {
            Some(worker) if self.processes[worker.index()].is_paused => {
                self.processes[worker.index()].backlog.push_back(event);
            }
            _ => self.happen(event),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, message, .. } => self.delivered(to, message),
            Event::Notice { pair, place, generation } => self.noticed(pair, place, generation),
            Event::Told { place, other } => self.told(place, other),
            Event::Turn { worker, incarnation, component } => self.turn(worker, incarnation, component),
            Event::Reports { worker, incarnation, component, reports } => {
                self.reported(worker, incarnation, component, reports);
            }
            Event::CoordinatorTick => {
                if self.coordinator_tick_us == Some(self.now_us) {
                    self.coordinator_tick_us = None;
                    self.coordinator_hears(CoordinatorEvent::Tick);
                }
            }
            Event::WorkerTick { worker, incarnation } => self.worker_tick(worker, incarnation),
            Event::Beat { worker, incarnation } => self.beat(worker, incarnation),
            Event::Start { worker } => self.start(worker),
            Event::Connect { worker, incarnation } => self.connect(worker, incarnation),
            Event::ResumeCoordinator => self.resume_coordinator(),
            Event::Resume { worker, incarnation } => self.resume(worker, incarnation),
            Event::Hasten { worker, incarnation } => {
                if self.processes[worker.index()].incarnation == incarnation {
                    self.processes[worker.index()].slowness = 1;
                }
            }
            Event::Heal(one, other) => {
                self.log.add(self.now_us, || format!("{one:?} and {other:?} can reach each other"));
                self.links.heal(one, other);
            }
            Event::Arrive(number) => self.arrive(number),
            Event::Take(number) => self.take(number),
            Event::Leave(number) => {
                if self.answers[&number].finished_us.is_none() {
                    self.coordinator_hears(CoordinatorEvent::Cancel(RequestId::first(number)));
                }
            }
            Event::Answered(request) => self.coordinator_hears(CoordinatorEvent::Answered(request)),
            Event::Mishap(mishap) => self.go_wrong(mishap),
        }
    }

    fn arrive(&mut self, number: u64) {
        let Request { recording, inputs, deadline_us, priority, .. } = self.answers[&number].request.clone();
        let request = RequestId::first(number);
        let submission = Submission { request, recording, inputs, deadline_us, priority, is_traced: false };
        self.coordinator_hears(CoordinatorEvent::Submit(submission));
    }
}

/// The process that `event` happens in, if in a worker's.
fn process_of(event: &Event) -> Option<WorkerId> {
    match event {
        Event::Deliver { to: place, .. } | Event::Notice { place, .. } | Event::Told { place, .. } => {
            if let Place::Worker(seat) = place {
                Some(seat.worker)
            } else {
                None
            }
        }
        Event::Turn { worker, .. }
        | Event::Reports { worker, .. }
        | Event::WorkerTick { worker, .. }
        | Event::Beat { worker, .. }
        | Event::Connect { worker, .. } => Some(*worker),
        _ => None,
    }
}

/// Whether `event` happens in the coordinator's process.
fn is_coordinators(event: &Event) -> bool {
    match event {
        Event::Deliver { to: place, .. } | Event::Notice { place, .. } | Event::Told { place, .. } => {
            *place == Place::Hub
        }
        Event::CoordinatorTick
        | Event::Arrive(_)
        | Event::Take(_)
        | Event::Leave(_)
        | Event::Answered(_)
        | Event::Mishap(Mishap::Drain(_))
        | Event::Connect { .. } => true,
        _ => false,
    }
}
