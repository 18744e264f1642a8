//! Requests that wait for a worker to come back: nobody who is ready has one of the components that they need.
//!
//! Each waits until a time; they hold no place of the admission, for nothing of them is open on any worker.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::RecordingId;

use crate::coordinator::intake::Ask;

/// The requests that wait, by their number.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    stalls: BTreeMap<u64, Stall>,
    due: BTreeSet<(u64, u64)>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) ask: Ask,
    /// Its share of the admission.
    pub(super) share: usize,
    /// Until when.
    pub(super) until_us: u64,
}

impl Stalled {
    pub(super) fn len(&self) -> usize {
        self.stalls.len()
    }

    /// Those of one share.
    pub(super) fn len_of(&self, share: usize) -> usize {
        self.stalls.values().filter(|stall| stall.share == share).count()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.stalls.contains_key(&number)
    }

    pub(super) fn push(&mut self, stall: Stall) {
        let number = stall.ask.request.number;
        self.due.insert((stall.until_us, number));
        self.stalls.insert(number, stall);
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Stall> {
        let stall = self.stalls.remove(&number)?;
        self.due.remove(&(stall.until_us, number));
        Some(stall)
    }

    /// Takes out every request for a recording that `is_ready`.
    pub(super) fn remove_ready(&mut self, is_ready: impl Fn(RecordingId) -> bool) -> Vec<Stall> {
        let ready = self.stalls.iter().filter(|(_, stall)| is_ready(stall.ask.recording));
        let numbers: Vec<u64> = ready.map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Takes out one that has waited until its time.
    pub(super) fn remove_due(&mut self, now_us: u64) -> Option<Stall> {
        let (until_us, number) = self.due.first().copied()?;
        if until_us <= now_us { self.remove(number) } else { None }
    }

    pub(super) fn next_due_us(&self) -> Option<u64> {
        self.due.first().map(|(until_us, _)| *until_us)
    }
}
