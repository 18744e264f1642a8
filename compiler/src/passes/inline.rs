//! Replaces each call of a graph by the nodes of that graph, so that values cross from one graph
//! to another as they are, inside one recording.
//!
//! Inputs of the callee that the call leaves out are absent for good: what needs them is left
//! out, and an input with a default becomes a constant.

use corn_plan::{IdVec, ValueId};

use crate::graph::{Graph, GraphId, Node, NodeKind, Operand, Presence, Program, Value};

/// Inlines every call; graphs that are called come before those that call them.
pub(crate) fn inline(program: &mut Program) {
    for id in program.graphs.ids() {
        let graph = &program.graphs[id];
        if graph.nodes.iter().any(|node| matches!(node.kind, NodeKind::Call { .. })) {
            program.graphs[id] = flattened(graph, &program.graphs);
        }
    }
}

/// Values of one graph as values of another; `None` if they are absent for good.
type Renamed = IdVec<ValueId, Option<ValueId>>;

fn flattened(graph: &Graph, graphs: &IdVec<GraphId, Graph>) -> Graph {
    let mut flat = Graph { name: graph.name.clone(), span: graph.span, ..Graph::default() };
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
                let copy = flat.add(kind.clone(), operands, node.span);
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
        .map(|input| crate::graph::Input { value: name(input.value), ..input.clone() })
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
fn splice(
    flat: &mut Graph,
    callee: &Graph,
    given: &[(u32, ValueId)],
    guard: &Presence,
    call: &Node,
) -> Renamed {
    let mut inner: Renamed = callee.values.iter().map(|_| None).collect();
    let bound: Vec<Option<ValueId>> = (0u32..)
        .zip(&callee.inputs)
        .map(|(position, input)| {
            let given = given.iter().find(|(port, _)| *port == position).map(|(_, value)| *value);
            given.or_else(|| default(flat, callee, input, call))
        })
        .collect();
    for node in &callee.nodes {
        if let NodeKind::Input(position) = node.kind {
            inner[callee.inputs[position as usize].value] = bound[position as usize];
            continue;
        }
        let needs = node.results.iter().flat_map(|(_, value)| &callee.values[*value].needs);
        let needs: Option<Vec<ValueId>> = needs.map(|input| bound[*input as usize]).collect();
        let Some(needs) = needs else { continue };
        let mut present = guard.clone();
        present.extend(needs.into_iter().flat_map(|value| flat.values[value].needs.clone()));
        let copy = flat.add(node.kind.clone(), operands(node, &inner), node.span);
        for (port, value) in &node.results {
            let made = &callee.values[*value];
            let name = format!("{}.{}", callee.name, made.name);
            let made = Value { name, needs: present.clone(), ..made.clone() };
            inner[*value] = Some(flat.make(copy, *port, made));
        }
    }
    inner
}

/// The constant that stands for an input that the call leaves out.
fn default(flat: &mut Graph, callee: &Graph, input: &crate::graph::Input, call: &Node) -> Option<ValueId> {
    let literal = input.default.clone()?;
    let node = flat.add(NodeKind::Const(literal), Vec::new(), call.span);
    let value = Value { needs: Presence::new(), ..callee.values[input.value].clone() };
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
    let node = flat.add(NodeKind::Pass, vec![operand], call.span);
    let ty = flat.values[made].ty.clone();
    flat.make(node, 0, Value { ty, ..result.clone() })
}
