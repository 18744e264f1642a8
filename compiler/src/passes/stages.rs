//! On which stages the work of each node is done, once components have theirs.
//!
//! An adaptor works where its readers are, if they are all in one place, so that what it makes of one value is not
//! sent twice; otherwise where its first operand is made. Inputs and constants are wherever they are read. The
//! end of a `switch` is like an adaptor; that of a `loop` is where its first value is made; what a round begins
//! with is on every stage that has a part of the body.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{ComponentId, IdVec, StageId, ValueId};

use crate::graph::{Graph, Node, NodeId, NodeKind, ScopeId};
use crate::passes::scopes::Scopes;

/// The stages of each node.
pub(crate) type Stages = IdVec<NodeId, BTreeSet<StageId>>;

/// The stages of every node of `graph`.
pub(crate) fn stages(graph: &Graph, stage_of: &BTreeMap<ComponentId, StageId>) -> Stages {
    let readers = graph.readers();
    let mut stages: Stages = graph.nodes.iter().map(|_| BTreeSet::new()).collect();
    let read_on = |stages: &Stages, node: NodeId| -> BTreeSet<StageId> {
        let results = graph.nodes[node].results.iter();
        let readers = results.flat_map(|(_, value)| &readers[*value]);
        readers.flat_map(|reader| stages[*reader].clone()).collect()
    };
    for id in graph.nodes.ids().rev() {
        match graph.nodes[id].kind {
            NodeKind::Run { component, .. } => {
                stages[id].insert(stage_of[&component]);
            }
            NodeKind::Adapt(_) | NodeKind::Switch { .. } => {
                let read = read_on(&stages, id);
                if read.len() == 1 {
                    stages[id] = read;
                }
            }
            _ => {}
        }
    }
    let first = stages.iter().flatten().min().copied().unwrap_or(StageId(0));
    for id in graph.nodes.ids() {
        if stages[id].is_empty() && works_itself(&graph.nodes[id]) {
            // What decides a switch comes first among its operands; what the cases make is larger.
            let is_switch = matches!(graph.nodes[id].kind, NodeKind::Switch { .. });
            let operands = graph.nodes[id].operands.iter().skip(usize::from(is_switch));
            let made = operands.flat_map(|operand| &stages[graph.values[operand.value].node]);
            let made = made.copied().next();
            stages[id].insert(made.unwrap_or(first));
        }
    }
    let scopes = Scopes::of(graph);
    enter_loops(graph, &scopes, &mut stages);
    bring_in(graph, &mut stages, first);
    stages
}

/// Inputs and constants are wherever a node reads them, or a block needs them to decide, to begin or to go on.
fn bring_in(graph: &Graph, stages: &mut Stages, first: StageId) {
    let is_brought = |node: &Node| matches!(node.kind, NodeKind::Input(_) | NodeKind::Const(_));
    let mut needed: IdVec<ValueId, BTreeSet<StageId>> =
        graph.values.iter().map(|_| BTreeSet::new()).collect();
    for (id, node) in graph.nodes.enumerate().filter(|(_, node)| !is_block(node)) {
        for operand in &node.operands {
            needed[operand.value].extend(&stages[id]);
        }
    }
    for block in blocks(graph, stages).values() {
        for (value, on) in block.before.iter().chain(&block.at_end) {
            needed[*value].extend(on);
        }
    }
    for (id, node) in graph.nodes.enumerate().filter(|(_, node)| is_brought(node)) {
        let on = node.results.iter().flat_map(|(_, value)| needed[*value].iter().copied()).collect();
        stages[id] = on;
        if stages[id].is_empty() {
            stages[id].insert(first);
        }
    }
}

/// Whether the node begins or ends a block, which says itself what it needs where.
const fn is_block(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Switch { .. } | NodeKind::Enter { .. } | NodeKind::Loop { .. })
}

const fn works_itself(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Adapt(_) | NodeKind::Switch { .. } | NodeKind::Loop { .. })
}

/// A round begins on every stage that has a part of the body, and where the loop ends.
fn enter_loops(graph: &Graph, scopes: &Scopes, stages: &mut Stages) {
    for (id, node) in graph.nodes.enumerate() {
        if let NodeKind::Enter { scope, .. } = node.kind {
            stages[id] = of_block(scopes, stages, &[scope]);
            if let Some(end) = scopes.end(scope) {
                let ends = stages[end].clone();
                stages[id].extend(ends);
            }
        }
    }
}

/// The stages that have a part of these scopes.
fn of_block(scopes: &Scopes, stages: &Stages, of: &[ScopeId]) -> BTreeSet<StageId> {
    let inside = of.iter().flat_map(|scope| scopes.within(*scope));
    inside.flat_map(|id| stages[id].iter().copied()).collect()
}

/// What a block needs of values on the stages that it spans, beyond what the nodes inside read.
pub(crate) struct Block {
    /// Which node ends it.
    pub(crate) node: NodeId,
    /// The stages that have a part of it.
    pub(crate) stages: BTreeSet<StageId>,
    /// Values that must be on a stage before the block, for it to decide or to begin.
    pub(crate) before: Vec<(ValueId, BTreeSet<StageId>)>,
    /// Values of the inside that must be on a stage when a case or a round ends.
    pub(crate) at_end: Vec<(ValueId, BTreeSet<StageId>)>,
    /// For each carried value of a loop, the stages that have it.
    pub(crate) carried: Vec<BTreeSet<StageId>>,
}

