//! Groups that have their nodes and GPUs, as the plan's workers and stages.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{ComponentId, Gpus, Stage, StageId, Worker, WorkerId};

use super::Placement;
use super::cluster::Placed;
use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::placement;
use crate::graph::deploy::Cluster;
use crate::graph::{Program, Specialized};
use crate::passes::stages::stages;

/// Shares of a node's memory are whole multiples of this.
const GRAIN_BYTES: u64 = 1 << 20;

/// A worker before it has a number.
struct Draft<'p> {
    node: usize,
    gpus: &'p [u32],
    /// Position among what is placed.
    placed: usize,
}

/// The placement of `all`: workers in order of node and GPU, a stage for each group.
pub(super) fn placement(
    all: &[Specialized],
    program: &Program,
    cluster: &Cluster,
    mut placed: Vec<Placed>,
    found: &mut Diagnostics,
) -> Placement {
    if placed.is_empty() {
        placed.push(Placed::nothing());
    }
    let mut drafts: Vec<Draft<'_>> = placed
        .iter()
        .enumerate()
        .flat_map(|(position, one)| {
            one.replicas.iter().map(move |(node, gpus)| Draft { node: *node, gpus, placed: position })
        })
        .collect();
    // Those without a GPU come last on their node.
    drafts.sort_by_key(|draft| (draft.node, draft.gpus.is_empty(), draft.gpus.first(), draft.placed));
    let mut made = Placement { cluster: Some(cluster.clone()), ..Placement::default() };
    let mut replicas: BTreeMap<usize, Vec<WorkerId>> = BTreeMap::new();
    for draft in &drafts {
        let id = made.workers.push(worker(draft, &drafts, &placed, program, cluster));
        replicas.entry(draft.placed).or_default().push(id);
    }
    let mut order: Vec<(usize, Vec<WorkerId>)> = replicas.into_iter().collect();
    order.sort_by(|a, b| a.1.cmp(&b.1));
    let mut stage_of: BTreeMap<ComponentId, StageId> = BTreeMap::new();
    for (position, replicas) in order {
        let one = &placed[position];
        let components: Vec<ComponentId> = one.members.iter().copied().collect();
        let stage = Stage { components: components.clone(), replicas, tensor_parallel: one.degree.max(1) };
        let id = made.stages.push(stage);
        stage_of.extend(components.into_iter().map(|component| (component, id)));
    }
    made.nodes = all.iter().map(|one| stages(&one.graph, &stage_of)).collect();
    warn_of_cores(&made, program, found);
    made
}

/// A worker has what its components need of its node, and an equal share of what nobody needs.
fn worker(
    draft: &Draft<'_>,
    drafts: &[Draft<'_>],
    placed: &[Placed],
    program: &Program,
    cluster: &Cluster,
) -> Worker {
    let node = &cluster.nodes[draft.node];
    let beside: Vec<&Draft<'_>> = drafts.iter().filter(|other| other.node == draft.node).collect();
    let count = beside.len() as u64;
    let cores = |draft: &Draft<'_>| {
        let needs = placed[draft.placed].members.iter().map(|id| program.components[*id].deployed.needs.cpus);
        needs.fold(0u32, u32::saturating_add).max(1)
    };
    let needed = beside.iter().map(|other| cores(other)).fold(0u32, u32::saturating_add);
    let cpus = match node.cpus.checked_sub(needed) {
        Some(rest) => cores(draft) + rest / count as u32,
        None => (node.cpus / count as u32).max(1),
    };
    let held = beside.iter().map(|other| placed[other.placed].host_bytes).fold(0u64, u64::saturating_add);
    let share = node.memory_bytes.saturating_sub(held) / count;
    let share = if share >= GRAIN_BYTES { share / GRAIN_BYTES * GRAIN_BYTES } else { share };
    Worker {
        host: node.name.clone(),
        cpus,
        memory_bytes: placed[draft.placed].host_bytes.saturating_add(share),
        gpus: node.gpus.as_ref().filter(|_| !draft.gpus.is_empty()).map(|gpus| Gpus {
            indices: draft.gpus.to_vec(),
            kind: gpus.kind.clone(),
            memory_bytes: gpus.memory_bytes,
        }),
    }
}

fn warn_of_cores(placement: &Placement, program: &Program, found: &mut Diagnostics) {
    for stage in &placement.stages {
        let has = stage.replicas.iter().map(|worker| placement.workers[*worker].cpus).min().unwrap_or(0);
        let called: BTreeSet<ComponentId> = stage.components.iter().copied().collect();
        for component in called.iter().map(|id| &program.components[*id]) {
            let wants = component.deployed.needs.cpus;
            if wants > has {
                found.push(placement::few_cores(&component.deployed.name, wants, has, component.span));
            }
        }
    }
}
