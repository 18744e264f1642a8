//! Says how many bytes each value holds and where its last reader is done with it, and refuses a
//! plan whose requests do not fit.

use std::collections::BTreeMap;

use corn_plan::{ComponentId, IdVec, Plan, Program, Recording, Step, Value, ValueId, WorkerId, all_steps};

use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::placement;
use crate::graph::{Component, Graph, Specialized};
use crate::passes::target::human;
use crate::source::Span;

/// Most values that a warning about memory names.
const MOST_NAMED: usize = 4;

/// The values of a recording, with their bytes.
pub(crate) fn values(graph: &Graph) -> IdVec<ValueId, Value> {
    let value = |value: &crate::graph::Value| Value {
        name: value.name.clone(),
        ty: value.ty.clone(),
        optional: value.optional,
        bytes: value.ty.max_bytes().unwrap_or(u64::MAX),
    };
    graph.values.iter().map(value).collect()
}

/// Frees every value of `program` right after its last step there.
pub(crate) fn free(program: Program) -> Program {
    let Program { stage, steps } = program;
    Program { stage, steps: freed(steps, &[], &[]) }
}

/// `steps` with what they make and what is `given` to them freed after its last use, apart from what is `handed` on.
fn freed(steps: Vec<Step>, given: &[ValueId], handed: &[ValueId]) -> Vec<Step> {
    let mut last: BTreeMap<ValueId, Option<usize>> = given.iter().map(|value| (*value, None)).collect();
    for (place, step) in steps.iter().enumerate() {
        last.extend(step.writes().into_iter().map(|value| (value, Some(place))));
        for value in step.reads() {
            if let Some(last) = last.get_mut(&value) {
                *last = Some(place);
            }
        }
    }
    let mut ends: Vec<Vec<ValueId>> = vec![Vec::new(); steps.len()];
    let mut all = Vec::new();
    for (value, place) in last.into_iter().filter(|(value, _)| !handed.contains(value)) {
        match place {
            Some(place) => ends[place].push(value),
            None => all.push(Step::Free { value }),
        }
    }
    for (step, ends) in steps.into_iter().zip(ends) {
        all.push(freed_inside(step));
        all.extend(ends.into_iter().map(|value| Step::Free { value }));
    }
    all
}

fn freed_inside(step: Step) -> Step {
    match step {
        Step::Branch(mut branch) => {
            for arm in &mut branch.arms {
                let handed: Vec<ValueId> = arm.yields.iter().flatten().copied().collect();
                arm.steps = freed(std::mem::take(&mut arm.steps), &[], &handed);
            }
            Step::Branch(branch)
        }
        Step::Loop(mut looped) => {
            let insides = looped.carries.iter().map(|carry| carry.inside);
            let given: Vec<ValueId> = insides.chain(looped.index).collect();
            let handed: Vec<ValueId> = looped.carries.iter().map(|carry| carry.next).collect();
            looped.steps = freed(std::mem::take(&mut looped.steps), &given, &handed);
            Step::Loop(looped)
        }
        other => other,
    }
}

/// Fills the memory table of `plan`; reports what does not fit, or hardly.
pub(crate) fn allocate(
    plan: &mut Plan,
    all: &[Specialized],
    components: &IdVec<ComponentId, Component>,
    found: &mut Diagnostics,
) {
    plan.memory = plan.memory_rows();
    let total = |worker: WorkerId| {
        let row = plan.memory[worker];
        row.request_bytes.saturating_mul(u64::from(plan.inflight)).saturating_add(row.components_bytes)
    };
    let lacks = |worker: WorkerId| total(worker).saturating_sub(plan.workers[worker].memory_bytes);
    let fullest = plan.workers.ids().max_by_key(|worker| (lacks(*worker), std::cmp::Reverse(*worker)));
    let Some(fullest) = fullest else { return };
    if lacks(fullest) > 0 {
        let table: Vec<String> = plan.workers.ids().map(|worker| row(plan, worker)).collect();
        let (route, largest) = largest(plan, all, fullest);
        let table: Vec<String> = table.into_iter().chain(largest).collect();
        let over = human(lacks(fullest));
        found.push(placement::requests_do_not_fit(&over, &fullest.to_string(), &table, route));
        return;
    }
    for worker in plan.workers.ids() {
        let memory = plan.memory[worker];
        let free = plan.workers[worker].memory_bytes.saturating_sub(memory.components_bytes);
        if memory.request_bytes > free / 2 {
            let (route, largest) = largest(plan, all, worker);
            let span = route.or_else(|| components.iter().next().map(|component| component.span));
            let (request, capacity) = (human(memory.request_bytes), human(plan.workers[worker].memory_bytes));
            if let Some(span) = span {
                found.push(placement::large_request(
                    &request,
                    &worker.to_string(),
                    &capacity,
                    &largest,
                    span,
                ));
            }
        }
    }
}

fn row(plan: &Plan, worker: WorkerId) -> String {
    let row = plan.memory[worker];
    let names: Vec<&str> = plan
        .stages
        .iter()
        .filter(|stage| stage.replicas.contains(&worker))
        .flat_map(|stage| &stage.components)
        .map(|component| plan.components[*component].name.as_str())
        .collect();
    let (held, request) = (human(row.components_bytes), human(row.request_bytes));
    let names = if names.is_empty() { "no component".to_owned() } else { names.join(", ") };
    let total =
        row.request_bytes.saturating_mul(u64::from(plan.inflight)).saturating_add(row.components_bytes);
    let (total, capacity) = (human(total), human(plan.workers[worker].memory_bytes));
    format!(
        "worker {worker}: {held} ({names}) + {} × {request} for requests = {total} of {capacity}",
        plan.inflight
    )
}

/// The route that holds most on `worker`, and its largest values there.
fn largest(plan: &Plan, all: &[Specialized], worker: WorkerId) -> (Option<Span>, Vec<String>) {
    let held = |recording: &Recording| -> Vec<(u64, String)> {
        let here = |program: &&Program| plan.stages[program.stage].replicas.contains(&worker);
        let steps = recording.programs.iter().filter(here).flat_map(|program| all_steps(&program.steps));
        let values = steps.flat_map(Step::writes).map(|value| &recording.values[value]);
        values
            .map(|value| {
                (
                    value.bytes,
                    format!("`{}` holds up to {} as `{}`", value.name, human(value.bytes), value.ty),
                )
            })
            .collect()
    };
    let sum = |recording: &Recording| {
        held(recording).iter().fold(0u64, |sum, (bytes, _)| sum.saturating_add(*bytes))
    };
    let most =
        plan.recordings.enumerate().max_by_key(|(id, recording)| (sum(recording), std::cmp::Reverse(*id)));
    let Some((id, recording)) = most else { return (None, Vec::new()) };
    let mut values = held(recording);
    values.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let span = all.get(id.0 as usize).map(|one| one.span);
    (span, values.into_iter().take(MOST_NAMED).map(|(_, text)| text).collect())
}
