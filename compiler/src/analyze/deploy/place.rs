//! `place`: what is set for each component, and what contradicts itself.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::ComponentId;

use crate::analyze::context::Context;
use crate::analyze::deploy::called;
use crate::analyze::names::Entity;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::GraphId;
use crate::graph::deploy::{Cluster, Rule, Said};
use crate::source::Span;
use crate::syntax::ast::Name;
use crate::syntax::ast::deploy::{Place, PlaceLine, Setting, SettingKind};

/// Most replicas of a component, and most GPUs that one can be spread over.
const MOST_REPLICAS: u32 = 1024;
const MOST_PARALLEL: u32 = 64;

/// What a `place` block is about.
struct Block {
    graphs: Vec<String>,
    components: BTreeSet<ComponentId>,
    cluster: Option<Cluster>,
}

impl Context<'_> {
    /// Resolves every `place` block.
    pub(super) fn places(&mut self, places: &[&Place]) {
        let mut rules = BTreeMap::new();
        let mut placed: Vec<(GraphId, Span)> = Vec::new();
        let mut first: Option<(String, Span)> = None;
        for place in places {
            let cluster = self.cluster_named(&place.cluster);
            if let (Some(cluster), Some((name, span))) = (&cluster, &first)
                && cluster.name != *name
            {
                self.report(semantic::deploy::two_clusters(&place.cluster, name, *span));
            }
            if let Some(cluster) = &cluster {
                first.get_or_insert_with(|| (cluster.name.clone(), place.cluster.span));
            }
            let mut graphs = Vec::new();
            for name in &place.graphs {
                let Some(graph) = self.graph_named(name) else { continue };
                if let Some((_, first)) = placed.iter().find(|(other, _)| *other == graph) {
                    self.report(semantic::deploy::placed_twice(name, *first));
                } else {
                    placed.push((graph, name.span));
                    graphs.push(graph);
                }
            }
            let components = graphs.iter().flat_map(|graph| called(&self.program, *graph)).collect();
            let names = graphs.iter().map(|graph| self.program.graphs[*graph].name.clone()).collect();
            let block = Block { graphs: names, components, cluster };
            if graphs.len() == place.graphs.len() {
                self.lines(place, &block, &mut rules);
            }
            let header = Span { end: place.cluster.span.end, ..place.span };
            self.program.deployment.places.push((graphs, header));
            if self.program.deployment.cluster.is_none() {
                self.program.deployment.cluster = block.cluster;
            }
        }
        self.contradictions(&rules);
        self.program.deployment.rules = rules;
    }

    fn cluster_named(&mut self, name: &Name) -> Option<Cluster> {
        match self.look_up(0, &name.text).map(|named| named.entity) {
            Some(Some(Entity::Cluster(position))) => self.clusters[position].clone(),
            Some(Some(entity)) => {
                let sort = self.sort_of(entity);
                self.report(semantic::deploy::not_a_cluster(name, sort));
                None
            }
            Some(None) => None,
            None => {
                let known = self.visible(0, |entity| matches!(entity, Entity::Cluster(_)));
                self.report(semantic::deploy::unknown_cluster(name, &known));
                None
            }
        }
    }

    fn lines(&mut self, place: &Place, block: &Block, rules: &mut BTreeMap<ComponentId, Rule>) {
        let mut named = BTreeSet::new();
        let mut lines = Vec::new();
        let mut rest: Option<(&[Setting], Span)> = None;
        for line in &place.lines {
            let PlaceLine::Settings { components, settings, span } = line else { continue };
            if components.is_empty() {
                match rest {
                    Some((_, first)) => self.report(semantic::deploy::rest_twice(*span, first)),
                    None => rest = Some((settings, *span)),
                }
                continue;
            }
            let components = self.components_named(components, block);
            named.extend(components.iter().copied());
            self.settings(settings, &components, block, rules);
            lines.push((components, settings.as_slice()));
        }
        self.left_and_set(&lines);
        if let Some((settings, _)) = rest {
            let others: Vec<ComponentId> = block.components.difference(&named).copied().collect();
            self.settings(settings, &others, block, rules);
        }
    }

    /// The components of a line, each once.
    fn components_named(&mut self, names: &[Name], block: &Block) -> Vec<ComponentId> {
        let mut components: Vec<(ComponentId, Span)> = Vec::new();
        for name in names {
            let Some(id) = self.component_named(name, block) else { continue };
            match components.iter().find(|(other, _)| *other == id) {
                Some((_, first)) => self.report(semantic::deploy::named_twice(name, *first)),
                None => components.push((id, name.span)),
            }
        }
        components.into_iter().map(|(id, _)| id).collect()
    }

    /// Reports what one line of a block leaves to the planner, and another does again or sets. Only `auto, on a`
    /// in one line is one decision; with other settings it contradicts itself wherever it stands.
    fn left_and_set(&mut self, lines: &[(Vec<ComponentId>, &[Setting])]) {
        let each = || {
            lines.iter().enumerate().flat_map(|(line, (components, settings))| {
                settings.iter().map(move |setting| (line, components, setting))
            })
        };
        let mut left: BTreeMap<ComponentId, (usize, Span)> = BTreeMap::new();
        let mut problems = Vec::new();
        for (line, components, setting) in each().filter(|(.., it)| it.kind == SettingKind::Auto) {
            let twice = components.iter().find_map(|id| Some((*id, left.get(id)?.1)));
            problems.extend(twice.map(|(id, first)| {
                let name = &self.program.components[id].deployed.name;
                semantic::deploy::set_twice("auto", name, setting.span, first)
            }));
            for id in components {
                left.entry(*id).or_insert((line, setting.span));
            }
        }
        for (line, components, setting) in each().filter(|(.., it)| matches!(it.kind, SettingKind::On(_))) {
            let elsewhere = |id: &ComponentId| left.get(id).filter(|(other, _)| *other != line);
            let found = components.iter().find_map(|id| Some((*id, elsewhere(id)?.1)));
            problems.extend(found.map(|(id, auto)| {
                let name = &self.program.components[id].deployed.name;
                semantic::deploy::auto_and_set("on", name, setting.span, auto)
            }));
        }
        self.found.extend(problems);
    }

    fn component_named(&mut self, name: &Name, block: &Block) -> Option<ComponentId> {
        let components = &self.program.components;
        let is_it = |id: &ComponentId| components[*id].deployed.name == name.text;
        if let Some(found) = block.components.iter().copied().find(is_it) {
            return Some(found);
        }
        let known: Vec<Candidate> = block
            .components
            .iter()
            .map(|id| Candidate::at(&components[*id].deployed.name, components[*id].span))
            .collect();
        let elsewhere = components.ids().find(is_it).map(|id| components[id].span);
        self.report(semantic::deploy::unknown_component(name, &block.graphs, elsewhere, &known));
        None
    }

    fn settings(
        &mut self,
        settings: &[Setting],
        components: &[ComponentId],
        block: &Block,
        rules: &mut BTreeMap<ComponentId, Rule>,
    ) {
        for setting in settings {
            let Some(set) = self.setting(setting, block) else { continue };
            let mut said = false;
            for id in components {
                let twice = set.apply(rules.entry(*id).or_default(), setting.span);
                if let Some(first) = twice.filter(|_| !said) {
                    let name = &self.program.components[*id].deployed.name;
                    let problem = semantic::deploy::set_twice(set.word(), name, setting.span, first);
                    self.found.push(problem);
                    said = true;
                }
            }
        }
    }

    fn setting(&mut self, setting: &Setting, block: &Block) -> Option<Set> {
        Some(match &setting.kind {
            SettingKind::Replicas(count) => Set::Replicas(self.whole(count, MOST_REPLICAS, "`replicas`")?),
            SettingKind::TensorParallel(count) => {
                Set::TensorParallel(self.whole(count, MOST_PARALLEL, "`tensor_parallel`")?)
            }
            SettingKind::With(name) => Set::With(self.component_named(name, block)?),
            SettingKind::Apart => Set::Apart,
            SettingKind::On(name) => {
                let cluster = block.cluster.as_ref()?;
                Set::On(self.node_named(name, cluster, true)?)
            }
            SettingKind::Auto => Set::Auto,
            SettingKind::Error => return None,
        })
    }

    /// Settings of one component, or of one that it is `with`, that cannot all hold.
    fn contradictions(&mut self, rules: &BTreeMap<ComponentId, Rule>) {
        let mut circular: BTreeSet<ComponentId> = BTreeSet::new();
        for (id, rule) in rules {
            self.own_contradictions(*id, rule);
            let path = circle(*id, rules);
            if !path.is_empty() && !circular.contains(id) {
                circular.extend(path.iter().copied());
                let names: Vec<&str> =
                    path.iter().map(|id| self.program.components[*id].deployed.name.as_str()).collect();
                let spans: Vec<Span> =
                    path.iter().filter_map(|id| rules[id].with.map(|with| with.span)).collect();
                let problem = semantic::deploy::circle_of_with(&names, &spans);
                self.found.push(problem);
            }
        }
    }

    fn own_contradictions(&mut self, id: ComponentId, rule: &Rule) {
        let component = &self.program.components[id].deployed;
        let set: Vec<(&str, Span)> = [
            ("replicas", rule.replicas.map(|said| said.span)),
            ("tensor_parallel", rule.tensor_parallel.map(|said| said.span)),
            ("apart", rule.apart.map(|said| said.span)),
            ("on", rule.on.map(|said| said.span)),
        ]
        .into_iter()
        .filter_map(|(word, span)| Some((word, span?)))
        .collect();
        let mut problems = Vec::new();
        if let Some(with) = rule.with {
            let other = &self.program.components[with.value].deployed.name;
            problems.extend(set.iter().map(|(word, span)| {
                semantic::deploy::follower_sets(word, &component.name, other, *span, with.span)
            }));
        }
        if let Some(auto) = rule.auto {
            let with = rule.with.map(|with| ("with", with.span));
            let fixed = set.iter().copied().filter(|(word, _)| *word != "on").chain(with);
            problems.extend(
                fixed.map(|(word, span)| {
                    semantic::deploy::auto_and_set(word, &component.name, span, auto.span)
                }),
            );
        }
        if let Some(degree) = rule.tensor_parallel
            && component.needs.gpus == 0
        {
            let declared = self.program.components[id].span;
            problems.push(semantic::deploy::nothing_to_spread(&component.name, degree.span, declared));
        }
        self.found.extend(problems);
    }
}

