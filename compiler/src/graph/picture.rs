//! A route's graph as a picture: what is drawn and what is written on it, before anyone says how.
//!
//! [`dot`] hands a picture to Graphviz, [`svg`] lays it out itself. Both read only [`Picture`], so
//! what a node looks like and what stands beside a line is decided here, once. A [`Frame`] goes
//! around things that belong together, and frames may stand in frames.

pub mod dot;
mod heights;
mod layout;
mod measure;
mod order;
mod sheet;
pub mod svg;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::ids::Id;
use corn_plan::{Adaptor, Case, ComponentId, IdVec, Stage, StageId};

use self::measure::elided;
use super::mermaid::short_type;
use super::print::{Lit, adaptor_words, block_words, joined, title};
use super::{Component, Graph, Node, NodeId, NodeKind, ScopeId, Specialized};

/// Most characters of a name or constant that are drawn; the whole text is shown on pointing at it.
const MOST_CHARACTERS: usize = 34;

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What it shows: `talk = assistant(speech) -> reply + voice`.
    pub title: String,
    /// Things that make or take values; an index names one.
    pub things: Vec<Thing>,
    /// The lines between them, one for each value that is read.
    pub lines: Vec<Line>,
    /// Frames around things; one that stands in another comes after it.
    pub frames: Vec<Frame>,
    /// A name for each stage, where the route is placed.
    pub stages: Vec<String>,
}

/// Something that makes or takes values.
#[derive(Clone, Debug, PartialEq)]
pub struct Thing {
    /// A name that is no other thing's: `n3`, `out0`.
    pub id: String,
    /// How it looks.
    pub shape: Shape,
    /// What it is called.
    pub name: String,
    /// What is said of it below the name; may be empty.
    pub detail: String,
    /// All of what it is, where the picture has no room for it.
    pub whole: String,
    /// Where its work is done: an index of [`Picture::stages`].
    pub stage: Option<usize>,
    /// The frame that it stands in.
    pub frame: Option<usize>,
}

/// How a thing looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// What a request brings or gets: round.
    End,
    /// A constant: round, with a broken border.
    Constant,
    /// A component: a box; one that is called for each item of a list has another behind it.
    Component {
        /// Whether it is.
        each: bool,
    },
    /// What the worker does itself: six sides.
    Adaptor,
}

/// A value on its way from its maker to its readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The maker.
    pub from: usize,
    /// The readers, each once.
    pub to: Vec<usize>,
    /// Its type.
    pub label: String,
    /// Whether it is a stream: thick.
    pub is_stream: bool,
}

/// A frame around things that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What stands at its top.
    pub label: String,
    /// The frame that it stands in.
    pub parent: Option<usize>,
}

/// Where a route's nodes are, as far as a picture shows it.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The stages.
    pub stages: &'a IdVec<StageId, Stage>,
    /// The stages of each node of the route.
    pub nodes: &'a IdVec<NodeId, BTreeSet<StageId>>,
}

/// The picture of one route; with colours for stages if it is placed.
pub fn picture(
    one: &Specialized,
    components: &IdVec<ComponentId, Component>,
    placed: Option<Placed<'_>>,
) -> Picture {
    let graph = &one.graph;
    let (frames, frame_of) = frames(graph);
    let mut picture = Picture { title: title(one), frames, ..Picture::default() };
    for (id, node) in graph.nodes.enumerate() {
        let mut thing = thing(graph, node, components);
        thing.frame = node.scope.and_then(|scope| frame_of.get(&scope).copied());
        thing.id = id.to_string();
        thing.stage = placed.and_then(|placed| stage(node, &placed.nodes[id]));
        if let (Some(stage), Shape::Component { .. }) = (thing.stage, thing.shape) {
            // Colours repeat, and not everyone tells them apart.
            thing.detail = format!("{} · {}", thing.detail, StageId::from_index(stage));
        }
        picture.things.push(thing);
    }
    for (position, output) in graph.outputs.iter().enumerate() {
        let thing = plain(Shape::End, &output.name, "");
        picture.things.push(Thing { id: format!("out{position}"), ..thing });
    }
    picture.lines = lines(graph, components);
    if let Some(placed) = placed {
        let name =
            |(id, stage): (StageId, &Stage)| format!("{id} on {}", joined(stage.replicas.iter(), ", "));
        picture.stages = placed.stages.enumerate().map(name).collect();
    }
    picture
}

/// A frame for each scope that has something in it, outer before inner.
fn frames(graph: &Graph) -> (Vec<Frame>, BTreeMap<ScopeId, usize>) {
    let around = |scope: ScopeId| std::iter::successors(Some(scope), |scope| graph.scopes[*scope]);
    let used: BTreeSet<ScopeId> = graph.nodes.iter().filter_map(|node| node.scope).flat_map(around).collect();
    let mut used: Vec<ScopeId> = used.into_iter().collect();
    used.sort_by_key(|scope| around(*scope).count());
    let frame_of: BTreeMap<ScopeId, usize> = used.iter().copied().zip(0..).collect();
    let labels = scope_labels(graph);
    let frame = |scope: &ScopeId| Frame {
        label: labels.get(scope).map_or_else(|| scope.to_string(), |label| elided(label, MOST_CHARACTERS)),
        parent: graph.scopes[*scope].and_then(|parent| frame_of.get(&parent).copied()),
    };
    (used.iter().map(frame).collect(), frame_of)
}

