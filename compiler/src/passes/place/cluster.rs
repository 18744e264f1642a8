//! Placement on a cluster: what `place` says is done, and the rest is a first-fit.
//!
//! Groups are placed one after the other, those that are bound most first, then the largest. A group takes
//! exactly the GPUs that it says, on the node with the fewest free ones that are enough, so that large rooms
//! stay whole. A group of which nothing is said joins one that has room; but whoever reads a stream stands
//! apart from who makes it as long as there are GPUs for it. A GPU belongs to one worker only.

use std::collections::BTreeSet;

use corn_plan::ComponentId;

use super::groups::{Group, groups};
use super::{Placement, apart, called, workers};
use crate::diagnostic::semantic::placement;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::deploy::{Cluster, Node, Rule};
use crate::graph::print::joined;
use crate::graph::{Program, Specialized};
use crate::passes::target::human;
use crate::source::Span;

/// Places what `all` call on `cluster`; `None` if it does not fit, which is reported.
pub(super) fn place(
    all: &[Specialized],
    program: &Program,
    cluster: &Cluster,
    found: &mut Diagnostics,
) -> Option<Placement> {
    let called: BTreeSet<ComponentId> = all.iter().flat_map(|one| called(&one.graph)).collect();
    let apart: BTreeSet<(ComponentId, ComponentId)> = all.iter().flat_map(|one| apart(&one.graph)).collect();
    let groups = groups(&called, program);
    // Streams aside, more fits.
    let together = BTreeSet::new();
    let placed = Search::new(program, cluster, &apart)
        .place(&groups)
        .or_else(|_| Search::new(program, cluster, &together).place(&groups));
    match placed {
        Ok(stages) => Some(workers::placement(all, program, cluster, stages, found)),
        Err(problem) => {
            found.push(*problem);
            None
        }
    }
}

/// Groups that share their workers.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) members: BTreeSet<ComponentId>,
    pub(super) degree: u32,
    pub(super) gpu_bytes: u64,
    pub(super) host_bytes: u64,
    apart: bool,
    /// For each replica its node and the GPUs that it owns there.
    pub(super) replicas: Vec<(usize, Vec<u32>)>,
}

impl Placed {
    fn of(group: &Group, replicas: Vec<(usize, Vec<u32>)>) -> Self {
        Self {
            members: group.members.clone(),
            degree: group.degree,
            gpu_bytes: group.gpu_bytes,
            host_bytes: group.host_bytes,
            apart: group.apart,
            replicas,
        }
    }

    /// What a program has that calls no component: one worker on the first node.
    pub(super) fn nothing() -> Self {
        Self {
            members: BTreeSet::new(),
            degree: 0,
            gpu_bytes: 0,
            host_bytes: 0,
            apart: false,
            replicas: vec![(0, Vec::new())],
        }
    }
}

/// What is left of a node.
#[derive(Clone, Debug)]
struct Room {
    /// Numbers of the GPUs that no worker owns.
    gpus: Vec<u32>,
    host_bytes: u64,
    used: bool,
}

struct Search<'a> {
    program: &'a Program,
    cluster: &'a Cluster,
    apart: &'a BTreeSet<(ComponentId, ComponentId)>,
    rooms: Vec<Room>,
    placed: Vec<Placed>,
}

impl<'a> Search<'a> {
    fn new(
        program: &'a Program,
        cluster: &'a Cluster,
        apart: &'a BTreeSet<(ComponentId, ComponentId)>,
    ) -> Self {
        let room = |node: &Node| Room {
            gpus: (0..node.gpus.as_ref().map_or(0, |gpus| gpus.count)).collect(),
            host_bytes: node.memory_bytes,
            used: false,
        };
        Self { program, cluster, apart, rooms: cluster.nodes.iter().map(room).collect(), placed: Vec::new() }
    }

    fn place(mut self, groups: &[Group]) -> Result<Vec<Placed>, Box<Diagnostic>> {
        for group in groups {
            self.check(group)?;
            match self.best_company(group) {
                Some(position) => self.join(position, group),
                None => self.settle(group)?,
            }
        }
        Ok(self.placed)
    }

    /// Whether `group` may be on the node.
    fn is_allowed(group: &Group, node: usize) -> bool {
        group.on.is_none_or(|on| on.value == node)
    }

    /// Bytes on each GPU that a group takes on.
    fn share(group: &Group) -> u64 {
        group.gpu_bytes.div_ceil(u64::from(group.degree.max(1)))
    }

