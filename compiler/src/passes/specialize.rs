//! One graph for each route and each set of present inputs: nothing in it is optional, and
//! nothing that the route does not need is in it.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{Adaptor, ComponentId, Dim, Form, IdVec, Kind, Literal, Modality, ValueId};

use crate::diagnostic::semantic::routes::{self, Unmakeable};
use crate::diagnostic::semantic::{control, unused};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::{
    Asks, Component, Graph, Needs, Node, NodeId, NodeKind, Output, Presence, Program, Route, Specialized,
    needs,
};
use crate::source::Span;

/// Most recordings of one graph that has no `route` lines, and of one `route` line.
const MOST_COMBINATIONS: usize = 64;
/// Most nodes of all recordings together.
const MOST_RECORDED: usize = 600_000;
/// Most optional inputs and outputs together of which every combination is tried.
const MOST_OPTIONAL: usize = 16;

/// The graphs of all routes.
pub(crate) fn specialize(program: &Program, found: &mut Diagnostics) -> Vec<Specialized> {
    let mut all = Vec::new();
    let mut recorded = 0;
    for route in &program.routes {
        let asked = Asked { program, route, graph: &program.graphs[route.graph] };
        let before = all.len();
        match &route.asks {
            Asks::Everything => asked.everything(&mut all, found),
            Asks::Exactly { present, maybe, pinned, outputs } => {
                let brought = Needs { present: present.clone(), chosen: pinned.clone() };
                asked.exactly(&brought, maybe, outputs, &mut all, found);
            }
        }
        recorded += nodes_of(all[before..].iter().map(|one| &one.graph));
        if recorded > MOST_RECORDED {
            found.push(routes::too_much_recorded(MOST_RECORDED, route.span));
            all.clear();
            break;
        }
    }
    refuse_same_signatures(&all, found);
    all
}

fn nodes_of<'g>(graphs: impl Iterator<Item = &'g Graph>) -> usize {
    graphs.map(|graph| graph.nodes.len()).sum()
}

struct Asked<'a> {
    program: &'a Program,
    route: &'a Route,
    graph: &'a Graph,
}

