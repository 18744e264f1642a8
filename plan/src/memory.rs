//! The memory table: what each worker must hold.
//!
//! Steps fire as soon as their operands are there, so any two values of a request may be held at
//! the same time on a worker; the bound is therefore their sum, not the peak of one fixed order.
//!
//! So values lie one after the other in the arena that a stage keeps for a request: where each begins is known
//! before the request comes, and taking its place costs nothing.
//!
//! A worker without GPUs holds everything in its host's memory. One with GPUs holds tensors, and the
//! components that need a GPU, on its GPUs: a component is spread evenly over all of them, a tensor may
//! be on each. The rest is in the host's memory there, too.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{IdVec, StageId, ValueId, WorkerId};
use crate::plan::{GpuRow, MemoryRow, Offset, Plan, Program, Recording, Step, Value, Worker};
use crate::types::Kind;

/// Every value begins at a multiple of so many bytes in its arena: what a GPU copies from best.
const ARENA_ALIGNMENT_BYTES: u64 = 256;

impl Plan {
    /// Gives every value its place in the arenas of the stages that hold it, and makes the memory table of that.
    pub fn lay_out(&mut self) {
        let offsets: Vec<_> = self.recordings.iter().map(|recording| self.offsets(recording)).collect();
        for (recording, offsets) in self.recordings.iter_mut().zip(offsets) {
            for (id, offsets) in offsets.enumerate() {
                recording.values[id].offsets.clone_from(offsets);
            }
        }
        self.memory = self.memory_rows();
    }

    /// The places that the values of `recording` must have.
    pub fn offsets(&self, recording: &Recording) -> IdVec<ValueId, Vec<Offset>> {
        let mut offsets: IdVec<ValueId, Vec<Offset>> = recording.values.iter().map(|_| Vec::new()).collect();
        for program in &recording.programs {
            self.lay_out_program(recording, program, &mut |value, bytes| {
                if let Some(offsets) = offsets.get_mut(value) {
                    offsets.push(Offset { stage: program.stage, bytes });
                }
            });
        }
        offsets.iter_mut().for_each(|offsets| offsets.sort_unstable());
        offsets
    }

    /// Whether the workers of `stage` have GPUs.
    fn has_gpus(&self, stage: StageId) -> bool {
        let replicas = self.stages.get(stage).map_or(&[][..], |stage| &stage.replicas);
        replicas
            .first()
            .and_then(|worker| self.workers.get(*worker))
            .is_some_and(|worker| worker.gpus.is_some())
    }

    /// Tells `place` where each value of `program` is; returns where the arenas end.
    fn lay_out_program(
        &self,
        recording: &Recording,
        program: &Program,
        place: &mut dyn FnMut(ValueId, u64),
    ) -> Arenas {
        let layout = Layout { recording, has_gpus: self.has_gpus(program.stage) };
        layout.steps(&program.steps, Arenas::default(), place)
    }

    /// The memory table that this plan must have. Saturates instead of overflowing.
    pub fn memory_rows(&self) -> IdVec<WorkerId, MemoryRow> {
        // For each recording where the arenas of its programs end, by their stages.
        let ends = |recording: &Recording| -> Ends {
            let mut ends = Ends::new();
            for program in &recording.programs {
                let end = self.lay_out_program(recording, program, &mut |_, _| {});
                let sum = ends.entry(program.stage).or_default();
                sum.host = sum.host.saturating_add(end.host);
                sum.gpu = sum.gpu.saturating_add(end.gpu);
            }
            ends
        };
        let ends: Vec<Ends> = self.recordings.iter().map(ends).collect();
        let mut stages: BTreeMap<WorkerId, BTreeSet<StageId>> = BTreeMap::new();
        for (id, stage) in self.stages.enumerate() {
            for worker in &stage.replicas {
                stages.entry(*worker).or_default().insert(id);
            }
        }
        let rows = self.workers.enumerate();
        rows.map(|(id, worker)| self.memory_row(worker, &stages.remove(&id).unwrap_or_default(), &ends))
            .collect()
    }

