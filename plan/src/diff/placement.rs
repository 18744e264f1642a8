//! Stages and workers of two plans, paired by what they have, and what changed about them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Fact, changed, compared, fact};
use super::{Change, Detail, Entry};
use crate::ids::{Id, StageId, WorkerId};
use crate::plan::{Gpus, Plan, Worker};
use crate::types::Bytes;

/// Two plans with their stages and workers paired.
pub(super) struct Paired<'a> {
    pub(super) before: &'a Plan,
    pub(super) after: &'a Plan,
    stages: Pairs,
    workers: Pairs,
}

/// Which of the earlier plan's things each of the later one's is, by position.
struct Pairs {
    /// The components of each, by name, before and after.
    had: Vec<BTreeSet<String>>,
    has: Vec<BTreeSet<String>>,
    /// The earlier position of each later one.
    was: Vec<Option<usize>>,
}

impl Pairs {
    /// Pairs those that share most components. What shares nothing is paired in order if `all` are
    /// to be, as far as there are as many.
    fn new(had: Vec<BTreeSet<String>>, has: Vec<BTreeSet<String>>, all: bool) -> Self {
        let mut candidates = Vec::new();
        for (later, now) in has.iter().enumerate() {
            for (earlier, then) in had.iter().enumerate() {
                let shared = now.intersection(then).count();
                if shared > 0 || (now.is_empty() && then.is_empty()) {
                    let differ = now.symmetric_difference(then).count();
                    candidates.push((Reverse(shared), differ, later, earlier));
                }
            }
        }
        candidates.sort_unstable();
        let mut was = vec![None; has.len()];
        let mut taken = vec![false; had.len()];
        for (_, _, later, earlier) in candidates {
            if was[later].is_none() && !taken[earlier] {
                was[later] = Some(earlier);
                taken[earlier] = true;
            }
        }
        if all {
            let mut free = (0..had.len()).filter(|earlier| !taken[*earlier]).collect::<Vec<_>>().into_iter();
            for was in was.iter_mut().filter(|was| was.is_none()) {
                *was = free.next();
            }
        }
        Self { had, has, was }
    }

    /// The later position of each earlier one.
    fn now(&self, earlier: usize) -> Option<usize> {
        self.was.iter().position(|was| *was == Some(earlier))
    }

    fn gone(&self) -> impl Iterator<Item = usize> {
        (0..self.had.len()).filter(|earlier| self.now(*earlier).is_none())
    }
}

/// The components of each stage and of each worker, by name.
fn names(plan: &Plan) -> (Vec<BTreeSet<String>>, Vec<BTreeSet<String>>) {
    let stage = |stage: &crate::plan::Stage| -> BTreeSet<String> {
        let components = stage.components.iter().filter_map(|id| plan.components.get(*id));
        components.map(|component| component.name.clone()).collect()
    };
    let stages: Vec<BTreeSet<String>> = plan.stages.iter().map(stage).collect();
    let worker = |worker: WorkerId| {
        let here = plan.stages.iter().zip(&stages).filter(|(stage, _)| stage.replicas.contains(&worker));
        here.flat_map(|(_, names)| names.clone()).collect()
    };
    let workers = plan.workers.ids().map(worker).collect();
    (stages, workers)
}

impl<'a> Paired<'a> {
    pub(super) fn new(before: &'a Plan, after: &'a Plan) -> Self {
        let ((old_stages, old_workers), (stages, workers)) = (names(before), names(after));
        Self {
            before,
            after,
            stages: Pairs::new(old_stages, stages, false),
            workers: Pairs::new(old_workers, workers, true),
        }
    }

    /// One name for a stage in both plans.
    pub(super) fn stage(&self, plan: &Plan, stage: StageId) -> String {
        let later = if std::ptr::eq(plan, self.before) {
            self.stages.now(stage.index())
        } else {
            Some(stage.index())
        };
        match later {
            Some(later) => stage_name(&self.stages.has[later]),
            None => stage_name(&self.stages.had[stage.index()]),
        }
    }

    /// Workers that came, went or changed.
    pub(super) fn workers(&self) -> Vec<Entry> {
        let pairs = &self.workers;
        let mut entries = Vec::new();
        for (id, worker) in self.after.workers.enumerate() {
            let name = worker_name(id, &pairs.has[id.index()]);
            let old =
                pairs.was[id.index()].and_then(|was| self.before.workers.get(WorkerId::from_index(was)));
            match old {
                Some(old) => {
                    entries.extend(changed(&name, compared(worker_facts(old), worker_facts(worker))));
                }
                None => entries.push(Entry {
                    change: Change::Added,
                    names: vec![name],
                    details: compared(Vec::new(), worker_facts(worker)),
                }),
            }
        }
        entries.extend(pairs.gone().map(|gone| Entry {
            change: Change::Removed,
            names: vec![worker_name(WorkerId::from_index(gone), &pairs.had[gone])],
            details: Vec::new(),
        }));
        entries
    }

