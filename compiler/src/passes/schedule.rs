//! Puts the steps of each stage in an order that respects every dependency: that of the nodes, with inputs,
//! constants and receives before what reads them, and outputs and sends right after what makes them.
//!
//! What is inside a `switch` or a `loop` is a list of its own in the step that stands for the block. A hand-over of
//! a value that is made inside stands there on both sides, so it happens where the case is taken, in each round.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{
    Arm, BlockId, Branch, Carry, ComponentId, IdVec, Loop, Operand, Program, Run, StageId, Step, ValueId,
};

use crate::graph::{Graph, Node, NodeId, NodeKind, ScopeId};
use crate::passes::scopes::Scopes;
use crate::passes::stages::{Block, Stages};
use crate::passes::transfer::HandOver;

/// The programs of the stages that take part, still without frees.
pub(crate) fn schedule(
    graph: &Graph,
    stages: &Stages,
    blocks: &BTreeMap<NodeId, Block>,
    handed: &[HandOver],
    component: impl Fn(ComponentId) -> ComponentId,
) -> Vec<Program> {
    let parts: BTreeSet<StageId> = stages.iter().flatten().copied().collect();
    let outputs: BTreeSet<ValueId> = graph.outputs.iter().map(|output| output.value).collect();
    let mut leaving: BTreeMap<(ValueId, StageId), Vec<&HandOver>> = BTreeMap::new();
    for over in handed {
        leaving.entry((over.value, over.from)).or_default().push(over);
    }
    let arriving = handed.iter().map(|over| ((over.value, over.to), over)).collect();
    let numbers = blocks.keys().copied().zip((0u32..).map(BlockId)).collect();
    let mut needed: BTreeMap<ValueId, BTreeSet<StageId>> = BTreeMap::new();
    for (value, on) in blocks.values().flat_map(|block| block.before.iter().chain(&block.at_end)) {
        needed.entry(*value).or_default().extend(on);
    }
    let plan = Scheduling {
        graph,
        stages,
        blocks,
        leaving,
        arriving,
        numbers,
        scopes: Scopes::of(graph),
        readers: graph.readers(),
        needed,
        outputs,
        component: &component,
    };
    let program = |stage: StageId| {
        let mut received = BTreeSet::new();
        Program { stage, steps: plan.steps(stage, None, &[], &mut received) }
    };
    parts.into_iter().map(program).collect()
}

struct Scheduling<'a> {
    graph: &'a Graph,
    stages: &'a Stages,
    blocks: &'a BTreeMap<NodeId, Block>,
    leaving: BTreeMap<(ValueId, StageId), Vec<&'a HandOver>>,
    arriving: BTreeMap<(ValueId, StageId), &'a HandOver>,
    numbers: BTreeMap<NodeId, BlockId>,
    scopes: Scopes,
    readers: IdVec<ValueId, Vec<NodeId>>,
    /// Where blocks need each value, to decide, to begin or to go on.
    needed: BTreeMap<ValueId, BTreeSet<StageId>>,
    outputs: BTreeSet<ValueId>,
    component: &'a dyn Fn(ComponentId) -> ComponentId,
}

