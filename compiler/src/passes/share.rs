//! Equal is shared: components with the same declaration, arguments, needs and placement are deployed once,
//! and within a route equal constants, equal adaptors of one value and equal calls are made once.
//!
//! Equal calls have the same component and the same operands. A model that is to answer one question in two ways is
//! asked with two seeds.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{ComponentId, IdVec, ValueId};

use crate::graph::deploy::Rule;
use crate::graph::{Component, Graph, Node, NodeId, NodeKind, Program, Specialized};

/// Shares what is equal; components keep their ids, and all calls go to the first of its equals.
pub(crate) fn share(all: &mut [Specialized], program: &Program) {
    let first = first_of_equals(&program.components, &program.deployment.rules);
    for one in all {
        for node in one.graph.nodes.ids() {
            if let NodeKind::Run { component, .. } = &mut one.graph.nodes[node].kind {
                *component = first[*component];
            }
        }
        share_nodes(one);
    }
}

/// For each component the first that is equal to it. One that no `place` line speaks of goes where an equal one of
/// which something is said goes.
pub(crate) fn first_of_equals(
    components: &IdVec<ComponentId, Component>,
    rules: &BTreeMap<ComponentId, Rule>,
) -> IdVec<ComponentId, ComponentId> {
    let nameless =
        |component: &Component| corn_plan::Component { name: String::new(), ..component.deployed.clone() };
    let rule = |id: ComponentId| rules.get(&id).map(Rule::plain).unwrap_or_default();
    // Equal components have equal arguments, so only few are compared whole.
    let mut alike: BTreeMap<String, Vec<(ComponentId, corn_plan::Component, Rule)>> = BTreeMap::new();
    let mut keys: IdVec<ComponentId, String> = IdVec::new();
    for (id, component) in components.enumerate() {
        let component = nameless(component);
        let key = format!("{} {:?} {:?}", component.kind, component.weights, component.options);
        alike.entry(key.clone()).or_default().push((id, component, rule(id)));
        keys.push(key);
    }
    let first = |id: ComponentId| {
        let alike = &alike[&keys[id]];
        let (own, rule) = alike.iter().find(|(other, ..)| *other == id).map(|(_, own, rule)| (own, rule))?;
        let mut equal = alike.iter().filter(|(_, other, _)| other == own);
        let unplaced = Rule::default();
        let found = if *rule == unplaced {
            equal.clone().find(|(.., rule)| *rule != unplaced).or_else(|| equal.next())
        } else {
            equal.find(|(.., other)| other == rule)
        };
        found.map(|(first, ..)| *first)
    };
    components.ids().map(|id| first(id).unwrap_or(id)).collect()
}

/// Whether equal ones of this node are one: constants, adaptors, and calls that make whole values. Streams of two
/// calls stay two: with one of them the slower reader would hold the other back.
fn is_shared(graph: &Graph, id: NodeId) -> bool {
    let node = &graph.nodes[id];
    let is_whole = || node.results.iter().all(|(_, value)| !graph.values[*value].ty.is_stream());
    match node.kind {
        NodeKind::Const(_) | NodeKind::Adapt(_) => true,
        NodeKind::Run { .. } => is_whole(),
        _ => false,
    }
}

/// Whether two nodes do the same to the same and make the same.
fn is_same(graph: &Graph, one: &Node, other: &Node) -> bool {
    let makes =
        |a: &(u32, ValueId), b: &(u32, ValueId)| a.0 == b.0 && graph.values[a.1].ty == graph.values[b.1].ty;
    one.kind == other.kind
        && one.scope == other.scope
        && one.operands == other.operands
        && one.results.len() == other.results.len()
        && one.results.iter().zip(&other.results).all(|(one, other)| makes(one, other))
}

fn share_nodes(one: &mut Specialized) {
    let graph = &mut one.graph;
    let mut stands: IdVec<ValueId, ValueId> = graph.values.ids().collect();
    let sent: BTreeSet<ValueId> = graph.outputs.iter().map(|output| output.value).collect();
    let mut gone = BTreeSet::new();
    let mut alike: BTreeMap<(String, Vec<ValueId>), Vec<NodeId>> = BTreeMap::new();
    for id in graph.nodes.ids() {
        for operand in &mut graph.nodes[id].operands {
            operand.value = stands[operand.value];
        }
        if !is_shared(graph, id) {
            continue;
        }
        let node = &graph.nodes[id];
        let operands = node.operands.iter().map(|operand| operand.value).collect();
        let alike = alike.entry((format!("{:?}", node.kind), operands)).or_default();
        let is_sent = |node: &Node| node.results.iter().any(|(_, value)| sent.contains(value));
        let equal = alike.iter().map(|other| &graph.nodes[*other]).find(|other| {
            // Every output is a value of its own.
            is_same(graph, other, node) && !(is_sent(other) && is_sent(node))
        });
        if let Some(equal) = equal {
            for (to, from) in equal.results.iter().zip(&node.results) {
                stands[from.1] = to.1;
            }
            gone.insert(id);
        } else {
            alike.push(id);
        }
    }
    if !gone.is_empty() {
        graph.read_through(&stands);
        *graph = graph.retain(|node| !gone.contains(&node));
    }
}
