//! Replaces each call of a graph by the nodes of that graph, so that values cross from one graph
//! to another as they are, inside one recording.
//!
//! Inputs of the callee that the call leaves out are absent for good: what needs them is left
//! out, and an input with a default becomes a constant.

use corn_plan::{IdVec, ValueId};

use crate::diagnostic::semantic::routes;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::{Graph, GraphId, Needs, Node, NodeKind, Operand, Program, ScopeId, Value, needs};

/// Most nodes of a graph with those of the graphs that it asks. Calls of calls multiply, so a short
/// text can ask for more than any machine holds.
const MOST_NODES: usize = 100_000;

/// Inlines every call; graphs that are called come before those that call them. Whether all could be:
/// a graph that would be too large is reported, and nothing is inlined.
pub(crate) fn inline(program: &mut Program, found: &mut Diagnostics) -> bool {
    if let Some(large) = too_large(&program.graphs) {
        found.push(large);
        return false;
    }
    for id in program.graphs.ids() {
        let graph = &program.graphs[id];
        if graph.nodes.iter().any(|node| matches!(node.kind, NodeKind::Call { .. })) {
            program.graphs[id] = flattened(graph, &program.graphs);
        }
    }
    true
}

/// The first graph that would have too many nodes.
fn too_large(graphs: &IdVec<GraphId, Graph>) -> Option<Diagnostic> {
    // Inputs aside: a caller's values stand in their place.
    let mut sizes: IdVec<GraphId, usize> = IdVec::new();
    for graph in graphs {
        let size = |node: &Node| match node.kind {
            NodeKind::Call { graph, .. } => sizes[graph],
            NodeKind::Input(_) => 0,
            _ => 1,
        };
        let nodes = graph.nodes.iter().fold(0usize, |sum, node| sum.saturating_add(size(node)));
        if nodes > MOST_NODES {
            let calls = graph.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Call { .. }));
            let largest = calls.max_by_key(|node| size(node)).map(|node| (node.span, size(node)));
            return Some(routes::too_many_nodes(&graph.name, nodes, MOST_NODES, graph.span, largest));
        }
        sizes.push(nodes);
    }
    None
}

/// Values of one graph as values of another; `None` if they are absent for good.
type Renamed = IdVec<ValueId, Option<ValueId>>;

fn flattened(graph: &Graph, graphs: &IdVec<GraphId, Graph>) -> Graph {
    let scopes = graph.scopes.clone();
    let mut flat = Graph { name: graph.name.clone(), span: graph.span, scopes, ..Graph::default() };
    let mut renamed: Renamed = graph.values.iter().map(|_| None).collect();
    for node in &graph.nodes {
        let operands = operands(node, &renamed);
        match &node.kind {
            NodeKind::Call { graph: callee, guard } => {
                let callee = &graphs[*callee];
                let given = operands.iter().map(|operand| (operand.port, operand.value)).collect::<Vec<_>>();
                let inner = splice(&mut flat, callee, &given, guard, node);
                for (port, value) in &node.results {
                    let made = callee.outputs[*port as usize].value;
                    let made = inner[made].expect("an output that the call uses exists");
                    renamed[*value] = Some(hand_out(&mut flat, made, &graph.values[*value], node));
                }
            }
            kind => {
                let copy = flat.add(kind.clone(), operands, node.scope, node.span);
                for (port, value) in &node.results {
                    renamed[*value] = Some(flat.make(copy, *port, graph.values[*value].clone()));
                }
            }
        }
    }
    let name = |value: ValueId| renamed[value].expect("a value outside calls is not absent for good");
    flat.inputs = graph
        .inputs
        .iter()
        .map(|input| crate::graph::Input {
            value: name(input.value),
            media: input.media.map(name),
            order: input.order.map(name),
            ..input.clone()
        })
        .collect();
    flat.outputs = graph
        .outputs
        .iter()
        .map(|output| crate::graph::Output { value: name(output.value), ..output.clone() })
        .collect();
    flat
}

/// The operands of `node` that are there at all.
fn operands(node: &Node, renamed: &Renamed) -> Vec<Operand> {
    let present = |operand: &Operand| Some(Operand { value: renamed[operand.value]?, ..*operand });
    node.operands.iter().filter_map(present).collect()
}

