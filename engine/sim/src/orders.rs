//! A whole cluster without time: a seed decides who is heard next.
//!
//! Messages between any two keep their order; nothing else does. So many seeds see many orders of events, those too
//! that no latency would bring about, and a test can stop between any two of them. Nothing goes wrong here but what
//! requests do themselves: [`Simulation`](crate::Simulation) has mishaps, and time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corn_core::executor::{Executor, Turn};
use corn_core::message::{
    CallTrace, CoordinatorAction, CoordinatorEvent, Priority, RequestId, Seat, Submission, WorkerAction,
    WorkerEvent,
};
use corn_core::{Coordinator, Datum, Fault, Worker};
use corn_plan::{ComponentId, RecordingId, StageId, ValueId, Verified, WorkerId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::models;

/// A worker's first life.
fn seat(worker: WorkerId) -> Seat {
    Seat { worker, epoch: 0 }
}

/// Who may be heard next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Party {
    Coordinator,
    Worker(usize),
    Executor(usize, ComponentId),
    Client(RequestId),
}

enum Message {
    Coordinator(CoordinatorEvent),
    Worker(WorkerEvent),
    Executor(Command),
    Client(ClientEvent),
}

/// Something an executor is told.
type Command = Box<dyn FnOnce(&mut dyn Executor) + Send>;

enum ClientEvent {
    Output { worker: usize, stage: StageId, value: ValueId, item: Option<Datum> },
    Failed(Fault),
    Finished,
}

/// What a client has seen of its request.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// The items of each output.
    pub items: BTreeMap<ValueId, Vec<Datum>>,
    /// The outputs that have ended, in order.
    pub ended: Vec<ValueId>,
    /// The fault it ended with.
    pub failed: Option<Fault>,
    /// Whether it is over everywhere.
    pub finished: bool,
}

/// A cluster of which one party at a time acts.
pub struct Cluster {
    /// What is replayed.
    pub plan: Arc<Verified>,
    /// The coordinator.
    pub coordinator: Coordinator,
    /// The workers, in order of their ids.
    pub workers: Vec<Worker>,
    executors: BTreeMap<(usize, ComponentId), (Box<dyn Executor>, Turn)>,
    channels: BTreeMap<(Party, Party), VecDeque<Message>>,
    /// What the client of each request has seen.
    pub clients: BTreeMap<RequestId, Seen>,
    /// Clients that take nothing until told otherwise.
    pub paused: Vec<RequestId>,
    /// What clients got and what started, in order.
    pub log: Vec<String>,
    /// A trace of each call that has ended.
    pub traces: Vec<CallTrace>,
    /// Messages between workers and coordinator, by kind.
    pub messages: BTreeMap<&'static str, u64>,
    /// The time that everyone is told.
    pub now_us: u64,
    rng: ChaCha8Rng,
}

