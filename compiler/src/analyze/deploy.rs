//! Where a program runs, how it is served and what is expected of it.
//!
//! Only the root file's `place`, `serve` and `workload` count, as with routes: those of a file that it
//! uses are for when that file is the root. A cluster may be declared anywhere and taken by `use`.

mod amount;
mod cluster;
mod endpoint;
mod place;
mod serve;
mod workload;

use std::collections::BTreeSet;

use corn_plan::ComponentId;

use crate::analyze::context::{Const, Context};
use crate::analyze::names::Entity;
use crate::diagnostic::semantic::{self, Candidate, Spelled};
use crate::graph::{GraphId, NodeKind, Program};
use crate::syntax::ast::{self, Item};

impl Context<'_> {
    /// The deployment that the root file says.
    pub(crate) fn deployment(&mut self) {
        self.has_all_routes = !self.found.has_errors();
        let modules = self.modules;
        let items = &modules[0].file.items;
        let places = items.iter().filter_map(|item| match item {
            Item::Place(place) => Some(place),
            _ => None,
        });
        self.places(&places.collect::<Vec<_>>());
        for item in items {
            if let Item::Serve(serve) = item {
                self.serve(serve);
            }
        }
        self.warn_of_unserved();
        for item in items {
            if let Item::Workload(workload) = item {
                self.workload(workload);
            }
        }
    }

    /// The graph that a block is about; `None` if there is none, which is reported.
    fn graph_named(&mut self, name: &ast::Name) -> Option<GraphId> {
        match self.look_up(0, &name.text).map(|named| named.entity) {
            Some(Some(Entity::Graph(position))) => self.graphs[position],
            Some(Some(entity)) => {
                let sort = self.sort_of(entity);
                self.report(semantic::deploy::not_a_graph(name, sort));
                None
            }
            Some(None) => None,
            None => {
                let known = self.visible(0, |entity| matches!(entity, Entity::Graph(_)));
                self.report(semantic::names::unknown(&name.text, name.span, &known));
                None
            }
        }
    }

    /// What a person calls what a name means.
    fn sort_of(&self, entity: Entity) -> &'static str {
        match entity {
            Entity::Let(position) if matches!(self.lets[position], Const::Component(_)) => "component",
            Entity::Let(_) => "value",
            entity => entity.sort(),
        }
    }

    /// The routes of a graph, for hints.
    fn routes_of(&self, graph: GraphId) -> Vec<Candidate> {
        let routes = self.program.routes.iter().filter(|route| route.graph == graph);
        routes.map(|route| Candidate::at(&route.name, route.span)).collect()
    }

    /// The position of the route of `graph` that is called `name`; reports that there is none.
    fn route_named(&mut self, name: &ast::Name, graph: GraphId) -> Option<usize> {
        let is_it = |route: &crate::graph::Route| route.graph == graph && route.name == name.text;
        let found = self.program.routes.iter().position(is_it);
        // Routes that are broken were reported and are not there.
        if found.is_none() && self.has_all_routes {
            let known = self.routes_of(graph);
            let graph = &self.program.graphs[graph].name;
            self.found.push(semantic::serve::unknown_route(Spelled::from(name), graph, &known));
        }
        found
    }
}

/// The components that `graph` calls, directly or by other graphs.
fn called(program: &Program, graph: GraphId) -> BTreeSet<ComponentId> {
    let mut components = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        if !seen.insert(graph) {
            continue;
        }
        for node in &program.graphs[graph].nodes {
            match node.kind {
                NodeKind::Run { component, .. } => {
                    components.insert(component);
                }
                NodeKind::Call { graph, .. } => open.push(graph),
                _ => {}
            }
        }
    }
    components
}
