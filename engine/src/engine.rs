//! The embedded engine: one process in which every worker of a plan is a thread.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use corn_core::executor::{Loader, Progress};
use corn_core::message::{CoordinatorEvent, Priority, RequestId, Seat, Submission, WorkerEvent};
use corn_core::{Blame, Coordinator, Datum, Fault, Ledger, Worker};
use corn_plan::{ComponentId, RecordingId, Signature, Step, Verified, WorkerId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::client::{Answer, Clients};
use crate::clock::Clock;
use crate::executor::{Command, Host};
use crate::observe::Observer;
use crate::{coordinator, machine, worker};

/// A plan being replayed in this process.
pub struct Engine {
    plan: Arc<Verified>,
    coordinator: Arc<Mutex<Coordinator>>,
    events: UnboundedSender<CoordinatorEvent>,
    workers: Vec<UnboundedSender<WorkerEvent>>,
    ledgers: Vec<Arc<Mutex<Ledger>>>,
    clients: Clients,
    clock: Clock,
    next_request: AtomicU64,
    /// The recordings whose components are loaded.
    served: BTreeSet<RecordingId>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
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
}

/// The executors of a worker, by component.
type Executors = BTreeMap<ComponentId, Sender<Command>>;

impl Engine {
    /// Loads what `recordings` need and starts to serve them. Ends when every component is ready,
    /// or with the first that cannot be loaded, or with what the plan asks of machines that are not here.
    pub async fn start(
        plan: Arc<Verified>,
        recordings: &[RecordingId],
        loader: Arc<dyn Loader>,
        progress: Arc<dyn Progress>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Fault> {
        if let Some(first) = machine::problems(plan.plan()).first() {
            return Err(Fault::setup(format!("this plan cannot be replayed here: {first}")));
        }
        for id in recordings {
            corn_core::replayable(&plan.plan().recordings[*id])?;
        }
        let clock = Clock::new();
        let (events, coordinator_events) = unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let clients = Clients::default();
        let (workers, inboxes): (Vec<_>, Vec<_>) =
            plan.plan().workers.iter().map(|_| unbounded_channel()).unzip();
        let mut engine = Self {
            coordinator: Arc::new(Mutex::new(Coordinator::new(Arc::clone(&plan), None))),
            ledgers: workers.iter().map(|_| Arc::default()).collect(),
            plan,
            events,
            workers,
            clients,
            clock,
            next_request: AtomicU64::new(0),
            served: recordings.iter().copied().collect(),
            stop,
            threads: Vec::new(),
        };
        let executors = engine.load(recordings, &loader, &progress, &observer).await?;
        engine.spawn_workers(inboxes, executors, &observer, &stopped)?;
        engine.spawn_coordinator(coordinator_events, stopped)?;
        for worker in engine.plan.plan().workers.ids() {
            let _ = engine.events.send(CoordinatorEvent::Joined(Seat { worker, epoch: 0 }));
        }
        Ok(engine)
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Verified> {
        &self.plan
    }

    /// µs since the engine started: the clock of what an [`Observer`] is told.
    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// The recording for what a request brings and asks for.
    pub fn look_up(&self, signature: &Signature) -> Result<RecordingId, Fault> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner).look_up(signature)
    }

    /// Submits a request. Its outputs come as they are made, and its faults as well.
    pub fn submit(&self, ask: Ask) -> Answer {
        let request = RequestId::first(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (client, messages) = unbounded_channel();
        self.clients.add(request, client);
        if !self.served.contains(&ask.recording) {
            let route = &self.plan.plan().recordings[ask.recording].route;
            let message = format!("route '{route}' is not served: its components were not loaded");
            self.clients.fail(request, Fault::setup(message));
            self.clients.remove(request);
        }
        let deadline_us = ask.deadline.map(|deadline| {
            self.clock.now_us().saturating_add(u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX))
        });
        let Ask { recording, mut inputs, .. } = ask;
        if self.served.contains(&recording) {
            self.bring_to_rate(recording, &mut inputs);
            let submission =
                Submission { request, recording, inputs, deadline_us, priority: Priority::Normal };
            let _ = self.events.send(CoordinatorEvent::Submit(submission));
        }
        Answer {
            request,
            recording,
            plan: Arc::clone(&self.plan),
            messages,
            workers: self.workers.clone(),
            coordinator: self.events.clone(),
            is_over: false,
        }
    }

    /// Sound is brought to the rate that its input declares, so that it holds what the plan says.
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

    /// Stops every thread, after the turn of work that each is in, and waits for them. Blocks.
    pub fn stop(mut self) {
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        for thread in threads {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }

    /// Loads each needed component on a thread of its own, which then drives its executor.
    async fn load(
        &mut self,
        recordings: &[RecordingId],
        loader: &Arc<dyn Loader>,
        progress: &Arc<dyn Progress>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Vec<Executors>, Fault> {
        let mut executors: Vec<Executors> = self.workers.iter().map(|_| Executors::new()).collect();
        let (ready, mut is_ready) = unbounded_channel();
        let mut loading = 0;
        for (id, worker) in needed(&self.plan, recordings) {
            let component = self.plan.plan().components[id].clone();
            let (commands, receiver) = channel();
            let ready = Loading { component: component.name.clone(), ready: Some(ready.clone()) };
            let host = Host {
                id,
                component,
                commands: receiver,
                worker: self.workers[worker.0 as usize].clone(),
                observer: Arc::clone(observer),
                clock: self.clock,
            };
            let (loader, progress) = (Arc::clone(loader), Arc::clone(progress));
            self.spawn(&format!("corn-{}", host.component.name), move || {
                match loader.load(&host.component, progress.as_ref()) {
                    Ok(executor) => {
                        ready.ended(Ok(()));
                        host.drive(executor);
                    }
                    Err(fault) => ready.ended(Err(fault)),
                }
            })?;
            executors[worker.0 as usize].insert(id, commands);
            loading += 1;
        }
        while loading > 0 {
            is_ready.recv().await.expect("each thread says how its load ended")?;
            loading -= 1;
        }
        Ok(executors)
    }

    fn spawn_workers(
        &mut self,
        inboxes: Vec<UnboundedReceiver<WorkerEvent>>,
        executors: Vec<Executors>,
        observer: &Arc<dyn Observer>,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let ids = self.plan.plan().workers.ids().collect::<Vec<_>>();
        for ((id, events), executors) in ids.into_iter().zip(inboxes).zip(executors) {
            let driver = worker::Driver {
                worker: Worker::new(Seat { worker: id, epoch: 0 }, Arc::clone(&self.plan)),
                clock: self.clock,
                events,
                peers: self.workers.clone(),
                executors,
                coordinator: self.events.clone(),
                clients: self.clients.clone(),
                observer: Arc::clone(observer),
                ledger: Arc::clone(&self.ledgers[id.0 as usize]),
                stop: stopped.clone(),
            };
            self.spawn_driver(&format!("corn-{id}"), driver.drive())?;
        }
        Ok(())
    }

    fn spawn_coordinator(
        &mut self,
        events: UnboundedReceiver<CoordinatorEvent>,
        stop: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let driver = coordinator::Driver {
            coordinator: Arc::clone(&self.coordinator),
            clock: self.clock,
            events,
            workers: self.workers.clone(),
            clients: self.clients.clone(),
            stop,
        };
        self.spawn_driver("corn-coordinator", driver.drive())
    }

    /// Runs `driver` on a thread of its own, so that workers are truly apart.
    fn spawn_driver(
        &mut self,
        name: &str,
        driver: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| Fault::setup(format!("no event loop for {name}: {error}")))?;
        let clients = self.clients.clone();
        self.spawn(name, move || {
            // A driver that panics is a bug of ours. Its requests would never end; so they fail, now
            // and from now on.
            if catch_unwind(AssertUnwindSafe(|| runtime.block_on(driver))).is_err() {
                clients.close(&Fault::component("a thread of the engine panicked; this is a bug of corn"));
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

/// Says how a load ended, also if it panicked.
struct Loading {
    component: String,
    ready: Option<UnboundedSender<Result<(), Fault>>>,
}

impl Loading {
    fn ended(mut self, outcome: Result<(), Fault>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Result<(), Fault>) {
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more if another component has failed to load.
            let _ = ready.send(outcome.map_err(|fault| fault.in_component(&self.component)));
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.tell(Err(Fault::setup("it panicked while it loaded")));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.clients
            .close(&Fault::new(Blame::Cancelled, "the engine was stopped before the request was done"));
        // Workers end first; with them the executors' commands end, and so their threads.
        let _ = self.stop.send(true);
    }
}

/// The components that `recordings` call, with the worker of each replica of their stages.
fn needed(plan: &Verified, recordings: &[RecordingId]) -> Vec<(ComponentId, WorkerId)> {
    let plan = plan.plan();
    let steps =
        recordings.iter().flat_map(|id| &plan.recordings[*id].programs).flat_map(|program| &program.steps);
    let called: BTreeSet<ComponentId> = steps
        .filter_map(|step| match step {
            Step::Run(run) => Some(run.component),
            _ => None,
        })
        .collect();
    let placed = plan.stages.iter().flat_map(|stage| {
        let here = stage.components.iter().filter(|id| called.contains(id));
        here.flat_map(|id| stage.replicas.iter().map(|worker| (*id, *worker)))
    });
    placed.collect()
}
