//! Puts the steps of each stage in an order that respects every dependency: that of the nodes,
//! with inputs, constants and receives before what reads them, and outputs and sends right after
//! what makes them.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{ComponentId, IdVec, Operand, Program, Run, StageId, Step, ValueId};

use crate::graph::{Graph, Node, NodeId, NodeKind};
use crate::passes::transfer::HandOver;

/// The programs of the stages that take part, still without frees.
pub(crate) fn schedule(
    graph: &Graph,
    stages: &IdVec<NodeId, BTreeSet<StageId>>,
    handed: &[HandOver],
    component: impl Fn(ComponentId) -> ComponentId,
) -> Vec<Program> {
    let parts: BTreeSet<StageId> = stages.iter().flatten().copied().collect();
    let outputs: BTreeSet<ValueId> = graph.outputs.iter().map(|output| output.value).collect();
    let mut leaving: BTreeMap<(ValueId, StageId), Vec<&HandOver>> = BTreeMap::new();
    for over in handed {
        leaving.entry((over.value, over.from)).or_default().push(over);
    }
    let arriving: BTreeMap<(ValueId, StageId), &HandOver> =
        handed.iter().map(|over| ((over.value, over.to), over)).collect();
    let program = |stage: StageId| {
        let mut steps = Vec::new();
        let mut received = BTreeSet::new();
        for (id, node) in graph.nodes.enumerate().filter(|(id, _)| stages[*id].contains(&stage)) {
            for operand in &node.operands {
                if let Some(over) = arriving.get(&(operand.value, stage))
                    && received.insert(operand.value)
                {
                    steps.push(Step::Recv { value: over.value, from: over.from, transport: over.transport });
                }
            }
            steps.push(step(node, &component));
            let is_first = stages[id].first() == Some(&stage);
            for (_, value) in &node.results {
                if is_first && outputs.contains(value) {
                    steps.push(Step::Output { value: *value });
                }
                let leaves = leaving.get(&(*value, stage)).into_iter().flatten();
                steps.extend(leaves.map(|over| Step::Send {
                    value: over.value,
                    to: over.to,
                    transport: over.transport,
                }));
            }
        }
        Program { stage, steps }
    };
    parts.into_iter().map(program).collect()
}

fn step(node: &Node, component: &impl Fn(ComponentId) -> ComponentId) -> Step {
    let result = || node.results[0].1;
    match &node.kind {
        NodeKind::Input(_) => Step::Input { value: result() },
        NodeKind::Const(literal) => Step::Const { value: result(), literal: literal.clone() },
        NodeKind::Run { component: called, each } => Step::Run(Run {
            component: component(*called),
            operands: node
                .operands
                .iter()
                .map(|operand| Operand { port: operand.port, value: operand.value, each: operand.each })
                .collect(),
            results: node.results.clone(),
            each: *each,
        }),
        NodeKind::Adapt(adaptor) => Step::Adapt {
            adaptor: adaptor.clone(),
            operands: node.operands.iter().map(|operand| operand.value).collect(),
            result: result(),
        },
        NodeKind::Call { .. } | NodeKind::Pass => unreachable!("gone after inline and simplify"),
    }
}
