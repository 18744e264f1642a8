//! The verifier: what must hold of every plan before anything is reserved or replayed.
//!
//! - P1 each value is written once in each program of a recording, and by one stage's work only
//! - P2 it is read only where it was written, received or taken as input, and never after its free
//! - P3 sends and receives pair one to one, by a transport that connects the two stages
//! - P4 no recording can stall: replayed symbolically with its windows, on every way through its branches, every
//!   step ends
//! - P5 ids exist, each component is in one stage, whose workers have the GPUs that it needs and share
//!   them with no other, operands and results have the ports' types
//! - P6 the memory table is right, and on every worker, and each of its GPUs, components + requests fit
//! - P7 signatures are distinct, and what is served exists and has its endpoint's types
//! - P8 every dimension, window, batch and queue has a bound, and no product overflows
//! - P9 print then parse is the identity
//! - P10 each value is freed exactly once on every path of every program that holds it, after its last reader, or
//!   handed on by the branch or round that made it
//!
//! It runs after lowering and again when a worker loads a plan. [`Verified`] is the proof: the
//! engine takes nothing else.

mod blocks;
mod deploy;
mod flow;
mod memory;
mod paths;
mod shape;
mod stall;

use crate::plan::{Plan, PlanHash};

/// A plan that was verified: the only kind that the engine loads.
#[derive(Clone, Debug)]
pub struct Verified {
    plan: Plan,
    hash: PlanHash,
}

impl Verified {
    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its identity.
    pub const fn hash(&self) -> PlanHash {
        self.hash
    }
}

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {message}")]
pub struct Violation {
    /// `P1` to `P10`.
    pub rule: &'static str,
    /// What is wrong, where.
    pub message: String,
}

/// Collects violations of one plan.
struct Report<'a> {
    plan: &'a Plan,
    violations: Vec<Violation>,
}

impl Report<'_> {
    fn violated(&mut self, rule: &'static str, message: String) {
        self.violations.push(Violation { rule, message });
    }
}

/// Checks P1–P10 and returns the plan as verified, or everything that is wrong with it.
pub fn verify(plan: Plan) -> Result<Verified, Vec<Violation>> {
    let mut report = Report { plan: &plan, violations: Vec::new() };
    shape::check_ids(&mut report);
    // The other rules follow ids without asking, so they wait until every id is known to exist.
    if report.violations.is_empty() {
        shape::check(&mut report);
        flow::check(&mut report);
        blocks::check(&mut report);
        deploy::check(&mut report);
        memory::check(&mut report);
    }
    if report.violations.is_empty() {
        stall::check(&mut report);
    }
    if !report.violations.is_empty() {
        return Err(report.violations);
    }
    let text = plan.to_text();
    check_text(&mut report, &text);
    match report.violations {
        violations if violations.is_empty() => Ok(Verified { hash: PlanHash::of(&text), plan }),
        violations => Err(violations),
    }
}

fn check_text(report: &mut Report<'_>, text: &str) {
    match Plan::parse(text) {
        Ok(parsed) if parsed == *report.plan => {}
        Ok(_) => report.violated("P9", "the plan's text describes another plan".to_owned()),
        Err(error) => report.violated("P9", format!("the plan's text cannot be parsed: {error}")),
    }
}
