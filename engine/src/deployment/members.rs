//! The workers of a deployment: who is here, and how each is.

use std::collections::BTreeMap;

use corn_core::message::Seat;
use corn_core::{Fault, Ledger};
use corn_plan::{Plan, WorkerId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use crate::counts::Work;
use crate::wire::Vitals;
use crate::wire::control::{Address, Control, Host, Join};

/// How a deployment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which of its plans it replays: the first, or the one of so many updates later.
    #[serde(default)]
    pub generation: u64,
    /// How often something about the workers has changed.
    pub version: u64,
    /// Requests that came, since the start.
    pub submitted: u64,
    /// Requests that are replayed.
    pub in_flight: usize,
    /// Requests that wait for admission.
    pub waiting: usize,
    /// Messages that the coordinator has sent to worker processes, by kind.
    pub sent: BTreeMap<String, u64>,
    /// Its workers, in the plan's order.
    pub workers: Vec<Member>,
    /// What takes its place as soon as it is ready, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coming: Option<Box<Status>>,
    /// What was served before, while it ends what it has under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Box<Status>>,
}

/// A worker of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id in the plan.
    pub worker: u32,
    /// The components it holds.
    pub components: Vec<String>,
    /// How it is.
    pub standing: Standing,
    /// Lives before this one.
    pub restarts: u32,
    /// What is known of its processes; nothing where others start them, as on other hosts.
    #[serde(default)]
    pub started: Option<Started>,
    /// Its process, if it is here.
    pub pid: Option<u32>,
    /// Its host's name, if it is here.
    pub host: Option<String>,
    /// Values that it holds.
    pub leases: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of its arena in use.
    pub arena_bytes: u64,
    /// Hand-overs within it, by pointer.
    pub by_pointer: u64,
    /// Hand-overs to processes of its host, by shared memory.
    pub by_shared_memory: u64,
    /// Hand-overs to other hosts, by TCP.
    pub by_tcp: u64,
    /// Hand-overs to GPUs of other processes of its host, by memory of a GPU.
    pub by_cuda: u64,
    /// Bytes that had to be copied into its arena.
    pub copied_bytes: u64,
    /// The GPUs that it sees.
    pub gpus: Vec<SeenGpu>,
    /// Why it sees none.
    pub no_gpus: Option<String>,
    /// Bytes of its GPUs' arenas in use.
    pub device_bytes: u64,
    /// What it has done, since its process started.
    pub work: Work,
}

/// What whoever starts the processes of a worker knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// How many have ended though nobody told them to.
    pub ended: u32,
    /// How the last of these did.
    pub last: Option<String>,
}

/// A GPU that a worker sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenGpu {
    /// Its number, as plans number those of its host.
    pub index: u32,
    /// What it is.
    pub name: String,
    /// Its memory.
    pub total_bytes: u64,
    /// What of that nobody uses, if the worker works on it: asking takes memory of it.
    pub free_bytes: Option<u64>,
}

/// How a worker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has not joined.
    Away,
    /// It loads its components; this is how far it is.
    Loading {
        /// What is loaded now.
        what: String,
        /// Bytes of it so far.
        done: u64,
        /// Bytes in all; 0 where unknown.
        total: u64,
    },
    /// It takes replays.
    Ready,
    /// It takes no new replays, and has some under way.
    Draining,
    /// It takes no new replays, and has none.
    Drained,
    /// It could not load; this is why.
    Failed(String),
}

impl Status {
    /// The components that `worker` has, and no other worker that is ready.
    pub fn only_on(&self, worker: WorkerId) -> Vec<&str> {
        let Some(asked) = self.workers.get(worker.0 as usize) else { return Vec::new() };
        let others =
            || self.workers.iter().filter(|it| it.worker != asked.worker && it.standing == Standing::Ready);
        let is_only = |name: &&String| !others().any(|other| other.components.contains(*name));
        asked.components.iter().filter(is_only).map(String::as_str).collect()
    }
}

/// What is known of the workers.
pub(crate) struct Members {
    all: Vec<Place>,
}

/// A worker of the plan, whether or not someone is it.
#[derive(Default)]
struct Place {
    here: Option<Here>,
    lives: u32,
    failure: Option<Fault>,
    started: Option<Started>,
}

