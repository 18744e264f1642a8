//! The GPUs of a worker: whether those that its plan gives it are here and large enough, and what it keeps of them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use corn_core::Fault;
use corn_core::executor::Device;
use corn_device::{Found, Gpu, Held};
use corn_plan::{Bytes, Component, Gpus, Plan, WorkerId};

use crate::arena::Arena;
use crate::deployment::SeenGpu;
use crate::wire::DevicePlace;
use crate::wire::Place;

/// The arena is this many times what the plan lets requests hold, if there is so much room; as that of the host is.
const ARENA_SLACK: u64 = 2;

/// The GPUs that a worker works on.
#[derive(Default)]
pub(crate) struct Devices {
    gpus: Vec<Owned>,
}

struct Owned {
    gpu: Arc<Gpu>,
    /// What peers map its arena by.
    fd: OwnedFd,
}

impl Devices {
    /// Begins to work on those of the GPUs here that the plan gives to `worker`. What is missing is named.
    pub(crate) fn open(plan: &Plan, worker: WorkerId) -> Result<Self, Fault> {
        let Some(gpus) = &plan.workers[worker].gpus else { return Ok(Self::default()) };
        let open = |found: Vec<Found>| {
            let chosen = choose(plan, worker, gpus, &found)?;
            chosen.into_iter().map(|found| Owned::open(plan, worker, found)).collect()
        };
        let opened: Result<Vec<Owned>, String> = match corn_device::find() {
            Ok(found) => open(found),
            Err(reason) => Err(format!("{} has none: {reason}", named(plan, worker))),
        };
        opened
            .map(|gpus| Self { gpus })
            .map_err(|lack| Fault::setup(format!("{}; {lack}", needs(plan, worker, gpus))))
    }

    /// All of them.
    pub(crate) fn gpus(&self) -> Vec<Arc<Gpu>> {
        self.gpus.iter().map(|owned| Arc::clone(&owned.gpu)).collect()
    }

    /// Calls `then` with what was said when this process can do nothing on one of them any more.
    pub(crate) fn when_lost(&self, then: impl Fn(&str) + Clone + Send + Sync + 'static) {
        for owned in &self.gpus {
            owned.gpu.when_lost(Box::new(then.clone()));
        }
    }

    /// What a component that needs a GPU works on.
    pub(crate) fn first(&self) -> Option<Arc<dyn Device>> {
        self.gpus.first().map(|owned| Arc::clone(&owned.gpu) as _)
    }

    /// What reads memory of other workers' GPUs.
    pub(crate) fn reader(&self) -> Option<&Arc<Gpu>> {
        self.gpus.first().map(|owned| &owned.gpu)
    }

    /// Copies for the host are made in `arena` from now on, which `memory` gives room of.
    pub(crate) fn copy_to(&self, arena: &Arc<Arena>, memory: &Arc<dyn corn_core::executor::Memory>) {
        for owned in &self.gpus {
            let (at, bytes) = arena.span();
            owned.gpu.copy_to(Arc::clone(memory), at, bytes, Arc::clone(arena) as _);
        }
    }

    /// The descriptors of their arenas and how large each is.
    pub(crate) fn arenas(&self) -> impl Iterator<Item = (&OwnedFd, u64)> {
        self.gpus.iter().map(|owned| (&owned.fd, owned.gpu.arena_bytes().0))
    }

    /// Bytes of their arenas that are in use.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.gpus.iter().map(|owned| owned.gpu.arena_bytes().1).sum()
    }

    /// Where contents lie that are in one of their arenas.
    pub(crate) fn place_of(&self, held: &Held, lease: u64) -> Option<DevicePlace> {
        let mut offsets = self.gpus.iter().map(|owned| owned.gpu.offset_of(held));
        let arena = offsets.position(|offset| offset.is_some())?;
        let offset = self.gpus[arena].gpu.offset_of(held)?;
        Some(DevicePlace {
            arena: arena as u32,
            place: Place { offset, bytes: corn_core::OnDevice::bytes(held), lease },
        })
    }

    /// What is seen of the GPUs here, those that are worked on with what is free of them.
    pub(crate) fn seen(&self) -> Vec<SeenGpu> {
        let mut seen = see().unwrap_or_default();
        for gpu in &mut seen {
            let owned = self.gpus.iter().find(|owned| owned.gpu.found().index == gpu.index);
            gpu.free_bytes = owned.and_then(|owned| owned.gpu.free_bytes());
        }
        seen
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gpus.is_empty()
    }
}

