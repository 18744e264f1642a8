//! What is refused of settings, gathered, so that a client can mend all of it in one go.

use serde_json::{Map, Value};

use crate::http::refusal::Refusal;
use crate::http::talk::unknown;

/// Most that is named: a person mends so many, and a message has an end.
pub(super) const MOST: usize = 32;

/// Everything that is refused, in the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Refused {
    named: Vec<Refusal>,
    /// There are others.
    has_more: bool,
}

impl Refused {
    pub(super) fn add(&mut self, refusal: Refusal) {
        if self.named.len() < MOST {
            self.named.push(refusal);
        } else {
            self.has_more = true;
        }
    }

    /// What was read, if it is not refused.
    pub(super) fn ok<T>(&mut self, read: Result<T, Refusal>) -> Option<T> {
        read.map_err(|refusal| self.add(refusal)).ok()
    }

    /// Refuses what nothing has taken.
    pub(super) fn rest(&mut self, at: &str, said: Map<String, Value>) {
        for (name, _) in said.into_iter().filter(|(_, value)| !value.is_null()) {
            self.add(unknown(at, &name));
        }
    }

    /// Refuses at `at` each of what is wrong when it is said `alone`; or else what is wrong with the `whole` of it.
    pub(super) fn each(&mut self, at: &str, alone: impl Iterator<Item = Refusal>, whole: Refusal) {
        let mut alone = alone.peekable();
        if alone.peek().is_none() {
            self.add(whole.within(at));
        }
        for refusal in alone {
            self.add(refusal.within(at));
        }
    }

    /// All of it as one, if there is any.
    pub(super) fn end(self) -> Result<(), Refusal> {
        let Some(refusal) = Refusal::together(self.named) else { return Ok(()) };
        Err(if self.has_more { refusal.and("and others") } else { refusal })
    }
}
