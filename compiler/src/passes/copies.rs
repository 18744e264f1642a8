//! Outputs that turn out to be one value on a recording get one each.
//!
//! The client knows what it is sent by the value, so each output is a value of its own. Which value it is may depend
//! on the request, `{ a: x, b: if again { x } else { y } }`, and equal calls are shared; then what is sent again is a
//! copy. A stream is copied by a `merge` of it alone, a whole value by a `switch` with one case.
//!
//! Stands after `share`, which would make one of two copies.

use std::collections::BTreeSet;

use corn_plan::{Adaptor, Case, Literal, Type, ValueId};

use crate::graph::{Graph, NodeKind, Operand, Specialized, Value};

/// Gives each output of each recording a value of its own.
pub(crate) fn copies(all: &mut [Specialized]) {
    for one in all {
        let mut seen: BTreeSet<ValueId> = BTreeSet::new();
        for position in 0..one.graph.outputs.len() {
            let value = one.graph.outputs[position].value;
            if !seen.insert(value) {
                one.graph.outputs[position].value = copy(&mut one.graph, position);
            }
        }
    }
}

/// A copy of what the output at `position` is.
fn copy(graph: &mut Graph, position: usize) -> ValueId {
    let (name, value, span) = {
        let output = &graph.outputs[position];
        (output.name.clone(), output.value, output.span)
    };
    let ty = graph.values[value].ty.clone();
    let named = |name: String, ty: Type, node| Value {
        name,
        ty,
        fixed: true,
        node,
        needs: crate::graph::Needs::default(),
        optional: false,
        declared: span,
    };
    let operand = |port: u32, value: ValueId| Operand { port, value, each: false };
    let (kind, operands) = if ty.is_stream() {
        (NodeKind::Adapt(Adaptor::Merge { tags: Vec::new() }), vec![operand(0, value)])
    } else {
        let node = graph.add(NodeKind::Const(Literal::Bool(true)), Vec::new(), None, span);
        let subject = graph.make(node, 0, named("true".to_owned(), Type::value(corn_plan::Kind::Bool), node));
        let scopes = vec![graph.scopes.push(None)];
        let kind = NodeKind::Switch { cases: vec![Case::Else], scopes, outputs: 1 };
        (kind, vec![operand(0, subject), operand(1, value)])
    };
    let node = graph.add(kind, operands, None, span);
    graph.make(node, 0, named(name, ty, node))
}
