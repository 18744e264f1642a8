//! What a replay still has to do with the replay of another stage.

use corn_plan::{StageId, Step, all_steps};

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
        let names = |step: &Step| match step {
            Step::Send { to, .. } => *to == stage,
            Step::Recv { from, .. } => *from == stage,
            _ => false,
        };
        let mut exchange = Exchange::Never;
        for (step, state) in self.program.steps.iter().zip(&self.steps) {
            if all_steps(std::slice::from_ref(step)).into_iter().any(names) {
                if !state.done {
                    return Exchange::Open;
                }
                exchange = Exchange::Over;
            }
        }
        exchange
    }
}