/// Someone who is a worker of the plan.
struct Here {
    seat: Seat,
    pid: u32,
    name: String,
    standing: Standing,
    address: Option<Host>,
    control: UnboundedSender<Control>,
    vitals: Vitals,
    work: Work,
    gpus: Vec<SeenGpu>,
    no_gpus: Option<String>,
}

impl Members {
    pub(crate) fn new(workers: usize) -> Self {
        Self { all: (0..workers).map(|_| Place::default()).collect() }
    }

    /// The worker to be, for someone who asks to be one or anyone. A process that is here already comes back over a
    /// new connection, because the old one broke and that was not noticed yet.
    pub(crate) fn place_for(&self, join: &Join) -> Result<WorkerId, String> {
        let is_same = |here: &Here| here.pid == join.pid && here.name == join.name;
        let is_free = |place: &Place| place.here.as_ref().is_none_or(is_same);
        match join.worker.map(WorkerId) {
            Some(asked) => match self.all.get(asked.0 as usize) {
                Some(place) if is_free(place) => Ok(asked),
                Some(_) => Err(format!("worker {asked} is here already")),
                None => Err(format!("the plan has no worker {asked}; it has {}", self.all.len())),
            },
            None => match self.all.iter().position(is_free) {
                Some(free) => Ok(WorkerId(free as u32)),
                None => Err(format!("all {} workers of the plan are here already", self.all.len())),
            },
        }
    }

    /// Whoever joins is `seat` now; the life that it takes the place of, if there is one, is returned.
    pub(crate) fn join(
        &mut self,
        seat: Seat,
        join: &Join,
        control: UnboundedSender<Control>,
    ) -> Option<Seat> {
        let place = &mut self.all[seat.worker.0 as usize];
        place.lives += 1;
        place.failure = None;
        let here = Here {
            seat,
            pid: join.pid,
            name: join.name.clone(),
            standing: Standing::Loading { what: String::new(), done: 0, total: 0 },
            address: None,
            control,
            vitals: Vitals::default(),
            work: Work::default(),
            gpus: join.gpus.clone(),
            no_gpus: join.no_gpus.clone(),
        };
        place.here.replace(here).map(|before| before.seat)
    }

    pub(crate) fn loading(&mut self, seat: Seat, what: String, done: u64, total: u64) {
        if let Some(here) = self.here(seat) {
            here.standing = Standing::Loading { what, done, total };
        }
    }

    pub(crate) fn ready(&mut self, seat: Seat, host: Host) {
        if let Some(here) = self.here(seat) {
            here.standing = Standing::Ready;
            here.address = Some(host);
        }
    }

    pub(crate) fn alive(&mut self, seat: Seat, vitals: Vitals) {
        if let Some(here) = self.here(seat) {
            here.vitals = vitals;
        }
    }

    pub(crate) fn worked(&mut self, seat: Seat, work: Work) {
        if let Some(here) = self.here(seat) {
            here.work = work;
        }
    }

    pub(crate) fn gpus(&mut self, seat: Seat, gpus: Vec<SeenGpu>) {
        if let Some(here) = self.here(seat) {
            here.gpus = gpus;
        }
    }

    pub(crate) fn drain(&mut self, worker: WorkerId) {
        if let Some(here) = self.all.get_mut(worker.0 as usize).and_then(|place| place.here.as_mut())
            && here.standing == Standing::Ready
        {
            here.standing = Standing::Draining;
        }
    }

    pub(crate) fn drained(&mut self, worker: WorkerId) {
        // Whoever came in place of one that was lost while it drained is asked for nothing.
        if let Some(here) = self.all.get_mut(worker.0 as usize).and_then(|place| place.here.as_mut())
            && here.standing == Standing::Draining
        {
            here.standing = Standing::Drained;
        }
    }

    /// The processes of `worker` are started by whoever runs the deployment.
    pub(crate) fn starts(&mut self, worker: WorkerId) {
        if let Some(place) = self.all.get_mut(worker.0 as usize) {
            place.started.get_or_insert_default();
        }
    }

    /// A process of `worker` has ended though nobody told it to; what it could not load says more than how.
    pub(crate) fn ended(&mut self, worker: WorkerId, how: &str) {
        if let Some(place) = self.all.get_mut(worker.0 as usize) {
            let last = place.failure.as_ref().map_or_else(|| how.to_owned(), |why| format!("{how}: {why}"));
            let started = place.started.get_or_insert_default();
            started.ended += 1;
            started.last = Some(last);
        }
    }

