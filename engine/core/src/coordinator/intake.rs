//! What comes in: a request whose inputs were held against its recording, and what is known in advance about
//! admitting to it.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{
    Operand, Plan, Program, Recording, RecordingId, StageId, Step, ValueId, WorkerId, all_steps,
};

use crate::datum::Datum;
use crate::fault::Fault;
use crate::intake;
use crate::message::{Priority, RequestId, Submission};

/// A request whose inputs are right.
#[derive(Debug)]
pub(super) struct Ask {
    /// The attempt that is under way, or the first.
    pub(super) request: RequestId,
    pub(super) recording: RecordingId,
    /// When it came: whoever waits longer, for whatever, goes first.
    pub(super) since_us: u64,
    /// What it brings, defaults filled in.
    pub(super) inputs: BTreeMap<ValueId, Datum>,
    pub(super) deadline_us: Option<u64>,
    pub(super) priority: Priority,
    pub(super) is_traced: bool,
    /// What ended the attempt before, if there was one.
    pub(super) before: Option<Before>,
}

/// How an attempt ended that its request survives.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) loss: Fault,
    /// Workers that could not reach each other.
    pub(super) avoided: Vec<WorkerId>,
}

/// A stage's part in a recording, as far as admission needs it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) stage: StageId,
    /// What it takes of what requests bring.
    pub(super) inputs: Vec<ValueId>,
    /// What of that one of its components reads first and remembers, in the order in which it reads it.
    pub(super) remembered: Vec<ValueId>,
    /// Whether the coordinator opens it: a stage that receives opens with its first hand-over. One that does so only
    /// inside of blocks may never get any.
    pub(super) is_opened: bool,
    /// The stages that it hands to or receives from.
    pub(super) peers: Vec<StageId>,
}

impl Part {
    fn new(plan: &Plan, program: &Program) -> Self {
        let takes = |step: &Step| match step {
            Step::Input { value } => Some(*value),
            _ => None,
        };
        let inputs: Vec<ValueId> = program.steps.iter().filter_map(takes).collect();
        let receives = program.steps.iter().any(|step| matches!(step, Step::Recv { .. }));
        let peer = |step: &Step| match step {
            Step::Send { to, .. } => Some(*to),
            Step::Recv { from, .. } => Some(*from),
            _ => None,
        };
        let peers: BTreeSet<StageId> = all_steps(&program.steps).into_iter().filter_map(peer).collect();
        Self {
            stage: program.stage,
            is_opened: !inputs.is_empty() || !receives,
            remembered: remembered(plan, program, &inputs),
            inputs,
            peers: peers.into_iter().collect(),
        }
    }
}

/// What the first call of `program` that remembers any of the `inputs` reads before anything else. Constants are passed
/// over: every request of the recording has them.
fn remembered(plan: &Plan, program: &Program, inputs: &[ValueId]) -> Vec<ValueId> {
    let steps = all_steps(&program.steps);
    let is_constant =
        |id: ValueId| steps.iter().any(|step| matches!(step, Step::Const { value, .. } if *value == id));
    let read = |step: &&Step| {
        let Step::Run(run) = step else { return Vec::new() };
        let component = &plan.components[run.component];
        let filled = |port: &String| {
            let is_it = |operand: &&Operand| component.inputs[operand.port as usize].name == *port;
            run.operands.iter().find(is_it).map(|operand| operand.value)
        };
        let values = component.remembers.iter().filter_map(filled).filter(|value| !is_constant(*value));
        values.take_while(|value| inputs.contains(value)).collect()
    };
    steps.iter().map(read).find(|values| !values.is_empty()).unwrap_or_default()
}

/// The parts of every recording, in order of the recordings.
pub(super) fn parts(plan: &Plan) -> Vec<Vec<Part>> {
    let of =
        |recording: &Recording| recording.programs.iter().map(|program| Part::new(plan, program)).collect();
    plan.recordings.iter().map(of).collect()
}

/// A request whose inputs are those of its recording, taken apart into the values that they become. It came at `now_us`.
pub(super) fn check(now_us: u64, recording: &Recording, submission: &Submission) -> Result<Ask, Fault> {
    intake::check(recording, &submission.inputs)?;
    let inputs = intake::values(recording, &submission.inputs);
    let Submission { request, recording, deadline_us, priority, is_traced, .. } = *submission;
    Ok(Ask { request, recording, since_us: now_us, inputs, deadline_us, priority, is_traced, before: None })
}
