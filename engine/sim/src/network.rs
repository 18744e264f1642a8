//! Connections: how long what is sent takes, and what of it is lost when one breaks.
//!
//! A connection keeps order and loses nothing while it lives. When it breaks, each direction loses what was sent
//! last: everything that would arrive after a moment that chance decides. Each end notices in its own time, and
//! what it sends before that is lost as well.

use std::collections::{BTreeMap, BTreeSet};

use corn_core::message::Seat;
use corn_plan::WorkerId;

/// A kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// From the last byte sent to its arrival.
    pub latency_us: u64,
    /// Up to so much more, by chance.
    pub jitter_us: u64,
    /// Bytes sent in a µs.
    pub bytes_per_us: u64,
}

/// The connections of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Between workers of one host.
    pub near: Line,
    /// Between hosts, and between a worker and the coordinator.
    pub far: Line,
}

/// Someone who may be cut off from someone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The coordinator, and with it the clients.
    Coordinator,
    /// A worker, in whatever life.
    Worker(WorkerId),
}

/// An end of a connection. A worker's next life has connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Hub,
    Worker(Seat),
}

impl Place {
    pub(crate) fn party(self) -> Party {
        match self {
            Self::Hub => Party::Coordinator,
            Self::Worker(seat) => Party::Worker(seat.worker),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub => f.write_str("hub"),
            Self::Worker(seat) => write!(f, "{seat}"),
        }
    }
}

/// Two ends, the lesser first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair(pub(crate) Place, pub(crate) Place);

impl Pair {
    pub(crate) fn new(one: Place, other: Place) -> Self {
        Self(one.min(other), one.max(other))
    }

    /// Which of the two ends `place` is.
    pub(crate) fn side(self, place: Place) -> usize {
        usize::from(self.1 == place)
    }

    pub(crate) fn has(self, place: Place) -> bool {
        self.0 == place || self.1 == place
    }

    /// The other end.
    pub(crate) fn other(self, place: Place) -> Place {
        if self.0 == place { self.1 } else { self.0 }
    }
}

/// A connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// How often it was made again.
    pub(crate) generation: u64,
    pub(crate) is_broken: bool,
    /// Which ends know that it is broken.
    pub(crate) has_noticed: [bool; 2],
    /// What arrives later, by receiving end, is lost.
    pub(crate) lost_from_us: [u64; 2],
    /// When the line is free again, by receiving end.
    free_us: [u64; 2],
    /// When the last thing arrives, by receiving end.
    last_us: [u64; 2],
}

impl Link {
    /// When `bytes` that are sent now to end `side` arrive; `jitter_us` is chance's share.
    pub(crate) fn send(&mut self, now_us: u64, side: usize, bytes: u64, line: Line, jitter_us: u64) -> u64 {
        let sent_us = self.free_us[side].max(now_us) + bytes / line.bytes_per_us.max(1);
        self.free_us[side] = sent_us;
        let arrives_us = (sent_us + line.latency_us.max(1) + jitter_us).max(self.last_us[side]);
        self.last_us[side] = arrives_us;
        arrives_us
    }

    /// Whether what was sent in `generation` reaches end `side` now.
    pub(crate) fn reaches(&self, now_us: u64, generation: u64, side: usize) -> bool {
        let is_lost = self.is_broken && (now_us >= self.lost_from_us[side] || self.has_noticed[side]);
        self.generation == generation && !is_lost
    }

    /// Makes a broken connection again.
    pub(crate) fn renew(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }
}

/// Every connection, and who is cut off from whom.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) by_pair: BTreeMap<Pair, Link>,
    cuts: BTreeSet<(Party, Party)>,
}

impl Links {
    pub(crate) fn cut(&mut self, one: Party, other: Party) {
        self.cuts.insert((one.min(other), one.max(other)));
    }

    pub(crate) fn heal(&mut self, one: Party, other: Party) {
        self.cuts.remove(&(one.min(other), one.max(other)));
    }

    pub(crate) fn is_cut(&self, one: Party, other: Party) -> bool {
        self.cuts.contains(&(one.min(other), one.max(other)))
    }

    /// Connections that are not broken, of which `keep` is true.
    pub(crate) fn whole(&self, keep: impl Fn(Pair) -> bool) -> Vec<Pair> {
        let whole = self.by_pair.iter().filter(|(pair, link)| !link.is_broken && keep(**pair));
        whole.map(|(pair, _)| *pair).collect()
    }
}