/// The blocks of `graph` by the node that ends them.
pub(crate) fn blocks(graph: &Graph, stages: &Stages) -> BTreeMap<NodeId, Block> {
    let mut reading = Reading {
        graph,
        stages,
        scopes: Scopes::of(graph),
        readers: graph.readers(),
        needed: graph.values.iter().map(|_| BTreeSet::new()).collect(),
    };
    let mut blocks = BTreeMap::new();
    for (id, node) in graph.nodes.enumerate() {
        let block = match &node.kind {
            NodeKind::Switch { scopes, .. } => reading.switch_block(id, scopes),
            NodeKind::Loop { scope, carried, .. } => reading.loop_block(id, *scope, *carried),
            _ => continue,
        };
        for (value, on) in block.before.iter().chain(&block.at_end) {
            reading.needed[*value].extend(on);
        }
        blocks.insert(id, block);
    }
    blocks
}

/// A graph whose blocks are found, those inside before those around them.
struct Reading<'g> {
    graph: &'g Graph,
    stages: &'g Stages,
    scopes: Scopes,
    readers: IdVec<ValueId, Vec<NodeId>>,
    /// Where the blocks that are found need each value.
    needed: IdVec<ValueId, BTreeSet<StageId>>,
}

impl Reading<'_> {
    fn switch_block(&self, id: NodeId, scopes: &[ScopeId]) -> Block {
        let (node, stages) = (&self.graph.nodes[id], self.stages);
        let mut all = of_block(&self.scopes, stages, scopes);
        all.extend(&stages[id]);
        let subject = node.operands.iter().filter(|operand| operand.port == 0).map(|operand| operand.value);
        let yields = node.operands.iter().filter(|operand| operand.port > 0).map(|operand| operand.value);
        Block {
            node: id,
            before: subject.map(|value| (value, all.clone())).collect(),
            at_end: yields.map(|value| (value, stages[id].clone())).collect(),
            stages: all,
            carried: Vec::new(),
        }
    }

    fn loop_block(&self, id: NodeId, scope: ScopeId, carried: u32) -> Block {
        let mut all = of_block(&self.scopes, self.stages, &[scope]);
        all.extend(&self.stages[id]);
        let node = &self.graph.nodes[id];
        let begin = self.scopes.enter(scope).map(|enter| &self.graph.nodes[enter]);
        let filled = |node: &Node, port: u32| {
            node.operands.iter().find(|operand| operand.port == port).map(|operand| operand.value)
        };
        let made =
            |node: &Node, port: u32| node.results.iter().find(|(of, _)| *of == port).map(|(_, value)| *value);
        let carried = self.carried_on(id, begin, carried, &all);
        let mut before = Vec::new();
        let mut at_end = Vec::new();
        for (port, on) in (0u32..).zip(&carried) {
            before.extend(begin.and_then(|begin| filled(begin, port)).map(|init| (init, on.clone())));
            at_end.extend(filled(node, port).map(|next| (next, on.clone())));
        }
        let count = u32::try_from(carried.len()).expect("carried values are few");
        before.extend(begin.and_then(|begin| filled(begin, count)).map(|rounds| (rounds, all.clone())));
        at_end.extend(filled(node, count).map(|until| (until, all.clone())));
        debug_assert!(begin.is_none_or(|begin| made(begin, 0).is_some()), "a loop keeps what it carries");
        Block { node: id, stages: all, before, at_end, carried }
    }

    /// The stages that have each carried value: those that read it inside, or have an inner block that needs it, that
    /// which uses it afterwards, and those of a value whose next one it is.
    fn carried_on(
        &self,
        id: NodeId,
        begin: Option<&Node>,
        count: u32,
        all: &BTreeSet<StageId>,
    ) -> Vec<BTreeSet<StageId>> {
        let (node, stages) = (&self.graph.nodes[id], self.stages);
        let inside = |port: u32| {
            let results = begin.into_iter().flat_map(|begin| &begin.results);
            results.into_iter().find(|(of, _)| *of == port).map(|(_, value)| *value)
        };
        let readers = |value: ValueId| {
            let readers = self.readers[value].iter().filter(|reader| !is_block(&self.graph.nodes[**reader]));
            let reading = readers.flat_map(|reader| stages[*reader].iter());
            reading.chain(&self.needed[value]).copied()
        };
        let mut on: Vec<BTreeSet<StageId>> = (0..count)
            .map(|port| {
                let mut on: BTreeSet<StageId> = inside(port).into_iter().flat_map(readers).collect();
                if node.results.iter().any(|(of, _)| *of == port) {
                    on.extend(&stages[id]);
                }
                let ends = node.operands.iter().find(|operand| operand.port == count);
                if ends.is_some_and(|until| Some(until.value) == inside(port)) {
                    on.extend(all);
                }
                on
            })
            .collect();
        // At most so many rounds until nothing is handed on further.
        for _ in 0..count {
            for operand in &node.operands {
                let handed = (0..count).find(|port| inside(*port) == Some(operand.value));
                if let Some(from) = handed.filter(|_| operand.port < count) {
                    let more = on[operand.port as usize].clone();
                    on[from as usize].extend(more);
                }
            }
        }
        on
    }
}
