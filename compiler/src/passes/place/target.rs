//! Placement on the machine that compiles: the one without a `place` block.
//!
//! Where there are two workers or more, whoever reads a stream stands apart from who makes it, so that both
//! work at the same time; apart from that the workers with least declared memory are filled first. All
//! components of a worker are one stage. The choice depends on the program and the target only.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{ComponentId, IdVec, Stage, Worker};

use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::placement;
use crate::graph::print::joined;
use crate::graph::{Component, Specialized};
use crate::passes::place::{Placement, apart, called};
use crate::passes::stages::stages;
use crate::passes::target::{Target, human};
use crate::source::Span;

/// Places the components that `all` call; `None` if they do not fit, which is reported.
pub(super) fn place(
    all: &[Specialized],
    components: &IdVec<ComponentId, Component>,
    target: &Target,
    found: &mut Diagnostics,
) -> Option<Placement> {
    let called: BTreeSet<ComponentId> = all.iter().flat_map(|one| called(&one.graph)).collect();
    let on_gpus = called.iter().map(|id| &components[*id]).filter(|it| it.deployed.needs.gpus > 0);
    let on_gpus: Vec<(&str, Span)> =
        on_gpus.map(|component| (component.deployed.name.as_str(), component.span)).collect();
    if let Some((_, first)) = on_gpus.first() {
        let names: Vec<&str> = on_gpus.iter().map(|(name, _)| *name).collect();
        found.push(placement::gpu_without_cluster(&names, *first));
        return None;
    }
    let apart: BTreeSet<(ComponentId, ComponentId)> = all.iter().flat_map(|one| apart(&one.graph)).collect();
    let workers = fill(&called, components, target, &apart);
    let workers =
        workers.map_err(|(component, workers)| refuse(component, &workers, components, target, found));
    let workers = workers.ok()?;
    warn_of_cores(&called, components, target, found);
    Some(placed(all, workers, target))
}

/// Workers with their components.
type Workers = Vec<BTreeSet<ComponentId>>;

/// The workers with all of `called`, or one that fits nowhere and the others so far.
fn fill(
    called: &BTreeSet<ComponentId>,
    components: &IdVec<ComponentId, Component>,
    target: &Target,
    apart: &BTreeSet<(ComponentId, ComponentId)>,
) -> Result<Workers, (ComponentId, Workers)> {
    Filling::new(components, target, apart).fill(called.iter().copied()).or_else(|_| {
        // Streams aside and the largest first, more fits.
        let mut largest: Vec<ComponentId> = called.iter().copied().collect();
        largest.sort_by_key(|id| (std::cmp::Reverse(components[*id].deployed.needs.memory_bytes), *id));
        Filling::new(components, target, &BTreeSet::new()).fill(largest.into_iter())
    })
}

fn placed(all: &[Specialized], workers: Workers, target: &Target) -> Placement {
    let mut used: Vec<BTreeSet<ComponentId>> =
        workers.into_iter().filter(|components| !components.is_empty()).collect();
    if used.is_empty() {
        used.push(BTreeSet::new());
    }
    let mut placement = Placement { transport: Some(target.transport), ..Placement::default() };
    let mut stage_of = BTreeMap::new();
    for components in used {
        let worker = placement.workers.push(Worker {
            host: target.host.clone(),
            cpus: target.cpus,
            memory_bytes: target.memory_bytes,
            gpus: None,
        });
        let ids: Vec<ComponentId> = components.into_iter().collect();
        let stage = placement.stages.push(Stage {
            components: ids.clone(),
            replicas: vec![worker],
            tensor_parallel: 1,
        });
        stage_of.extend(ids.into_iter().map(|component| (component, stage)));
    }
    placement.nodes = all.iter().map(|one| stages(&one.graph, &stage_of)).collect();
    placement
}

/// Workers while they are filled.
struct Filling<'a> {
    components: &'a IdVec<ComponentId, Component>,
    capacity: u64,
    apart: &'a BTreeSet<(ComponentId, ComponentId)>,
    workers: Workers,
    /// Bytes that the components of each worker need.
    loads: Vec<u64>,
}

impl<'a> Filling<'a> {
    fn new(
        components: &'a IdVec<ComponentId, Component>,
        target: &Target,
        apart: &'a BTreeSet<(ComponentId, ComponentId)>,
    ) -> Self {
        let workers = vec![BTreeSet::new(); target.workers.max(1) as usize];
        let loads = vec![0; workers.len()];
        Self { components, capacity: target.memory_bytes, apart, workers, loads }
    }

    /// The workers with all of `order`, or the first that fits nowhere.
    fn fill(mut self, order: impl Iterator<Item = ComponentId>) -> Result<Workers, (ComponentId, Workers)> {
        for component in order {
            let needs = self.components[component].deployed.needs.memory_bytes;
            let choice = (0..self.workers.len())
                .filter(|worker| self.loads[*worker].saturating_add(needs) <= self.capacity)
                .min_by_key(|worker| (self.conflicts(*worker, component), self.loads[*worker], *worker));
            let Some(worker) = choice else { return Err((component, self.workers)) };
            self.workers[worker].insert(component);
            self.loads[worker] = self.loads[worker].saturating_add(needs);
        }
        Ok(self.workers)
    }

    fn conflicts(&self, worker: usize, component: ComponentId) -> usize {
        let others = self.apart.range((component, ComponentId(0))..=(component, ComponentId(u32::MAX)));
        others.filter(|(_, other)| self.workers[worker].contains(other)).count()
    }
}

fn load(worker: &BTreeSet<ComponentId>, components: &IdVec<ComponentId, Component>) -> u64 {
    let needs = worker.iter().map(|component| components[*component].deployed.needs.memory_bytes);
    needs.fold(0, u64::saturating_add)
}

fn refuse(
    component: ComponentId,
    workers: &[BTreeSet<ComponentId>],
    components: &IdVec<ComponentId, Component>,
    target: &Target,
    found: &mut Diagnostics,
) {
    let row = |(number, worker): (usize, &BTreeSet<ComponentId>)| {
        let held = worker.iter().map(|id| {
            let component = &components[*id].deployed;
            format!("{} {}", component.name, human(component.needs.memory_bytes))
        });
        let (load, capacity) = (human(load(worker, components)), human(target.memory_bytes));
        let held = joined(held, ", ");
        format!("worker w{number}: {load} of {capacity} ({})", if held.is_empty() { "empty" } else { &held })
    };
    let table: Vec<String> = workers.iter().enumerate().map(row).collect();
    let component = &components[component];
    let needs = human(component.deployed.needs.memory_bytes);
    found.push(placement::component_does_not_fit(&component.deployed.name, &needs, &table, component.span));
}

fn warn_of_cores(
    called: &BTreeSet<ComponentId>,
    components: &IdVec<ComponentId, Component>,
    target: &Target,
    found: &mut Diagnostics,
) {
    for component in called.iter().map(|id| &components[*id]) {
        let wants = component.deployed.needs.cpus;
        if wants > target.cpus {
            found.push(placement::few_cores(&component.deployed.name, wants, target.cpus, component.span));
        }
    }
}
