//! One graph for each route and each set of present inputs: nothing in it is optional, and
//! nothing that the route does not need is in it.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{Adaptor, ComponentId, IdVec, ValueId};

use crate::diagnostic::semantic::routes::{self, Unmakeable};
use crate::diagnostic::semantic::unused;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::{Asks, Component, Graph, Node, NodeId, NodeKind, Presence, Program, Route, Specialized};
use crate::source::Span;

/// Most recordings of one graph that has no `route` lines, and of one `route` line.
const MOST_COMBINATIONS: usize = 64;
/// Most optional inputs and outputs together of which every combination is tried.
const MOST_OPTIONAL: usize = 16;

/// The graphs of all routes.
pub(crate) fn specialize(program: &Program, found: &mut Diagnostics) -> Vec<Specialized> {
    let mut all = Vec::new();
    for route in &program.routes {
        let asked = Asked { program, route, graph: &program.graphs[route.graph] };
        match &route.asks {
            Asks::Everything => asked.everything(&mut all, found),
            Asks::Exactly { present, maybe, outputs } => {
                asked.exactly(present, maybe, outputs, &mut all, found);
            }
        }
    }
    refuse_same_signatures(&all, found);
    all
}

struct Asked<'a> {
    program: &'a Program,
    route: &'a Route,
    graph: &'a Graph,
}

impl Asked<'_> {
    fn exactly(
        &self,
        present: &Presence,
        maybe: &Presence,
        outputs: &BTreeSet<u32>,
        all: &mut Vec<Specialized>,
        found: &mut Diagnostics,
    ) {
        if 1usize << maybe.len().min(MOST_OPTIONAL) > MOST_COMBINATIONS {
            let problem = self.too_many();
            found.push(problem);
            return;
        }
        for some in subsets(maybe) {
            let brought: Presence = present.union(&some).copied().collect();
            match specialized(self.graph, &self.program.components, &brought, outputs) {
                Ok(one) => {
                    for input in &one.idle {
                        let name = &self.graph.inputs[*input as usize].name;
                        found.push(unused::brought_for_nothing(name, &self.route.name, self.route.span));
                    }
                    all.push(self.named(one.graph));
                }
                Err((output, why)) => {
                    found.push(routes::cannot_make(&self.route.name, &output, &why, self.route.span));
                }
            }
        }
    }

    fn everything(&self, all: &mut Vec<Specialized>, found: &mut Diagnostics) {
        let (always, optional) = self.outputs();
        let inputs: Presence = self.positions(|position| self.graph.inputs[position].optional);
        if inputs.len() + optional.len() > MOST_OPTIONAL {
            found.push(self.too_many());
            return;
        }
        let mut made = Vec::new();
        let mut why = None;
        for present in subsets(&inputs) {
            for some in subsets(&optional) {
                let outputs: BTreeSet<u32> = always.union(&some).copied().collect();
                if outputs.is_empty() {
                    continue;
                }
                match specialized(self.graph, &self.program.components, &present, &outputs) {
                    Ok(one) if one.idle.iter().all(|input| !inputs.contains(input)) => made.push(one.graph),
                    Ok(_) => {}
                    Err((_, lacks)) => why = Some(lacks),
                }
            }
        }
        if made.len() > MOST_COMBINATIONS {
            found.push(self.too_many());
        } else if made.is_empty() {
            found.push(routes::no_combination(&self.graph.name, why.as_ref(), self.route.span));
        } else {
            all.extend(made.into_iter().map(|graph| self.named(graph)));
        }
    }

    fn too_many(&self) -> Diagnostic {
        let name = &self.graph.name;
        let mut inputs = self.graph.inputs.iter().filter(|input| input.default.is_none());
        let first = inputs.next().map_or("", |input| &input.name);
        let second = inputs.find(|input| input.optional).map(|input| format!(", {}?", input.name));
        let output = self.graph.outputs.first().map_or("", |output| &output.name);
        let example = format!("route some = {name}({first}{}) -> {output}", second.unwrap_or_default());
        routes::too_many_combinations(name, MOST_COMBINATIONS, &example, self.route.span)
    }

    fn positions(&self, holds: impl Fn(usize) -> bool) -> Presence {
        let positions = (0..self.graph.inputs.len()).filter(|position| holds(*position));
        positions.map(|position| u32::try_from(position).expect("inputs are few")).collect()
    }

    /// Outputs that are always made, and those made if asked for.
    fn outputs(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        (0u32..).zip(&self.graph.outputs).map(|(position, output)| (position, output.optional)).fold(
            (BTreeSet::new(), BTreeSet::new()),
            |(mut always, mut asked), (position, optional)| {
                if optional {
                    asked.insert(position)
                } else {
                    always.insert(position)
                };
                (always, asked)
            },
        )
    }

    fn named(&self, graph: Graph) -> Specialized {
        Specialized { route: self.route.name.clone(), span: self.route.span, graph }
    }
}

/// All subsets, smaller positions first.
fn subsets(of: &BTreeSet<u32>) -> Vec<BTreeSet<u32>> {
    let items: Vec<u32> = of.iter().copied().collect();
    let subset = |mask: usize| {
        let chosen = items.iter().enumerate().filter(|(place, _)| mask >> place & 1 == 1);
        chosen.map(|(_, item)| *item).collect()
    };
    (0..1usize << items.len()).map(subset).collect()
}

struct One {
    graph: Graph,
    /// Inputs that are present and not used.
    idle: Presence,
}

