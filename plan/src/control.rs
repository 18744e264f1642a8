//! Steps that hold steps: `branch` and `loop`.
//!
//! Both are planned and placed in advance; only which case is taken and how many rounds there are is left to
//! run time. A block that spans stages stands in the program of each of them, under one [`BlockId`], with the
//! steps of that stage: every stage sees the deciding value itself, so nobody has to tell it.

use crate::id;
use crate::ids::ValueId;
use crate::plan::{Literal, Step};

id!(
    /// A branch or a loop of a recording, the same on every stage. Printed as `b0`.
    BlockId, "b"
);

/// One of several lists of steps, chosen by a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Which block of the recording.
    pub block: BlockId,
    /// What decides.
    pub subject: ValueId,
    /// The cases, of which the first that fits is taken; the last may be [`Case::Else`].
    pub arms: Vec<Arm>,
    /// What the branch makes on this stage; each arm yields one thing for each of them.
    pub results: Vec<ValueId>,
}

/// A case of a branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// When it is taken.
    pub case: Case,
    /// What this stage does then.
    pub steps: Vec<Step>,
    /// For each result of the branch what becomes it; `None` leaves it absent.
    pub yields: Vec<Option<ValueId>>,
}

/// What the subject of a branch is held against.
#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    /// Exactly this.
    Is(Literal),
    /// Whatever no case before takes.
    Else,
}

/// Steps that are repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// Which block of the recording.
    pub block: BlockId,
    /// Most rounds, at least one.
    pub max: u32,
    /// How many rounds there are; `max` if there is none.
    pub count: Option<ValueId>,
    /// The number of the round, from 0.
    pub index: Option<ValueId>,
    /// The loop ends after the round in which this is true.
    pub until: Option<ValueId>,
    /// What one round hands to the next.
    pub carries: Vec<Carry>,
    /// What this stage does in each round.
    pub steps: Vec<Step>,
}

/// A value that one round hands to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carry {
    /// What the first round gets.
    pub init: ValueId,
    /// Its name inside.
    pub inside: ValueId,
    /// What the next round gets.
    pub next: ValueId,
    /// What it is after the last round, if that is used on this stage.
    pub result: Option<ValueId>,
}

impl Step {
    /// The lists of steps inside this one.
    pub fn nested(&self) -> Vec<&[Step]> {
        match self {
            Self::Branch(branch) => branch.arms.iter().map(|arm| arm.steps.as_slice()).collect(),
            Self::Loop(looped) => vec![looped.steps.as_slice()],
            _ => Vec::new(),
        }
    }

    /// The values that are made inside this step and end there.
    pub fn inner_writes(&self) -> Vec<ValueId> {
        let mut written = Vec::new();
        if let Self::Loop(looped) = self {
            written.extend(looped.index);
            written.extend(looped.carries.iter().map(|carry| carry.inside));
        }
        for step in self.nested().into_iter().flatten() {
            written.extend(step.writes());
            written.extend(step.inner_writes());
        }
        written
    }

    /// The values of a branch or loop that are read before or inside it and made outside.
    pub(crate) fn outer_reads(&self) -> Vec<ValueId> {
        let mut reads = Vec::new();
        match self {
            Self::Branch(branch) => {
                reads.push(branch.subject);
                reads.extend(branch.arms.iter().flat_map(|arm| arm.yields.iter().flatten()));
            }
            Self::Loop(looped) => {
                reads.extend(looped.count);
                reads.extend(looped.until);
                reads.extend(looped.carries.iter().flat_map(|carry| [carry.init, carry.next]));
            }
            _ => {}
        }
        reads.extend(self.nested().into_iter().flatten().flat_map(Step::reads));
        let inner = self.inner_writes();
        reads.retain(|value| !inner.contains(value));
        let mut seen = std::collections::BTreeSet::new();
        reads.retain(|value| seen.insert(*value));
        reads
    }
}

/// Every step of `steps`, those inside others included, in reading order.
pub fn all_steps(steps: &[Step]) -> Vec<&Step> {
    let mut all = Vec::new();
    let mut left: Vec<&Step> = steps.iter().rev().collect();
    while let Some(step) = left.pop() {
        all.push(step);
        for inner in step.nested().into_iter().rev() {
            left.extend(inner.iter().rev());
        }
    }
    all
}
