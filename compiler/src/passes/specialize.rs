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
        let can_be_left_out = |input: &u32| self.graph.inputs[*input as usize].optional;
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
                        for input in one.idle.iter().filter(|input| number == 0 && can_be_left_out(input)) {
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
    super::thin::name_rates(&mut graph, components);
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
/// than `most`. What a decision leaves out needs no further ones, so of all requests with the same inputs each
/// takes exactly one way.
fn ways(graph: &Graph, brought: &Needs, outputs: &BTreeSet<u32>, most: usize) -> Option<Vec<Brought>> {
    let outputs: Vec<ValueId> = outputs.iter().map(|output| graph.outputs[*output as usize].value).collect();
    let mut open = vec![Brought { needs: brought.clone(), media: BTreeMap::new() }];
    let mut ways = Vec::new();
    while let Some(way) = open.pop() {
        let is_possible = |value: ValueId| graph.values[value].needs.may_be_met_by(&way.needs);
        let needed = graph.needed_for(outputs.iter().copied(), is_possible);
        let needed: Vec<&Node> =
            graph.nodes.enumerate().filter(|(id, _)| needed[*id]).map(|(_, node)| node).collect();
        let before = open.len();
        if let Some(input) = next_to_decide(graph, &needed, &way.needs) {
            let kind = &graph.values[graph.inputs[input as usize].value].ty.kind;
            for value in 0..needs::literals(kind).len() {
                let mut way = way.clone();
                way.needs.choose(input, 1 << value);
                open.push(way);
            }
        } else if let Some((input, kinds)) = next_to_see(graph, &needed, &way) {
            for chosen in 0..1usize << kinds.len() {
                let chosen = kinds.iter().enumerate().filter(|(place, _)| chosen >> place & 1 == 1);
                let mut way = way.clone();
                way.media.insert(input, chosen.map(|(_, kind)| *kind).collect());
                open.push(way);
            }
        } else {
            ways.push(way);
        }
        open[before..].reverse();
        if ways.len() + open.len() > most {
            return None;
        }
    }
    Some(ways)
}

/// The input to decide next: of those on which something needed depends, one that depends on the fewest others.
fn next_to_decide(graph: &Graph, needed: &[&Node], known: &Needs) -> Option<u32> {
    let values = needed.iter().flat_map(|node| &node.results).map(|(_, value)| &graph.values[*value].needs);
    let open = values.filter(|needs| needs.may_be_met_by(known)).map(|needs| {
        let open = needs.chosen.keys().copied().filter(|input| !known.chosen.contains_key(input));
        open.collect::<Vec<u32>>()
    });
    open.filter(|open| !open.is_empty()).min_by_key(|open| (open.len(), open[0])).map(|open| open[0])
}

/// The first input of which kinds of media matter that are not decided, and those kinds.
fn next_to_see(graph: &Graph, needed: &[&Node], way: &Brought) -> Option<(u32, Vec<Modality>)> {
    let inputs = (0u32..).zip(&graph.inputs);
    let open = inputs.filter(|(position, input)| {
        !way.media.contains_key(position) && (!input.optional || way.needs.present.contains(position))
    });
    let kinds = open.map(|(position, input)| (position, kinds_that_matter(needed.iter().copied(), input)));
    kinds.into_iter().find(|(_, kinds)| !kinds.is_empty())
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
        if let (true, Kind::Media { max_bytes, .. }) = (is_apart, &mut graph.values[media].ty.kind) {
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

/// A graph, the inputs that are brought and the outputs that are asked for.
type Signed<'a> = (&'a str, Vec<&'a str>, Vec<&'a str>);

/// Every request has one recording: of two for the same inputs and outputs, some choice or some media differ.
fn refuse_same_signatures(all: &[Specialized], found: &mut Diagnostics) {
    let mut alike: BTreeMap<Signed<'_>, Vec<&Specialized>> = BTreeMap::new();
    let mut said: BTreeSet<(Span, Span)> = BTreeSet::new();
    for one in all {
        let graph = &one.graph;
        let inputs = graph.inputs.iter().filter(|input| input.default.is_none());
        let mut inputs: Vec<&str> = inputs.map(|input| input.name.as_str()).collect();
        let mut outputs: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
        inputs.sort_unstable();
        outputs.sort_unstable();
        let others = alike.entry((&graph.name, inputs, outputs)).or_default();
        let same = others.iter().find(|other| may_meet(&other.graph, graph));
        if let Some(first) = same.filter(|first| said.insert((first.span, one.span))) {
            let shown = signature(graph);
            found.push(routes::same_signature(&shown, &one.route, one.span, &first.route, first.span));
        }
        others.push(one);
    }
}

/// Whether a request can have all the choices and all the media of both.
fn may_meet(one: &Graph, other: &Graph) -> bool {
    one.inputs.iter().all(|input| {
        let Some(twin) = other.inputs.iter().find(|twin| twin.name == input.name) else { return true };
        let choice_differs = input.is.is_some() && twin.is.is_some() && input.is != twin.is;
        !choice_differs && input.kinds == twin.kinds
    })
}

/// `assistant(mode: "fast", speech) -> voice`.
fn signature(graph: &Graph) -> String {
    let inputs = graph.inputs.iter().filter(|input| input.default.is_none());
    let mut inputs: Vec<String> = inputs.map(|input| input.name.clone()).collect();
    for input in &graph.inputs {
        inputs.extend(input.is.iter().map(|value| format!("{}: {value}", input.name)));
        inputs.extend(input.kinds.iter().map(|kind| format!("{}.{}", input.name, kind.name())));
    }
    let mut outputs: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
    inputs.sort();
    outputs.sort_unstable();
    format!("{}({}) -> {}", graph.name, inputs.join(", "), outputs.join(" + "))
}
