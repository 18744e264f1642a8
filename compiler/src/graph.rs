//! The typed graph: what a `.corn` program means once no name is left to resolve.
//!
//! Nodes and values have dense ids and live in vectors; an id is a position. Nodes stand in an
//! order in which every operand is made before it is read, because the language has no way to
//! name a value before it is made. Analysis writes these graphs; the passes rewrite them until
//! each route has one graph that `lower` can turn into a recording.
//!
//! What depends on the request is in the values: [`Value::needs`] lists the optional inputs that
//! must be present, and the parameters that must have certain values, for a value to exist. After `specialize`
//! it is empty everywhere.
//!
//! What depends on values that are made is in scopes: the nodes of a case of a `switch`, and of the body of a
//! `loop`, carry its [`ScopeId`] and come before the node that ends it. A node reads what is in its own scope
//! or in one around it; only the ends read from inside.

pub mod deploy;
pub mod draw;
pub mod fit;
pub mod mermaid;
pub mod needs;
pub mod order;
pub mod picture;
pub mod print;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::catalog::Domain;
use corn_plan::{Adaptor, Case, ComponentId, IdVec, Literal, Modality, Type, ValueId, id};

pub use self::needs::Needs;
use crate::source::Span;

id!(
    /// A node of a graph. Printed as `n0`.
    NodeId, "n"
);
id!(
    /// A graph of a program. Printed as `g0`.
    GraphId, "g"
);

id!(
    /// A part of a graph that runs on its own condition: a case of a `switch`, the body of a `loop`. Printed as
    /// `x0`.
    ScopeId, "x"
);

/// Positions in [`Graph::inputs`]: the optional inputs that something depends on.
pub type Presence = BTreeSet<u32>;

/// A whole program, analysed.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Its name, from the root file's.
    pub name: String,
    /// Every component that a `let` makes, in order.
    pub components: IdVec<ComponentId, Component>,
    /// Every graph, those that are called before those that call them.
    pub graphs: IdVec<GraphId, Graph>,
    /// What requests may ask, in order.
    pub routes: Vec<Route>,
    /// Where it runs and how it is served.
    pub deployment: deploy::Deployment,
}

/// A component, ready to be deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// As the plan will have it.
    pub deployed: corn_plan::Component,
    /// Where it was made.
    pub span: Span,
}

/// What requests may ask of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The graph it asks.
    pub graph: GraphId,
    /// Where it was declared; for a graph without `route` lines, the graph's name.
    pub span: Span,
    /// What is present and asked for.
    pub asks: Asks,
}

/// What is present and asked for on a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Asks {
    /// As a `route` line says.
    Exactly {
        /// Inputs that are always present.
        present: Presence,
        /// Inputs of which both cases are wanted.
        maybe: Presence,
        /// Inputs whose value the route fixes, as in [`Needs::chosen`].
        pinned: BTreeMap<u32, u64>,
        /// Positions in [`Graph::outputs`].
        outputs: BTreeSet<u32>,
    },
    /// Every combination that makes sense: the graph has no `route` lines.
    Everything,
}

/// A graph: nodes, the values between them, and what a request brings and gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// What a request brings.
    pub inputs: Vec<Input>,
    /// What a request gets.
    pub outputs: Vec<Output>,
    /// The nodes; operands come before their readers.
    pub nodes: IdVec<NodeId, Node>,
    /// The scopes, each with the one around it. Ids stay when nodes are taken out.
    pub scopes: IdVec<ScopeId, Option<ScopeId>>,
    /// The values.
    pub values: IdVec<ValueId, Value>,
    /// What graphs that are called ask of inputs that are passed on to them: see [`Graph::decides`].
    pub passed: Needs,
    /// Which numbers are taken of an input, here or in a graph that is called.
    pub limits: BTreeMap<u32, Vec<Limit>>,
}

/// What takes only some of the values of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Which.
    pub takes: Domain,
    /// What it is.
    pub reader: Reader,
    /// Where it says so.
    pub span: Span,
}

/// What has a [`Limit`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reader {
    /// A loop, as the number of its rounds.
    Rounds {
        /// Most of them.
        max: u32,
    },
    /// A port of this name.
    Port(String),
}

/// Something that a request brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// What it becomes.
    pub value: ValueId,
    /// Whether it may be absent.
    pub optional: bool,
    /// Taken where the request leaves it out.
    pub default: Option<Literal>,
    /// After `specialize`, the one value that requests of this recording bring, if the recording depends on it.
    pub is: Option<Literal>,
    /// The media that it brings: result 1 of its node for a conversation, its own value for a list.
    pub media: Option<ValueId>,
    /// Of which kind each of the media is, in order: result 2 of its node.
    pub order: Option<ValueId>,
    /// After `specialize`, the kinds of media that occur among them.
    pub kinds: Vec<Modality>,
    /// Where it was declared.
    pub span: Span,
}