/// The circle of `with` that leads from `start` back to it; nothing if there is none.
fn circle(start: ComponentId, rules: &BTreeMap<ComponentId, Rule>) -> Vec<ComponentId> {
    let mut path = vec![start];
    while let Some(with) = path.last().and_then(|last| rules.get(last)).and_then(|rule| rule.with) {
        if with.value == start {
            return path;
        }
        if path.contains(&with.value) {
            break;
        }
        path.push(with.value);
    }
    Vec::new()
}

/// A resolved setting.
#[derive(Clone, Copy)]
enum Set {
    Replicas(u32),
    TensorParallel(u32),
    With(ComponentId),
    Apart,
    On(usize),
    Auto,
}

impl Set {
    const fn word(self) -> &'static str {
        match self {
            Self::Replicas(_) => "replicas",
            Self::TensorParallel(_) => "tensor_parallel",
            Self::With(_) => "with",
            Self::Apart => "apart",
            Self::On(_) => "on",
            Self::Auto => "auto",
        }
    }

    /// Sets it in `rule`; where it was set before, if it was. `auto` may be said again.
    fn apply(self, rule: &mut Rule, span: Span) -> Option<Span> {
        fn set<T>(slot: &mut Option<Said<T>>, value: T, span: Span) -> Option<Span> {
            let first = slot.as_ref().map(|first| first.span);
            if first.is_none() {
                *slot = Some(Said { value, span });
            }
            first
        }
        match self {
            Self::Replicas(value) => set(&mut rule.replicas, value, span),
            Self::TensorParallel(value) => set(&mut rule.tensor_parallel, value, span),
            Self::With(value) => set(&mut rule.with, value, span),
            Self::Apart => set(&mut rule.apart, (), span),
            Self::On(value) => set(&mut rule.on, value, span),
            Self::Auto => {
                rule.auto.get_or_insert(Said { value: (), span });
                None
            }
        }
    }
}
