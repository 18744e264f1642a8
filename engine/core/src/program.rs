//! A stage's program made ready for replay: handles instead of names, and for every value the
//! steps that wait for it.

use corn_plan::ids::Id;
use corn_plan::{Form, Plan, Program, Recording, StageId, Step, Type, ValueId};

/// One stage's part of one recording.
#[derive(Clone, Debug)]
pub(crate) struct LoadedProgram {
    pub(crate) steps: Vec<Step>,
    pub(crate) slots: Vec<SlotPlan>,
    /// The slot of each value of the recording, if it is held here.
    slot_of: Vec<Option<u32>>,
}

/// What is known in advance of a value held on a stage.
#[derive(Clone, Debug)]
pub(crate) struct SlotPlan {
    pub(crate) value: ValueId,
    pub(crate) ty: Type,
    pub(crate) writer: usize,
    pub(crate) readers: Vec<usize>,
    /// The step that says where its lease ends.
    pub(crate) free: usize,
    /// The stage to give credits to, if this stream is received.
    pub(crate) from: Option<StageId>,
}

impl SlotPlan {
    /// The stream's window; `None` for whole values.
    pub(crate) const fn window(&self) -> Option<u32> {
        match self.ty.form {
            Form::Stream { window } => Some(window),
            Form::Value | Form::List { .. } => None,
        }
    }
}

impl LoadedProgram {
    pub(crate) fn load(recording: &Recording, program: &Program) -> Self {
        let mut slots: Vec<SlotPlan> = Vec::new();
        let mut slot_of: Vec<Option<u32>> = vec![None; recording.values.len()];
        for (index, step) in program.steps.iter().enumerate() {
            for value in step.reads() {
                let slot = slot_of[value.index()].expect("a verified step reads what was written");
                let readers = &mut slots[slot as usize].readers;
                if readers.last() != Some(&index) {
                    readers.push(index);
                }
            }
            if let Step::Free { value } = step
                && let Some(slot) = slot_of[value.index()]
            {
                slots[slot as usize].free = index;
            }
            for value in step.writes() {
                slot_of[value.index()] = Some(slots.len() as u32);
                let from = match step {
                    Step::Recv { from, .. } => Some(*from),
                    _ => None,
                };
                let ty = recording.values[value].ty.clone();
                slots.push(SlotPlan { value, ty, writer: index, readers: Vec::new(), free: index, from });
            }
        }
        Self { steps: program.steps.clone(), slots, slot_of }
    }

    /// The slot of `value`.
    pub(crate) fn slot(&self, value: ValueId) -> usize {
        self.find(value).expect("a verified step names values of its own stage")
    }

    /// The slot of `value`, if it is held here.
    pub(crate) fn find(&self, value: ValueId) -> Option<usize> {
        self.slot_of.get(value.index()).copied().flatten().map(|slot| slot as usize)
    }
}

/// Every program of `plan`: by recording, then by stage.
pub(crate) fn load(plan: &Plan) -> Vec<Vec<Option<std::sync::Arc<LoadedProgram>>>> {
    let by_stage = |recording: &Recording| {
        let program = |stage| recording.program(stage);
        let load = |program| std::sync::Arc::new(LoadedProgram::load(recording, program));
        plan.stages.ids().map(|stage| program(stage).map(load)).collect()
    };
    plan.recordings.iter().map(by_stage).collect()
}