impl Asked<'_> {
    fn exactly(
        &self,
        always: &Needs,
        maybe: &Presence,
        outputs: &BTreeSet<u32>,
        all: &mut Vec<Specialized>,
        found: &mut Diagnostics,
    ) {
        let combinations = 1usize << maybe.len().min(MOST_OPTIONAL);
        if combinations > MOST_COMBINATIONS {
            let (route, span) = (&self.route.name, self.route.span);
            found.push(routes::route_too_wide(route, combinations, MOST_COMBINATIONS, span));
            return;
        }
        let before = all.len();
        for some in subsets(maybe) {
            // Said by the caller.
            if nodes_of(all[before..].iter().map(|one| &one.graph)) > MOST_RECORDED {
                return;
            }
            let mut brought = always.clone();
            brought.present.extend(some);
            let Some(ways) = ways(self.graph, &brought, outputs, MOST_COMBINATIONS - (all.len() - before))
            else {
                found.push(control::too_many_recordings(
                    &self.route.name,
                    MOST_COMBINATIONS,
                    self.route.span,
                ));
                return;
            };
            for (number, way) in ways.iter().enumerate() {
                match specialized(self.graph, &self.program.components, way, outputs) {
                    Ok(one) => {
                        for input in one.idle.iter().filter(|_| number == 0) {
                            let name = &self.graph.inputs[*input as usize].name;
                            found.push(unused::brought_for_nothing(name, &self.route.name, self.route.span));
                        }
                        all.push(self.named(one.graph));
                    }
                    Err((output, why)) => {
                        found.push(routes::cannot_make(&self.route.name, &output, &why, self.route.span));
                        break;
                    }
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
                if made.len() > MOST_COMBINATIONS || nodes_of(made.iter()) > MOST_RECORDED {
                    break;
                }
                let brought = Needs::present(present.clone());
                let Some(ways) = ways(self.graph, &brought, &outputs, MOST_COMBINATIONS) else {
                    found.push(self.too_many());
                    return;
                };
                for way in &ways {
                    match specialized(self.graph, &self.program.components, way, &outputs) {
                        Ok(one) if one.idle.iter().all(|input| !inputs.contains(input)) => {
                            made.push(one.graph);
                        }
                        Ok(_) => {}
                        Err((_, lacks)) => why = Some(lacks),
                    }
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
    brought: &Brought,
    outputs: &BTreeSet<u32>,
) -> Result<One, (String, Unmakeable)> {
    let makeable = makeable(graph, components, brought);
    let present = &brought.needs.present;
    for output in outputs {
        let output = &graph.outputs[*output as usize];
        if !makeable[output.value] {
            return Err((output.name.clone(), lacks(graph, &makeable, present, output.value)));
        }
    }
    let position = |position: &u32| graph.outputs[*position as usize].clone();
    let outputs: Vec<Output> = outputs.iter().map(position).collect();
    let exists = |value: ValueId| makeable[value];
    let needed = graph.needed_for(outputs.iter().map(|output| output.value), exists);
    let idle = idle(graph, &needed, present);
    let is_brought = |node: NodeId| match graph.nodes[node].kind {
        NodeKind::Input(position) => {
            let input = &graph.inputs[position as usize];
            let is_asked = input.default.is_none() && (!input.optional || present.contains(&position));
            is_asked || pinned(graph, brought, position).is_some()
        }
        _ => false,
    };
    let mut part = graph.part(outputs, |node| needed[node] || is_brought(node), exists);
    for node in part.nodes.ids() {
        close_gaps(&mut part.nodes[node]);
    }
    for (position, input) in (0u32..).zip(&graph.inputs) {
        if let Some(kept) = part.inputs.iter_mut().find(|kept| kept.name == input.name) {
            kept.is = pinned(graph, brought, position);
            kept.kinds = brought.media.get(&position).cloned().unwrap_or_default();
        }
    }
    let mut graph = part;
    narrow_media(&mut graph);
    empty_lists(&mut graph);
    graph.values.ids().for_each(|value| graph.values[value].needs = Needs::default());
    graph.inputs.iter_mut().for_each(|input| input.optional = false);
    graph.outputs.iter_mut().for_each(|output| output.optional = false);
    Ok(One { graph, idle })
}

/// The value that the input at `position` has on the recording, if that is for one value only.
fn pinned(graph: &Graph, brought: &Brought, position: u32) -> Option<Literal> {
    let values = *brought.needs.chosen.get(&position)?;
    let kind = &graph.values[graph.inputs[position as usize].value].ty.kind;
    let mut fixed = needs::literals(kind).into_iter().enumerate();
    fixed.find(|(bit, _)| values >> bit & 1 == 1).map(|(_, value)| value)
}

/// What the requests of one recording bring.
#[derive(Clone, Debug, Default)]
struct Brought {
    needs: Needs,
    /// The kinds of media that occur in an input.
    media: BTreeMap<u32, Vec<Modality>>,
}

/// Every way in which what `outputs` are made of can be decided, with `brought` fixed; `None` if there are more
/// than `most`.
fn ways(graph: &Graph, brought: &Needs, outputs: &BTreeSet<u32>, most: usize) -> Option<Vec<Brought>> {
    let outputs = outputs.iter().map(|output| graph.outputs[*output as usize].value);
    let needed = graph.needed_for(outputs, |_| true);
    let needed = || graph.nodes.enumerate().filter(|(id, _)| needed[*id]).map(|(_, node)| node);
    let mut ways = vec![Brought { needs: brought.clone(), media: BTreeMap::new() }];
    for (position, input) in (0u32..).zip(&graph.inputs) {
        if input.optional && !brought.present.contains(&position) {
            continue;
        }
        let decides = needed().any(|node| {
            let results = &node.results;
            results.iter().any(|(_, value)| graph.values[*value].needs.chosen.contains_key(&position))
        });
        if decides && !brought.chosen.contains_key(&position) {
            let values = needs::literals(&graph.values[input.value].ty.kind).len();
            ways = multiplied(&ways, values, most, |way, value| {
                way.needs.choose(position, 1 << value);
            })?;
        }
        let kinds = kinds_that_matter(needed(), input);
        if !kinds.is_empty() {
            ways = multiplied(&ways, 1 << kinds.len(), most, |way, chosen| {
                let chosen = kinds.iter().enumerate().filter(|(place, _)| chosen >> place & 1 == 1);
                way.media.insert(position, chosen.map(|(_, kind)| *kind).collect());
            })?;
        }
    }
    Some(ways)
}

/// Each of `ways` once for each of `count` choices.
fn multiplied(
    ways: &[Brought],
    count: usize,
    most: usize,
    choose: impl Fn(&mut Brought, usize),
) -> Option<Vec<Brought>> {
    if ways.len().saturating_mul(count) > most {
        return None;
    }
    let chosen = ways.iter().flat_map(|way| (0..count).map(move |choice| (way.clone(), choice)));
    let chosen = chosen.map(|(mut way, choice)| {
        choose(&mut way, choice);
        way
    });
    Some(chosen.collect())
}

/// The kinds of media in `input` that some needed node works on.
fn kinds_that_matter<'g>(
    needed: impl Iterator<Item = &'g Node>,
    input: &crate::graph::Input,
) -> Vec<Modality> {
    let Some(media) = input.media else { return Vec::new() };
    let mut kinds = BTreeSet::new();
    for node in needed {
        if !node.operands.iter().any(|operand| operand.value == media) {
            continue;
        }
        match &node.kind {
            NodeKind::Adapt(Adaptor::Pick(kind)) => {
                kinds.insert(*kind);
            }
            _ => kinds.extend(Modality::ALL),
        }
    }
    kinds.into_iter().collect()
}

/// Media whose bound nobody wrote hold what their readers take, if they are only taken apart by kind.
fn narrow_media(graph: &mut Graph) {
    let readers = graph.readers();
    for media in graph.inputs.iter().filter_map(|input| input.media).collect::<Vec<_>>() {
        if graph.values[media].fixed {
            continue;
        }
        let mut most = 0;
        let mut is_apart = true;
        for node in readers[media].iter().map(|node| &graph.nodes[*node]) {
            match &node.kind {
                NodeKind::Adapt(Adaptor::Pick(_)) => {
                    let picked =
                        node.results.iter().map(|(_, value)| graph.values[*value].ty.kind.max_bytes());
                    most = picked.flatten().fold(most, u64::max);
                }
                _ => is_apart = false,
            }
        }
        if let (true, Kind::Media { max_bytes }) = (is_apart, &mut graph.values[media].ty.kind) {
            *max_bytes = (*max_bytes).min(most.max(1));
        }
    }
}

/// What is made of no media is an empty list: it holds next to nothing.
fn empty_lists(graph: &mut Graph) {
    for node in graph.nodes.ids() {
        let node = &graph.nodes[node];
        if !matches!(&node.kind, NodeKind::Adapt(Adaptor::Interleave(kinds)) if kinds.is_empty()) {
            continue;
        }
        for (_, value) in node.results.clone() {
            let ty = &mut graph.values[value].ty;
            ty.form = Form::List { max: 1 };
            if let Kind::Tensor { dims, .. } = &mut ty.kind {
                for dim in dims {
                    if let Dim::Upto { max, .. } = dim {
                        *max = 1;
                    }
                }
            }
        }
    }
}

/// Renumbers the ports of what puts media back in order, after kinds that the route does not have are gone.
fn close_gaps(node: &mut Node) {
    let NodeKind::Adapt(Adaptor::Interleave(kinds)) = &mut node.kind else { return };
    let filled: BTreeSet<u32> = node.operands.iter().map(|operand| operand.port).collect();
    let mut port = 0u32;
    kinds.retain(|_| {
        port += 1;
        filled.contains(&port)
    });
    for (port, operand) in (0u32..).zip(&mut node.operands) {
        operand.port = port;
    }
}

/// Which values can be made of what is `brought`.
fn makeable(
    graph: &Graph,
    components: &IdVec<ComponentId, Component>,
    brought: &Brought,
) -> IdVec<ValueId, bool> {
    let brings = |media: ValueId, kind: Modality| {
        let input = graph.inputs.iter().position(|input| input.media == Some(media));
        let input = input.and_then(|input| u32::try_from(input).ok());
        input.and_then(|input| brought.media.get(&input)).is_some_and(|kinds| kinds.contains(&kind))
    };
    let mut makeable: IdVec<ValueId, bool> = graph.values.iter().map(|_| false).collect();
    for node in &graph.nodes {
        let there = |value: ValueId| makeable[value];
        let works = match &node.kind {
            NodeKind::Adapt(Adaptor::Join) | NodeKind::Choose => {
                node.operands.iter().any(|operand| there(operand.value))
            }
            NodeKind::Adapt(Adaptor::Pick(kind)) => {
                node.operands.iter().all(|operand| there(operand.value) && brings(operand.value, *kind))
            }
            NodeKind::Adapt(Adaptor::Interleave(_)) => {
                node.operands.iter().filter(|operand| operand.port == 0).all(|operand| there(operand.value))
            }
            NodeKind::Run { component, .. } => {
                let ports = &components[*component].deployed.inputs;
                let mut operands = node.operands.iter();
                operands.all(|operand| there(operand.value) || ports[operand.port as usize].optional)
            }
            _ => node.operands.iter().all(|operand| there(operand.value)),
        };
        for (_, value) in &node.results {
            makeable[*value] = works && graph.values[*value].needs.is_met_by(&brought.needs);
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
        let missing = names(&mut made.needs.present.difference(present));
        if !missing.is_empty() {
            return Unmakeable::Absent { inputs: missing, present: brought, at: node.span };
        }
        match node.operands.iter().find(|operand| !makeable[operand.value]) {
            Some(operand) if !matches!(node.kind, NodeKind::Adapt(Adaptor::Join)) => value = operand.value,
            _ => return Unmakeable::NothingToJoin { at: node.span, present: brought },
        }
    }
}

/// The present inputs that no needed node reads or depends on.
fn idle(graph: &Graph, needed: &IdVec<NodeId, bool>, present: &Presence) -> Presence {
    let mut used = Presence::new();
    for (_, node) in graph.nodes.enumerate().filter(|(id, _)| needed[*id]) {
        if let NodeKind::Input(position) = node.kind {
            used.insert(position);
        }
        for (_, value) in &node.results {
            let needs = &graph.values[*value].needs;
            used.extend(needs.present.iter().chain(needs.chosen.keys()));
        }
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
        for input in &graph.inputs {
            inputs.extend(input.is.iter().map(|value| format!("{}: {value}", input.name)));
            inputs.extend(input.kinds.iter().map(|kind| format!("{}.{}", input.name, kind.name())));
        }
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
