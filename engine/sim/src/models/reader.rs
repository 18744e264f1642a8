//! A model that reads a text before it answers, and remembers what it has read.

use std::collections::VecDeque;
use std::sync::Arc;

use corn_core::executor::{CallInput, Io, Model, Step};
use corn_core::{Datum, Fault};

use super::{text, whole};

/// What is read in one step.
const STEP_BYTES: usize = 256;

/// Texts that are kept.
const KEPT: usize = 32;

/// Words of an answer.
const WORDS: u32 = 8;

/// Answers each text with as many words. What of a text is in the beginning of one that it has answered before, it does
/// not read again.
#[derive(Default)]
pub(super) struct Reader {
    kept: VecDeque<Arc<str>>,
}

pub(super) struct Session {
    text: Arc<str>,
    unread_bytes: usize,
    left: u32,
}

impl Model for Reader {
    type Session = Session;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Session, Fault> {
        let text: Arc<str> = text(whole(&inputs[0])).into();
        let alike = |kept: &Arc<str>| {
            let pairs = text.as_bytes().chunks(STEP_BYTES).zip(kept.as_bytes().chunks(STEP_BYTES));
            pairs.take_while(|(one, other)| one == other).map(|(one, _)| one.len()).sum::<usize>()
        };
        let known_bytes = self.kept.iter().map(alike).max().unwrap_or(0);
        Ok(Session { unread_bytes: text.len() - known_bytes, text, left: WORDS })
    }

    fn step(&mut self, session: &mut Session, io: &mut dyn Io) -> Result<Step, Fault> {
        if session.unread_bytes > 0 {
            session.unread_bytes = session.unread_bytes.saturating_sub(STEP_BYTES);
            return Ok(Step::More);
        }
        if session.left > 0 {
            if !io.has_room(0) {
                return Ok(Step::Wait);
            }
            io.emit(0, Datum::text("word "));
            session.left -= 1;
            return Ok(Step::More);
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&session.text));
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}
