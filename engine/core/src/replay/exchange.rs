//! What a replay still has to do with the replay of another stage.

use corn_plan::StageId;

use crate::program::{Op, WHOLE};
use crate::replay::Replay;

/// How far two stages are with what one hands to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// Neither hands anything to the other.
    Never,
    /// Everything is handed over, as far as this stage knows.
    Over,
    /// Something has yet to come or to go.
    Open,
}

impl Replay {
    /// What is still to be handed over between this replay and that of `stage`.
    pub(crate) fn exchange(&self, stage: StageId) -> Exchange {
        let program = &self.program;
        let mut exchange = Exchange::Never;
        for (step, plan) in program.steps.iter().enumerate() {
            let with = match &plan.op {
                Op::Send { edge, .. } => program.leaving[*edge].stage,
                Op::Recv { edge, .. } => program.arriving[*edge].stage,
                _ => continue,
            };
            if with != stage {
                continue;
            }
            // Inside of a block it may be done, and done again, until the whole of the block is.
            let mut outermost = step;
            while program.steps[outermost].list != WHOLE {
                let owner = program.lists[program.steps[outermost].list].owner;
                outermost = owner.expect("a list inside of the program stands in a block");
            }
            if !self.steps[outermost].done {
                return Exchange::Open;
            }
            exchange = Exchange::Over;
        }
        let is_told = program.loops.iter().zip(&self.rounds).all(|(plan, count)| {
            let place = plan.receivers.iter().position(|(receiver, _)| *receiver == stage);
            place.is_none_or(|place| count.is_over_for(place))
        });
        if is_told { exchange } else { Exchange::Open }
    }
}
