//! The plan as text: what the compiler writes, a person reviews and a worker parses.

use crate::plan::Plan;

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
        String::new()
    }

    /// The plan that `text` describes.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Err(ParseError { line: 1, message: text.to_owned() })
    }
}
