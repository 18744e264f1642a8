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
        let mut exchange = Exchange::Never;
        for (step, plan) in self.program.steps.iter().enumerate() {
            let other = match &plan.op {
                Op::Send { edge, .. } => self.program.leaving[*edge].stage,
                Op::Recv { edge, .. } => self.program.arriving[*edge].stage,
                _ => continue,
            };
            if other != stage {
                continue;
            }
            if !self.steps[self.outermost(step)].done {
                return Exchange::Open;
            }
            exchange = Exchange::Over;
        }
        let is_receiver =
            self.program.loops.iter().any(|plan| plan.receivers.iter().any(|(to, _)| *to == stage));
        // Rounds that have not ended over there: it still has to say so.
        if is_receiver && self.unconfirmed != 0 { Exchange::Open } else { exchange }
    }

    /// The step of the whole program that `step` is, or is inside of.
    fn outermost(&self, mut step: usize) -> usize {
        while self.program.steps[step].list != WHOLE {
            let owner = self.program.lists[self.program.steps[step].list].owner;
            step = owner.expect("only the whole program stands in nothing");
        }
        step
    }
}
