//! Which outputs of a component stay in the memory of its GPU: those that all their readers take there. Others are
//! copied to the host once, by the thread that made them, before anybody sees them.

use std::collections::BTreeMap;

use corn_plan::{
    ComponentId, Plan, Program, Recording, RecordingId, Run, StageId, Step, Transport, ValueId, all_steps,
};

/// Of one component, for each recording: whether each of its output ports stays where it is made.
pub(crate) type Stays = BTreeMap<RecordingId, Vec<bool>>;

/// Those of component `id`.
pub(crate) fn stays_on_device(plan: &Plan, id: ComponentId) -> Stays {
    let outputs = plan.components[id].outputs.len();
    let of_recording = |(number, recording): (RecordingId, &Recording)| {
        let mut stays = vec![true; outputs];
        for program in &recording.programs {
            for run in
                all_steps(&program.steps).into_iter().filter_map(run_of).filter(|run| run.component == id)
            {
                for (port, value) in &run.results {
                    stays[*port as usize] &= !run.each && is_taken(plan, recording, program.stage, *value);
                }
            }
        }
        (number, stays)
    };
    plan.recordings.enumerate().map(of_recording).collect()
}

const fn run_of(step: &Step) -> Option<&Run> {
    if let Step::Run(run) = step { Some(run) } else { None }
}

/// Whether everything that reads `value` on `stage`, and on those that it is handed to from there, takes it on a GPU.
fn is_taken(plan: &Plan, recording: &Recording, stage: StageId, value: ValueId) -> bool {
    let is_of_stage = |program: &&Program| program.stage == stage;
    let mut steps =
        recording.programs.iter().filter(is_of_stage).flat_map(|program| all_steps(&program.steps));
    steps.all(|step| match step {
        Step::Run(run) => {
            let on_gpu = plan.components[run.component].needs.gpus > 0;
            run.operands.iter().all(|operand| operand.value != value || on_gpu && !operand.each)
        }
        Step::Send { value: sent, to, transport } => {
            *sent != value
                || matches!(transport, Transport::Cuda | Transport::Pointer)
                    && is_taken(plan, recording, *to, value)
        }
        Step::Branch(branch) => {
            branch.subject != value && branch.arms.iter().all(|arm| !arm.yields.contains(&Some(value)))
        }
        Step::Loop(looped) => {
            let own = [looped.count, looped.until];
            let carried = |carry: &corn_plan::Carry| carry.init == value || carry.next == value;
            !own.contains(&Some(value)) && !looped.carries.iter().any(carried)
        }
        Step::Adapt { operands, .. } => !operands.contains(&value),
        Step::Output { value: put } => *put != value,
        Step::Input { .. } | Step::Const { .. } | Step::Recv { .. } | Step::Free { .. } => true,
    })
}