/// Something that a request gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What it is.
    pub value: ValueId,
    /// Whether it is made only if asked for.
    pub optional: bool,
    /// Where it was declared.
    pub span: Span,
}

/// Something that makes values.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub kind: NodeKind,
    /// What it reads.
    pub operands: Vec<Operand>,
    /// What it makes: output port and value.
    pub results: Vec<(u32, ValueId)>,
    /// The case or body that it is part of.
    pub scope: Option<ScopeId>,
    /// The expression that it comes from.
    pub span: Span,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// Takes what the request brings under this position of [`Graph::inputs`].
    Input(u32),
    /// Is always the same.
    Const(Literal),
    /// Calls a component.
    Run {
        /// Which.
        component: ComponentId,
        /// Whether once for every item of its `each` operands.
        each: bool,
    },
    /// Asks another graph; ports are positions of its inputs and outputs. Gone after `inline`.
    Call {
        /// Which.
        graph: GraphId,
        /// What a request must bring for it to be asked.
        guard: Needs,
    },
    /// What the worker does itself.
    Adapt(Adaptor),
    /// Hands its operand on: a value that exists on fewer routes than what it is made of.
    /// Gone after `simplify`.
    Pass,
    /// Hands on the one of its operands that exists: the cases of an `if` or `match`. Gone after `simplify`.
    Choose,
    /// Hands on what the case that is taken makes. Port 0 is what decides; output `o` of case `c` is port
    /// `1 + c * outputs + o`, and absent if nothing fills it.
    Switch {
        /// What is held against the subject, in order.
        cases: Vec<Case>,
        /// The scope of each case.
        scopes: Vec<ScopeId>,
        /// How many things each case makes.
        outputs: u32,
    },
    /// What a round of a loop begins with. Port `i` is what carried value `i` is at first, the port after the last
    /// how many rounds there are. Results are the carried values inside, and after them the number of the round.
    Enter {
        /// The scope of the body.
        scope: ScopeId,
        /// How many values are carried.
        carried: u32,
    },
    /// Ends a loop. Port `i` is the next value of carried value `i`, the port after the last what ends the rounds.
    /// Results are the last values.
    Loop {
        /// The scope of the body.
        scope: ScopeId,
        /// How many values are carried.
        carried: u32,
        /// Most rounds.
        max: u32,
    },
}

/// What fills an input port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The port.
    pub port: u32,
    /// What fills it.
    pub value: ValueId,
    /// Whether each call takes one item of it.
    pub each: bool,
}

/// A typed edge: made by one node, read by any number.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// A readable name: the `let` that binds it, or what makes it.
    pub name: String,
    /// Its type, with every bound.
    pub ty: Type,
    /// Whether its bound must stay: the author wrote it, or a component's port has it. Others
    /// are narrowed to what their readers take.
    pub fixed: bool,
    /// The node that makes it.
    pub node: NodeId,
    /// What a request must bring for it to exist.
    pub needs: Needs,
    /// Whether it may turn out absent at run time: not every case of a `switch` makes it.
    pub optional: bool,
    /// Where its type was declared.
    pub declared: Span,
}

/// A graph of one route: nothing in it is optional.
#[derive(Clone, Debug, PartialEq)]
pub struct Specialized {
    /// The route.
    pub route: String,
    /// Where the route was declared.
    pub span: Span,
    /// What it takes to answer it.
    pub graph: Graph,
}

impl Graph {
    /// Adds a node that makes `results`, in order of `ports`.
    pub fn add(
        &mut self,
        kind: NodeKind,
        operands: Vec<Operand>,
        scope: Option<ScopeId>,
        span: Span,
    ) -> NodeId {
        self.nodes.push(Node { kind, operands, results: Vec::new(), scope, span })
    }

    /// Whether `scope` is `of` or inside it.
    pub fn is_within(&self, mut scope: Option<ScopeId>, of: Option<ScopeId>) -> bool {
        while scope != of {
            let Some(inner) = scope else { return false };
            scope = self.scopes[inner];
        }
        true
    }

    /// Adds what `node` makes on output `port`; [`Value::node`] of `value` is set to it.
    pub fn make(&mut self, node: NodeId, port: u32, mut value: Value) -> ValueId {
        value.node = node;
        let id = self.values.push(value);
        self.nodes[node].results.push((port, id));
        id
    }

