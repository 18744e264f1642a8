//! The memory table: what each worker must hold.
//!
//! Steps fire as soon as their operands are there, so any two values of a request may be held at
//! the same time on a worker; the bound is therefore their sum, not the peak of one fixed order.

use crate::ids::{IdVec, ValueId, WorkerId};
use crate::plan::{MemoryRow, Plan, Program, Recording, Step};

impl Plan {
    /// The memory table that this plan must have. Saturates instead of overflowing.
    pub fn memory_rows(&self) -> IdVec<WorkerId, MemoryRow> {
        let row = |worker| {
            let here = |stage: &crate::plan::Stage| stage.replicas.contains(&worker);
            let components_bytes = self
                .stages
                .iter()
                .filter(|stage| here(stage))
                .flat_map(|stage| &stage.components)
                .filter_map(|id| self.components.get(*id))
                .fold(0u64, |sum, component| sum.saturating_add(component.needs.memory_bytes));
            let request_bytes = self
                .recordings
                .iter()
                .map(|recording| {
                    let programs = recording.programs.iter();
                    let programs =
                        programs.filter(|program| self.stages.get(program.stage).is_some_and(here));
                    programs.fold(0u64, |sum, program| sum.saturating_add(program_bytes(recording, program)))
                })
                .max();
            MemoryRow { components_bytes, request_bytes: request_bytes.unwrap_or(0) }
        };
        self.workers.ids().map(row).collect()
    }
}

fn program_bytes(recording: &Recording, program: &Program) -> u64 {
    steps_bytes(recording, &program.steps)
}

/// Most bytes that `steps` hold: all they make, and of a branch the case that holds most.
fn steps_bytes(recording: &Recording, steps: &[Step]) -> u64 {
    let bytes = |ids: Vec<ValueId>| {
        let values = ids.into_iter().filter_map(|id| recording.values.get(id));
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
        let nested = step.nested().into_iter().map(|steps| steps_bytes(recording, steps)).max();
        bytes(step.writes()).saturating_add(inside).saturating_add(nested.unwrap_or(0))
    };
    steps.iter().map(step).fold(0, u64::saturating_add)
}
