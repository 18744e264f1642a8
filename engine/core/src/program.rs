//! A stage's program made ready for replay: handles instead of names, and for every value the
//! steps that wait for it.
//!
//! Steps inside of branches and loops stand in one flat list with the others. Each belongs to a *list*: the whole
//! program is one, and so are each case of a branch and the body of a loop. A list begins and ends as a whole: what its
//! values hold is leased when it begins and given back before it has ended. `free` steps are not kept, since the
//! verifier has seen that each stands right after the last step that uses its value.

mod flatten;

use std::sync::Arc;

use corn_plan::{Adaptor, BlockId, ComponentId, Form, Plan, Recording, StageId, Type, ValueId};

use crate::datum::Datum;

/// The list of steps that is the whole program.
pub(crate) const WHOLE: usize = 0;

/// One stage's part of one recording.
#[derive(Debug, Default)]
pub(crate) struct LoadedProgram {
    pub(crate) steps: Vec<StepPlan>,
    pub(crate) slots: Vec<SlotPlan>,
    pub(crate) lists: Vec<ListPlan>,
    pub(crate) loops: Vec<LoopPlan>,
    /// Values from other stages, sorted.
    pub(crate) arriving: Vec<Edge>,
    /// Values to other stages, sorted.
    pub(crate) leaving: Vec<Edge>,
    /// For each of them the steps that send it.
    pub(crate) sending: Vec<Vec<usize>>,
    /// The slots of what the request brings.
    pub(crate) inputs: Vec<(ValueId, usize)>,
    /// The steps that send outputs to the client.
    pub(crate) outputs: Vec<(ValueId, usize)>,
}

/// A value that is handed from or to another stage. It is so in several steps if several cases do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) value: ValueId,
    pub(crate) stage: StageId,
    pub(crate) is_stream: bool,
}

impl Edge {
    /// Which of `edges` is about `value` and `stage`.
    pub(crate) fn find(edges: &[Self], value: ValueId, stage: StageId) -> Option<usize> {
        edges.binary_search_by_key(&(value, stage), |edge| (edge.value, edge.stage)).ok()
    }
}

/// A step and what it has to do with others.
#[derive(Debug)]
pub(crate) struct StepPlan {
    pub(crate) op: Op,
    /// The list that it stands in.
    pub(crate) list: usize,
    /// Slots of its own list that it, or a step inside of it, reads or writes.
    pub(crate) uses: Vec<usize>,
    /// The streams that it reads itself.
    pub(crate) streams: Vec<Operand>,
}

/// Something that a step reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub(crate) slot: usize,
    /// Which of the readers of a stream it is; 0 for a whole value.
    pub(crate) reader: usize,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Op {
    /// Waits for what the request brings.
    Input { slot: usize },
    /// Makes a constant.
    Const { slot: usize, datum: Datum },
    /// Waits for what another stage hands over.
    Recv { slot: usize, edge: usize },
    /// Calls a component.
    Run(RunPlan),
    /// Applies an adaptor.
    Adapt { adaptor: Adaptor, operands: Vec<Operand>, results: Vec<usize> },
    /// Takes one of several lists.
    Branch { subject: usize, arms: Vec<ArmPlan> },
    /// Takes a list again and again: the loop of this number.
    Loop(usize),
    /// Hands something that a case has made on to what the branch makes.
    Yield { from: Operand, to: usize },
    /// Hands something over to another stage, in rounds of this loop.
    Send { from: Operand, edge: usize, within: Option<usize> },
    /// Sends something to the client.
    Output { from: Operand, value: ValueId },
}

/// A call of a component.
#[derive(Debug)]
pub(crate) struct RunPlan {
    pub(crate) component: ComponentId,
    pub(crate) operands: Vec<RunOperand>,
    /// Ports and the slots of what they make.
    pub(crate) results: Vec<(u32, usize)>,
    pub(crate) each: bool,
}

/// What fills an input port.
#[derive(Debug)]
pub(crate) struct RunOperand {
    pub(crate) port: u32,
    pub(crate) from: Operand,
    pub(crate) each: bool,
}

/// A case of a branch.
#[derive(Debug)]
pub(crate) struct ArmPlan {
    /// What the subject is held against; `None` takes everything.
    pub(crate) is: Option<Datum>,
    pub(crate) list: usize,
    /// Slots of results that this case leaves absent.
    pub(crate) absent: Vec<usize>,
}

/// Steps that are repeated.
#[derive(Debug)]
pub(crate) struct LoopPlan {
    pub(crate) block: BlockId,
    /// The loop around it.
    pub(crate) outer: Option<usize>,
    pub(crate) max: u32,
    pub(crate) count: Option<usize>,
    pub(crate) index: Option<usize>,
    pub(crate) until: Option<Until>,
    pub(crate) carries: Vec<CarryPlan>,
    pub(crate) body: usize,
    /// Stages that hand something over to this one inside of it, with one of the values that they hand over.
    pub(crate) senders: Vec<Edge>,
    /// Stages that this one hands something over to inside of it, with every step that does.
    pub(crate) receivers: Vec<(StageId, Vec<usize>)>,
}

/// What ends the rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// A value made inside, which is looked at when it is made.
    Made,
    /// The slot of a value made outside.
    Outside(usize),
}

/// What one round hands to the next, as slots.
#[derive(Debug)]
pub(crate) struct CarryPlan {
    pub(crate) init: usize,
    pub(crate) inside: usize,
    pub(crate) next: usize,
    pub(crate) result: Option<usize>,
}

/// A list of steps that begins and ends as a whole.
#[derive(Debug, Default)]
pub(crate) struct ListPlan {
    /// The branch or loop that it stands in.
    pub(crate) owner: Option<usize>,
    /// Its own steps, without those inside of them.
    pub(crate) steps: Vec<usize>,
    /// The slots that are leased while it is under way.
    pub(crate) slots: Vec<usize>,
    /// Those of them that are held until it has ended, to be handed to the next round.
    pub(crate) kept: Vec<usize>,
    /// Streams from outside that its steps, or steps inside of them, read.
    pub(crate) outer_streams: Vec<Operand>,
}

/// What is known in advance of a value held on a stage.
#[derive(Debug)]
pub(crate) struct SlotPlan {
    pub(crate) value: ValueId,
    pub(crate) ty: Type,
    pub(crate) is_optional: bool,
    /// The list while which it is leased.
    pub(crate) list: usize,
    pub(crate) writer: Writer,
    /// Steps at any depth that wait for it.
    pub(crate) readers: Vec<usize>,
    /// How many readers a stream has.
    pub(crate) stream_readers: usize,
    /// What uses it in its own list, its writer included.
    pub(crate) users: usize,
    /// The loop that it ends.
    pub(crate) ends: Option<usize>,
}

/// What fills a slot.
#[derive(Debug)]
pub(crate) enum Writer {
    /// The request or another stage; the step waits until it is complete.
    Arrival { step: usize, edge: Option<usize> },
    /// A call, on this output port.
    Call { step: usize, port: u32 },
    /// Steps of which one fills it at a time, and is told when there is room.
    Steps(Vec<usize>),
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

/// Every program of `plan`: by recording, then by stage.
pub(crate) fn load(plan: &Plan) -> Vec<Vec<Option<Arc<LoadedProgram>>>> {
    let by_stage = |recording: &Recording| {
        let program = |stage| recording.program(stage);
        let load = |program| Arc::new(LoadedProgram::load(recording, program));
        plan.stages.ids().map(|stage| program(stage).map(load)).collect()
    };
    plan.recordings.iter().map(by_stage).collect()
}