/// Copies the nodes of `callee` to `flat`, with `given` as its inputs.
fn splice(flat: &mut Graph, callee: &Graph, given: &[(u32, ValueId)], guard: &Needs, call: &Node) -> Renamed {
    let mut inner: Renamed = callee.values.iter().map(|_| None).collect();
    let bound: Vec<Option<ValueId>> = (0u32..)
        .zip(&callee.inputs)
        .map(|(position, input)| {
            let given = given.iter().find(|(port, _)| *port == position).map(|(_, value)| *value);
            given.or_else(|| default(flat, callee, input, call))
        })
        .collect();
    let scopes = copied_scopes(flat, callee, call);
    for node in &callee.nodes {
        if let NodeKind::Input(position) = node.kind {
            let input = &callee.inputs[position as usize];
            let given = bound[position as usize];
            inner[input.value] = given;
            if let Some(given) = given {
                for (port, value) in [(1, input.media), (2, input.order)] {
                    if let Some(value) = value.filter(|value| *value != input.value) {
                        inner[value] = brought_with(flat, given, port);
                    }
                }
            }
            continue;
        }
        let mut needs = guard.clone();
        let results = node.results.iter().map(|(_, value)| &callee.values[*value].needs);
        if !results.into_iter().all(|of| add_needs(flat, callee, &bound, of, &mut needs)) {
            continue;
        }
        let scope = node.scope.map_or(call.scope, |scope| Some(scopes[scope]));
        let kind = in_scopes(&node.kind, &scopes);
        let copy = flat.add(kind, operands(node, &inner), scope, node.span);
        for (port, value) in &node.results {
            let made = &callee.values[*value];
            let name = format!("{}.{}", callee.name, made.name);
            let made = Value { name, needs: needs.clone(), ..made.clone() };
            inner[*value] = Some(flat.make(copy, *port, made));
        }
    }
    inner
}

/// The scopes of `callee` in `flat`, inside that of the call.
fn copied_scopes(flat: &mut Graph, callee: &Graph, call: &Node) -> IdVec<ScopeId, ScopeId> {
    let mut copied: IdVec<ScopeId, ScopeId> = IdVec::new();
    for outer in &callee.scopes {
        let outer = outer.map_or(call.scope, |outer| Some(copied[outer]));
        let copy = flat.scopes.push(outer);
        copied.push(copy);
    }
    copied
}

/// A node's kind with the scopes that stand for its own.
fn in_scopes(kind: &NodeKind, copied: &IdVec<ScopeId, ScopeId>) -> NodeKind {
    let mut kind = kind.clone();
    match &mut kind {
        NodeKind::Switch { scopes, .. } => scopes.iter_mut().for_each(|scope| *scope = copied[*scope]),
        NodeKind::Enter { scope, .. } | NodeKind::Loop { scope, .. } => *scope = copied[*scope],
        _ => {}
    }
    kind
}

/// What comes with `given`, which an input of `flat` brings: its media (port 1), their order (port 2).
fn brought_with(flat: &Graph, given: ValueId, port: u32) -> Option<ValueId> {
    let results = &flat.nodes[flat.values[given].node].results;
    results.iter().find(|(of, _)| *of == port).map(|(_, value)| *value)
}

/// Adds to `needs` what must be brought for `of` to hold in the callee; false if it never does.
fn add_needs(flat: &Graph, callee: &Graph, bound: &[Option<ValueId>], of: &Needs, needs: &mut Needs) -> bool {
    for input in of.present.iter().chain(of.chosen.keys()) {
        let Some(given) = bound[*input as usize] else { return false };
        needs.extend(&flat.values[given].needs);
    }
    for (input, values) in &of.chosen {
        let Some(given) = bound[*input as usize] else { return false };
        match &flat.nodes[flat.values[given].node].kind {
            NodeKind::Input(position) => needs.choose(*position, *values),
            NodeKind::Const(literal) => {
                let kind = &callee.values[callee.inputs[*input as usize].value].ty.kind;
                if needs::bit(kind, literal).is_none_or(|bit| bit & values == 0) {
                    return false;
                }
            }
            _ => unreachable!("analysis gives deciding inputs constants and parameters"),
        }
    }
    true
}

/// The constant that stands for an input that the call leaves out.
fn default(flat: &mut Graph, callee: &Graph, input: &crate::graph::Input, call: &Node) -> Option<ValueId> {
    let literal = input.default.clone()?;
    let node = flat.add(NodeKind::Const(literal), Vec::new(), call.scope, call.span);
    let value = Value { needs: Needs::default(), ..callee.values[input.value].clone() };
    Some(flat.make(node, 0, value))
}

/// `made` under the name, and on the routes, of the call's result `result`.
fn hand_out(flat: &mut Graph, made: ValueId, result: &Value, call: &Node) -> ValueId {
    if flat.values[made].needs == result.needs {
        if !matches!(flat.nodes[flat.values[made].node].kind, NodeKind::Input(_)) {
            flat.values[made].name.clone_from(&result.name);
        }
        return made;
    }
    let operand = Operand { port: 0, value: made, each: false };
    let node = flat.add(NodeKind::Pass, vec![operand], call.scope, call.span);
    let ty = flat.values[made].ty.clone();
    flat.make(node, 0, Value { ty, ..result.clone() })
}
