//! Branches and loops: one block is the same on all of its stages (P3), decides by a value that can decide and
//! covers every case (P5), and has a bound (P8).

use std::collections::{BTreeMap, BTreeSet};

use crate::control::{Arm, BlockId, Branch, Carry, Case, Loop, all_steps};
use crate::ids::{RecordingId, ValueId};
use crate::plan::{Literal, Recording, Step};
use crate::types::{Form, Kind, Type};
use crate::verify::Report;
use crate::verify::shape::type_fits;

pub(super) fn check(report: &mut Report<'_>) {
    for (id, recording) in report.plan.recordings.enumerate() {
        let mut first: BTreeMap<BlockId, &Step> = BTreeMap::new();
        for program in &recording.programs {
            let mut here = BTreeSet::new();
            for step in all_steps(&program.steps) {
                let (block, problems) = match step {
                    Step::Branch(branch) => (branch.block, branch_problems(recording, branch)),
                    Step::Loop(looped) => (looped.block, loop_problems(recording, looped)),
                    _ => continue,
                };
                let at = format!("recording {id}, {}: {block}", program.stage);
                for problem in problems {
                    report.violated("P5", format!("{at}: {problem}"));
                }
                if !here.insert(block) {
                    report.violated("P3", format!("{at} stands twice in one program"));
                }
                let other = *first.entry(block).or_insert(step);
                if !is_same(other, step) {
                    let message = format!("{at} is not the same block as on another stage");
                    report.violated("P3", message);
                }
            }
        }
        check_bounds(report, id, recording);
    }
}

fn check_bounds(report: &mut Report<'_>, id: RecordingId, recording: &Recording) {
    for step in recording.programs.iter().flat_map(|program| all_steps(&program.steps)) {
        match step {
            Step::Loop(looped) if looped.max == 0 => {
                report.violated("P8", format!("recording {id}, {}: a loop of no rounds", looped.block));
            }
            _ => {}
        }
    }
}

/// Whether two stages have the same idea of a block.
fn is_same(one: &Step, other: &Step) -> bool {
    match (one, other) {
        (Step::Branch(one), Step::Branch(other)) => {
            one.subject == other.subject
                && one.arms.len() == other.arms.len()
                && one.arms.iter().zip(&other.arms).all(|(one, other)| one.case == other.case)
        }
        (Step::Loop(one), Step::Loop(other)) => {
            let same = |carry: &Carry| {
                let same = other.carries.iter().find(|other| other.inside == carry.inside);
                same.is_none_or(|other| (other.init, other.next) == (carry.init, carry.next))
            };
            (one.max, one.count, one.until) == (other.max, other.count, other.until)
                && one.index.zip(other.index).is_none_or(|(one, other)| one == other)
                && one.carries.iter().all(same)
        }
        _ => false,
    }
}

fn branch_problems(recording: &Recording, branch: &Branch) -> Vec<String> {
    let mut problems = Vec::new();
    let subject = &recording.values[branch.subject];
    if subject.ty.form != Form::Value || subject.optional {
        problems.push(format!("{} cannot decide: it is not one value that is always there", branch.subject));
    }
    let is_else = |arm: &Arm| matches!(arm.case, Case::Else);
    if branch.arms.iter().rev().skip(1).any(is_else) {
        problems.push("'case else' is not the last, so those after it are never taken".to_owned());
    }
    for arm in &branch.arms {
        if let Case::Is(literal) = &arm.case
            && !decides(&subject.ty.kind, literal)
        {
            problems.push(format!("'{}' is never like {literal}", subject.ty));
        }
        if arm.yields.len() != branch.results.len() {
            problems.push(format!("a case yields {} of {} results", arm.yields.len(), branch.results.len()));
            continue;
        }
        for (result, made) in branch.results.iter().zip(&arm.yields) {
            problems.extend(yield_problem(recording, *result, *made));
        }
    }
    if !covers(&subject.ty.kind, branch) {
        problems.push("no case is taken for some values".to_owned());
    }
    problems
}

fn yield_problem(recording: &Recording, result: ValueId, made: Option<ValueId>) -> Option<String> {
    let result_value = &recording.values[result];
    let Some(made) = made else {
        return (!result_value.optional)
            .then(|| format!("{result} must not be absent, and a case makes nothing"));
    };
    let made_value = &recording.values[made];
    if made_value.optional && !result_value.optional {
        return Some(format!("{result} must not be absent, and {made} may be"));
    }
    (!type_fits(&made_value.ty, &result_value.ty))
        .then(|| format!("{result} is '{}', and {made} is '{}'", result_value.ty, made_value.ty))
}

/// Whether values of `kind` can be held against `literal`. It may be a word that this enum never is: a graph that
/// takes more words may be asked with fewer.
fn decides(kind: &Kind, literal: &Literal) -> bool {
    matches!(
        (kind, literal),
        (Kind::Enum(_) | Kind::Text { .. }, Literal::Text(_))
            | (Kind::Int, Literal::Int(_))
            | (Kind::Bool, Literal::Bool(_))
    )
}

/// Whether some case is taken whatever the subject is.
fn covers(kind: &Kind, branch: &Branch) -> bool {
    let has = |literal: &Literal| branch.arms.iter().any(|arm| arm.case == Case::Is(literal.clone()));
    branch.arms.iter().any(|arm| arm.case == Case::Else)
        || match kind {
            Kind::Enum(words) => words.iter().all(|word| has(&Literal::Text(word.clone()))),
            Kind::Bool => has(&Literal::Bool(true)) && has(&Literal::Bool(false)),
            _ => false,
        }
}

fn loop_problems(recording: &Recording, looped: &Loop) -> Vec<String> {
    let mut problems = Vec::new();
    let decides = [(looped.count, Kind::Int), (looped.index, Kind::Int), (looped.until, Kind::Bool)];
    for (value, kind) in decides {
        let Some(id) = value else { continue };
        let value = &recording.values[id];
        if value.ty != Type::value(kind.clone()) || value.optional {
            problems.push(format!("{id} counts or ends rounds as '{kind}', and is '{}'", value.ty));
        }
    }
    let ty = |id: ValueId| &recording.values[id].ty;
    for carry in &looped.carries {
        let handed = [(carry.init, carry.inside), (carry.next, carry.inside)];
        for (from, to) in handed.into_iter().chain(carry.result.map(|result| (carry.next, result))) {
            if !type_fits(ty(from), ty(to)) || recording.values[from].optional {
                problems.push(format!("{to} is '{}', and {from} is '{}'", ty(to), ty(from)));
            }
        }
        if ty(carry.inside).is_stream() {
            problems.push(format!("{} is a stream, which no round can hand to the next", carry.inside));
        }
    }
    problems
}
