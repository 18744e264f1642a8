//! Says how many bytes each value holds and where its last reader is done with it, and refuses a
//! plan whose requests do not fit.

use std::collections::BTreeMap;

use corn_plan::{
    ComponentId, IdVec, Kind, Plan, Program, Recording, Step, Value, ValueId, WorkerId, all_steps,
};

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
        offsets: Vec::new(),
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

/// Memory of a worker, or of each of its GPUs.
struct Store {
    worker: WorkerId,
    on_gpu: bool,
    components_bytes: u64,
    request_bytes: u64,
    capacity_bytes: u64,
}

impl Store {
    /// The stores of `plan`: for each worker that of its host, then that of its GPUs.
    fn all(plan: &Plan) -> Vec<Self> {
        let of = |worker: WorkerId| {
            let (row, has) = (plan.memory[worker], &plan.workers[worker]);
            let host = Self {
                worker,
                on_gpu: false,
                components_bytes: row.components_bytes,
                request_bytes: row.request_bytes,
                capacity_bytes: has.memory_bytes,
            };
            let gpu = row.gpu.zip(has.gpus.as_ref()).map(|(row, gpus)| Self {
                worker,
                on_gpu: true,
                components_bytes: row.components_bytes,
                request_bytes: row.request_bytes,
                capacity_bytes: gpus.memory_bytes,
            });
            std::iter::once(host).chain(gpu)
        };
        plan.workers.ids().flat_map(of).collect()
    }

    fn total(&self, plan: &Plan) -> u64 {
        self.request_bytes.saturating_mul(u64::from(plan.inflight)).saturating_add(self.components_bytes)
    }

    fn lacks(&self, plan: &Plan) -> u64 {
        self.total(plan).saturating_sub(self.capacity_bytes)
    }

    fn name(&self) -> String {
        if self.on_gpu {
            format!("each GPU of worker {}", self.worker)
        } else {
            format!("worker {}", self.worker)
        }
    }
}

/// Fills the memory table of `plan`; reports what does not fit, or hardly.
pub(crate) fn allocate(
    plan: &mut Plan,
    all: &[Specialized],
    components: &IdVec<ComponentId, Component>,
    found: &mut Diagnostics,
) {
    plan.lay_out();
    let stores = Store::all(plan);
    let fullest = stores.iter().enumerate();
    let fullest = fullest.max_by_key(|(place, store)| (store.lacks(plan), std::cmp::Reverse(*place)));
    let Some((_, fullest)) = fullest else { return };
    if fullest.lacks(plan) > 0 {
        let table: Vec<String> = stores.iter().map(|store| row(plan, store)).collect();
        let (route, largest) = largest(plan, all, fullest);
        let table: Vec<String> = table.into_iter().chain(largest).collect();
        let over = human(fullest.lacks(plan));
        found.push(placement::requests_do_not_fit(&over, &fullest.name(), &table, route));
        return;
    }
    for store in &stores {
        let free = store.capacity_bytes.saturating_sub(store.components_bytes);
        if store.request_bytes > free / 2 {
            let (route, largest) = largest(plan, all, store);
            let span = route.or_else(|| components.iter().next().map(|component| component.span));
            let (request, capacity) = (human(store.request_bytes), human(store.capacity_bytes));
            if let Some(span) = span {
                found.push(placement::large_request(&request, &store.name(), &capacity, &largest, span));
            }
        }
    }
}

fn row(plan: &Plan, store: &Store) -> String {
    let has_gpus = plan.workers[store.worker].gpus.is_some();
    let names: Vec<&str> = plan
        .stages
        .iter()
        .filter(|stage| stage.replicas.contains(&store.worker))
        .flat_map(|stage| &stage.components)
        .map(|component| &plan.components[*component])
        .filter(|component| (has_gpus && component.needs.gpus > 0) == store.on_gpu)
        .map(|component| component.name.as_str())
        .collect();
    let (held, request) = (human(store.components_bytes), human(store.request_bytes));
    let names = if names.is_empty() { "no component".to_owned() } else { names.join(", ") };
    let (total, capacity) = (human(store.total(plan)), human(store.capacity_bytes));
    format!(
        "{}: {held} ({names}) + {} × {request} for requests = {total} of {capacity}",
        store.name(),
        plan.inflight
    )
}

/// The route that holds most in `store`, and its largest values there.
fn largest<'p>(plan: &'p Plan, all: &[Specialized], store: &Store) -> (Option<Span>, Vec<String>) {
    let has_gpus = plan.workers[store.worker].gpus.is_some();
    let held = |recording: &'p Recording| -> Vec<&'p Value> {
        let here = |program: &&Program| plan.stages[program.stage].replicas.contains(&store.worker);
        let steps = recording.programs.iter().filter(here).flat_map(|program| all_steps(&program.steps));
        let values = steps.flat_map(Step::writes).map(|value| &recording.values[value]);
        let in_store =
            |value: &&Value| (has_gpus && matches!(value.ty.kind, Kind::Tensor { .. })) == store.on_gpu;
        values.filter(in_store).collect()
    };
    let sum = |recording: &'p Recording| {
        held(recording).iter().fold(0u64, |sum, value| sum.saturating_add(value.bytes))
    };
    let most =
        plan.recordings.enumerate().max_by_key(|(id, recording)| (sum(recording), std::cmp::Reverse(*id)));
    let Some((id, recording)) = most else { return (None, Vec::new()) };
    let shown =
        |value: &Value| format!("`{}` holds up to {} as `{}`", value.name, human(value.bytes), value.ty);
    let mut values: Vec<(u64, String)> =
        held(recording).into_iter().map(|value| (value.bytes, shown(value))).collect();
    values.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let span = all.get(id.0 as usize).map(|one| one.span);
    (span, values.into_iter().take(MOST_NAMED).map(|(_, text)| text).collect())
}
