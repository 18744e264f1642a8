//! What the names of `cluster`, `place`, `serve` and `workload` stand for.

use super::walk::Walk;
use super::{Definition, DefinitionId, Index, Shown, Sort};
use crate::analyze::names::Entity;
use crate::syntax::ast::deploy::{
    Cluster, ClusterPart, Place, PlaceLine, Serve, ServeLine, SettingKind, Workload, WorkloadLine,
};
use crate::syntax::ast::{Item, Name};

impl Index {
    pub(super) fn cluster(&mut self, ast: &Cluster) -> DefinitionId {
        let definition = Definition::new(&ast.name.text, ast.name.span, ast.span, Sort::Cluster);
        let id = self.define(definition);
        for part in &ast.parts {
            if let ClusterPart::Node(node) = part {
                let part = Definition::new(&node.name.text, node.name.span, node.span, Sort::Node);
                self.define(Definition { of: Some(id), ..part });
            }
        }
        for part in &ast.parts {
            if let ClusterPart::Link(link) = part {
                self.part_named(id, &[Sort::Node], &link.from);
                self.part_named(id, &[Sort::Node], &link.to);
            }
        }
        id
    }
}

impl Walk<'_, '_> {
    /// An item of the deployment half; others are walked elsewhere.
    pub(super) fn deployment(&mut self, item: &Item) {
        match item {
            Item::Place(place) => self.place(place),
            Item::Serve(serve) => self.serve(serve),
            Item::Workload(workload) => self.workload(workload),
            _ => {}
        }
    }

    fn place(&mut self, place: &Place) {
        for graph in &place.graphs {
            self.graph_named(graph);
        }
        let cluster = self.entity(&place.cluster).filter(|entity| matches!(entity, Entity::Cluster(_)));
        let cluster = cluster.map(|entity| self.entities.of(entity));
        for line in &place.lines {
            let PlaceLine::Settings { components, settings, .. } = line else { continue };
            for component in components {
                self.component_named(component);
            }
            for setting in settings {
                match (&setting.kind, cluster) {
                    (SettingKind::With(component), _) => self.component_named(component),
                    (SettingKind::On(node), Some(cluster)) => {
                        self.index.part_named(cluster, &[Sort::Node], node);
                    }
                    _ => {}
                }
            }
        }
    }

    fn serve(&mut self, serve: &Serve) {
        self.graph_named(&serve.graph);
        for line in &serve.lines {
            if let ServeLine::Openai { endpoints, .. } = line {
                for endpoint in endpoints {
                    self.route_named(&endpoint.route);
                }
            }
        }
    }

    fn workload(&mut self, workload: &Workload) {
        let graph = self.graph_named(&workload.graph);
        for line in &workload.lines {
            match line {
                WorkloadLine::Share { route, brings, .. } => {
                    self.route_named(route);
                    for (graph, input) in
                        graph.iter().flat_map(|graph| brings.iter().map(move |it| (graph, &it.input)))
                    {
                        self.index.part_named(*graph, &[Sort::Input], input);
                    }
                }
                WorkloadLine::Targets { targets, .. } => {
                    for target in targets {
                        self.route_named(&target.route);
                        if let Some(graph) = graph {
                            self.index.part_named(graph, &[Sort::Output], &target.output);
                        }
                    }
                }
                WorkloadLine::Rate { .. } | WorkloadLine::Error(_) => {}
            }
        }
    }

    /// Notes what a name of the file stands for.
    fn entity(&mut self, name: &Name) -> Option<Entity> {
        let entity = self.context.names.scopes[self.module].get(&name.text)?.entity?;
        self.index.refer(name.span, self.entities.of(entity));
        Some(entity)
    }

    fn graph_named(&mut self, name: &Name) -> Option<DefinitionId> {
        let entity = self.entity(name).filter(|entity| matches!(entity, Entity::Graph(_)))?;
        Some(self.entities.of(entity))
    }

    /// A route of this file, or else of one that it uses.
    fn route_named(&mut self, name: &Name) {
        let routes = self.index.definitions.enumerate();
        let mut routes = routes.filter(|(_, it)| it.sort == Sort::Route && it.name == name.text);
        let first = routes.next();
        let here = first.into_iter().chain(routes).min_by_key(|(_, it)| it.span.file != name.span.file);
        if let Some((id, _)) = here {
            self.index.refer(name.span, id);
        }
    }

    /// A component by the name that it is deployed under.
    fn component_named(&mut self, name: &Name) {
        if self.entity(name).is_some() {
            return;
        }
        let components = &self.context.program.components;
        let is_it = |it: &Definition| match it.shown {
            Some(Shown::Component(id)) => components[id].deployed.name == name.text,
            _ => false,
        };
        let is_made = |it: &Definition| matches!(it.sort, Sort::Let | Sort::Local) && is_it(it);
        let made = self.index.definitions.enumerate().find(|(_, it)| is_made(it)).map(|(id, _)| id);
        if let Some(id) = made {
            self.index.refer(name.span, id);
        }
    }
}