impl Cluster {
    /// A cluster of `plan` with every worker ready.
    pub fn new(plan: &Arc<Verified>, seed: u64) -> Self {
        let mut executors = BTreeMap::new();
        for stage in &plan.plan().stages {
            for worker in &stage.replicas {
                for component in &stage.components {
                    let loaded = models::load(&plan.plan().components[*component]);
                    executors.insert((worker.0 as usize, *component), (loaded, Turn::Idle));
                }
            }
        }
        let mut coordinator = Coordinator::new(Arc::clone(plan), None);
        for worker in plan.plan().workers.ids() {
            coordinator.handle(0, CoordinatorEvent::Joined(seat(worker)), &mut Vec::new());
        }
        Self {
            plan: Arc::clone(plan),
            coordinator,
            workers: plan.plan().workers.ids().map(|id| Worker::new(seat(id), Arc::clone(plan))).collect(),
            executors,
            channels: BTreeMap::new(),
            clients: BTreeMap::new(),
            paused: Vec::new(),
            log: Vec::new(),
            traces: Vec::new(),
            messages: BTreeMap::new(),
            now_us: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A client asks.
    pub fn submit(
        &mut self,
        request: u64,
        recording: u32,
        inputs: &[(&str, Datum)],
        deadline_us: Option<u64>,
    ) {
        let request = RequestId::first(request);
        self.clients.insert(request, Seen::default());
        let inputs = inputs.iter().map(|(name, datum)| ((*name).to_owned(), datum.clone())).collect();
        let recording = RecordingId(recording);
        let submission = Submission {
            request,
            recording,
            inputs,
            deadline_us,
            priority: Priority::Normal,
            is_traced: true,
        };
        self.tell_coordinator(Party::Client(request), CoordinatorEvent::Submit(submission));
    }

    /// A client goes away.
    pub fn cancel(&mut self, request: u64) {
        let request = RequestId::first(request);
        self.tell_coordinator(Party::Client(request), CoordinatorEvent::Cancel(request));
    }

    fn tell_coordinator(&mut self, from: Party, event: CoordinatorEvent) {
        self.send(from, Party::Coordinator, Message::Coordinator(event));
    }

    fn send(&mut self, from: Party, to: Party, message: Message) {
        self.channels.entry((from, to)).or_default().push_back(message);
    }

    /// Lets one party act. False when nobody has anything to do.
    pub fn step(&mut self) -> bool {
        let paused = &self.paused;
        let is_paused = |party: &Party| matches!(party, Party::Client(request) if paused.contains(request));
        let channels = self.channels.iter().filter(|((_, to), queue)| !queue.is_empty() && !is_paused(to));
        let channels: Vec<(Party, Party)> = channels.map(|(key, _)| *key).collect();
        // One that waits for company may find at any time that it has waited long enough.
        let busy = self.executors.iter().filter(|(_, (_, turn))| *turn != Turn::Idle);
        let busy: Vec<(usize, ComponentId)> = busy.map(|(key, _)| *key).collect();
        if channels.len() + busy.len() == 0 {
            return false;
        }
        self.now_us += 1;
        let choice = self.rng.random_range(0..channels.len() + busy.len());
        if let Some(key) = channels.get(choice) {
            let message = self.channels.get_mut(key).and_then(VecDeque::pop_front).expect("it is not empty");
            self.deliver(key.1, message);
        } else {
            self.advance(busy[choice - channels.len()]);
        }
        true
    }

    /// Lets parties act until nobody has anything to do.
    ///
    /// # Panics
    /// If that never comes.
    pub fn run(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "the cluster never comes to rest");
        }
    }

    /// Tells everyone that it is `now_us`.
    pub fn tick(&mut self, now_us: u64) {
        self.now_us = now_us;
        self.deliver(Party::Coordinator, Message::Coordinator(CoordinatorEvent::Tick));
        for worker in 0..self.workers.len() {
            self.deliver(Party::Worker(worker), Message::Worker(WorkerEvent::Tick));
        }
    }

    fn advance(&mut self, key: (usize, ComponentId)) {
        let (executor, turn) = self.executors.get_mut(&key).expect("it was busy");
        if let Turn::Until(us) = turn {
            self.now_us = self.now_us.max(*us);
        }
        let mut reports = Vec::new();
        *turn = executor.advance(self.now_us, &mut |report| reports.push(report));
        for report in reports {
            self.send(
                Party::Executor(key.0, key.1),
                Party::Worker(key.0),
                Message::Worker(WorkerEvent::Report(key.1, report)),
            );
        }
    }

    fn deliver(&mut self, to: Party, message: Message) {
        match (to, message) {
            (Party::Coordinator, Message::Coordinator(event)) => {
                let mut actions = Vec::new();
                self.coordinator.handle(self.now_us, event, &mut actions);
                for action in actions {
                    self.coordinator_acts(action);
                }
            }
            (Party::Worker(worker), Message::Worker(event)) => {
                let mut actions = Vec::new();
                self.workers[worker].handle(self.now_us, event, &mut actions);
                for action in actions {
                    self.worker_acts(worker, action);
                }
            }
            (Party::Executor(worker, component), Message::Executor(command)) => {
                let (executor, turn) =
                    self.executors.get_mut(&(worker, component)).expect("a stage's worker has it");
                command(executor.as_mut());
                *turn = Turn::Busy;
            }
            (Party::Client(request), Message::Client(event)) => self.client_hears(request, event),
            _ => unreachable!("messages go to whom they are for"),
        }
    }