    /// What can never be, however much else is placed.
    fn check(&self, group: &Group) -> Result<(), Box<Diagnostic>> {
        if group.degree == 0 {
            return Ok(());
        }
        let nodes = self.cluster.nodes.iter().enumerate().filter(|(node, _)| Self::is_allowed(group, *node));
        let gpus: Vec<_> = nodes.filter_map(|(_, node)| node.gpus.as_ref()).collect();
        let (name, span) = self.named(group);
        if gpus.is_empty() {
            let whose = group.on.map(|on| (self.cluster.nodes[on.value].name.as_str(), on.span));
            return Err(placement::no_gpu(&name, &self.cluster.name, whose, span).into());
        }
        if gpus.iter().all(|gpus| gpus.count < group.degree) {
            let most = gpus.iter().map(|gpus| gpus.count).max().unwrap_or(0);
            let at = self.said(group, |rule| rule.tensor_parallel.map(|said| said.span)).unwrap_or(span);
            return Err(placement::too_parallel(&name, group.degree, most, &self.table(), at).into());
        }
        let most = gpus.iter().filter(|gpus| gpus.count >= group.degree);
        let most = most.map(|gpus| gpus.memory_bytes).max().unwrap_or(0);
        if Self::share(group) > most {
            return Err(self.too_large(group, most).into());
        }
        Ok(())
    }

    /// The stage that `group` joins, if it does and there is one.
    fn best_company(&self, group: &Group) -> Option<usize> {
        if !group.joins {
            return None;
        }
        let has_room = self.node_for(group).is_some();
        let fits = |placed: &Placed| {
            let mut nodes = placed.replicas.iter().map(|(node, _)| *node);
            let is_one_kind = (placed.degree == 0) == (group.degree == 0);
            let on_gpu = placed.gpu_bytes.saturating_add(group.gpu_bytes);
            !placed.apart
                && is_one_kind
                && placed.degree >= group.degree
                && nodes.all(|node| {
                    let here = placed.replicas.iter().filter(|(other, _)| *other == node).count() as u64;
                    let gpus = self.cluster.nodes[node].gpus.as_ref().map_or(0, |gpus| gpus.memory_bytes);
                    let share = on_gpu.div_ceil(u64::from(placed.degree.max(1)));
                    Self::is_allowed(group, node)
                        && (placed.degree == 0 || share <= gpus)
                        && group.host_bytes.saturating_mul(here) <= self.rooms[node].host_bytes
                })
        };
        let company = self.placed.iter().enumerate().filter(|(_, placed)| fits(placed));
        let cost = |placed: &Placed| {
            let conflicts = placed.members.iter().flat_map(|other| {
                group.members.iter().filter(move |member| self.apart.contains(&(**member, *other)))
            });
            let is_equal = placed.degree == group.degree && placed.replicas.len() == 1;
            (conflicts.count(), !is_equal)
        };
        let best = company.min_by_key(|(position, placed)| (cost(placed), *position))?;
        // On the CPU streams run beside each other in one worker as well.
        let is_free = cost(best.1) == (0, false) || (group.degree == 0 && best.1.replicas.len() == 1);
        (is_free || !has_room).then_some(best.0)
    }

    fn join(&mut self, position: usize, group: &Group) {
        let placed = &mut self.placed[position];
        placed.members.extend(group.members.iter().copied());
        placed.gpu_bytes = placed.gpu_bytes.saturating_add(group.gpu_bytes);
        placed.host_bytes = placed.host_bytes.saturating_add(group.host_bytes);
        for (node, _) in &placed.replicas {
            let room = &mut self.rooms[*node];
            room.host_bytes = room.host_bytes.saturating_sub(group.host_bytes);
        }
    }

    /// Whether `node` has so many GPUs free as `group` takes.
    fn has_gpus(&self, group: &Group, node: usize) -> bool {
        let gpus = self.cluster.nodes[node].gpus.as_ref();
        group.degree == 0
            || (self.rooms[node].gpus.len() >= group.degree as usize
                && gpus.is_some_and(|gpus| Self::share(group) <= gpus.memory_bytes))
    }

    /// The node for one more worker of `group`: linked to the others, and with the least room that is enough.
    fn node_for(&self, group: &Group) -> Option<usize> {
        let fits = |node: &usize| {
            let has_memory = group.host_bytes <= self.rooms[*node].host_bytes;
            Self::is_allowed(group, *node) && self.has_gpus(group, *node) && has_memory
        };
        let cost = |node: &usize| {
            let others = self.rooms.iter().enumerate().filter(|(_, room)| room.used);
            let unlinked = others.filter(|(other, _)| !self.cluster.connects(*node, *other)).count();
            let room = &self.rooms[*node];
            let spare = if group.degree == 0 { 0 } else { room.gpus.len() };
            (unlinked, spare, !room.used, *node)
        };
        (0..self.rooms.len()).filter(fits).min_by_key(cost)
    }

