//! Loads the components of a worker, each on a thread of its own, which drives its executor afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use corn_core::Fault;
use corn_core::executor::{Device, Executor, Loader, Memory, Progress};
use corn_core::message::WorkerEvent;
use corn_plan::{Component, ComponentId, Plan, RecordingId, Step, WorkerId, all_steps};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock::Clock;
use crate::counts::Counts;
use crate::executor::{self, Command, Host, Light, Runner};
use crate::observe::Observer;
use crate::placed::stays_on_device;

/// What loads components, and what watches it.
#[derive(Clone)]
pub(crate) struct Loading {
    pub(crate) loader: Arc<dyn Loader>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Clock,
    /// Where large contents are best made.
    pub(crate) memory: Option<Arc<dyn Memory>>,
    /// What components that need a GPU work on.
    pub(crate) device: Option<Arc<dyn Device>>,
}

/// The components of a worker while they load.
pub(crate) struct Loads {
    threads: Vec<JoinHandle<()>>,
    commands: BTreeMap<ComponentId, Sender<Command>>,
    ended: UnboundedReceiver<(ComponentId, Outcome)>,
}

/// How a load ended: light executors come back, others have been kept by their thread.
type Outcome = Result<Option<(Host, Box<dyn Executor>)>, Fault>;

impl Loads {
    /// Begins to load `components`, whose executors report to `worker` and are counted in `counts`.
    pub(crate) fn begin(
        plan: &Plan,
        components: &[ComponentId],
        worker: &UnboundedSender<WorkerEvent>,
        loading: &Loading,
        counts: &Counts,
    ) -> Result<Self, Fault> {
        let (ended, outcomes) = unbounded_channel();
        let mut loads = Self { threads: Vec::new(), commands: BTreeMap::new(), ended: outcomes };
        for id in components {
            let component = plan.components[*id].clone();
            let (commands, receiver) = channel();
            let name = component.name.clone();
            let mut end = End { id: *id, component: name.clone(), ended: Some(ended.clone()) };
            let Loading { loader, progress, observer, clock, memory, device } = loading.clone();
            let device = device.filter(|_| component.needs.gpus > 0);
            let stays = device.as_ref().map(|_| stays_on_device(plan, *id));
            let host = Host { id: *id, component, observer, clock, counts: counts.component(*id), stays };
            let worker = worker.clone();
            let load = move |component: &Component| {
                let mut executor = loader.load(component, device, progress.as_ref())?;
                if let Some(memory) = memory {
                    executor.make_in(memory);
                }
                Ok(executor)
            };
            let work = move || match load(&host.component) {
                Ok(executor) if executor.is_light() => end.tell(Ok(Some((host, executor)))),
                Ok(executor) => {
                    end.tell(Ok(None));
                    executor::drive(host, executor, &receiver, &worker);
                }
                Err(fault) => end.tell(Err(fault)),
            };
            let thread = std::thread::Builder::new().name(format!("corn-{name}")).spawn(work);
            let thread = thread.map_err(|error| Fault::setup(format!("no thread for {name}: {error}")))?;
            loads.threads.push(thread);
            loads.commands.insert(*id, commands);
        }
        Ok(loads)
    }

    /// Ends when all are ready, or with the first that cannot be loaded.
    pub(crate) async fn ready(
        mut self,
    ) -> Result<(BTreeMap<ComponentId, Runner>, Vec<JoinHandle<()>>), Fault> {
        let mut runners = BTreeMap::new();
        while runners.len() < self.commands.len() {
            let (id, outcome) = self.ended.recv().await.expect("each thread says how its load ended");
            let runner = match outcome? {
                Some((host, executor)) => Runner::Here(Box::new(Light::new(host, executor))),
                None => Runner::Thread(self.commands[&id].clone()),
            };
            runners.insert(id, runner);
        }
        Ok((runners, self.threads))
    }
}

/// Says how a load ended, also if it panicked.
struct End {
    id: ComponentId,
    component: String,
    ended: Option<UnboundedSender<(ComponentId, Outcome)>>,
}

impl End {
    fn tell(&mut self, outcome: Outcome) {
        if let Some(ended) = self.ended.take() {
            // Nobody waits any more if another component has failed to load.
            let _ = ended.send((self.id, outcome.map_err(|fault| fault.in_component(&self.component))));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(Err(Fault::setup("it panicked while it loaded")));
    }
}

/// The components of `worker` that `recordings` call.
pub(crate) fn needed(plan: &Plan, recordings: &[RecordingId], worker: WorkerId) -> Vec<ComponentId> {
    let programs = recordings.iter().flat_map(|id| &plan.recordings[*id].programs);
    let steps = programs.flat_map(|program| all_steps(&program.steps));
    let called: BTreeSet<ComponentId> = steps
        .filter_map(|step| match step {
            Step::Run(run) => Some(run.component),
            _ => None,
        })
        .collect();
    let stages = plan.stages.iter().filter(|stage| stage.replicas.contains(&worker));
    let placed: BTreeSet<ComponentId> = stages.flat_map(|stage| stage.components.iter().copied()).collect();
    placed.intersection(&called).copied().collect()
}