    fn client_hears(&mut self, request: RequestId, event: ClientEvent) {
        let seen = self.clients.get_mut(&request).expect("it has asked");
        match event {
            ClientEvent::Output { worker, stage, value, item: Some(item) } => {
                self.log.push(format!("{request} gets {value}"));
                seen.items.entry(value).or_default().push(item);
                let consumed = WorkerEvent::Consumed { request, stage, value, count: 1 };
                self.send(Party::Client(request), Party::Worker(worker), Message::Worker(consumed));
            }
            ClientEvent::Output { value, item: None, .. } => seen.ended.push(value),
            ClientEvent::Failed(fault) => {
                assert!(seen.failed.is_none(), "a request fails once");
                seen.failed = Some(fault);
            }
            ClientEvent::Finished => seen.finished = true,
        }
    }

    fn coordinator_acts(&mut self, action: CoordinatorAction) {
        let to = |seat: Seat| Party::Worker(seat.worker.0 as usize);
        match action {
            CoordinatorAction::Open { worker, header, stage, inputs } => {
                *self.messages.entry("open").or_default() += 1;
                let event = WorkerEvent::Open { header, stage, inputs };
                self.send(Party::Coordinator, to(worker), Message::Worker(event));
            }
            CoordinatorAction::Cancel { worker, request, stage, fault } => {
                let event = WorkerEvent::Cancel { request, stage, fault };
                self.send(Party::Coordinator, to(worker), Message::Worker(event));
            }
            CoordinatorAction::Again(_)
            | CoordinatorAction::Eject(_)
            | CoordinatorAction::PeerLost { .. }
            | CoordinatorAction::Drained(_) => {}
            CoordinatorAction::Failed(request, fault) => {
                let event = Message::Client(ClientEvent::Failed(fault));
                self.send(Party::Coordinator, Party::Client(request), event);
            }
            CoordinatorAction::Finished(request) => {
                self.send(Party::Coordinator, Party::Client(request), Message::Client(ClientEvent::Finished));
            }
        }
    }

    fn worker_acts(&mut self, worker: usize, action: WorkerAction) {
        let from = Party::Worker(worker);
        let executor = |component| Party::Executor(worker, component);
        let command = |command: Command| Message::Executor(command);
        match action {
            WorkerAction::Start(component, _, call) => {
                let name = &self.plan.plan().components[component].name;
                self.log.push(format!("{name} starts"));
                self.send(from, executor(component), command(Box::new(move |executor| executor.start(call))));
            }
            WorkerAction::Feed(component, call, port, item) => {
                self.send(from, executor(component), command(Box::new(move |to| to.feed(call, port, item))));
            }
            WorkerAction::End(component, call, port) => {
                self.send(from, executor(component), command(Box::new(move |to| to.end(call, port))));
            }
            WorkerAction::Grant(component, call, port, count) => {
                self.send(
                    from,
                    executor(component),
                    command(Box::new(move |to| to.grant(call, port, count))),
                );
            }
            WorkerAction::Abort(component, call) => {
                self.send(
                    from,
                    executor(component),
                    command(Box::new(move |executor| executor.cancel(call))),
                );
            }
            WorkerAction::HandOver(to, hand_over) => {
                *self.messages.entry("hand over").or_default() += 1;
                self.send(
                    from,
                    Party::Worker(to.worker.0 as usize),
                    Message::Worker(WorkerEvent::HandOver(hand_over)),
                );
            }
            WorkerAction::Output { request, stage, value, item } => {
                let event = ClientEvent::Output { worker, stage, value, item };
                self.send(from, Party::Client(request), Message::Client(event));
            }
            WorkerAction::Closed { request, stage, outcome } => {
                *self.messages.entry("closed").or_default() += 1;
                self.tell_coordinator(from, CoordinatorEvent::Closed { request, stage, outcome });
            }
            WorkerAction::Parted { .. } | WorkerAction::Used { .. } => {}
            WorkerAction::Trace(trace) => self.traces.push(trace),
        }
    }

    /// Everything was given back, and nobody waits.
    ///
    /// # Panics
    /// If that is not so.
    pub fn assert_at_rest(&self) {
        assert_eq!(self.coordinator.in_flight(), 0);
        for worker in &self.workers {
            assert!(worker.ledger().is_empty(), "{} still holds {:?}", worker.id(), worker.ledger());
            assert_eq!(worker.next_deadline_us(), None);
        }
        for (request, seen) in &self.clients {
            assert!(seen.finished, "{request} never ends");
        }
    }
}
