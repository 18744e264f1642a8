//! What each name means in each file.
//!
//! Components, graphs and lets of a file share one space of names, and a name means one thing
//! wherever it can be seen: nothing shadows anything. Routes have a space of their own. A `use`
//! takes what the other file declares itself, not what that one uses.

use std::collections::BTreeMap;

use crate::analyze::modules::Module;
use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::{self, Candidate, Spelled};
use crate::source::Span;
use crate::syntax::ast;

/// Functions of the language; no declaration may take their names.
pub(crate) const FUNCTIONS: [&str; 5] = ["join", "merge", "pypi", "hf", "file"];

impl<'n> From<&'n ast::Name> for Spelled<'n> {
    fn from(name: &'n ast::Name) -> Self {
        Self { text: &name.text, span: name.span }
    }
}

impl<'n> From<&'n ast::Str> for Spelled<'n> {
    fn from(text: &'n ast::Str) -> Self {
        Self { text: &text.text, span: text.span }
    }
}

/// A declared thing, by its position among those of its sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entity {
    /// Position in [`Names::components`].
    Component(usize),
    /// Position in [`Names::graphs`].
    Graph(usize),
    /// Position in [`Names::lets`].
    Let(usize),
    /// Position in [`Names::clusters`].
    Cluster(usize),
}

/// A name that can be seen in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    /// What it means; `None` if that is broken and was reported.
    pub(crate) entity: Option<Entity>,
    /// Where it was declared or taken.
    pub(crate) span: Span,
    /// Whether a `use` took it.
    pub(crate) taken: bool,
}

/// Every declaration of every file, and what is seen where.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    /// Declarations with the number of their module.
    pub(crate) components: Vec<(usize, &'a ast::Component)>,
    /// The same for graphs.
    pub(crate) graphs: Vec<(usize, &'a ast::Graph)>,
    /// The same for lets.
    pub(crate) lets: Vec<(usize, &'a ast::Let)>,
    /// The same for clusters.
    pub(crate) clusters: Vec<(usize, &'a ast::deploy::Cluster)>,
    /// What can be seen in each module.
    pub(crate) scopes: Vec<BTreeMap<String, Named>>,
}

impl Entity {
    /// What a person calls such a thing.
    pub(crate) const fn sort(self) -> &'static str {
        match self {
            Self::Component(_) => "component",
            Self::Graph(_) => "graph",
            Self::Let(_) => "`let`",
            Self::Cluster(_) => "cluster",
        }
    }
}

/// Collects the declarations of all modules.
pub(crate) fn collect<'a>(modules: &'a [Module], found: &mut Diagnostics) -> Names<'a> {
    let mut names = Names { scopes: vec![BTreeMap::new(); modules.len()], ..Names::default() };
    for (number, module) in modules.iter().enumerate() {
        for item in &module.file.items {
            names.declare(number, item, found);
        }
    }
    let own = names.scopes.clone();
    for (number, module) in modules.iter().enumerate() {
        for (item, from) in &module.uses {
            if let ast::Item::Use(used) = &module.file.items[*item] {
                names.take(number, used, &modules[*from].path, &own[*from], found);
            }
        }
        names.take_unknown(number, module);
    }
    names
}

impl<'a> Names<'a> {
    fn declare(&mut self, module: usize, item: &'a ast::Item, found: &mut Diagnostics) {
        let (name, entity) = match item {
            ast::Item::Component(component) => {
                self.components.push((module, component));
                (&component.name, Entity::Component(self.components.len() - 1))
            }
            ast::Item::Graph(graph) => {
                self.graphs.push((module, graph));
                (&graph.name, Entity::Graph(self.graphs.len() - 1))
            }
            ast::Item::Let(each) => {
                self.lets.push((module, each));
                (&each.name, Entity::Let(self.lets.len() - 1))
            }
            ast::Item::Cluster(cluster) => {
                self.clusters.push((module, cluster));
                (&cluster.name, Entity::Cluster(self.clusters.len() - 1))
            }
            ast::Item::Use(_)
            | ast::Item::Route(_)
            | ast::Item::Place(_)
            | ast::Item::Serve(_)
            | ast::Item::Workload(_)
            | ast::Item::Error(_) => return,
        };
        if FUNCTIONS.contains(&name.text.as_str()) {
            found.push(semantic::names::reserved(name));
        }
        self.enter(module, name, Some(entity), false, found);
    }

    fn enter(
        &mut self,
        module: usize,
        name: &ast::Name,
        entity: Option<Entity>,
        taken: bool,
        found: &mut Diagnostics,
    ) {
        if let Some(first) = self.scopes[module].get(&name.text) {
            found.push(semantic::names::taken(name, first.span));
            return;
        }
        self.scopes[module].insert(name.text.clone(), Named { entity, span: name.span, taken });
    }

    fn take(
        &mut self,
        module: usize,
        used: &ast::Use,
        path: &str,
        theirs: &BTreeMap<String, Named>,
        found: &mut Diagnostics,
    ) {
        for name in &used.names {
            let entity = if let Some(named) = theirs.get(&name.text) {
                named.entity
            } else {
                let known: Vec<Candidate> =
                    theirs.iter().map(|(name, named)| Candidate::at(name, named.span)).collect();
                found.push(semantic::names::not_in_module(name, path, &known));
                None
            };
            self.enter(module, name, entity, true, found);
        }
    }

    /// Names taken from files that do not exist are known and broken: that was reported.
    fn take_unknown(&mut self, number: usize, module: &Module) {
        for (position, item) in module.file.items.iter().enumerate() {
            let ast::Item::Use(used) = item else { continue };
            if module.uses.iter().any(|(item, _)| *item == position) {
                continue;
            }
            for name in &used.names {
                let broken = Named { entity: None, span: name.span, taken: true };
                self.scopes[number].entry(name.text.clone()).or_insert(broken);
            }
        }
    }

    /// The module of a declaration.
    pub(crate) fn module_of(&self, entity: Entity) -> usize {
        match entity {
            Entity::Component(position) => self.components[position].0,
            Entity::Graph(position) => self.graphs[position].0,
            Entity::Let(position) => self.lets[position].0,
            Entity::Cluster(position) => self.clusters[position].0,
        }
    }

    /// The name at a declaration.
    pub(crate) fn name_of(&self, entity: Entity) -> &'a ast::Name {
        match entity {
            Entity::Component(position) => &self.components[position].1.name,
            Entity::Graph(position) => &self.graphs[position].1.name,
            Entity::Let(position) => &self.lets[position].1.name,
            Entity::Cluster(position) => &self.clusters[position].1.name,
        }
    }
}
