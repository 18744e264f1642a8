//! What can be refused only once a route's graph is final: streams that wait for their own end,
//! and outputs that are one and the same value.
//!
//! A stream moves as fast as the slowest of its readers. A reader begins when its whole operands
//! are there. So if one of them needs the end of a stream that this reader holds back, nothing
//! moves. Streams that meet in a node hold each other back, too: they are one group.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::ValueId;
use corn_plan::ids::Id;
use petgraph::unionfind::UnionFind;

use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::{placement, routes};
use crate::graph::{Graph, Node, NodeId, Output, Program, Specialized};

/// Reports what is wrong with the routes in `all`.
pub(crate) fn check(all: &[Specialized], program: &Program, found: &mut Diagnostics) {
    for one in all {
        let graph = program.graphs.iter().find(|graph| graph.name == one.graph.name);
        // Those that are one value whatever a request brings; the others have copies.
        let whole = graph.map_or(&[][..], |graph| &graph.outputs);
        let asked = |output: &&Output| one.graph.outputs.iter().any(|asked| asked.name == output.name);
        for (position, output) in whole.iter().enumerate().filter(|(_, output)| asked(output)) {
            let mut before = whole[..position].iter().filter(asked);
            if let Some(other) = before.find(|other| other.value == output.value) {
                found.push(routes::same_output(&output.name, output.span, &other.name, other.span));
            }
        }
        stalls(&one.graph, found);
    }
}

fn stalls(graph: &Graph, found: &mut Diagnostics) {
    let groups = Groups::of(graph);
    for node in &graph.nodes {
        for operand in streams(graph, node) {
            for whole in wholes(graph, node) {
                if let Some(waiting) = groups.waiting(graph, whole, operand) {
                    let stream = &graph.values[operand];
                    let problem = placement::stall(
                        node.span,
                        &stream.name,
                        graph.nodes[stream.node].span,
                        &graph.values[whole].name,
                        graph.nodes[waiting].span,
                    );
                    found.push(problem);
                }
            }
        }
    }
}

/// For each value the group of streams that it moves with.
struct Groups {
    of: Vec<usize>,
    /// For each group, the first node that reads or makes a stream of it.
    first: BTreeMap<usize, NodeId>,
}

impl Groups {
    fn of(graph: &Graph) -> Self {
        let mut together = UnionFind::new(graph.values.len());
        for node in &graph.nodes {
            let mut moving = moving(graph, node);
            if let Some(first) = moving.next() {
                for other in moving {
                    together.union(first.index(), other.index());
                }
            }
        }
        let mut groups = Self { of: together.into_labeling(), first: BTreeMap::new() };
        for (id, node) in graph.nodes.enumerate() {
            for stream in moving(graph, node) {
                groups.first.entry(groups.of[stream.index()]).or_insert(id);
            }
        }
        groups
    }

    /// A node on the way to the whole value `value` that needs the end of the streams that move with
    /// `stream`. Only nodes since the first of these streams are looked at.
    fn waiting(&self, graph: &Graph, value: ValueId, stream: ValueId) -> Option<NodeId> {
        let group = self.of[stream.index()];
        let first = *self.first.get(&group)?;
        let mut seen = BTreeSet::new();
        let mut left = vec![value];
        while let Some(value) = left.pop() {
            let id = graph.values[value].node;
            if id < first || !seen.insert(value) {
                continue;
            }
            let node = &graph.nodes[id];
            let is_whole = !graph.values[value].ty.is_stream();
            if is_whole && moving(graph, node).any(|stream| self.of[stream.index()] == group) {
                return Some(id);
            }
            left.extend(node.operands.iter().map(|operand| operand.value));
        }
        None
    }
}

/// The streams that `node` reads and makes.
fn moving<'g>(graph: &'g Graph, node: &'g Node) -> impl Iterator<Item = ValueId> + 'g {
    let operands = node.operands.iter().map(|operand| operand.value);
    let touched = operands.chain(node.results.iter().map(|(_, value)| *value));
    touched.filter(|value| graph.values[*value].ty.is_stream())
}

fn streams(graph: &Graph, node: &Node) -> Vec<ValueId> {
    let operands = node.operands.iter().map(|operand| operand.value);
    operands.filter(|value| graph.values[*value].ty.is_stream()).collect()
}

fn wholes(graph: &Graph, node: &Node) -> Vec<ValueId> {
    let operands = node.operands.iter().map(|operand| operand.value);
    operands.filter(|value| !graph.values[*value].ty.is_stream()).collect()
}