    fn memory_row(&self, worker: &Worker, stages: &BTreeSet<StageId>, ends: &[Ends]) -> MemoryRow {
        let gpus = worker.gpus.as_ref().map_or(0, |gpus| gpus.indices.len() as u64);
        let components = stages.iter().flat_map(|stage| &self.stages[*stage].components);
        let components = components.filter_map(|id| self.components.get(*id));
        let held = |on_gpu: bool| {
            let here =
                components.clone().filter(|component| (gpus > 0 && component.needs.gpus > 0) == on_gpu);
            here.fold(0u64, |sum, component| sum.saturating_add(component.needs.memory_bytes))
        };
        let request = |bytes: fn(&Arenas) -> u64| {
            let sums = ends.iter().map(|ends| {
                let here = stages.iter().filter_map(|stage| ends.get(stage));
                here.fold(0u64, |sum, end| sum.saturating_add(bytes(end)))
            });
            sums.max().unwrap_or(0)
        };
        MemoryRow {
            components_bytes: held(false),
            request_bytes: request(|ends| ends.host),
            gpu: (gpus > 0).then(|| GpuRow {
                components_bytes: held(true).div_ceil(gpus),
                request_bytes: request(|ends| ends.gpu),
            }),
        }
    }
}

impl MemoryRow {
    /// What the worker holds in its host's memory with `inflight` requests; `None` if that overflows.
    pub fn total_bytes(&self, inflight: u32) -> Option<u64> {
        self.request_bytes.checked_mul(u64::from(inflight))?.checked_add(self.components_bytes)
    }
}

impl GpuRow {
    /// What each GPU holds with `inflight` requests; `None` if that overflows.
    pub fn total_bytes(&self, inflight: u32) -> Option<u64> {
        self.request_bytes.checked_mul(u64::from(inflight))?.checked_add(self.components_bytes)
    }
}

const fn is_tensor(value: &Value) -> bool {
    matches!(value.ty.kind, Kind::Tensor { .. })
}

/// Where the arenas of a recording end on each stage.
type Ends = BTreeMap<StageId, Arenas>;

/// Bytes of a request's arenas on one stage: the host's, and that of each GPU.
#[derive(Clone, Copy, Default)]
struct Arenas {
    host: u64,
    gpu: u64,
}

/// Lays values out one after the other: any two may be held at the same time. Cases of a branch begin at the same place,
/// since only one of them is taken; a loop holds one round.
struct Layout<'r> {
    recording: &'r Recording,
    has_gpus: bool,
}

impl Layout<'_> {
    fn steps(&self, steps: &[Step], mut at: Arenas, place: &mut dyn FnMut(ValueId, u64)) -> Arenas {
        for step in steps {
            match step {
                Step::Branch(branch) => {
                    at = self.values(&branch.results, at, place);
                    let mut end = at;
                    for arm in &branch.arms {
                        let here = self.steps(&arm.steps, at, place);
                        end = Arenas { host: end.host.max(here.host), gpu: end.gpu.max(here.gpu) };
                    }
                    at = end;
                }
                Step::Loop(looped) => {
                    let insides = looped.carries.iter().map(|carry| carry.inside).chain(looped.index);
                    let values: Vec<ValueId> = step.writes().into_iter().chain(insides).collect();
                    at = self.steps(&looped.steps, self.values(&values, at, place), place);
                }
                other => at = self.values(&other.writes(), at, place),
            }
        }
        at
    }

    fn values(&self, values: &[ValueId], mut at: Arenas, place: &mut dyn FnMut(ValueId, u64)) -> Arenas {
        for id in values {
            let Some(value) = self.recording.values.get(*id) else { continue };
            let arena = if self.has_gpus && is_tensor(value) { &mut at.gpu } else { &mut at.host };
            place(*id, *arena);
            let aligned = value.bytes.checked_next_multiple_of(ARENA_ALIGNMENT_BYTES);
            *arena = arena.saturating_add(aligned.unwrap_or(u64::MAX));
        }
        at
    }
}
