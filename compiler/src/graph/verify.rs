//! What must hold of every graph, checked after each pass. A violation is a bug of the compiler.
//!
//! - G1 ids are positions that exist, and a value is made by the node that it names, once
//! - G2 operands are made before they are read, so no node waits for itself
//! - G3 a component's input ports are filled once, or are optional
//! - G4 what fills a port has its type
//! - G5 inputs and their nodes point at each other; outputs exist
//! - G6 after `inline` no graph asks another; after `specialize` nothing is optional; after
//!   `simplify` nothing is merely passed on
//! - G7 a node reads what is in its own scope or in one around it; the end of a block also what is inside

use std::borrow::Cow;

use corn_plan::shapes::resolved;
use corn_plan::{ComponentId, Form, IdVec, Type, ValueId};

use super::fit::{Extents, kind_misfit, misfit};
use super::{Component, Graph, NodeId, NodeKind};

/// How far a graph has come; each step forbids more (G6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// As analysed.
    Analyzed,
    /// No graph asks another.
    Inlined,
    /// Nothing is optional.
    Specialized,
    /// Nothing is merely passed on.
    Simplified,
}

/// Everything that is wrong with `graph`, as sentences.
pub fn verify(graph: &Graph, components: &IdVec<ComponentId, Component>, phase: Phase) -> Vec<String> {
    let mut wrong = Vec::new();
    check_ids(graph, components, &mut wrong);
    if wrong.is_empty() {
        check_edges(graph, &mut wrong);
        check_phase(graph, phase, &mut wrong);
        for (id, _) in graph.nodes.enumerate() {
            check_run(graph, components, id, &mut wrong);
        }
    }
    wrong
}

fn check_ids(graph: &Graph, components: &IdVec<ComponentId, Component>, wrong: &mut Vec<String>) {
    for (id, node) in graph.nodes.enumerate() {
        let operands = node.operands.iter().map(|operand| operand.value);
        for value in operands.chain(node.results.iter().map(|(_, value)| *value)) {
            if graph.values.get(value).is_none() {
                wrong.push(format!("G1: {id} names {value}, which does not exist"));
            }
        }
        if let NodeKind::Run { component, .. } = node.kind
            && components.get(component).is_none()
        {
            wrong.push(format!("G1: {id} calls {component}, which does not exist"));
        }
    }
    for (id, value) in graph.values.enumerate() {
        let makes = |node: NodeId| {
            let node = graph.nodes.get(node)?;
            Some(node.results.iter().filter(|(_, made)| *made == id).count())
        };
        if makes(value.node) != Some(1) {
            wrong.push(format!("G1: {id} is not made once by {}", value.node));
        }
    }
    let ends = graph.inputs.iter().map(|input| input.value);
    for value in ends.chain(graph.outputs.iter().map(|output| output.value)) {
        if graph.values.get(value).is_none() {
            wrong.push(format!("G5: an input or output is {value}, which does not exist"));
        }
    }
}

fn check_edges(graph: &Graph, wrong: &mut Vec<String>) {
    for (id, node) in graph.nodes.enumerate() {
        for operand in &node.operands {
            if graph.values[operand.value].node >= id {
                wrong.push(format!("G2: {id} reads {} before it is made", operand.value));
            }
        }
        if let NodeKind::Input(position) = node.kind {
            let input = graph.inputs.get(position as usize);
            let makes = |input: &super::Input| {
                let media = input.media.filter(|media| *media != input.value);
                let others =
                    media.map(|media| (1, media)).into_iter().chain(input.order.map(|order| (2, order)));
                node.results.iter().copied().eq(std::iter::once((0, input.value)).chain(others))
            };
            if !input.is_some_and(makes) {
                wrong.push(format!("G5: {id} is not input {position}"));
            }
        }
        check_scope(graph, id, wrong);
    }
}

/// A node reads what is in its own scope or around it; the end of a block also what is inside.
fn check_scope(graph: &Graph, id: NodeId, wrong: &mut Vec<String>) {
    let node = &graph.nodes[id];
    let inside: Vec<super::ScopeId> = match &node.kind {
        NodeKind::Switch { scopes, .. } => scopes.clone(),
        NodeKind::Loop { scope, .. } => vec![*scope],
        _ => Vec::new(),
    };
    for operand in &node.operands {
        let made = graph.nodes[graph.values[operand.value].node].scope;
        let sees = graph.is_within(node.scope, made) || inside.iter().any(|scope| made == Some(*scope));
        if !sees {
            wrong.push(format!("G7: {id} reads {}, which is made inside a block", operand.value));
        }
    }
}

fn check_phase(graph: &Graph, phase: Phase, wrong: &mut Vec<String>) {
    for (id, node) in graph.nodes.enumerate() {
        match node.kind {
            NodeKind::Call { graph: callee, .. } if phase >= Phase::Inlined => {
                wrong.push(format!("G6: {id} still asks {callee}"));
            }
            NodeKind::Pass | NodeKind::Choose if phase >= Phase::Simplified => {
                wrong.push(format!("G6: {id} still passes a value on"));
            }
            _ => {}
        }
    }
    if phase >= Phase::Specialized {
        let optional = graph.inputs.iter().any(|input| input.optional)
            || graph.outputs.iter().any(|output| output.optional)
            || graph.values.iter().any(|value| !value.needs.is_empty());
        if optional {
            wrong.push("G6: something is still optional".to_owned());
        }
    }
}

fn check_run(graph: &Graph, components: &IdVec<ComponentId, Component>, id: NodeId, wrong: &mut Vec<String>) {
    let node = &graph.nodes[id];
    let NodeKind::Run { component, each } = node.kind else { return };
    let component = &components[component].deployed;
    let mut extents = Extents::new();
    for (position, port) in component.inputs.iter().enumerate() {
        let filled: Vec<_> =
            node.operands.iter().filter(|operand| operand.port as usize == position).collect();
        if filled.len() > 1 || (filled.is_empty() && !port.optional) {
            wrong.push(format!("G3: {id} fills {}.{} {} times", component.name, port.name, filled.len()));
        }
        for operand in filled {
            let given = item_type(graph, operand.value, operand.each);
            let given = given.as_ref();
            if let Some(misfit) = misfit(given, &port.ty, &mut extents) {
                let (component, port) = (&component.name, &port.name);
                wrong.push(format!("G4: {id}: '{given}' does not fit {component}.{port}: {misfit:?}"));
            }
        }
    }
    for (port, value) in &node.results {
        let Some(port) = component.outputs.get(*port as usize) else {
            wrong.push(format!("G3: {id} uses output {port} of {}, which it does not have", component.name));
            continue;
        };
        let (makes, made) =
            (resolved(&port.ty.kind, &extents), item_type(graph, *value, each).into_owned().kind);
        if kind_misfit(&makes, &made, &mut Extents::new()).is_some() {
            wrong.push(format!("G4: {id}: {value} has not the type of {}.{}", component.name, port.name));
        }
    }
}

/// The type of a value, or of one item of it.
fn item_type(graph: &Graph, value: ValueId, item: bool) -> Cow<'_, Type> {
    let ty = &graph.values[value].ty;
    match ty.form {
        Form::List { .. } if item => Cow::Owned(Type::value(ty.kind.clone())),
        _ => Cow::Borrowed(ty),
    }
}
