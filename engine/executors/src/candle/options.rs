//! Options of a component, read with their types and ranges.
//!
//! What the catalog publishes is checked before this by the compiler, and when a plan is loaded. Some ranges
//! only the weights tell, such as how long a context a model was made for; a value outside is a fault of
//! the set-up that names the option, its value and its range.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use corn_core::Fault;
use corn_plan::Literal;

/// The options of one component of `entry`.
pub(super) struct Options<'a> {
    entry: &'static str,
    values: &'a BTreeMap<String, Literal>,
}

impl<'a> Options<'a> {
    pub(super) fn new(entry: &'static str, values: &'a BTreeMap<String, Literal>) -> Self {
        Self { entry, values }
    }

    /// An integer within `range`; `default` if it is not given.
    pub(super) fn int(&self, name: &str, default: i64, range: RangeInclusive<i64>) -> Result<i64, Fault> {
        match self.values.get(name) {
            None => Ok(default),
            Some(Literal::Int(value)) if range.contains(value) => Ok(*value),
            Some(Literal::Int(value)) => Err(self.outside(name, value, range.start(), range.end())),
            Some(other) => Err(self.mistyped(name, "an integer", other)),
        }
    }

    /// A float within `range` (an integer is taken as one); `default` if it is not given.
    pub(super) fn float(&self, name: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64, Fault> {
        let value = match self.values.get(name) {
            None => return Ok(default),
            Some(Literal::Float(value)) => *value,
            Some(Literal::Int(value)) => *value as f64,
            Some(other) => return Err(self.mistyped(name, "a number", other)),
        };
        if range.contains(&value) {
            return Ok(value);
        }
        Err(self.outside(name, value, range.start(), range.end()))
    }

    /// A text, if it is given.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Literal::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.mistyped(name, "a text", other)),
        }
    }

    /// A list of texts; empty if it is not given.
    pub(super) fn texts(&self, name: &str) -> Result<&'a [String], Fault> {
        match self.values.get(name) {
            None => Ok(&[]),
            Some(Literal::Texts(texts)) => Ok(texts),
            Some(other) => Err(self.mistyped(name, "a list of texts", other)),
        }
    }

    fn outside(
        &self,
        name: &str,
        value: impl std::fmt::Display,
        low: impl std::fmt::Display,
        high: impl std::fmt::Display,
    ) -> Fault {
        let entry = self.entry;
        Fault::setup(format!("option '{name}' of {entry} is {value}; it must be between {low} and {high}"))
    }

    fn mistyped(&self, name: &str, expected: &str, found: &Literal) -> Fault {
        Fault::setup(format!("option '{name}' of {} must be {expected}, not {found:?}", self.entry))
    }
}
