//! Equal is shared: components with the same declaration, arguments, needs and placement are deployed once,
//! and within a route equal constants and equal adaptors of one value are made once.
//!
//! Two calls of one component stay two calls: a model may answer the same question differently.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{ComponentId, IdVec};

use crate::graph::deploy::Rule;
use crate::graph::{Component, NodeKind, Program, Specialized};

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

/// For each component the first that is equal to it.
pub(crate) fn first_of_equals(
    components: &IdVec<ComponentId, Component>,
    rules: &BTreeMap<ComponentId, Rule>,
) -> IdVec<ComponentId, ComponentId> {
    let nameless =
        |component: &Component| corn_plan::Component { name: String::new(), ..component.deployed.clone() };
    let rule = |id: ComponentId| rules.get(&id).map(Rule::plain).unwrap_or_default();
    let plain: Vec<(ComponentId, corn_plan::Component, Rule)> =
        components.enumerate().map(|(id, component)| (id, nameless(component), rule(id))).collect();
    plain
        .iter()
        .map(|(id, component, rule)| {
            let equal =
                |one: &&(ComponentId, corn_plan::Component, Rule)| one.1 == *component && one.2 == *rule;
            plain.iter().find(equal).map_or(*id, |(first, ..)| *first)
        })
        .collect()
}

fn share_nodes(one: &mut Specialized) {
    let graph = &mut one.graph;
    let mut gone = BTreeSet::new();
    for id in graph.nodes.ids() {
        let is_one = matches!(graph.nodes[id].kind, NodeKind::Const(_) | NodeKind::Adapt(_));
        if !is_one || graph.nodes[id].results.len() != 1 {
            continue;
        }
        let result = graph.nodes[id].results[0].1;
        let equal = graph.nodes.enumerate().take_while(|(other, _)| *other < id).find(|(other, node)| {
            !gone.contains(other)
                && node.kind == graph.nodes[id].kind
                && node.scope == graph.nodes[id].scope
                && node.results.len() == 1
                && node.operands == graph.nodes[id].operands
                && graph.values[node.results[0].1].ty == graph.values[result].ty
        });
        if let Some((_, node)) = equal {
            let to = node.results[0].1;
            graph.redirect(result, to);
            gone.insert(id);
        }
    }
    if !gone.is_empty() {
        *graph = graph.retain(|node| !gone.contains(&node));
    }
}