    /// Stages that came, went or changed, and components that moved from one to another.
    pub(super) fn stages(&self) -> Vec<Entry> {
        let pairs = &self.stages;
        let mut entries = Vec::new();
        for (later, names) in pairs.has.iter().enumerate() {
            let facts = self.stage_facts(self.after, later);
            match pairs.was[later] {
                Some(was) => {
                    let details = compared(self.stage_facts(self.before, was), facts);
                    entries.extend(changed(&stage_name(names), details));
                }
                None => entries.push(Entry {
                    change: Change::Added,
                    names: vec![stage_name(names)],
                    details: compared(Vec::new(), facts),
                }),
            }
        }
        entries.extend(pairs.gone().map(|gone| Entry {
            change: Change::Removed,
            names: vec![stage_name(&pairs.had[gone])],
            details: Vec::new(),
        }));
        let mut stands: BTreeMap<&str, usize> = BTreeMap::new();
        for (earlier, names) in pairs.had.iter().enumerate() {
            stands.extend(names.iter().map(|name| (name.as_str(), earlier)));
        }
        for (later, names) in pairs.has.iter().enumerate() {
            for name in names {
                let Some(stood) = stands.get(name.as_str()).copied() else { continue };
                if pairs.was[later] != Some(stood) {
                    let with = |names: &BTreeSet<String>| {
                        let others = names.iter().filter(|other| *other != name).cloned().collect();
                        if names.len() > 1 { stage_name(&others) } else { "nothing else".to_owned() }
                    };
                    let facts = |names| vec![fact("moved, stands with", with(names))];
                    let details = compared(facts(&pairs.had[stood]), facts(names));
                    entries.extend(changed(name, details));
                }
            }
        }
        entries
    }

    fn stage_facts(&self, plan: &Plan, stage: usize) -> Vec<Fact> {
        let replicas = plan.stages.iter().nth(stage).map(|stage| stage.replicas.clone()).unwrap_or_default();
        let is_before = std::ptr::eq(plan, self.before);
        let names = if is_before { &self.workers.had } else { &self.workers.has };
        let place = |worker: &WorkerId| {
            if is_before { self.workers.now(worker.index()) } else { Some(worker.index()) }
        };
        let text = replicas.iter().map(|worker| worker_name(*worker, &names[worker.index()]));
        let spread = plan.stages.iter().nth(stage).map_or(1, |stage| stage.tensor_parallel);
        vec![
            fact("replicas", replicas.len()),
            fact("tensor_parallel", spread),
            Fact {
                what: "on".to_owned(),
                key: format!("{:?}", replicas.iter().map(place).collect::<BTreeSet<_>>()),
                text: text.collect::<Vec<_>>().join(" and "),
            },
        ]
    }

    /// What each worker must hold.
    pub(super) fn memory(&self) -> Vec<Entry> {
        let facts = |plan: &Plan, worker: usize| {
            let Some(row) = plan.memory.get(WorkerId::from_index(worker)) else { return Vec::new() };
            let requests = row.request_bytes.saturating_mul(u64::from(plan.inflight));
            let mut facts = vec![
                ("components", row.components_bytes),
                ("one request", row.request_bytes),
                ("in all", row.components_bytes.saturating_add(requests)),
            ];
            if let Some(gpu) = row.gpu {
                let requests = gpu.request_bytes.saturating_mul(u64::from(plan.inflight));
                facts.push(("components on each gpu", gpu.components_bytes));
                facts.push(("one request on each gpu", gpu.request_bytes));
                facts.push(("in all on each gpu", gpu.components_bytes.saturating_add(requests)));
            }
            facts
        };
        let pairs = &self.workers;
        let entries = pairs.has.iter().enumerate().filter_map(|(later, names)| {
            let before = pairs.was[later].map_or_else(Vec::new, |was| facts(self.before, was));
            let name = worker_name(WorkerId::from_index(later), names);
            changed(&name, sizes(&before, &facts(self.after, later)))
        });
        entries.collect()
    }
}

/// Sizes that differ, as people write them; exactly, where the two would read alike.
fn sizes(before: &[(&str, u64)], after: &[(&str, u64)]) -> Vec<Detail> {
    let differ = after.iter().filter_map(|(what, now)| {
        let was = before.iter().find(|(other, _)| other == what).map(|(_, was)| *was);
        let [round, exact] = [true, false].map(|round| {
            let text =
                |bytes: u64| if round { format!("{:#}", Bytes(bytes)) } else { Bytes(bytes).to_string() };
            (was.map(text), Some(text(*now)))
        });
        let (before, after) = if round.0 == round.1 { exact } else { round };
        (was != Some(*now)).then(|| Detail { what: (*what).to_owned(), before, after })
    });
    differ.collect()
}

fn worker_facts(worker: &Worker) -> Vec<Fact> {
    let Worker { host, cpus, memory_bytes, gpus } = worker;
    let mut facts = vec![fact("host", host), fact("cpu", cpus), fact("memory", Bytes(*memory_bytes))];
    if let Some(Gpus { indices, kind, memory_bytes }) = gpus {
        let indices: Vec<String> = indices.iter().map(ToString::to_string).collect();
        facts.push(fact("gpu", indices.join(", ")));
        facts.push(fact("kind of gpu", kind));
        facts.push(fact("memory of each gpu", Bytes(*memory_bytes)));
    }
    facts
}

fn worker_name(id: WorkerId, components: &BTreeSet<String>) -> String {
    format!("{id} ({})", stage_name(components))
}

fn stage_name(components: &BTreeSet<String>) -> String {
    if components.is_empty() {
        return "no component".to_owned();
    }
    components.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
