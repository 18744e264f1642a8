//! What must be placed together: a component with everything that is `with` it, as one group.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{ComponentId, IdVec};

use crate::graph::deploy::Said;
use crate::graph::{Component, Program};
use crate::passes::share;

/// Components that share their workers whatever the planner does.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Its components, in order of their ids.
    pub(super) members: BTreeSet<ComponentId>,
    /// The one whose settings count.
    pub(super) anchor: ComponentId,
    /// How many workers have a copy.
    pub(super) replicas: u32,
    /// GPUs of each worker; 0 for a group that runs on the CPU.
    pub(super) degree: u32,
    /// Whether nothing else may join it.
    pub(super) apart: bool,
    /// Whether it may join others: nothing says how many workers it has.
    pub(super) joins: bool,
    /// The node that it must be on.
    pub(super) on: Option<Said<usize>>,
    /// Bytes on its GPUs together.
    pub(super) gpu_bytes: u64,
    /// Bytes in the host's memory.
    pub(super) host_bytes: u64,
}

/// The groups of what is `called`, those that are bound most first.
pub(super) fn groups(called: &BTreeSet<ComponentId>, program: &Program) -> Vec<Group> {
    let first = share::first_of_equals(&program.components, &program.deployment.rules);
    let mut members: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
    for component in called {
        members.entry(anchor(*component, program, &first)).or_default().insert(*component);
    }
    let mut groups: Vec<Group> =
        members.into_iter().map(|(anchor, members)| group(anchor, members, program)).collect();
    groups.sort_by_key(|group| {
        let bound = (group.joins, group.on.is_none());
        (bound, Reverse(group.degree), Reverse(group.gpu_bytes.max(group.host_bytes)), group.anchor)
    });
    groups
}

/// The component that `component` is with in the end.
fn anchor(
    mut component: ComponentId,
    program: &Program,
    first: &IdVec<ComponentId, ComponentId>,
) -> ComponentId {
    // Analysis has refused circles.
    while let Some(with) = program.deployment.rules.get(&component).and_then(|rule| rule.with) {
        component = first[with.value];
    }
    component
}

fn group(anchor: ComponentId, members: BTreeSet<ComponentId>, program: &Program) -> Group {
    let rule = program.deployment.rules.get(&anchor).cloned().unwrap_or_default();
    let all = || members.iter().map(|id| &program.components[*id]);
    let bytes = |on_gpu: bool| {
        let here = all().filter(|component| (component.deployed.needs.gpus > 0) == on_gpu);
        here.fold(0u64, |sum, component| sum.saturating_add(component.deployed.needs.memory_bytes))
    };
    let needed = all().map(|component: &Component| component.deployed.needs.gpus).max().unwrap_or(0);
    let degree = if needed == 0 { 0 } else { rule.tensor_parallel.map_or(needed, |said| said.value) };
    let (gpu_bytes, host_bytes) = (bytes(true), bytes(false));
    Group {
        anchor,
        replicas: rule.replicas.map_or(1, |said| said.value),
        degree,
        apart: rule.apart.is_some(),
        joins: rule.apart.is_none() && rule.replicas.is_none() && rule.tensor_parallel.is_none(),
        on: rule.on,
        gpu_bytes,
        host_bytes,
        members,
    }
}
