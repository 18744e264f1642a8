//! What can be refused only once a route's graph is final: streams that wait for their own end,
//! and outputs that are one and the same value.
//!
//! A stream moves as fast as the slowest of its readers. A reader begins when its whole operands
//! are there. So if one of them needs the end of a stream that this reader holds back, nothing
//! moves. Streams that meet in a node hold each other back, too: they are one group.

use std::collections::BTreeMap;

use corn_plan::ids::Id;
use corn_plan::{IdVec, ValueId};
use petgraph::unionfind::UnionFind;

use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::{placement, routes};
use crate::graph::{Graph, Node, NodeId, Specialized};

/// Reports what is wrong with the routes in `all`.
pub(crate) fn check(all: &[Specialized], found: &mut Diagnostics) {
    for one in all {
        for (position, output) in one.graph.outputs.iter().enumerate() {
            let same = one.graph.outputs[..position].iter().find(|other| other.value == output.value);
            if let Some(other) = same {
                found.push(routes::same_output(&output.name, output.span, &other.name, other.span));
            }
        }
        stalls(&one.graph, found);
    }
}

/// Groups of streams whose end something needs, and the node that waits for it.
type Ends = BTreeMap<usize, NodeId>;

fn stalls(graph: &Graph, found: &mut Diagnostics) {
    let groups = groups(graph);
    let mut ends: IdVec<ValueId, Ends> = graph.values.iter().map(|_| Ends::new()).collect();
    for (id, node) in graph.nodes.enumerate() {
        for operand in streams(graph, node) {
            for whole in wholes(graph, node) {
                if let Some(waiting) = ends[whole].get(&groups[operand.index()]) {
                    let stream = &graph.values[operand];
                    let problem = placement::stall(
                        node.span,
                        &stream.name,
                        graph.nodes[stream.node].span,
                        &graph.values[whole].name,
                        graph.nodes[*waiting].span,
                    );
                    found.push(problem);
                }
            }
        }
        let mut begins = Ends::new();
        for operand in &node.operands {
            begins.extend(ends[operand.value].clone());
        }
        for (_, result) in &node.results {
            let mut needed = begins.clone();
            if !graph.values[*result].ty.is_stream() {
                let made = node.results.iter().map(|(_, value)| *value);
                let made = made.filter(|value| graph.values[*value].ty.is_stream());
                let held = streams(graph, node).into_iter().chain(made);
                needed.extend(held.map(|stream| (groups[stream.index()], id)));
            }
            ends[*result] = needed;
        }
    }
}

/// For each value the group of streams that it moves with.
fn groups(graph: &Graph) -> Vec<usize> {
    let mut groups = UnionFind::new(graph.values.len());
    for node in &graph.nodes {
        let made = node.results.iter().map(|(_, value)| *value);
        let made = made.filter(|value| graph.values[*value].ty.is_stream());
        let mut together = streams(graph, node).into_iter().chain(made);
        if let Some(first) = together.next() {
            for other in together {
                groups.union(first.index(), other.index());
            }
        }
    }
    groups.into_labeling()
}

fn streams(graph: &Graph, node: &Node) -> Vec<ValueId> {
    let operands = node.operands.iter().map(|operand| operand.value);
    operands.filter(|value| graph.values[*value].ty.is_stream()).collect()
}

fn wholes(graph: &Graph, node: &Node) -> Vec<ValueId> {
    let operands = node.operands.iter().map(|operand| operand.value);
    operands.filter(|value| !graph.values[*value].ty.is_stream()).collect()
}
