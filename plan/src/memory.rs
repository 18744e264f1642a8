//! The memory table: what each worker must hold.
//!
//! Steps fire as soon as their operands are there, so any two values of a request may be held at
//! the same time on a worker; the bound is therefore their sum, not the peak of one fixed order.

use crate::ids::{IdVec, WorkerId};
use crate::plan::{MemoryRow, Plan, Program, Recording};

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
    let written = program.steps.iter().flat_map(crate::plan::Step::writes);
    written.filter_map(|id| recording.values.get(id)).fold(0u64, |sum, value| sum.saturating_add(value.bytes))
}
