//! The engine: admits requests and gives their answers, wherever its workers are.
//!
//! Embedded, every worker of the plan is a thread of this process. In front of a deployment, the workers are
//! processes, which join and leave; see [`crate::deployment`].

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use corn_core::coordinator::Patience;
use corn_core::executor::{Loader, Progress, Usage};
use corn_core::message::{
    Body, CallTrace, CoordinatorEvent, HandOver, Priority, RequestId, Seat, Submission, WorkerEvent,
};
use corn_core::{Blame, Coordinator, Datum, Fault, Ledger, Worker};
use corn_device::Gpu;
use corn_plan::{Plan, RecordingId, Signature, StageId, Transport, ValueId, Verified, WorkerId};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::client::{Answer, Message};
use crate::coordinator::{Desk, Told};
use crate::counts::Counts;
use crate::deployment::{Member, Status};
use crate::devices::Devices;
use crate::load::{Loading, Loads, needed};
use crate::observe::{HandOverTrace, Observer};
use crate::worker::{Driver, Outside};

/// Adds to a status how workers are that are processes.
pub(crate) type Members = Box<dyn Fn(&mut Status) + Send + Sync>;

/// How often GPUs are looked at.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// A plan being replayed.
pub struct Engine {
    plan: Arc<Verified>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) told: Told,
    ledgers: Vec<Arc<Mutex<Ledger>>>,
    /// Of the workers that are threads of this process.
    counts: Vec<Arc<Counts>>,
    /// Who knows how the workers are, if they are processes.
    pub(crate) members: OnceLock<Members>,
    next_request: AtomicU64,
    /// The recordings whose components are loaded.
    served: BTreeSet<RecordingId>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    /// Those that this process works on.
    gpus: Vec<Arc<Gpu>>,
    /// What was said when it could do nothing on one of them any more.
    lost: Arc<watch::Sender<Option<String>>>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What to replay, from [`Engine::look_up`].
    pub recording: RecordingId,
    /// Inputs by name; those with a default may be left out.
    pub inputs: Vec<(String, Datum)>,
    /// When to give up, from now.
    pub deadline: Option<Duration>,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether an [`Observer`] wants to know what it takes.
    pub is_traced: bool,
}

/// A worker that is a thread of this process, and everybody else around it.
struct Inside {
    seat: Seat,
    desk: Arc<Desk>,
    counts: Arc<Counts>,
    observer: Arc<dyn Observer>,
}

impl Outside for Inside {
    fn hand_over(&mut self, to: Seat, hand_over: HandOver) {
        if let Body::Item(datum) = &hand_over.body {
            self.counts.edge(hand_over.from, hand_over.to, Transport::Pointer, datum.bytes());
            // It is there as soon as it is sent.
            let now_us = self.desk.clock.now_us();
            if let Some(trace) = HandOverTrace::of(&hand_over, Transport::Pointer, now_us, now_us) {
                self.observer.hand_over(&trace);
            }
        }
        self.desk.ports.send(to, WorkerEvent::HandOver(hand_over));
    }

    fn output(&mut self, request: RequestId, stage: StageId, value: ValueId, item: Option<Datum>) {
        let output = Message::Output { worker: self.seat, request, stage, value, item };
        self.desk.clients.send(request, output);
    }

    fn used(&mut self, request: RequestId, usage: Usage) {
        self.desk.clients.send(request, Message::Used { request, usage });
    }

    fn closed(&mut self, request: RequestId, stage: StageId, outcome: Result<(), Fault>) {
        self.desk.hear(CoordinatorEvent::Closed { request, stage, outcome });
    }

    fn parted(&mut self, peer: Seat, kept: Vec<(RequestId, StageId)>) {
        self.desk.hear(CoordinatorEvent::Parted { worker: self.seat, peer, kept });
    }

    fn trace(&mut self, trace: CallTrace) {
        self.observer.call(&trace);
    }
}

