//! Makes every hand-over explicit: a value that is read on another stage than the one that makes
//! it is sent there once.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{StageId, Transport, ValueId};

use crate::graph::{Graph, NodeId, NodeKind};
use crate::passes::place::Placement;
use crate::passes::stages::{Block, Stages};

/// A value handed from one stage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) value: ValueId,
    pub(crate) from: StageId,
    pub(crate) to: StageId,
    pub(crate) transport: Transport,
}

/// The hand-overs of a route whose nodes are on `stages`, each by the transport that all replicas have.
pub(crate) fn transfer(
    graph: &Graph,
    stages: &Stages,
    blocks: &BTreeMap<NodeId, Block>,
    placement: &Placement,
) -> Vec<HandOver> {
    let over = |(value, from, to)| {
        let transport = placement.transport(&graph.values[value].ty, from, to);
        HandOver { value, from, to, transport: transport.expect("stages without a link were refused") }
    };
    edges(graph, stages, blocks).into_iter().map(over).collect()
}

/// Which values go from which stage to which other. Inputs, constants and what a round begins with are where
/// they are read, so they are never handed over.
pub(crate) fn edges(
    graph: &Graph,
    stages: &Stages,
    blocks: &BTreeMap<NodeId, Block>,
) -> Vec<(ValueId, StageId, StageId)> {
    let readers = graph.readers();
    let mut needed: BTreeMap<ValueId, BTreeSet<StageId>> = BTreeMap::new();
    for (value, on) in blocks.values().flat_map(|block| block.before.iter().chain(&block.at_end)) {
        needed.entry(*value).or_default().extend(on);
    }
    let mut handed = Vec::new();
    for (id, node) in graph.nodes.enumerate() {
        if matches!(node.kind, NodeKind::Input(_) | NodeKind::Const(_) | NodeKind::Enter { .. }) {
            continue;
        }
        let from = *stages[id].first().expect("a node has a stage");
        for (_, value) in &node.results {
            // Ends and beginnings of blocks say themselves where they need what.
            let reads = |reader: &&NodeId| {
                !blocks.contains_key(*reader) && !matches!(graph.nodes[**reader].kind, NodeKind::Enter { .. })
            };
            let mut to: BTreeSet<StageId> =
                readers[*value].iter().filter(reads).flat_map(|reader| stages[*reader].clone()).collect();
            to.extend(needed.get(value).into_iter().flatten());
            handed.extend(to.into_iter().filter(|to| *to != from).map(|to| (*value, from, to)));
        }
    }
    handed
}
