//! Steps and hand-overs of a stage as facts, with values and stages by name.

use super::facts::{Fact, fact};
use super::placement::Paired;
use crate::control::{Branch, Case, Loop};
use crate::ids::{StageId, ValueId};
use crate::plan::{Plan, Step};
use crate::text::step_words;

/// Where steps are, and what things are called there.
pub(super) struct Names<'a> {
    paired: &'a Paired<'a>,
    plan: &'a Plan,
    /// The stage.
    here: String,
    value: &'a dyn Fn(&ValueId) -> String,
}

impl<'a> Names<'a> {
    pub(super) fn new(
        paired: &'a Paired<'a>,
        plan: &'a Plan,
        stage: StageId,
        value: &'a dyn Fn(&ValueId) -> String,
    ) -> Self {
        Self { paired, plan, here: paired.stage(plan, stage), value }
    }

    /// Adds what there is to say of `steps`, which are `inside` a branch or loop or, if that is
    /// empty, in none.
    pub(super) fn facts(&self, steps: &[Step], inside: &str, facts: &mut Vec<Fact>) {
        let here = &self.here;
        for step in steps {
            let words = || step_words(self.plan, step, self.value);
            match step {
                // What is received was sent, and frees follow from the readers.
                Step::Recv { .. } | Step::Free { .. } => {}
                Step::Send { value, to, transport } => {
                    let (value, to) = ((self.value)(value), self.paired.stage(self.plan, *to));
                    let what = format!("{inside}hand-over of {value} from [{here}] to [{to}]");
                    facts.push(fact(what, format!("by {}", transport.name())));
                }
                // These two may be on several stages.
                Step::Input { .. } | Step::Const { .. } => {
                    facts.push(fact(format!("{inside}step {} on [{here}]", words()), ""));
                }
                Step::Run(_) | Step::Adapt { .. } | Step::Output { .. } => {
                    facts.push(fact(format!("{inside}step {}", words()), format!("on [{here}]")));
                }
                Step::Branch(branch) => self.branch(branch, inside, facts),
                Step::Loop(looped) => self.looped(looped, inside, facts),
            }
        }
    }

    /// A branch stands on every stage that has a part in it.
    fn branch(&self, branch: &Branch, inside: &str, facts: &mut Vec<Fact>) {
        let Branch { block: _, subject, arms, results } = branch;
        let (here, subject) = (&self.here, (self.value)(subject));
        let results = self.list(results.iter().map(Some));
        facts.push(fact(format!("{inside}branch on {subject} on [{here}]"), format!("makes {results}")));
        for arm in arms {
            let case = match &arm.case {
                Case::Is(literal) => format!("is {literal}"),
                Case::Else => "is anything else".to_owned(),
            };
            let yields = self.list(arm.yields.iter().map(Option::as_ref));
            facts.push(fact(
                format!("{inside}where {subject} {case} on [{here}]"),
                format!("yields {yields}"),
            ));
            self.facts(&arm.steps, &format!("{inside}where {subject} {case}: "), facts);
        }
    }

    fn looped(&self, looped: &Loop, inside: &str, facts: &mut Vec<Fact>) {
        let Loop { block: _, max, count, index, until, carries, steps } = looped;
        let here = &self.here;
        let over = match self.list(carries.iter().map(|carry| Some(&carry.inside))) {
            // On this stage nothing is carried.
            _ if carries.is_empty() => "loop".to_owned(),
            over => format!("loop over {over}"),
        };
        let mut says = format!("at most {max} rounds");
        for (word, value) in [("as many as", count), ("numbered by", index), ("until", until)] {
            if let Some(value) = value {
                says = format!("{says}, {word} {}", (self.value)(value));
            }
        }
        facts.push(fact(format!("{inside}{over} on [{here}]"), says));
        for carry in carries {
            let what = format!("{inside}loop carries {} on [{here}]", (self.value)(&carry.inside));
            let (init, next) = ((self.value)(&carry.init), (self.value)(&carry.next));
            let ends = carry
                .result
                .as_ref()
                .map_or(String::new(), |result| format!(", at last {}", (self.value)(result)));
            facts.push(fact(what, format!("at first {init}, then {next}{ends}")));
        }
        self.facts(steps, &format!("{inside}in the {over}: "), facts);
    }

    fn list<'v>(&self, values: impl Iterator<Item = Option<&'v ValueId>>) -> String {
        let names = values.map(|value| value.map_or_else(|| "none".to_owned(), self.value));
        let names: Vec<String> = names.collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    }
}
