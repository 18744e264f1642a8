//! Who has read what begins how.
//!
//! A component that remembers keeps what it has read, so what begins like something before is answered sooner where
//! that was read: the next turn of a conversation, and what begins with the same long instructions. Replicas say
//! nothing of what they keep. It is guessed from what each was given to read last, and a wrong guess costs no more than
//! being warm is worth.
//!
//! What a stage is about to read is cut into pieces, one for each text of it, and more where a text is long. The hash of
//! a piece and of all before it stands for what begins so far.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use corn_plan::{StageId, ValueId};
use foldhash::fast::FixedState;

use crate::coordinator::intake::Part;
use crate::datum::{Datum, Message, Part as Said, Role};
use crate::message::Seat;

/// Where a long text is cut.
const PIECE_BYTES: usize = 512;

/// Pieces that are looked at, so that admitting a book costs a few µs: 16 KiB at most.
const PIECES: usize = 32;

/// Beginnings that are remembered: more than the replicas of any cluster keep conversations. They stand in sets by
/// their hash, in each of which the one that was read least recently gives way.
const SETS: usize = 1 << 10;
const SET: usize = 16;

/// Replicas of which it is known that they have read the same; the last ones. Many have read what is popular, and then
/// it matters less who else has.
const READERS: usize = 8;

/// What a stage is about to read, as far as it is looked at.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stage: StageId,
    beginnings: Vec<Beginning>,
    /// Of all of them.
    bytes: usize,
}

/// What comes before some place.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    hash: u64,
    /// How far who has read this is known to have come, at least to that place.
    bytes: usize,
}

impl Reading {
    fn new(stage: StageId) -> Self {
        Self { stage, beginnings: Vec::new(), bytes: 0 }
    }

    /// Goes on with `datum`. False if nothing after it is looked at.
    fn read(&mut self, datum: &Datum) -> bool {
        match datum {
            Datum::Text(text) => self.text(Role::User, text),
            Datum::Messages(conversation) => {
                conversation.messages.iter().all(|message| self.message(message))
            }
            _ => false,
        }
    }

    fn message(&mut self, message: &Message) -> bool {
        let question = self.beginnings.len().checked_sub(1);
        // Of media only the marks are here, which are all alike.
        let is_whole = message.parts.iter().all(|part| match part {
            Said::Text(text) => self.text(message.role, text),
            Said::Media(_) => false,
        });
        // Whoever has read a question has written the answer to it.
        if let Some(question) = question.filter(|_| message.role == Role::Assistant) {
            self.beginnings[question].bytes = self.bytes;
        }
        is_whole
    }

    fn text(&mut self, role: Role, text: &str) -> bool {
        for piece in text.as_bytes().chunks(PIECE_BYTES) {
            if self.beginnings.len() == PIECES {
                return false;
            }
            let before = self.beginnings.last().map_or(0, |before| before.hash);
            let hash = FixedState::default().hash_one((self.stage, before, role.name(), piece));
            self.bytes += piece.len();
            self.beginnings.push(Beginning { hash, bytes: self.bytes });
        }
        true
    }
}

/// What the stages of `parts` are about to read of what a request brings, those that remember it.
pub(super) fn readings(parts: &[Part], inputs: &BTreeMap<ValueId, Datum>) -> Vec<Reading> {
    let remembering = parts.iter().filter(|part| !part.remembered.is_empty());
    let reading = |part: &Part| {
        let mut reading = Reading::new(part.stage);
        for datum in part.remembered.iter().filter_map(|value| inputs.get(value)) {
            if !reading.read(datum) {
                break;
            }
        }
        reading
    };
    remembering.map(reading).collect()
}

/// What was read last.
#[derive(Debug)]
pub(super) struct Beginnings {
    /// In each set, the one that was read last comes last.
    sets: Vec<Vec<Known>>,
}

/// A beginning that somebody has read.
#[derive(Debug)]
struct Known {
    hash: u64,
    /// Who has; who did last comes last.
    readers: Vec<Seat>,
}

impl Default for Beginnings {
    fn default() -> Self {
        Self { sets: (0..SETS).map(|_| Vec::new()).collect() }
    }
}

impl Beginnings {
    /// `seat` has read all of `reading`.
    pub(super) fn note(&mut self, seat: Seat, reading: &Reading) {
        for Beginning { hash, .. } in &reading.beginnings {
            let set = &mut self.sets[*hash as usize % SETS];
            let known = set.iter().position(|known| known.hash == *hash);
            let mut known = match known {
                Some(place) => set.remove(place),
                None => Known { hash: *hash, readers: Vec::new() },
            };
            known.readers.retain(|reader| reader.worker != seat.worker);
            if known.readers.len() == READERS {
                known.readers.remove(0);
            }
            known.readers.push(seat);
            if set.len() == SET {
                set.remove(0);
            }
            set.push(known);
        }
    }

    /// Who has read beginnings of `reading`, the longest first, and how far each of them goes.
    pub(super) fn known(&self, reading: &Reading) -> impl Iterator<Item = (Seat, usize)> {
        reading.beginnings.iter().rev().flat_map(|Beginning { hash, bytes }| {
            let set = &self.sets[*hash as usize % SETS];
            let readers =
                set.iter().find(|known| known.hash == *hash).map_or(&[][..], |known| &known.readers);
            readers.iter().map(|reader| (*reader, *bytes))
        })
    }
}