    /// Gives `group` workers of its own.
    fn settle(&mut self, group: &Group) -> Result<(), Box<Diagnostic>> {
        let mut replicas = Vec::new();
        for _ in 0..group.replicas {
            let Some(node) = self.node_for(group) else {
                let found = replicas.len();
                // What was found is in the table of the message.
                self.placed.push(Placed::of(group, replicas));
                return Err(self.no_room(group, found).into());
            };
            let room = &mut self.rooms[node];
            let gpus: Vec<u32> = room.gpus.drain(..group.degree as usize).collect();
            room.host_bytes = room.host_bytes.saturating_sub(group.host_bytes);
            room.used = true;
            replicas.push((node, gpus));
        }
        self.placed.push(Placed::of(group, replicas));
        Ok(())
    }

    fn no_room(&self, group: &Group, placed: usize) -> Diagnostic {
        let (name, span) = self.named(group);
        let at =
            |rule: &Rule| rule.replicas.map(|said| said.span).or(rule.tensor_parallel.map(|said| said.span));
        let span = self.said(group, at).unwrap_or(span);
        let has_gpus = |node: &usize| Self::is_allowed(group, *node) && self.has_gpus(group, *node);
        // GPUs aside, it is the memory of the hosts that is short.
        if (0..self.rooms.len()).any(|node| has_gpus(&node)) {
            let members = group.members.iter().map(|id| &self.program.components[*id].deployed);
            let on_host = members.filter(|component| component.needs.gpus == 0);
            let name = joined(on_host.map(|component| component.name.as_str()), "` + `");
            let needs = human(group.host_bytes);
            return placement::no_host_memory(&name, &needs, &self.table(), span);
        }
        let wants = (group.replicas, group.degree);
        placement::no_free_gpus(&name, wants, placed, &self.cluster.name, &self.table(), span)
    }

    fn too_large(&self, group: &Group, most: u64) -> Diagnostic {
        let (_, span) = self.named(group);
        let share = Self::share(group);
        let parts: Vec<(&str, String)> = group
            .members
            .iter()
            .map(|id| &self.program.components[*id].deployed)
            .filter(|component| component.needs.gpus > 0)
            .map(|component| (component.name.as_str(), human(component.needs.memory_bytes)))
            .collect();
        let over = human(share - most);
        placement::too_large_for_gpu(
            &parts,
            group.degree,
            (&human(share), &human(most)),
            &over,
            &self.table(),
            span,
        )
    }

    fn said(&self, group: &Group, which: impl Fn(&Rule) -> Option<Span>) -> Option<Span> {
        self.program.deployment.rules.get(&group.anchor).and_then(which)
    }

    /// The component that a group is named by, and where it is made.
    fn named(&self, group: &Group) -> (String, Span) {
        let id = if group.members.contains(&group.anchor) {
            group.anchor
        } else {
            group.members.first().copied().unwrap_or(group.anchor)
        };
        let component = &self.program.components[id];
        (component.deployed.name.clone(), component.span)
    }

    /// What is on each node, a row each.
    fn table(&self) -> Vec<String> {
        let row = |(number, node): (usize, &Node)| {
            let held: Vec<String> = self
                .placed
                .iter()
                .flat_map(|placed| placed.replicas.iter().map(move |replica| (placed, replica)))
                .filter(|(_, (at, _))| *at == number)
                .map(|(placed, (_, gpus))| {
                    let names = placed.members.iter().map(|id| &self.program.components[*id].deployed.name);
                    let names = joined(names, " + ");
                    if gpus.is_empty() {
                        format!("{names} on the CPU")
                    } else {
                        format!("{names} on GPU {}", joined(gpus.iter(), ", "))
                    }
                })
                .collect();
            let free = self.rooms[number].gpus.len();
            let has = node.gpus.as_ref().map_or_else(
                || "no GPU".to_owned(),
                |gpus| {
                    let memory = human(gpus.memory_bytes);
                    format!("{} × {} of {memory}, {free} free", gpus.count, gpus.kind)
                },
            );
            let held = if held.is_empty() { "nothing placed".to_owned() } else { held.join("; ") };
            format!("node {}: {has}, {} of memory ({held})", node.name, human(node.memory_bytes))
        };
        self.cluster.nodes.iter().enumerate().map(row).collect()
    }
}
