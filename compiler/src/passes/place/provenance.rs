//! Where a placed value comes from: who set it, in which file and line, and what it replaced.
//!
//! Every value has a path: `omni.talker.replicas`, `omni.inflight`. A path that ends early lists what is below.

use std::collections::BTreeSet;

use corn_plan::{ComponentId, Stage, StageId, Worker};

use super::{Placement, called};
use crate::diagnostic::nearest;
use crate::graph::deploy::{Rule, Said};
use crate::graph::print::joined;
use crate::graph::{Component, GraphId, Program, Specialized};
use crate::passes::share;
use crate::passes::target::human;
use crate::source::{SourceMap, Span};

/// Most paths that are offered in place of an unknown one.
const MOST_OFFERED: usize = 5;

/// A placed value.
struct Fact {
    path: String,
    value: String,
    /// Who set it, and what it replaced.
    why: Vec<String>,
}

/// What there is to explain.
pub(crate) struct Explained<'a> {
    pub(crate) program: &'a Program,
    pub(crate) specialized: &'a [Specialized],
    pub(crate) placement: &'a Placement,
    pub(crate) inflight: u32,
    pub(crate) sources: &'a SourceMap,
}

/// The values at `path` and below it (all, if it is empty) with their origins, or the paths that were probably meant.
pub(crate) fn explain(of: &Explained<'_>, path: &str) -> Result<String, Vec<String>> {
    let facts = of.facts();
    let below = format!("{path}.");
    let is_here = |fact: &&Fact| path.is_empty() || fact.path == path || fact.path.starts_with(&below);
    let found = facts.iter().filter(is_here);
    let text: Vec<String> = found
        .map(|fact| {
            let why: Vec<String> = fact.why.iter().map(|line| format!("  {line}\n")).collect();
            format!("{} = {}\n{}", fact.path, fact.value, why.concat())
        })
        .collect();
    if text.is_empty() { Err(offers(path, &facts)) } else { Ok(text.join("\n")) }
}

/// The known paths nearest to `path`: part by part, so that one slip in it is found.
fn offers(path: &str, facts: &[Fact]) -> Vec<String> {
    let mut known: Vec<Vec<&str>> = facts.iter().map(|fact| fact.path.split('.').collect()).collect();
    let parts: Vec<&str> = path.split('.').collect();
    for (place, part) in parts.iter().enumerate() {
        let here: BTreeSet<&str> = known.iter().filter_map(|path| path.get(place).copied()).collect();
        let meant = here.get(part).copied().or_else(|| nearest(part, here.iter().copied()));
        let Some(meant) = meant else { break };
        known.retain(|path| path.get(place) == Some(&meant));
    }
    let mut offered: Vec<String> = Vec::new();
    for path in known {
        let path = path[..parts.len().min(path.len())].join(".");
        if !offered.contains(&path) && offered.len() < MOST_OFFERED {
            offered.push(path);
        }
    }
    offered
}

