//! Whether the cluster has every link that the placement needs.

use std::collections::BTreeSet;

use corn_plan::{StageId, WorkerId};

use super::Placement;
use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::placement;
use crate::graph::print::joined;
use crate::graph::{Program, Specialized};
use crate::passes::{stages, transfer};

/// Reports values that go from one node to another without a link between the two.
pub(crate) fn check_links(
    all: &[Specialized],
    program: &Program,
    placed: &Placement,
    found: &mut Diagnostics,
) {
    let mut said: BTreeSet<(String, String)> = BTreeSet::new();
    for (one, nodes) in all.iter().zip(&placed.nodes) {
        let graph = &one.graph;
        for (value, from, to) in transfer::edges(graph, nodes, &stages::blocks(graph, nodes)) {
            if placed.transport(&graph.values[value].ty, from, to).is_some() {
                continue;
            }
            let Some((left, right)) = unlinked(placed, from, to) else { continue };
            if !said.insert((left.clone().min(right.clone()), left.clone().max(right.clone()))) {
                continue;
            }
            let name = |stage: StageId| {
                let components = placed.stages[stage].components.iter();
                joined(components.map(|id| &program.components[*id].deployed.name), " + ")
            };
            let cluster = placed.cluster.as_ref().map(|cluster| (cluster.name.as_str(), cluster.span));
            let (from, to) = (name(from), name(to));
            let made = &graph.values[value];
            let at = graph.nodes[made.node].span;
            found.push(placement::no_link(&made.name, (&from, &left), (&to, &right), cluster, at));
        }
    }
}

/// Two hosts of these stages between which nothing can go.
fn unlinked(placed: &Placement, from: StageId, to: StageId) -> Option<(String, String)> {
    let cluster = placed.cluster.as_ref()?;
    let host = |worker: &WorkerId| placed.workers[*worker].host.clone();
    let node = |host: &str| cluster.nodes.iter().position(|node| node.name == host);
    let (from, to) = (&placed.stages[from].replicas, &placed.stages[to].replicas);
    let mut pairs = from.iter().flat_map(|from| to.iter().map(move |to| (host(from), host(to))));
    pairs.find(|(from, to)| node(from).zip(node(to)).is_some_and(|(from, to)| !cluster.connects(from, to)))
}
