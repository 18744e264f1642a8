//! The plan as text: what the compiler writes, a person reviews and a worker parses.
//!
//! Line based, one fact a line; `docs/PLAN.md` describes it. Printing then parsing gives the same
//! plan, and the hash of the text is the plan's identity. What follows `#` is for the reader.

mod parse;
mod print;
mod scan;
mod serve;
mod steps;

use sha2::{Digest, Sha256};

pub(crate) use self::print::source;
pub(crate) use self::steps::step_words;
use crate::plan::{Plan, PlanHash};

/// First words of every plan of this version.
pub(crate) const HEADER: &str = "corn plan 1";

/// Why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Plan {
    /// The plan's text.
    pub fn to_text(&self) -> String {
        print::print(self)
    }

    /// The plan that `text` describes. It is not verified yet.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }

    /// The plan's identity: the hash of its text.
    pub fn hash(&self) -> PlanHash {
        PlanHash::of(&self.to_text())
    }
}

impl PlanHash {
    /// The identity of the plan that `text` is the text of, as [`Plan::to_text`] writes it.
    pub(crate) fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let first: [u8; 8] = digest[..8].try_into().expect("a SHA-256 has 32 bytes");
        Self(u64::from_be_bytes(first))
    }
}