/// When what is in a scope is done, by the node that ends it.
fn scope_labels(graph: &Graph) -> BTreeMap<ScopeId, String> {
    let mut labels = BTreeMap::new();
    for node in &graph.nodes {
        match &node.kind {
            NodeKind::Switch { cases, scopes, .. } => {
                let subject = node.operands.iter().find(|operand| operand.port == 0);
                let subject = subject.map_or("it", |operand| graph.values[operand.value].name.as_str());
                labels.extend(scopes.iter().zip(cases).map(|(scope, case)| match case {
                    Case::Is(literal) => (*scope, format!("if {subject} is {literal}")),
                    Case::Else => (*scope, format!("if {subject} is anything else")),
                }));
            }
            NodeKind::Loop { scope, max, .. } => _ = labels.insert(*scope, format!("at most {max} rounds")),
            _ => {}
        }
    }
    labels
}

/// A line for each value that is read or is an output.
fn lines(graph: &Graph, components: &IdVec<ComponentId, Component>) -> Vec<Line> {
    let readers = graph.readers();
    let mut lines = Vec::new();
    for (id, value) in graph.values.enumerate() {
        let mut to: Vec<usize> = readers[id].iter().map(|node| node.0 as usize).collect();
        let outputs = graph.outputs.iter().enumerate().filter(|(_, output)| output.value == id);
        to.extend(outputs.map(|(position, _)| graph.nodes.len() + position));
        if to.is_empty() {
            continue;
        }
        let maker = &graph.nodes[value.node];
        let ty = short_type(&value.ty) + if value.optional { "?" } else { "" };
        let label = match maker.kind {
            NodeKind::Run { component, .. } if maker.results.len() > 1 => {
                let port = maker.results.iter().find(|(_, made)| *made == id).map(|(port, _)| *port as usize);
                let ports = &components[component].deployed.outputs;
                let port = port.and_then(|port| ports.get(port)).map_or("", |port| port.name.as_str());
                format!("{port}: {ty}")
            }
            _ => ty,
        };
        lines.push(Line { from: value.node.0 as usize, to, label, is_stream: value.ty.is_stream() });
    }
    lines
}

/// The stage of what is done on one; inputs and constants are wherever they are read, and ends of scopes
/// wherever something of theirs is.
fn stage(node: &Node, stages: &BTreeSet<StageId>) -> Option<usize> {
    match node.kind {
        NodeKind::Input(_) | NodeKind::Const(_) => None,
        _ if stages.len() > 1 => None,
        _ => stages.first().map(|stage| stage.0 as usize),
    }
}

fn thing(graph: &Graph, node: &Node, components: &IdVec<ComponentId, Component>) -> Thing {
    match &node.kind {
        NodeKind::Input(position) => {
            let input = &graph.inputs[*position as usize];
            let says = match (&input.is, &input.default) {
                (Some(literal), _) => format!("is {}", Lit(literal)),
                (None, Some(literal)) => format!("or {}", Lit(literal)),
                (None, None) => String::new(),
            };
            plain(Shape::End, &input.name, &says)
        }
        NodeKind::Const(literal) => plain(Shape::Constant, &Lit(literal).to_string(), ""),
        NodeKind::Run { component, each } => {
            let component = &components[*component].deployed;
            let name = if *each { format!("each {}", component.name) } else { component.name.clone() };
            let runs = format!("{} {}", component.executor, component.entry);
            let mut thing = plain(Shape::Component { each: *each }, &name, &runs);
            thing.whole = format!("{}: {}", thing.whole, component.kind);
            thing
        }
        NodeKind::Adapt(adaptor) => {
            let words = adaptor_words(adaptor);
            let (name, settings) = match adaptor {
                Adaptor::Windows { .. } => words.split_once(' ').unwrap_or((&words, "")),
                _ => (words.as_str(), ""),
            };
            plain(Shape::Adaptor, name, settings)
        }
        NodeKind::Call { graph: callee, .. } => {
            plain(Shape::Component { each: false }, &callee.to_string(), "")
        }
        NodeKind::Pass => plain(Shape::Adaptor, "pass", ""),
        other => plain(Shape::Adaptor, &block_words(other), ""),
    }
}

fn plain(shape: Shape, name: &str, detail: &str) -> Thing {
    let whole = if detail.is_empty() { name.to_owned() } else { format!("{name} ({detail})") };
    let (name, detail) = (elided(name, MOST_CHARACTERS), elided(detail, MOST_CHARACTERS));
    Thing { id: String::new(), shape, name, detail, whole, stage: None, frame: None }
}
