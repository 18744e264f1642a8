//! Which `route` lines count: those of the root file, and those that come along with a graph that the root
//! file takes from another.
//!
//! So an operator's root file can place and serve a graph that its author wrote, with the author's routes. A
//! graph comes along if the root file takes it by `use`, has no `route` line for it, and either names it in
//! `place` or `serve` or has no graph of its own.

use std::collections::BTreeSet;

use crate::analyze::context::Context;
use crate::analyze::names::Entity;
use crate::syntax::ast::{self, Item};

impl<'a> Context<'a> {
    /// The `route` lines that count, each with the number of its module.
    pub(crate) fn declared_routes(&self) -> Vec<(usize, &'a ast::Route)> {
        let modules = self.modules;
        let routes = |module: usize| {
            modules[module].file.items.iter().filter_map(move |item| match item {
                Item::Route(route) => Some((module, route)),
                _ => None,
            })
        };
        let mut all: Vec<(usize, &'a ast::Route)> = routes(0).collect();
        for position in 0..self.names.graphs.len() {
            let (module, _) = self.names.graphs[position];
            if module != 0 && self.comes_along(position) {
                let asks = |name: &str| self.means_graph(module, name) == Some(position);
                all.extend(routes(module).filter(|(_, route)| asks(&route.graph.text)));
            }
        }
        all
    }

    /// Whether the graph at `position`, which another file declares, comes along with its routes.
    pub(crate) fn comes_along(&self, position: usize) -> bool {
        let is_it = |name: &str| self.means_graph(0, name) == Some(position);
        let is_taken = self.names.scopes[0]
            .values()
            .any(|named| named.taken && named.entity == Some(Entity::Graph(position)));
        let mut deployed = BTreeSet::new();
        let mut has_graph = false;
        for item in &self.modules[0].file.items {
            match item {
                Item::Route(route) if is_it(&route.graph.text) => return false,
                Item::Graph(_) => has_graph = true,
                Item::Place(place) => deployed.extend(place.graphs.iter().map(|name| name.text.as_str())),
                Item::Serve(serve) => {
                    deployed.insert(serve.graph.text.as_str());
                }
                _ => {}
            }
        }
        is_taken && (!has_graph || deployed.into_iter().any(is_it))
    }

    /// The position of the graph that `name` means in `module`.
    fn means_graph(&self, module: usize, name: &str) -> Option<usize> {
        match self.names.scopes[module].get(name)?.entity? {
            Entity::Graph(position) => Some(position),
            _ => None,
        }
    }
}
