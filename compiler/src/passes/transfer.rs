//! Makes every hand-over explicit: a value that is read on another stage than the one that makes
//! it is sent there once.

use std::collections::BTreeSet;

use corn_plan::{IdVec, StageId, Transport, ValueId};

use crate::graph::{Graph, NodeId, NodeKind};
use crate::passes::target::Target;

/// A value handed from one stage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) value: ValueId,
    pub(crate) from: StageId,
    pub(crate) to: StageId,
    pub(crate) transport: Transport,
}

/// The hand-overs of a route whose nodes are on `stages`. Inputs and constants are where they are
/// read, so they are never handed over.
pub(crate) fn transfer(
    graph: &Graph,
    stages: &IdVec<NodeId, BTreeSet<StageId>>,
    target: &Target,
) -> Vec<HandOver> {
    let readers = graph.readers();
    let mut handed = Vec::new();
    for (id, node) in graph.nodes.enumerate() {
        if matches!(node.kind, NodeKind::Input(_) | NodeKind::Const(_)) {
            continue;
        }
        let from = *stages[id].first().expect("a node has a stage");
        for (_, value) in &node.results {
            let to: BTreeSet<StageId> =
                readers[*value].iter().flat_map(|reader| stages[*reader].clone()).collect();
            handed.extend(to.into_iter().filter(|to| *to != from).map(|to| HandOver {
                value: *value,
                from,
                to,
                transport: target.transport,
            }));
        }
    }
    handed
}