impl Engine {
    /// Loads what `recordings` need and starts to serve them, with every worker a thread of this process. Ends when
    /// every component is ready, or with the first that cannot be loaded, or with what the plan asks of machines
    /// that are not here.
    pub async fn start(
        plan: Arc<Verified>,
        recordings: &[RecordingId],
        loader: Arc<dyn Loader>,
        progress: Arc<dyn Progress>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Fault> {
        if let Some(reason) = not_embedded(plan.plan()) {
            return Err(Fault::setup(format!("this plan cannot be replayed here: {reason}")));
        }
        let desk = desk(&plan, None, Arc::clone(&observer), |_| ());
        let mut engine = Self::around(plan, recordings, &desk, Told::Here(Arc::clone(&desk)));
        let stopped = engine.stop.subscribe();
        engine.spawn_driver("corn-coordinator", move || async move {
            tokio::select! {
                () = stopped_by(stopped) => {}
                () = desk.tick_on() => {}
            }
        })?;
        let clock = engine.desk.clock;
        let loading = Loading { loader, progress, observer, clock, memory: None, device: None };
        engine.embed(recordings, &loading).await?;
        Ok(engine)
    }

    /// An engine whose workers have yet to join, and what it tells its coordinator, which waits to be
    /// [heard](Desk::hear_all).
    pub(crate) fn without_workers(
        plan: Arc<Verified>,
        recordings: &[RecordingId],
        patience: Patience,
        observer: Arc<dyn Observer>,
        drained: impl Fn(WorkerId) + Send + Sync + 'static,
    ) -> (Self, UnboundedReceiver<CoordinatorEvent>) {
        let (tell, told) = unbounded_channel();
        let desk = desk(&plan, Some(patience), observer, drained);
        (Self::around(plan, recordings, &desk, Told::There(tell)), told)
    }

    fn around(plan: Arc<Verified>, recordings: &[RecordingId], desk: &Arc<Desk>, told: Told) -> Self {
        let (stop, _) = watch::channel(false);
        let workers = plan.plan().workers.len();
        Self {
            desk: Arc::clone(desk),
            told,
            ledgers: (0..workers).map(|_| Arc::default()).collect(),
            counts: (0..workers).map(|_| Arc::default()).collect(),
            members: OnceLock::new(),
            plan,
            next_request: AtomicU64::new(0),
            served: recordings.iter().copied().collect(),
            stop,
            threads: Vec::new(),
            gpus: Vec::new(),
            lost: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Makes every worker of the plan a thread of this process, and lets it join.
    async fn embed(&mut self, recordings: &[RecordingId], loading: &Loading) -> Result<(), Fault> {
        let plan = Arc::clone(&self.plan);
        let mut loads = Vec::new();
        for worker in plan.plan().workers.ids() {
            let (port, events) = unbounded_channel();
            let components = needed(plan.plan(), recordings, worker);
            let counts = Arc::clone(&self.counts[worker.0 as usize]);
            let devices = Devices::open(plan.plan(), worker)?;
            self.gpus.extend(devices.gpus());
            let lost = Arc::clone(&self.lost);
            devices.when_lost(move |problem| drop(lost.send_replace(Some(problem.to_owned()))));
            let loading = Loading { device: devices.first(), ..loading.clone() };
            let begun = Loads::begin(plan.plan(), &components, &port, &loading, &counts)?;
            loads.push((worker, begun, port, events, counts));
        }
        for (worker, loads, port, events, counts) in loads {
            let seat = Seat { worker, epoch: 0 };
            let (executors, threads) = loads.ready().await?;
            self.threads.extend(threads);
            self.desk.ports.open(seat, port);
            let driver = Driver {
                worker: Worker::new(seat, Arc::clone(&plan)),
                clock: self.desk.clock,
                events,
                executors,
                outside: Inside {
                    seat,
                    desk: Arc::clone(&self.desk),
                    counts,
                    observer: Arc::clone(&loading.observer),
                },
                ledger: Arc::clone(&self.ledgers[worker.0 as usize]),
            };
            let stopped = self.stop.subscribe();
            self.spawn_driver(&format!("corn-{worker}"), move || driver.drive(stopped_by(stopped)))?;
            self.told.tell(CoordinatorEvent::Joined(seat));
        }
        Ok(())
    }

    /// Ends when this process can do nothing on one of its GPUs any more, with what the driver said. Requests that need
    /// it end with faults from then on.
    pub async fn lost(&self) -> Fault {
        if self.gpus.is_empty() {
            return std::future::pending().await;
        }
        let mut said = self.lost.subscribe();
        let mut looks = tokio::time::interval(LOOKS_EVERY);
        loop {
            let problem = said.borrow_and_update().clone();
            if let Some(problem) = problem {
                return Fault::setup(problem);
            }
            tokio::select! {
                _ = looks.tick() => self.gpus.iter().for_each(|gpu| gpu.look()),
                _ = said.changed() => {}
            }
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Verified> {
        &self.plan
    }

    /// µs since the engine started: the clock of what an [`Observer`] is told.
    pub fn now_us(&self) -> u64 {
        self.desk.clock.now_us()
    }

    /// What a recording is looked up by, for a request that brings `inputs` and asks for `outputs` of `graph`.
    pub fn signature(&self, graph: &str, inputs: &[(String, Datum)], outputs: &[String]) -> Signature {
        self.desk.ask(|coordinator| coordinator.signature(graph, inputs, outputs))
    }

    /// The recording for what a request brings and asks for.
    pub fn look_up(&self, signature: &Signature) -> Result<RecordingId, Fault> {
        self.desk.ask(|coordinator| coordinator.look_up(signature))
    }

    /// Whether every component of `recording` is ready on some worker.
    pub fn is_ready(&self, recording: RecordingId) -> bool {
        self.served.contains(&recording) && self.desk.ask(|coordinator| coordinator.is_ready(recording))
    }

    /// The components of `recording` that no worker has ready: those of one stage, if several lack.
    pub fn lacking(&self, recording: RecordingId) -> Option<String> {
        self.desk.ask(|coordinator| coordinator.lacking(recording))
    }

    /// Submits a request. Its outputs come as they are made, and its faults as well.
    pub fn submit(&self, ask: Ask) -> Answer {
        let request = RequestId::first(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (client, messages) = unbounded_channel();
        let Ask { recording, mut inputs, deadline, priority, is_traced } = ask;
        if self.served.contains(&recording) {
            self.desk.clients.add(request, client);
            let deadline_us = deadline.map(|deadline| {
                self.now_us().saturating_add(u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX))
            });
            self.bring_to_rate(recording, &mut inputs);
            let submission = Submission { request, recording, inputs, deadline_us, priority, is_traced };
            self.told.tell(CoordinatorEvent::Submit(submission));
        } else {
            let route = &self.plan.plan().recordings[recording].route;
            let message = format!("route '{route}' is not served: its components were not loaded");
            // Its client is here.
            let _ = client.send(Message::Failed(Fault::setup(message)));
        }
        Answer {
            request,
            recording,
            plan: Arc::clone(&self.plan),
            messages,
            desk: Arc::clone(&self.desk),
            told: self.told.clone(),
            used: (0, Usage::default()),
            is_over: false,
        }
    }

    /// Sound and video are brought to the rate that their input declares, so that they hold what the plan says.
    fn bring_to_rate(&self, recording: RecordingId, inputs: &mut [(String, Datum)]) {
        let recording = &self.plan.plan().recordings[recording];
        for (name, datum) in inputs {
            if let Some(input) = recording.inputs.iter().find(|input| input.name == *name) {
                crate::executor::convert(datum, &recording.values[input.value].ty.kind);
            }
        }
    }

    /// What the values on each worker hold.
    pub fn ledgers(&self) -> Vec<Ledger> {
        self.ledgers.iter().map(|ledger| *ledger.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    /// What is under way, how the workers are and what they have done.
    pub fn status(&self) -> Status {
        let (in_flight, waiting) =
            self.desk.ask(|coordinator| (coordinator.in_flight(), coordinator.waiting()));
        let submitted = self.next_request.load(Ordering::Relaxed);
        let mut status = Status {
            generation: 1,
            version: 0,
            submitted,
            in_flight,
            waiting,
            sent: BTreeMap::new(),
            workers: Vec::new(),
            coming: None,
            leaving: None,
        };
        match self.members.get() {
            Some(members) => members(&mut status),
            None => status.workers = self.threads_as_members(),
        }
        status
    }

    fn threads_as_members(&self) -> Vec<Member> {
        let plan = self.plan.plan();
        let workers = plan.workers.ids().zip(self.ledgers()).zip(&self.counts);
        workers
            .map(|((worker, ledger), counts)| Member::thread(plan, worker, ledger, counts.read()))
            .collect()
    }

    /// Stops every thread, after the turn of work that each is in, and waits for them. Blocks.
    pub fn stop(mut self) {
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        for thread in threads {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }

    /// Runs a driver on a thread of its own, so that workers are truly apart.
    fn spawn_driver<F: Future<Output = ()> + 'static>(
        &mut self,
        name: &str,
        driver: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(), Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| Fault::setup(format!("no event loop for {name}: {error}")))?;
        let desk = Arc::clone(&self.desk);
        self.spawn(name, move || {
            // A driver that panics is a bug of ours. Its requests would never end; so they fail, now
            // and from now on.
            if catch_unwind(AssertUnwindSafe(|| runtime.block_on(driver()))).is_err() {
                desk.clients
                    .close(&Fault::component("a thread of the engine panicked; this is a bug of corn"));
            }
        })
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        let thread = thread.map_err(|error| Fault::setup(format!("no thread for {name}: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }
}

fn desk(
    plan: &Arc<Verified>,
    patience: Option<Patience>,
    observer: Arc<dyn Observer>,
    drained: impl Fn(WorkerId) + Send + Sync + 'static,
) -> Arc<Desk> {
    let coordinator = Coordinator::new(Arc::clone(plan), patience);
    Arc::new(Desk::new(coordinator, plan.plan().workers.len(), observer, drained))
}

/// Why `plan` cannot be replayed within one process, if it can be replayed at all.
fn not_embedded(plan: &Plan) -> Option<String> {
    let hosts: BTreeSet<&str> = plan.workers.iter().map(|worker| worker.host.as_str()).collect();
    if hosts.len() < 2 {
        return None;
    }
    let hosts = hosts.into_iter().collect::<Vec<_>>().join("', '");
    Some(format!("its workers are on hosts '{hosts}'; `corn up` deploys it"))
}

/// Ends when the engine stops.
async fn stopped_by(mut stop: watch::Receiver<bool>) {
    // An engine that is gone has stopped as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.desk
            .clients
            .close(&Fault::new(Blame::Cancelled, "the engine was stopped before the request was done"));
        // Workers end first; with them the executors' commands end, and so their threads.
        let _ = self.stop.send(true);
    }
}
