//! Warnings about what the root file declares and nothing uses. A library's declarations are
//! there for others, so the files that it uses are not looked at.

use std::collections::BTreeSet;

use crate::analyze::context::{Const, Context};
use crate::analyze::names::Entity;
use crate::diagnostic::semantic;
use crate::graph::Asks;
use crate::syntax::ast::Item;

impl Context<'_> {
    /// Warns of everything unused.
    pub(crate) fn warn_of_unused(&mut self) {
        self.unused_names();
        self.unused_ports();
        self.unasked();
    }

    fn unused_names(&mut self) {
        // A file without graphs is a library: others use its names.
        if !self.modules[0].file.items.iter().any(|item| matches!(item, Item::Graph(_))) {
            return;
        }
        let scope: Vec<_> = self.names.scopes[0].iter().map(|(name, named)| (name.clone(), *named)).collect();
        for (name, named) in scope {
            let Some(entity) = named.entity else { continue };
            if self.used.contains(&entity) || name.starts_with('_') {
                continue;
            }
            match entity {
                _ if named.taken => self.report(semantic::unused::taken(&name, named.span)),
                Entity::Let(position) if matches!(self.lets[position], Const::Component(_)) => {
                    self.report(semantic::unused::component(&name, named.span));
                }
                Entity::Let(_) => self.report(semantic::unused::local(&name, named.span)),
                Entity::Component(_) => self.report(semantic::unused::declaration(&name, named.span)),
                Entity::Cluster(_) => self.report(semantic::deploy::idle_cluster(&name, named.span)),
                Entity::Graph(_) => {}
            }
        }
    }

    /// Output ports of components declared here that no graph reads.
    fn unused_ports(&mut self) {
        let called: BTreeSet<_> = self.read_ports.iter().map(|(component, _)| *component).collect();
        let mut problems = Vec::new();
        for component in called {
            let declared = &self.kinds[component];
            if declared.module != 0 {
                continue;
            }
            for (port, output) in declared.outputs.iter().enumerate() {
                let port = u32::try_from(port).expect("ports are few");
                let read = |(reader, read): &(_, u32)| {
                    *read == port && std::rc::Rc::ptr_eq(&self.kinds[*reader], declared)
                };
                if !self.read_ports.iter().any(read) {
                    problems.push(semantic::unused::port(&output.name, &declared.ast.name.text, output.span));
                }
            }
        }
        self.found.extend(problems);
    }

    /// Inputs that no route brings and outputs that no route asks for.
    fn unasked(&mut self) {
        let mut problems = Vec::new();
        for (id, graph) in self.program.graphs.enumerate() {
            let routes: Vec<_> = self.program.routes.iter().filter(|route| route.graph == id).collect();
            if routes.is_empty() || routes.iter().any(|route| route.asks == Asks::Everything) {
                continue;
            }
            let brought: BTreeSet<usize> = routes.iter().flat_map(|route| brought(&route.asks)).collect();
            let wanted: BTreeSet<usize> = routes.iter().flat_map(|route| wanted(&route.asks)).collect();
            for (position, input) in graph.inputs.iter().enumerate() {
                if input.default.is_none() && !brought.contains(&position) {
                    problems.push(semantic::unused::input(&input.name, input.span));
                }
            }
            for (position, output) in graph.outputs.iter().enumerate() {
                if !wanted.contains(&position) {
                    problems.push(semantic::unused::output(&output.name, output.span));
                }
            }
        }
        self.found.extend(problems);
    }
}

fn brought(asks: &Asks) -> Vec<usize> {
    match asks {
        Asks::Exactly { present, maybe, .. } => present.union(maybe).map(|input| *input as usize).collect(),
        Asks::Everything => Vec::new(),
    }
}

fn wanted(asks: &Asks) -> Vec<usize> {
    match asks {
        Asks::Exactly { outputs, .. } => outputs.iter().map(|output| *output as usize).collect(),
        Asks::Everything => Vec::new(),
    }
}
