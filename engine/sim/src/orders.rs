//! A whole cluster in one thread: coordinator, workers and executors, with a seed that decides
//! who is heard next. Messages between any two keep their order; nothing else does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod any;
pub(crate) mod toys;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corn_core::executor::{CallInput, Executor, Io, Model, Step, Taken, Turn};
use corn_core::interleaved::Interleaved;
use corn_core::message::{
    CallTrace, CoordinatorAction, CoordinatorEvent, Priority, RequestId, Seat, Submission, WorkerAction,
    WorkerEvent,
};
use corn_core::{Audio, Coordinator, Datum, Fault, Worker};
use corn_plan::{ComponentId, Plan, StageId, ValueId, Verified, WorkerId, verify};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Reads a plan of `tests/plans`.
pub(crate) fn plan(name: &str) -> Arc<Verified> {
    let path = format!("{}/tests/plans/{name}.plan", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    Arc::new(verify(Plan::parse(&text).unwrap()).unwrap())
}

/// A worker's first life.
fn seat(worker: WorkerId) -> Seat {
    Seat { worker, epoch: 0 }
}

/// Who may be heard next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Party {
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
pub(crate) struct Seen {
    pub(crate) items: BTreeMap<ValueId, Vec<Datum>>,
    pub(crate) ended: Vec<ValueId>,
    pub(crate) failed: Option<Fault>,
    pub(crate) finished: bool,
}

pub(crate) struct Cluster {
    pub(crate) plan: Arc<Verified>,
    pub(crate) coordinator: Coordinator,
    pub(crate) workers: Vec<Worker>,
    executors: BTreeMap<(usize, ComponentId), (Box<dyn Executor>, Turn)>,
    channels: BTreeMap<(Party, Party), VecDeque<Message>>,
    pub(crate) clients: BTreeMap<RequestId, Seen>,
    /// Clients that take nothing until told otherwise.
    pub(crate) paused: Vec<RequestId>,
    pub(crate) log: Vec<String>,
    pub(crate) traces: Vec<CallTrace>,
    /// Messages between workers and coordinator, by kind.
    pub(crate) messages: BTreeMap<&'static str, u64>,
    pub(crate) now_us: u64,
    rng: ChaCha8Rng,
}

impl Cluster {
    pub(crate) fn new(plan: &Arc<Verified>, seed: u64) -> Self {
        let mut executors = BTreeMap::new();
        for stage in &plan.plan().stages {
            for worker in &stage.replicas {
                for component in &stage.components {
                    let loaded =
                        load(&plan.plan().components[*component].entry, &plan.plan().components[*component]);
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

    pub(crate) fn submit(
        &mut self,
        request: u64,
        recording: u32,
        inputs: &[(&str, Datum)],
        deadline_us: Option<u64>,
    ) {
        let request = RequestId::first(request);
        self.clients.insert(request, Seen::default());
        let inputs = inputs.iter().map(|(name, datum)| ((*name).to_owned(), datum.clone())).collect();
        let recording = corn_plan::RecordingId(recording);
        let submission = Submission { request, recording, inputs, deadline_us, priority: Priority::Normal };
        self.tell_coordinator(Party::Client(request), CoordinatorEvent::Submit(submission));
    }

    pub(crate) fn cancel(&mut self, request: u64) {
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
    pub(crate) fn step(&mut self) -> bool {
        let paused = &self.paused;
        let is_paused = |party: &Party| matches!(party, Party::Client(request) if paused.contains(request));
        let channels = self.channels.iter().filter(|((_, to), queue)| !queue.is_empty() && !is_paused(to));
        let channels: Vec<(Party, Party)> = channels.map(|(key, _)| *key).collect();
        let busy = self.executors.iter().filter(|(_, (_, turn))| *turn == Turn::Busy);
        let busy: Vec<(usize, ComponentId)> = busy.map(|(key, _)| *key).collect();
        if channels.len() + busy.len() == 0 {
            return false;
        }
        self.now_us += 1;
        let choice = self.rng.random_range(0..channels.len() + busy.len());
        if let Some(key) = channels.get(choice) {
            let message = self.channels.get_mut(key).unwrap().pop_front().unwrap();
            self.deliver(key.1, message);
        } else {
            self.advance(busy[choice - channels.len()]);
        }
        true
    }

    pub(crate) fn run(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "the cluster never comes to rest");
        }
    }

    /// Tells everyone that it is `now_us`.
    pub(crate) fn tick(&mut self, now_us: u64) {
        self.now_us = now_us;
        self.deliver(Party::Coordinator, Message::Coordinator(CoordinatorEvent::Tick));
        for worker in 0..self.workers.len() {
            self.deliver(Party::Worker(worker), Message::Worker(WorkerEvent::Tick));
        }
    }

    fn advance(&mut self, key: (usize, ComponentId)) {
        let (executor, turn) = self.executors.get_mut(&key).unwrap();
        let mut reports = Vec::new();
        *turn = executor.advance(&mut |report| reports.push(report));
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
                let (executor, turn) = self.executors.get_mut(&(worker, component)).unwrap();
                command(executor.as_mut());
                *turn = Turn::Busy;
            }
            (Party::Client(request), Message::Client(event)) => self.client_hears(request, event),
            _ => unreachable!("messages go to whom they are for"),
        }
    }

    fn client_hears(&mut self, request: RequestId, event: ClientEvent) {
        let seen = self.clients.get_mut(&request).unwrap();
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
            WorkerAction::Start(component, call) => {
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
            WorkerAction::Parted { .. } => {}
            WorkerAction::Trace(trace) => self.traces.push(trace),
        }
    }

    /// Everything was given back, and nobody waits.
    pub(crate) fn assert_at_rest(&self) {
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

fn load(entry: &str, component: &corn_plan::Component) -> Box<dyn Executor> {
    let max = component.batch.max;
    match entry {
        _ if component.executor == "python" => Box::new(Interleaved::new(any::Any(component.clone()), max)),
        "words" => Box::new(Interleaved::new(Words, max)),
        "tone" => Box::new(Interleaved::new(Tone, max)),
        "upper" => Box::new(Interleaved::new(Upper, max)),
        "tell" => Box::new(Interleaved::new(Tell, max)),
        other => Box::new(Interleaved::new(toys::Toy(other.to_owned()), max)),
    }
}

pub(crate) fn text(datum: &Datum) -> &str {
    if let Datum::Text(text) = datum { text } else { panic!("{datum:?} is no text") }
}

/// A text's words, one by one; the word FAIL fails.
struct Words;

impl Model for Words {
    type Session = VecDeque<String>;

    fn open(&mut self, inputs: &[CallInput]) -> Result<VecDeque<String>, Fault> {
        let CallInput::Value(prompt) = &inputs[0] else { panic!("the prompt is whole") };
        Ok(text(prompt).split(' ').filter(|word| !word.is_empty()).map(|word| format!("{word} ")).collect())
    }

    fn step(&mut self, words: &mut VecDeque<String>, io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        match words.pop_front() {
            None => Ok(Step::Done),
            Some(word) if word == "FAIL " => Err(Fault::component("told to fail")),
            Some(word) => {
                io.emit(0, Datum::text(word));
                Ok(Step::More)
            }
        }
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// One sample for each byte of each text.
struct Tone;

impl Model for Tone {
    type Session = ();

    fn open(&mut self, _inputs: &[CallInput]) -> Result<(), Fault> {
        Ok(())
    }

    fn step(&mut self, (): &mut (), io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        Ok(match io.take(0) {
            Taken::Item(item) => {
                let samples = vec![0.5; text(&item).len()];
                io.emit(0, Datum::Audio(Audio { rate_hz: 16_000, samples: samples.into() }.into()));
                Step::More
            }
            Taken::Nothing => Step::Wait,
            Taken::Ended => Step::Done,
        })
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

struct Upper;

impl Model for Upper {
    type Session = Datum;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Datum, Fault> {
        let CallInput::Value(input) = &inputs[0] else { panic!("the text is whole") };
        Ok(input.clone())
    }

    fn step(&mut self, input: &mut Datum, io: &mut dyn Io) -> Result<Step, Fault> {
        io.emit(0, Datum::text(text(input).to_uppercase()));
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// A greeting and the parts, comma separated.
struct Tell;

impl Model for Tell {
    type Session = String;

    fn open(&mut self, inputs: &[CallInput]) -> Result<String, Fault> {
        let CallInput::Value(Datum::List(parts)) = &inputs[0] else { panic!("the parts are a list") };
        let mut told: Vec<&str> = parts.iter().map(text).collect();
        if let CallInput::Value(greeting) = &inputs[1] {
            told.insert(0, text(greeting));
        }
        Ok(told.join(","))
    }

    fn step(&mut self, told: &mut String, io: &mut dyn Io) -> Result<Step, Fault> {
        io.emit(0, Datum::text(told.as_str()));
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}