/// The graph that makes `outputs` from `present` inputs, or an output that cannot be made and why.
fn specialized(
    graph: &Graph,
    components: &IdVec<ComponentId, Component>,
    present: &Presence,
    outputs: &BTreeSet<u32>,
) -> Result<One, (String, Unmakeable)> {
    let makeable = makeable(graph, components, present);
    for output in outputs {
        let output = &graph.outputs[*output as usize];
        if !makeable[output.value] {
            return Err((output.name.clone(), lacks(graph, &makeable, present, output.value)));
        }
    }
    let mut pruned = graph.clone();
    for node in pruned.nodes.ids() {
        pruned.nodes[node].operands.retain(|operand| makeable[operand.value]);
    }
    let position = |position: &u32| pruned.outputs[*position as usize].clone();
    pruned.outputs = outputs.iter().map(position).collect();
    let needed = pruned.needed_for(pruned.outputs.iter().map(|output| output.value));
    let idle = idle(&pruned, &needed, present);
    let is_brought = |node: NodeId| match pruned.nodes[node].kind {
        NodeKind::Input(position) => {
            let input = &pruned.inputs[position as usize];
            input.default.is_none() && (!input.optional || present.contains(&position))
        }
        _ => false,
    };
    let mut graph = pruned.retain(|node| needed.contains(&node) || is_brought(node));
    graph.values.ids().for_each(|value| graph.values[value].needs.clear());
    graph.inputs.iter_mut().for_each(|input| input.optional = false);
    graph.outputs.iter_mut().for_each(|output| output.optional = false);
    Ok(One { graph, idle })
}

/// Which values can be made when `present` inputs are there.
fn makeable(
    graph: &Graph,
    components: &IdVec<ComponentId, Component>,
    present: &Presence,
) -> IdVec<ValueId, bool> {
    let mut makeable: IdVec<ValueId, bool> = graph.values.iter().map(|_| false).collect();
    for node in &graph.nodes {
        let there = |value: ValueId| makeable[value];
        let works = match &node.kind {
            NodeKind::Adapt(Adaptor::Join) => node.operands.iter().any(|operand| there(operand.value)),
            NodeKind::Run { component, .. } => {
                let ports = &components[*component].deployed.inputs;
                let mut operands = node.operands.iter();
                operands.all(|operand| there(operand.value) || ports[operand.port as usize].optional)
            }
            _ => node.operands.iter().all(|operand| there(operand.value)),
        };
        for (_, value) in &node.results {
            makeable[*value] = works && graph.values[*value].needs.is_subset(present);
        }
    }
    makeable
}

/// Why `value` cannot be made: the first thing missing on the way to it.
fn lacks(
    graph: &Graph,
    makeable: &IdVec<ValueId, bool>,
    present: &Presence,
    mut value: ValueId,
) -> Unmakeable {
    let names = |positions: &mut dyn Iterator<Item = &u32>| {
        positions.map(|position| graph.inputs[*position as usize].name.clone()).collect::<Vec<String>>()
    };
    let needed: Presence = (0u32..)
        .zip(&graph.inputs)
        .filter(|(_, input)| !input.optional)
        .map(|(position, _)| position)
        .collect();
    let brought = names(&mut present.union(&needed));
    loop {
        let made = &graph.values[value];
        let node: &Node = &graph.nodes[made.node];
        let missing = names(&mut made.needs.difference(present));
        if !missing.is_empty() {
            return Unmakeable::Absent { inputs: missing, present: brought, at: node.span };
        }
        match node.operands.iter().find(|operand| !makeable[operand.value]) {
            Some(operand) if node.kind != NodeKind::Adapt(Adaptor::Join) => value = operand.value,
            _ => return Unmakeable::NothingToJoin { at: node.span, present: brought },
        }
    }
}

/// The present inputs that no needed node reads or depends on.
fn idle(graph: &Graph, needed: &BTreeSet<NodeId>, present: &Presence) -> Presence {
    let mut used = Presence::new();
    for node in needed {
        let node = &graph.nodes[*node];
        if let NodeKind::Input(position) = node.kind {
            used.insert(position);
        }
        used.extend(node.results.iter().flat_map(|(_, value)| &graph.values[*value].needs));
    }
    let brought = (0u32..).zip(&graph.inputs).filter(|(position, input)| {
        input.default.is_none() && (!input.optional || present.contains(position))
    });
    brought.map(|(position, _)| position).filter(|position| !used.contains(position)).collect()
}

fn refuse_same_signatures(all: &[Specialized], found: &mut Diagnostics) {
    let mut seen: BTreeMap<_, (&str, Span)> = BTreeMap::new();
    let mut said: BTreeSet<(Span, Span)> = BTreeSet::new();
    for one in all {
        let graph = &one.graph;
        let inputs = graph.inputs.iter().filter(|input| input.default.is_none());
        let mut inputs: Vec<String> = inputs.map(|input| input.name.clone()).collect();
        let mut outputs: Vec<String> = graph.outputs.iter().map(|output| output.name.clone()).collect();
        inputs.sort();
        outputs.sort();
        let shown = format!("{}({}) -> {}", graph.name, inputs.join(", "), outputs.join(" + "));
        match seen.get(&(graph.name.clone(), inputs.clone(), outputs.clone())) {
            Some((_, first)) if !said.insert((*first, one.span)) => {}
            Some((route, first)) => {
                found.push(routes::same_signature(&shown, &one.route, one.span, route, *first));
            }
            None => {
                seen.insert((graph.name.clone(), inputs, outputs), (&one.route, one.span));
            }
        }
    }
}
