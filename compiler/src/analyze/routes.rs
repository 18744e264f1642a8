//! What requests may ask: `route` lines, or for a graph without them every combination. Which lines count is
//! in [`super::taken`].

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::Kind;

use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Const, Context, ParamType};
use crate::analyze::names::Entity;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::{Asks, Graph, GraphId, Presence, Route, needs};
use crate::source::Span;
use crate::syntax::ast;

/// What a `route` line says that a request brings.
#[derive(Default)]
struct Brought {
    present: Presence,
    maybe: Presence,
    pinned: BTreeMap<u32, u64>,
}

impl Context<'_> {
    /// The routes of the root file.
    pub(crate) fn routes(&mut self) {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        let mut routed = BTreeSet::new();
        for (module, route) in self.declared_routes() {
            if let Some(first) = seen.get(route.name.text.as_str()) {
                self.report(semantic::names::taken(&route.name, *first));
                continue;
            }
            seen.insert(&route.name.text, route.name.span);
            match self.look_up(module, &route.graph.text).map(|named| named.entity) {
                Some(Some(Entity::Graph(position))) => {
                    routed.insert(position);
                    if let Some(graph) = self.graphs[position] {
                        self.route(route, graph);
                    }
                }
                Some(Some(entity)) => {
                    self.report(semantic::routes::not_a_graph(&route.graph, entity.sort()));
                }
                Some(None) => {}
                None => {
                    let known = self.visible(module, |entity| matches!(entity, Entity::Graph(_)));
                    self.report(semantic::names::unknown(&route.graph.text, route.graph.span, &known));
                }
            }
        }
        self.unrouted(&routed);
        self.refuse_streams_in();
    }

    /// Graphs of the root file without `route` lines that no other graph asks serve everything.
    fn unrouted(&mut self, routed: &BTreeSet<usize>) {
        for position in 0..self.names.graphs.len() {
            let (module, declared) = self.names.graphs[position];
            let Some(id) = self.graphs[position] else { continue };
            let is_root = module == 0 || self.comes_along(position);
            if is_root && !routed.contains(&position) && !self.asked.contains(&id) {
                self.program.routes.push(Route {
                    name: declared.name.text.clone(),
                    graph: id,
                    span: declared.name.span,
                    asks: Asks::Everything,
                });
            }
        }
    }

    /// A request brings whole values.
    fn refuse_streams_in(&mut self) {
        let served: BTreeSet<GraphId> = self.program.routes.iter().map(|route| route.graph).collect();
        for id in served {
            let graph = &self.program.graphs[id];
            let streams = graph.inputs.iter().filter(|input| graph.values[input.value].ty.is_stream());
            let problems: Vec<_> =
                streams.map(|input| semantic::routes::stream_input(&input.name, input.span)).collect();
            self.found.extend(problems);
        }
    }

    fn route(&mut self, route: &ast::Route, id: GraphId) {
        // Out of the program while it is looked at: nothing below asks the program for it.
        let graph = std::mem::take(&mut self.program.graphs[id]);
        let inputs = self.route_inputs(route, &graph);
        let outputs = self.route_outputs(route, &graph);
        self.program.graphs[id] = graph;
        let (Some(brought), Some(outputs)) = (inputs, outputs) else { return };
        let Brought { present, maybe, pinned } = brought;
        let asks = Asks::Exactly { present, maybe, pinned, outputs };
        self.program.routes.push(Route { name: route.name.text.clone(), graph: id, span: route.span, asks });
    }

    fn route_inputs(&mut self, route: &ast::Route, graph: &Graph) -> Option<Brought> {
        let mut brought = Brought::default();
        let mut named: Vec<&ast::Name> = Vec::new();
        let mut whole = true;
        for ast::RouteInput { name, optional: both, value } in &route.inputs {
            if let Some(first) = named.iter().find(|first| first.text == name.text) {
                self.report(semantic::routes::named_twice(name, first.span));
                continue;
            }
            named.push(name);
            let Some(position) = graph.inputs.iter().position(|input| input.name == name.text) else {
                let known: Vec<Candidate> =
                    graph.inputs.iter().map(|input| Candidate::at(&input.name, input.span)).collect();
                self.report(semantic::routes::unknown_input(name, &graph.name, &known));
                whole = false;
                continue;
            };
            let input = &graph.inputs[position];
            let position = u32::try_from(position).expect("inputs are few");
            if let Some(value) = value {
                whole &= self.pinned(graph, position, name, value, &mut brought);
            } else if input.default.is_some() {
                self.report(semantic::routes::input_has_default(name, input.span));
            } else if *both && !input.optional {
                self.report(semantic::routes::always_needed(name, &graph.name, input.span));
                whole = false;
            } else if *both {
                brought.maybe.insert(position);
            } else {
                brought.present.insert(position);
            }
        }
        for input in &graph.inputs {
            let is_named = named.iter().any(|name| name.text == input.name);
            if whole && !input.optional && input.default.is_none() && !is_named {
                self.report(semantic::routes::input_left_out(
                    &route.name,
                    &input.name,
                    &graph.name,
                    input.span,
                ));
                whole = false;
            }
        }
        whole.then_some(brought)
    }

    /// Notes that a route fixes input `position` to `value`; whether it can.
    fn pinned(
        &mut self,
        graph: &Graph,
        position: u32,
        name: &ast::Name,
        value: &ast::Expr,
        brought: &mut Brought,
    ) -> bool {
        let input = &graph.inputs[position as usize];
        let kind = &graph.values[input.value].ty.kind;
        if needs::literals(kind).is_empty() {
            self.report(semantic::control::cannot_be_pinned(&name.text, kind, value.span, input.span));
            return false;
        }
        let takes = match kind {
            Kind::Enum(words) => ParamType::Enum(words.clone()),
            _ => ParamType::Bool,
        };
        let given = self.constant(value, None, Place { module: 0, local: Seen::NOTHING });
        let accepted = self.accepted(&name.text, &takes, given, value.span, Some(input.span));
        let Some(Const::Literal(literal)) = accepted else { return false };
        if input.default.is_none() {
            brought.present.insert(position);
        }
        brought.pinned.insert(position, needs::bit(kind, &literal).unwrap_or(u64::MAX));
        true
    }

    fn route_outputs(&mut self, route: &ast::Route, graph: &Graph) -> Option<BTreeSet<u32>> {
        let mut outputs = BTreeSet::new();
        let mut whole = true;
        for name in &route.outputs {
            let Some(position) = graph.outputs.iter().position(|output| output.name == name.text) else {
                let known: Vec<Candidate> =
                    graph.outputs.iter().map(|output| Candidate::at(&output.name, output.span)).collect();
                self.report(semantic::routes::unknown_output(name, &graph.name, &known));
                whole = false;
                continue;
            };
            if !outputs.insert(u32::try_from(position).expect("outputs are few")) {
                let first = route.outputs.iter().find(|first| first.text == name.text);
                let first = first.map_or(route.name.span, |first| first.span);
                self.report(semantic::routes::named_twice(name, first));
            }
        }
        for (position, output) in graph.outputs.iter().enumerate() {
            let position = u32::try_from(position).expect("outputs are few");
            let asked = outputs.contains(&position);
            if whole && !output.optional && !asked && !route.outputs.is_empty() {
                let problem =
                    semantic::routes::output_left_out(&route.name, &output.name, &graph.name, output.span);
                self.report(problem);
                whole = false;
            } else if !output.optional {
                outputs.insert(position);
            }
        }
        if whole && outputs.is_empty() {
            let names: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
            self.report(semantic::routes::asks_for_nothing(&route.name, &names));
            whole = false;
        }
        whole.then_some(outputs)
    }
}