impl Scheduling<'_> {
    /// The steps of `stage` in `scope`; the values of `at_end` are there when they are done.
    fn steps(
        &self,
        stage: StageId,
        scope: Option<ScopeId>,
        at_end: &[ValueId],
        received: &mut BTreeSet<ValueId>,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        for id in self.scopes.directly(scope) {
            let node = &self.graph.nodes[*id];
            let block = self.blocks.get(id);
            let is_here = match block {
                Some(block) => block.stages.contains(&stage),
                None => self.stages[*id].contains(&stage) && !matches!(node.kind, NodeKind::Enter { .. }),
            };
            if !is_here {
                continue;
            }
            for value in self.reads(stage, node, block) {
                self.receive(stage, scope, value, received, &mut steps);
            }
            match block {
                Some(block) => steps.push(self.block(stage, block, received)),
                None => self.plain(stage, node, &mut steps),
            }
            self.hand_on(stage, *id, node, &mut steps);
        }
        for value in at_end {
            self.receive(stage, scope, *value, received, &mut steps);
        }
        steps
    }

    /// What a node or the whole of a block reads on `stage`.
    fn reads(&self, stage: StageId, node: &Node, block: Option<&Block>) -> Vec<ValueId> {
        let Some(block) = block else {
            return node.operands.iter().map(|operand| operand.value).collect();
        };
        let here = |(value, on): &(ValueId, BTreeSet<StageId>)| on.contains(&stage).then_some(*value);
        let mut reads: Vec<ValueId> = block.before.iter().filter_map(here).collect();
        for scope in scopes_of(&node.kind) {
            for id in self.scopes.within(scope) {
                let node = &self.graph.nodes[id];
                match self.blocks.get(&id) {
                    Some(inner) if inner.stages.contains(&stage) => {
                        reads.extend(inner.before.iter().chain(&inner.at_end).filter_map(here));
                    }
                    None if self.stages[id].contains(&stage)
                        && !matches!(node.kind, NodeKind::Enter { .. }) =>
                    {
                        reads.extend(node.operands.iter().map(|operand| operand.value));
                    }
                    _ => {}
                }
            }
        }
        reads.extend(block.at_end.iter().filter_map(here));
        reads
    }

    /// Takes `value` from another stage, if it was made in `scope` there and is not here yet.
    fn receive(
        &self,
        stage: StageId,
        scope: Option<ScopeId>,
        value: ValueId,
        received: &mut BTreeSet<ValueId>,
        steps: &mut Vec<Step>,
    ) {
        let made = self.graph.nodes[self.graph.values[value].node].scope;
        if let Some(over) = self.arriving.get(&(value, stage))
            && made == scope
            && received.insert(value)
        {
            steps.push(Step::Recv { value, from: over.from, transport: over.transport });
        }
    }

    /// Outputs and sends of what a node has made.
    fn hand_on(&self, stage: StageId, id: NodeId, node: &Node, steps: &mut Vec<Step>) {
        let is_first = self.stages[id].first() == Some(&stage);
        for (_, value) in &node.results {
            if is_first && self.outputs.contains(value) {
                steps.push(Step::Output { value: *value });
            }
            let leaves = self.leaving.get(&(*value, stage)).into_iter().flatten();
            steps.extend(leaves.map(|over| Step::Send {
                value: over.value,
                to: over.to,
                transport: over.transport,
            }));
        }
    }

    fn plain(&self, stage: StageId, node: &Node, steps: &mut Vec<Step>) {
        let values = || node.results.iter().map(|(_, value)| *value);
        match &node.kind {
            NodeKind::Input(_) => {
                let is_read = |value: &ValueId| self.is_read(stage, *value);
                let read: Vec<ValueId> = values().filter(is_read).collect();
                let read = if read.is_empty() { values().take(1).collect() } else { read };
                steps.extend(read.into_iter().map(|value| Step::Input { value }));
            }
            NodeKind::Const(literal) => {
                steps.extend(values().map(|value| Step::Const { value, literal: literal.clone() }));
            }
            NodeKind::Run { component, each } => steps.push(Step::Run(Run {
                component: (self.component)(*component),
                operands: node
                    .operands
                    .iter()
                    .map(|operand| Operand { port: operand.port, value: operand.value, each: operand.each })
                    .collect(),
                results: node.results.clone(),
                each: *each,
            })),
            NodeKind::Adapt(adaptor) => steps.push(Step::Adapt {
                adaptor: adaptor.clone(),
                operands: node.operands.iter().map(|operand| operand.value).collect(),
                results: values().collect(),
            }),
            NodeKind::Call { .. } | NodeKind::Pass | NodeKind::Choose => {
                unreachable!("gone after inline and simplify")
            }
            NodeKind::Switch { .. } | NodeKind::Enter { .. } | NodeKind::Loop { .. } => {
                unreachable!("part of a block")
            }
        }
    }

    /// Whether a node or a block on `stage` reads what a request brings.
    fn is_read(&self, stage: StageId, value: ValueId) -> bool {
        let nodes = self.readers[value]
            .iter()
            .any(|reader| !self.blocks.contains_key(reader) && self.stages[*reader].contains(&stage));
        let is_needed = self.needed.get(&value).is_some_and(|on| on.contains(&stage));
        nodes || is_needed || self.outputs.contains(&value)
    }

    fn block(&self, stage: StageId, block: &Block, received: &mut BTreeSet<ValueId>) -> Step {
        let node = &self.graph.nodes[block.node];
        match &node.kind {
            NodeKind::Switch { cases, scopes, outputs } => {
                let is_home = self.stages[block.node].contains(&stage);
                let results: Vec<(u32, ValueId)> = if is_home { node.results.clone() } else { Vec::new() };
                let arm = |number: u32| {
                    let filled = |(output, _): &(u32, ValueId)| {
                        let port = 1 + number * outputs + output;
                        let operand = node.operands.iter().find(|operand| operand.port == port);
                        operand.map(|operand| operand.value)
                    };
                    let yields: Vec<Option<ValueId>> = results.iter().map(filled).collect();
                    let ends: Vec<ValueId> = yields.iter().flatten().copied().collect();
                    let scope = scopes[number as usize];
                    let steps = self.steps(stage, Some(scope), &ends, received);
                    Arm { case: cases[number as usize].clone(), steps, yields }
                };
                let subject = node.operands.first().expect("a switch has a subject").value;
                let arms = (0..u32::try_from(cases.len()).expect("cases are few")).map(arm).collect();
                let results = results.iter().map(|(_, value)| *value).collect();
                Step::Branch(Branch { block: self.numbers[&block.node], subject, arms, results })
            }
            NodeKind::Loop { scope, carried, max } => {
                self.looped(stage, block, *scope, *carried, *max, received)
            }
            _ => unreachable!("blocks end with a switch or a loop"),
        }
    }

    fn looped(
        &self,
        stage: StageId,
        block: &Block,
        scope: ScopeId,
        carried: u32,
        max: u32,
        received: &mut BTreeSet<ValueId>,
    ) -> Step {
        let node = &self.graph.nodes[block.node];
        let enter = &self.graph.nodes[self.scopes.enter(scope).expect("a loop begins")];
        let filled = |node: &Node, port: u32| {
            node.operands.iter().find(|operand| operand.port == port).map(|operand| operand.value)
        };
        let made =
            |node: &Node, port: u32| node.results.iter().find(|(of, _)| *of == port).map(|(_, value)| *value);
        let is_home = self.stages[block.node].contains(&stage);
        let carry = |port: u32| {
            if !block.carried[port as usize].contains(&stage) {
                return None;
            }
            let result = made(node, port).filter(|_| is_home);
            let (init, inside, next) = (filled(enter, port)?, made(enter, port)?, filled(node, port)?);
            Some(Carry { init, inside, next, result })
        };
        let carries: Vec<Carry> = (0..carried).filter_map(carry).collect();
        let until = filled(node, carried);
        let ends: Vec<ValueId> = carries.iter().map(|carry| carry.next).chain(until).collect();
        Step::Loop(Loop {
            block: self.numbers[&block.node],
            max,
            count: filled(enter, carried),
            index: made(enter, carried).filter(|index| self.is_read(stage, *index)),
            until,
            carries,
            steps: self.steps(stage, Some(scope), &ends, received),
        })
    }
}

/// The scopes that a node ends.
fn scopes_of(kind: &NodeKind) -> Vec<ScopeId> {
    match kind {
        NodeKind::Switch { scopes, .. } => scopes.clone(),
        NodeKind::Loop { scope, .. } => vec![*scope],
        _ => Vec::new(),
    }
}