/// The GPUs that this process sees, or why it sees none.
pub(crate) fn see() -> Result<Vec<SeenGpu>, String> {
    let seen = |found: Found| SeenGpu {
        index: found.index,
        name: found.name,
        total_bytes: found.total_bytes,
        free_bytes: None,
    };
    Ok(corn_device::find()?.into_iter().map(seen).collect())
}

impl Owned {
    fn open(plan: &Plan, worker: WorkerId, found: &Found) -> Result<Self, String> {
        let (components_bytes, requests_bytes) = taken(plan, worker);
        let most_bytes = requests_bytes.saturating_mul(ARENA_SLACK);
        let gpu = Gpu::open(found, requests_bytes, most_bytes, components_bytes);
        let gpu = gpu.map_err(|problem| format!("on {}, {problem}", named(plan, worker)))?;
        let fd = gpu.export()?;
        Ok(Self { gpu, fd })
    }
}

/// Bytes of each GPU of `worker` that its components take, and its requests.
fn taken(plan: &Plan, worker: WorkerId) -> (u64, u64) {
    let row = plan.memory[worker].gpu;
    row.map_or((0, 0), |row| {
        (row.components_bytes, row.request_bytes.saturating_mul(u64::from(plan.inflight)))
    })
}

/// Those of the GPUs here that the plan gives to `worker`, or what is wrong with them.
fn choose<'a>(
    plan: &Plan,
    worker: WorkerId,
    gpus: &Gpus,
    found: &'a [Found],
) -> Result<Vec<&'a Found>, String> {
    let (components_bytes, requests_bytes) = taken(plan, worker);
    let needed_bytes = components_bytes.saturating_add(requests_bytes);
    let choose = |index: &u32| {
        let Some(gpu) = found.iter().find(|gpu| gpu.index == *index) else {
            let there: Vec<String> =
                found.iter().map(|gpu| format!("{} ({})", gpu.index, gpu.name)).collect();
            let (who, there) = (named(plan, worker), there.join(", "));
            return Err(format!("{who} has no GPU {index}, which the plan gives it, but GPU {there}"));
        };
        if gpu.total_bytes < needed_bytes {
            let (total, needed) = (Bytes(gpu.total_bytes), Bytes(needed_bytes));
            let (who, name) = (named(plan, worker), &gpu.name);
            return Err(format!(
                "GPU {index} ({name}) of {who} has {total:#}, and what the plan puts there {needed:#}"
            ));
        }
        Ok(gpu)
    };
    gpus.indices.iter().map(choose).collect()
}

fn named(plan: &Plan, worker: WorkerId) -> String {
    format!("worker {worker} on host '{}'", plan.workers[worker].host)
}

/// What needs the GPUs of `worker`.
fn needs(plan: &Plan, worker: WorkerId, gpus: &Gpus) -> String {
    let stages = plan.stages.iter().filter(|stage| stage.replicas.contains(&worker));
    let mut components = stages.flat_map(|stage| &stage.components).map(|id| &plan.components[*id]);
    let count = gpus.indices.len();
    let on = format!("{count} GPU{}", if count == 1 { "" } else { "s" });
    match components.find(|component| component.needs.gpus > 0) {
        Some(Component { name, needs, .. }) => {
            format!("component '{name}' needs {} on {on}", Bytes(needs.memory_bytes))
        }
        None => format!("the plan gives {on} to {}", named(plan, worker)),
    }
}
