//! The memory table: what each worker must hold.
//!
//! Steps fire as soon as their operands are there, so any two values of a request may be held at
//! the same time on a worker; the bound is therefore their sum, not the peak of one fixed order.
//!
//! A worker without GPUs holds everything in its host's memory. One with GPUs holds tensors, and the
//! components that need a GPU, on its GPUs: a component is spread evenly over all of them, a tensor may
//! be on each. The rest is in the host's memory there, too.

use crate::ids::{IdVec, ValueId, WorkerId};
use crate::plan::{GpuRow, MemoryRow, Plan, Program, Recording, Stage, Step, Value, Worker};
use crate::types::Kind;

impl Plan {
    /// The memory table that this plan must have. Saturates instead of overflowing.
    pub fn memory_rows(&self) -> IdVec<WorkerId, MemoryRow> {
        self.workers.enumerate().map(|(id, worker)| self.memory_row(id, worker)).collect()
    }

    fn memory_row(&self, id: WorkerId, worker: &Worker) -> MemoryRow {
        let gpus = worker.gpus.as_ref().map_or(0, |gpus| gpus.indices.len() as u64);
        let here = |stage: &Stage| stage.replicas.contains(&id);
        let stages = self.stages.iter().filter(|stage| here(stage));
        let components = stages.flat_map(|stage| &stage.components).filter_map(|id| self.components.get(*id));
        let held = |on_gpu: bool| {
            let here =
                components.clone().filter(|component| (gpus > 0 && component.needs.gpus > 0) == on_gpu);
            here.fold(0u64, |sum, component| sum.saturating_add(component.needs.memory_bytes))
        };
        let request = |on_gpu: bool| {
            let largest = self.recordings.iter().map(|recording| {
                let programs = recording.programs.iter();
                let programs = programs.filter(|program| self.stages.get(program.stage).is_some_and(here));
                let bytes = |program| {
                    program_bytes(recording, program, &|value: &Value| {
                        (gpus > 0 && is_tensor(value)) == on_gpu
                    })
                };
                programs.map(bytes).fold(0u64, u64::saturating_add)
            });
            largest.max().unwrap_or(0)
        };
        MemoryRow {
            components_bytes: held(false),
            request_bytes: request(false),
            gpu: (gpus > 0).then(|| GpuRow {
                components_bytes: held(true).div_ceil(gpus),
                request_bytes: request(true),
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

fn program_bytes(recording: &Recording, program: &Program, counts: &impl Fn(&Value) -> bool) -> u64 {
    steps_bytes(recording, &program.steps, counts)
}

/// Most bytes that `steps` hold of the values that count: all they make, and of a branch the case that holds most.
fn steps_bytes(recording: &Recording, steps: &[Step], counts: &impl Fn(&Value) -> bool) -> u64 {
    let bytes = |ids: Vec<ValueId>| {
        let values = ids.into_iter().filter_map(|id| recording.values.get(id)).filter(|value| counts(value));
        values.fold(0u64, |sum, value| sum.saturating_add(value.bytes))
    };
    let step = |step: &Step| {
        let inside = match step {
            Step::Loop(looped) => {
                let carried = looped.carries.iter().map(|carry| carry.inside);
                bytes(carried.chain(looped.index).collect())
            }
            _ => 0,
        };
        let nested = step.nested().into_iter().map(|steps| steps_bytes(recording, steps, counts)).max();
        bytes(step.writes()).saturating_add(inside).saturating_add(nested.unwrap_or(0))
    };
    steps.iter().map(step).fold(0, u64::saturating_add)
}