    /// The operands that `node` reads to make those of its results that are wanted. The end of a `switch` reads no
    /// others; whatever else works reads all.
    pub fn read_for<'g>(
        &'g self,
        node: NodeId,
        is_wanted: impl Fn(ValueId) -> bool + 'g,
    ) -> impl Iterator<Item = &'g Operand> {
        let node = &self.nodes[node];
        node.operands.iter().filter(move |operand| match node.kind {
            NodeKind::Switch { outputs, .. } if operand.port > 0 => {
                let of = (operand.port - 1) % outputs;
                node.results.iter().any(|(port, value)| *port == of && is_wanted(*value))
            }
            _ => true,
        })
    }

    /// For every value, the nodes that read it, in order.
    pub fn readers(&self) -> IdVec<ValueId, Vec<NodeId>> {
        let mut readers: IdVec<ValueId, Vec<NodeId>> = self.values.iter().map(|_| Vec::new()).collect();
        for (id, node) in self.nodes.enumerate() {
            for operand in &node.operands {
                if readers[operand.value].last() != Some(&id) {
                    readers[operand.value].push(id);
                }
            }
        }
        readers
    }

    /// Replaces every value that is read by what `stands` has in its place.
    pub fn read_through(&mut self, stands: &IdVec<ValueId, ValueId>) {
        for node in self.nodes.ids() {
            for operand in &mut self.nodes[node].operands {
                operand.value = stands[operand.value];
            }
        }
        for output in &mut self.outputs {
            output.value = stands[output.value];
        }
    }

    /// The same graph with only the nodes that `keep` says and the values that are still read,
    /// are outputs, or are made by an input; ids are dense again.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(NodeId) -> bool) -> Self {
        self.part(self.outputs.clone(), keep, |_| true)
    }

    /// The part of the graph that makes `outputs`: the nodes that `keep` says, their operands that
    /// `exists` says, and the values that are still read, are outputs, or are made by an input.
    #[must_use]
    pub fn part(
        &self,
        outputs: Vec<Output>,
        keep: impl Fn(NodeId) -> bool,
        exists: impl Fn(ValueId) -> bool,
    ) -> Self {
        let mut wanted: IdVec<ValueId, bool> = self.values.iter().map(|_| false).collect();
        let kept: Vec<NodeId> = self.nodes.ids().filter(|id| keep(*id)).collect();
        for output in &outputs {
            wanted[output.value] = true;
        }
        for id in kept.iter().rev() {
            let read: Vec<ValueId> =
                self.read_for(*id, |value| wanted[value]).map(|read| read.value).collect();
            for value in read.into_iter().filter(|value| exists(*value)) {
                wanted[value] = true;
            }
        }
        let scopes = self.scopes.clone();
        let mut graph = Self { name: self.name.clone(), span: self.span, scopes, ..Self::default() };
        let mut renamed: IdVec<ValueId, Option<ValueId>> = self.values.iter().map(|_| None).collect();
        for id in kept {
            let node = &self.nodes[id];
            let operands = self.read_for(id, |value| wanted[value]).filter(|operand| exists(operand.value));
            let operands = operands.map(|operand| Operand {
                value: renamed[operand.value].expect("operands of a kept node are kept"),
                ..*operand
            });
            let operands = operands.collect();
            let made = graph.add(node.kind.clone(), operands, node.scope, node.span);
            let stays = |port: u32| match node.kind {
                NodeKind::Input(_) => port == 0,
                NodeKind::Enter { .. } | NodeKind::Adapt(Adaptor::Merge { .. }) => true,
                _ => false,
            };
            for (port, value) in node.results.iter().filter(|(port, value)| stays(*port) || wanted[*value]) {
                renamed[*value] = Some(graph.make(made, *port, self.values[*value].clone()));
            }
        }
        for input in &self.inputs {
            if let Some(value) = renamed[input.value] {
                let position = u32::try_from(graph.inputs.len()).expect("inputs are few");
                let node = graph.values[value].node;
                graph.nodes[node].kind = NodeKind::Input(position);
                let media = input.media.and_then(|media| renamed[media]);
                let order = input.order.and_then(|order| renamed[order]);
                graph.inputs.push(Input { value, media, order, ..input.clone() });
            }
        }
        let output =
            |output: Output| Output { value: renamed[output.value].expect("an output is kept"), ..output };
        graph.outputs = outputs.into_iter().map(output).collect();
        graph
    }
}