    pub(crate) fn end(&self, worker: WorkerId) {
        if let Some(here) = self.all.get(worker.0 as usize).and_then(|place| place.here.as_ref()) {
            let _ = here.control.send(Control::End);
        }
    }

    pub(crate) fn leave(&mut self, seat: Seat, failure: Option<Fault>) {
        if self.here(seat).is_some() {
            let place = &mut self.all[seat.worker.0 as usize];
            place.here = None;
            place.failure = failure;
        }
    }

    /// What the first worker that could not load says.
    pub(crate) fn failure(&self) -> Option<Fault> {
        self.all.iter().find_map(|place| place.failure.clone())
    }

    pub(crate) fn is_ready(&self, worker: WorkerId) -> bool {
        let here = self.all[worker.0 as usize].here.as_ref();
        here.is_some_and(|here| here.address.is_some())
    }

    pub(crate) fn is_anyone_here(&self) -> bool {
        self.all.iter().any(|place| place.here.is_some())
    }

    /// Where each worker that is ready listens.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let here = self.all.iter().filter_map(|place| place.here.as_ref());
        let address = |here: &Here| Some(Address { worker: here.seat.into(), host: here.address.clone()? });
        here.filter_map(address).collect()
    }

    /// The ways to say something to workers that are ready.
    pub(crate) fn connections(&self) -> Vec<UnboundedSender<Control>> {
        let here = self.all.iter().filter_map(|place| place.here.as_ref());
        here.filter(|here| here.address.is_some()).map(|here| here.control.clone()).collect()
    }

    /// How each worker is, in the plan's order.
    pub(crate) fn read(&self, plan: &Plan) -> Vec<Member> {
        let ids = (0..self.all.len() as u32).map(WorkerId);
        ids.zip(&self.all).map(|(worker, place)| member(plan, worker, place)).collect()
    }

    fn here(&mut self, seat: Seat) -> Option<&mut Here> {
        let here = self.all[seat.worker.0 as usize].here.as_mut();
        here.filter(|here| here.seat == seat)
    }
}

/// The components that the plan places on a worker.
fn components(plan: &Plan, worker: WorkerId) -> Vec<String> {
    let stages = plan.stages.iter().filter(|stage| stage.replicas.contains(&worker));
    stages.flat_map(|stage| &stage.components).map(|id| plan.components[*id].name.clone()).collect()
}

impl Member {
    /// A worker that is a thread of this process.
    pub(crate) fn thread(plan: &Plan, worker: WorkerId, ledger: Ledger, work: Work) -> Self {
        let handed = work.edges.iter().map(|edge| edge.items).sum();
        Self {
            worker: worker.0,
            components: components(plan, worker),
            standing: Standing::Ready,
            restarts: 0,
            started: None,
            pid: Some(std::process::id()),
            host: Some(host_name()),
            leases: ledger.leases,
            bytes: ledger.bytes,
            arena_bytes: 0,
            by_pointer: handed,
            by_shared_memory: 0,
            by_tcp: 0,
            by_cuda: 0,
            copied_bytes: 0,
            gpus: Vec::new(),
            no_gpus: None,
            device_bytes: 0,
            work,
        }
    }
}

/// The name of this host.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn member(plan: &Plan, worker: WorkerId, place: &Place) -> Member {
    let away = || match &place.failure {
        Some(fault) => Standing::Failed(fault.to_string()),
        None => Standing::Away,
    };
    let here = place.here.as_ref();
    let vitals = here.map(|here| here.vitals).unwrap_or_default();
    Member {
        worker: worker.0,
        components: components(plan, worker),
        standing: here.map_or_else(away, |here| here.standing.clone()),
        restarts: place.lives.saturating_sub(1),
        started: place.started.clone(),
        pid: here.map(|here| here.pid),
        host: here.map(|here| here.name.clone()),
        leases: vitals.leases,
        bytes: vitals.bytes,
        arena_bytes: vitals.arena_bytes,
        by_pointer: vitals.by_pointer,
        by_shared_memory: vitals.by_shared_memory,
        by_tcp: vitals.by_tcp,
        by_cuda: vitals.by_cuda,
        copied_bytes: vitals.copied_bytes,
        gpus: here.map(|here| here.gpus.clone()).unwrap_or_default(),
        no_gpus: here.and_then(|here| here.no_gpus.clone()),
        device_bytes: vitals.device_bytes,
        work: here.map(|here| here.work.clone()).unwrap_or_default(),
    }
}