impl Explained<'_> {
    fn facts(&self) -> Vec<Fact> {
        let first = share::first_of_equals(&self.program.components, &self.program.deployment.rules);
        let mut facts = Vec::new();
        let graphs: BTreeSet<GraphId> = self.program.routes.iter().map(|route| route.graph).collect();
        for id in graphs {
            let name = &self.program.graphs[id].name;
            facts.extend(self.of_graph(id, name));
            let routes = self.specialized.iter().filter(|one| one.graph.name == *name);
            let used: BTreeSet<ComponentId> = routes.flat_map(|one| called(&one.graph)).collect();
            for (component, made) in self.program.components.enumerate() {
                let shared = first[component];
                let Some(stage) = self.stage_of(shared).filter(|_| used.contains(&shared)) else { continue };
                let path = format!("{name}.{}", made.deployed.name);
                if shared == component {
                    facts.extend(self.of_component(&path, component, stage));
                } else {
                    let other = &self.program.components[shared].deployed.name;
                    facts.push(Fact {
                        path,
                        value: format!("{name}.{other}"),
                        why: vec![format!("equal to `{other}`, so both are one deployment")],
                    });
                }
            }
        }
        facts
    }

    fn of_graph(&self, id: GraphId, name: &str) -> Vec<Fact> {
        let fact =
            |word: &str, value: String, why: Vec<String>| Fact { path: format!("{name}.{word}"), value, why };
        let deployment = &self.program.deployment;
        let placed = deployment.places.iter().find(|(graphs, _)| graphs.contains(&id));
        let mut facts = vec![match (&deployment.cluster, placed) {
            (Some(cluster), Some((_, span))) => {
                fact("cluster", cluster.name.clone(), vec![self.set_by(*span)])
            }
            (Some(cluster), None) => fact(
                "cluster",
                cluster.name.clone(),
                vec![format!("no `place` names `{name}`; another graph of the plan is placed there")],
            ),
            (None, _) => fact(
                "cluster",
                "none".to_owned(),
                vec![format!("no `place` names `{name}`: it runs on the machine that compiles it")],
            ),
        }];
        let serve = deployment.serves.iter().find(|serve| serve.graph == id);
        let said = |word: &str| serve.and_then(|serve| serve.said.get(word)).copied();
        facts.push(match said("inflight") {
            Some(span) => {
                let own = serve.and_then(|serve| serve.plan.limits.inflight).unwrap_or(self.inflight);
                let replaced = "in place of what the command line says".to_owned();
                fact("inflight", own.to_string(), vec![self.set_by(span), replaced])
            }
            None => fact("inflight", self.inflight.to_string(), vec!["set by the command line".to_owned()]),
        });
        if let (Some(span), Some(millis)) = (said("deadline"), serve.and_then(|serve| serve.plan.deadline_ms))
        {
            let why = vec![self.set_by(span), "in place of none".to_owned()];
            facts.push(fact("deadline", format!("{}s", millis as f64 / 1e3), why));
        }
        facts
    }

    fn stage_of(&self, component: ComponentId) -> Option<StageId> {
        let stages = self.placement.stages.enumerate();
        stages.filter(|(_, stage)| stage.components.contains(&component)).map(|(id, _)| id).next()
    }

    fn of_component(&self, path: &str, id: ComponentId, stage: StageId) -> Vec<Fact> {
        let placed = &self.placement.stages[stage];
        let component = &self.program.components[id];
        let rule = self.rule(id);
        let fact =
            |word: &str, value: String, why: Vec<String>| Fact { path: format!("{path}.{word}"), value, why };
        let named = |id: &ComponentId| self.program.components[*id].deployed.name.as_str();
        let beside: Vec<&str> = placed.components.iter().filter(|other| **other != id).map(named).collect();
        let replicas = self.why(id, |rule| rule.replicas, "1", "the default");
        let mut facts = vec![fact("replicas", placed.replicas.len().to_string(), replicas)];
        if component.deployed.needs.gpus > 0 {
            let needs = component.deployed.needs.gpus.to_string();
            let kind = &component.deployed.kind;
            let replaced = format!("`needs gpu {needs}` of `{kind}`");
            let why = self.why(id, |rule| rule.tensor_parallel, &needs, &replaced);
            facts.push(fact("tensor_parallel", placed.tensor_parallel.to_string(), why));
        }
        let with = match rule.with {
            Some(with) => vec![self.set_by(with.span), "in place of the planner's choice".to_owned()],
            None => self.joined_by(id, placed).unwrap_or_else(|| vec![self.planned(&rule)]),
        };
        let beside = if beside.is_empty() { "nothing".to_owned() } else { beside.join(", ") };
        facts.push(fact("with", beside, with));
        let apart = match rule.apart {
            Some(apart) => vec![self.set_by(apart.span), "in place of false, the default".to_owned()],
            None => vec!["the default".to_owned()],
        };
        facts.push(fact("apart", rule.apart.is_some().to_string(), apart));
        let workers = || placed.replicas.iter().map(|worker| (*worker, &self.placement.workers[*worker]));
        let hosts: BTreeSet<&str> = workers().map(|(_, worker)| worker.host.as_str()).collect();
        let on = self.why_on(id);
        facts.push(fact("on", joined(hosts.into_iter(), ", "), on));
        let shown = workers().map(|(id, worker)| format!("{id} ({})", where_it_is(worker)));
        facts.push(fact("workers", joined(shown, ", "), vec![self.planned(&rule)]));
        facts.push(fact("memory", memory(component, placed.tensor_parallel), vec![self.declared(component)]));
        facts
    }

    fn rule(&self, id: ComponentId) -> Rule {
        self.program.deployment.rules.get(&id).cloned().unwrap_or_default()
    }

    /// The component whose settings count for `id`, if that is another, and where it is said.
    fn follows(&self, id: ComponentId) -> Option<(ComponentId, Span)> {
        self.rule(id).with.map(|with| (with.value, with.span))
    }

    /// Why a setting has its value: set here, set for what the component is with, or the default.
    fn why<T: Copy>(
        &self,
        id: ComponentId,
        which: impl Fn(&Rule) -> Option<Said<T>> + Copy,
        default: &str,
        whose: &str,
    ) -> Vec<String> {
        if let Some(said) = which(&self.rule(id)) {
            return vec![self.set_by(said.span), format!("in place of {default}, {whose}")];
        }
        if let Some((other, span)) = self.follows(id) {
            let name = &self.program.components[other].deployed.name;
            let mut why = vec![format!("as `{name}`, which it is with: {}", self.set_by(span))];
            why.extend(self.why(other, which, default, whose));
            return why;
        }
        match self.company(id) {
            Some(other) => vec![format!("chosen by the planner: it shares the workers of `{other}`")],
            None => vec![whose.to_owned()],
        }
    }

    /// A component of the same stage whose settings count there, if the planner put this one with it.
    fn company(&self, id: ComponentId) -> Option<&str> {
        let stage = &self.placement.stages[self.stage_of(id)?];
        let sets = |other: &&ComponentId| {
            let rule = self.rule(**other);
            **other != id && (rule.replicas.is_some() || rule.tensor_parallel.is_some())
        };
        let other = stage.components.iter().find(sets)?;
        Some(&self.program.components[*other].deployed.name)
    }

    /// Who says that it is with `id`, if somebody does.
    fn joined_by(&self, id: ComponentId, stage: &Stage) -> Option<Vec<String>> {
        let others = stage.components.iter().filter_map(|other| self.follows(*other));
        let spans: BTreeSet<Span> =
            others.filter(|(anchor, _)| *anchor == id).map(|(_, span)| span).collect();
        let why: Vec<String> = spans.into_iter().map(|span| self.set_by(span)).collect();
        (!why.is_empty()).then_some(why)
    }

    fn why_on(&self, id: ComponentId) -> Vec<String> {
        match (self.rule(id).on, self.follows(id)) {
            (Some(on), _) => vec![self.set_by(on.span), "in place of the planner's choice".to_owned()],
            (None, Some((other, span))) => {
                let name = &self.program.components[other].deployed.name;
                let mut why = vec![format!("as `{name}`, which it is with: {}", self.set_by(span))];
                why.extend(self.why_on(other));
                why
            }
            (None, None) => vec![self.planned(&self.rule(id))],
        }
    }

    /// That the planner chose, and who left it to it.
    fn planned(&self, rule: &Rule) -> String {
        match rule.auto {
            Some(auto) => format!("chosen by the planner, to whom {} leaves it", self.quoted(auto.span)),
            None => "chosen by the planner".to_owned(),
        }
    }

    fn declared(&self, component: &Component) -> String {
        format!("`needs memory` of `{}`, made at {}", component.deployed.kind, self.place(component.span))
    }

    fn set_by(&self, span: Span) -> String {
        format!("set by {}", self.quoted(span))
    }

    /// What stands at `span`, and where that is.
    fn quoted(&self, span: Span) -> String {
        let text = &self.sources.file(span.file).text;
        let words = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("`{words}`, {}", self.place(span))
    }

    fn place(&self, span: Span) -> String {
        let (line, column) = self.sources.line_column(span.file, span.start);
        format!("{}:{line}:{column}", self.sources.file(span.file).name)
    }
}

fn where_it_is(worker: &Worker) -> String {
    match &worker.gpus {
        Some(gpus) => format!("{}, GPU {}", worker.host, joined(gpus.indices.iter(), ", ")),
        None => worker.host.clone(),
    }
}

fn memory(component: &Component, degree: u32) -> String {
    let needs = &component.deployed.needs;
    let whole = human(needs.memory_bytes);
    match (needs.gpus, degree) {
        (0, _) => whole,
        (_, 1) => format!("{whole} of a GPU"),
        _ => format!("{whole}, {} on each of {degree} GPUs", human(needs.memory_bytes / u64::from(degree))),
    }
}
