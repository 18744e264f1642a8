//! The ways through a recording with branches: for each choice of cases, the steps without blocks.
//!
//! P4 replays these, one after the other: all of them together may be a thousand times the recording. A branch becomes the steps of the case that is taken, a loop one round of its body: what a
//! round hands to the next are whole values, so if one round ends, so does the next. Steps inside a block wait
//! for what decides it, which stands among their operands here.

use std::collections::BTreeMap;

use crate::control::{BlockId, Branch, Loop};
use crate::ids::ValueId;
use crate::plan::{Adaptor, Operand, Program, Recording, Step};

/// Most ways that are all tried. With more, every two cases of every two branches are taken together at least
/// once, and with more than [`MOST_PAIRS`] of these each case of each branch.
const MOST_PATHS: usize = 64;

/// Most pairs of cases that are tried together.
const MOST_PAIRS: usize = 1024;

/// Which case of each branch is taken.
pub(super) type Choice = BTreeMap<BlockId, usize>;

/// The ways to take through `recording`.
pub(super) fn ways(recording: &Recording) -> Vec<Choice> {
    let mut branches: BTreeMap<BlockId, usize> = BTreeMap::new();
    for program in &recording.programs {
        for step in crate::control::all_steps(&program.steps) {
            if let Step::Branch(branch) = step {
                branches.insert(branch.block, branch.arms.len());
            }
        }
    }
    choices(&branches)
}

fn choices(branches: &BTreeMap<BlockId, usize>) -> Vec<Choice> {
    let ways = branches.values().try_fold(1usize, |ways, arms| ways.checked_mul(*arms.max(&1)));
    if let Some(ways) = ways.filter(|ways| *ways <= MOST_PATHS) {
        let nth = |mut number: usize| {
            let arm = |(block, arms): (&BlockId, &usize)| {
                let arms = (*arms).max(1);
                let taken = number % arms;
                number /= arms;
                (*block, taken)
            };
            branches.iter().map(arm).collect()
        };
        return (0..ways).map(nth).collect();
    }
    let most = branches.values().copied().max().unwrap_or(1);
    let level = |number: usize| -> Choice {
        branches.iter().map(|(block, arms)| (*block, number.min(arms.saturating_sub(1)))).collect()
    };
    let mut choices: Vec<Choice> = (0..most).map(level).collect();
    let all: Vec<(BlockId, usize)> = branches.iter().map(|(block, arms)| (*block, *arms)).collect();
    let mut pairs = Vec::new();
    for (place, (one, arms)) in all.iter().enumerate() {
        for (other, of_other) in &all[place + 1..] {
            if pairs.len() + arms * of_other > MOST_PAIRS {
                return choices;
            }
            for (arm, of) in (0..*arms).flat_map(|arm| (0..*of_other).map(move |of| (arm, of))) {
                let mut choice = level(most);
                choice.extend([(*one, arm), (*other, of)]);
                pairs.push(choice);
            }
        }
    }
    choices.append(&mut pairs);
    choices
}

/// The programs of `recording` without blocks, on this way.
pub(super) fn taken(recording: &Recording, choice: &Choice) -> Vec<Program> {
    let program = |program: &Program| {
        let mut steps = Vec::new();
        flatten(&program.steps, choice, &[], &mut steps);
        Program { stage: program.stage, steps }
    };
    recording.programs.iter().map(program).collect()
}

/// Adds `steps` to `flat`, each waiting for `gates`.
fn flatten(steps: &[Step], choice: &Choice, gates: &[ValueId], flat: &mut Vec<Step>) {
    for step in steps {
        match step {
            Step::Branch(branch) => flatten_branch(branch, choice, gates, flat),
            Step::Loop(looped) => flatten_loop(looped, choice, gates, flat),
            Step::Run(run) => {
                let mut run = run.clone();
                let gate = |value: &ValueId| Operand { port: 0, value: *value, each: false };
                run.operands.extend(gates.iter().map(gate));
                flat.push(Step::Run(run));
            }
            Step::Adapt { adaptor, operands, results } => flat.push(Step::Adapt {
                adaptor: adaptor.clone(),
                operands: operands.iter().chain(gates).copied().collect(),
                results: results.clone(),
            }),
            other => flat.push(other.clone()),
        }
    }
}

fn flatten_branch(branch: &Branch, choice: &Choice, gates: &[ValueId], flat: &mut Vec<Step>) {
    let Some(arm) = branch.arms.get(choice.get(&branch.block).copied().unwrap_or(0)) else { return };
    let gates: Vec<ValueId> = gates.iter().copied().chain([branch.subject]).collect();
    flatten(&arm.steps, choice, &gates, flat);
    for (result, made) in branch.results.iter().zip(&arm.yields) {
        flat.push(alias(made.iter().copied(), &gates, *result));
    }
}

fn flatten_loop(looped: &Loop, choice: &Choice, gates: &[ValueId], flat: &mut Vec<Step>) {
    let inside: Vec<ValueId> = gates.iter().copied().chain(looped.count).collect();
    for carry in &looped.carries {
        flat.push(alias([carry.init].into_iter(), &inside, carry.inside));
    }
    if let Some(index) = looped.index {
        flat.push(alias(std::iter::empty(), &inside, index));
    }
    flatten(&looped.steps, choice, &inside, flat);
    let after: Vec<ValueId> = inside.iter().copied().chain(looped.until).collect();
    for carry in &looped.carries {
        if let Some(result) = carry.result {
            flat.push(alias([carry.next].into_iter(), &after, result));
        }
    }
}

/// A step that makes `result` once `values` and `gates` are there.
fn alias(values: impl Iterator<Item = ValueId>, gates: &[ValueId], result: ValueId) -> Step {
    let operands = values.chain(gates.iter().copied()).collect();
    Step::Adapt { adaptor: Adaptor::List, operands, results: vec![result] }
}
