//! The workers as the coordinator knows them: who lives in which epoch, who was heard of when, how much each has
//! under way, and which of them a new replay is given to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corn_plan::ids::Id;
use corn_plan::{Plan, StageId, WorkerId};

use crate::coordinator::beginnings::{Beginnings, Reading};
use crate::coordinator::intake::Part;
use crate::message::Seat;

/// How long a worker may be silent. An engine whose workers are threads of its own process has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After so long it gets no new replays until it is heard of again.
    pub suspect_us: u64,
    /// After so long it counts as lost. At least `suspect_us`.
    pub eject_us: u64,
    /// While a stage has had nobody for no longer than this, requests wait for someone to have it.
    pub wait_us: u64,
}

/// Often enough to reach the best choice for the few stages of a recording; a bound for the others.
const ROUNDS_OF_CHOICE: usize = 4;

/// What a worker that a request should keep away from costs: more than any load.
const AVOIDED: i64 = 1 << 40;

/// Bytes of text whose reading weighs as much as one replay under way: a thousand tokens or so. Small models on a
/// CPU read them in about the time in which they write an answer; large ones on a GPU read them in a fraction of
/// that, but write dozens of answers at once. As much as is looked at of what a request brings is then worth four
/// replays, and who is busier than that is passed over.
const REPLAY_BYTES: i64 = 4 << 10;

/// How long two workers whose link broke are not given stages that hand to each other, if others can have them. A
/// link that is back at once costs nothing by that; one that is not would end answers that have begun.
const APART_US: u64 = 2_000_000;

/// What is known of the workers.
#[derive(Debug)]
pub(super) struct Roster {
    patience: Option<Patience>,
    lives: Vec<Option<Life>>,
    /// The epoch that each worker's next life gets.
    next_epochs: Vec<u32>,
    /// The first epoch of each worker that is not over.
    open_epochs: Vec<u32>,
    /// Replays under way on each worker: the work that is expected of it.
    loads: Vec<u32>,
    /// When to look at a worker again, if it is not heard of before.
    watched: BTreeSet<(u64, WorkerId)>,
    /// Workers whose link broke, the lesser first, and until when they are kept apart.
    apart: BTreeMap<(WorkerId, WorkerId), u64>,
    /// How often each stage was given to someone, so that equal replicas take turns.
    turns: Vec<u64>,
    /// Of each stage that nobody would take, since when.
    lacking_since_us: Vec<Option<u64>>,
    /// What each has read.
    beginnings: Beginnings,
}

/// A worker that is ready.
#[derive(Debug)]
struct Life {
    epoch: u32,
    heard_us: u64,
    is_suspect: bool,
    is_draining: bool,
    /// Its entry in `watched`. May be earlier than needed: being heard of costs nothing that way.
    due_us: Option<u64>,
}

/// What silence comes to.
pub(super) enum Silence {
    /// It gets no new replays.
    Suspect,
    /// It is given up.
    Eject(Seat),
}

impl Roster {
    pub(super) fn new(plan: &Plan, patience: Option<Patience>) -> Self {
        let workers = plan.workers.len();
        Self {
            patience,
            lives: (0..workers).map(|_| None).collect(),
            next_epochs: vec![0; workers],
            open_epochs: vec![0; workers],
            loads: vec![0; workers],
            watched: BTreeSet::new(),
            apart: BTreeMap::new(),
            turns: vec![0; plan.stages.len()],
            lacking_since_us: vec![Some(0); plan.stages.len()],
            beginnings: Beginnings::default(),
        }
    }

    /// The seat of a worker's next life.
    pub(super) fn welcome(&mut self, worker: WorkerId, over: u32) -> Seat {
        let next = &mut self.next_epochs[worker.index()];
        let epoch = over.max(*next);
        *next = epoch + 1;
        Seat { worker, epoch }
    }

    /// The worker's life, if it is ready.
    pub(super) fn seat(&self, worker: WorkerId) -> Option<Seat> {
        self.lives[worker.index()].as_ref().map(|life| Seat { worker, epoch: life.epoch })
    }

    /// Every life that is ready.
    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> {
        (0..self.lives.len()).filter_map(|worker| self.seat(WorkerId::from_index(worker)))
    }

    pub(super) fn next_due_us(&self) -> Option<u64> {
        self.watched.first().map(|(due_us, _)| *due_us)
    }

    /// Whether a life may begin: it is none that is over, and none that has begun.
    pub(super) fn may_join(&self, seat: Seat) -> bool {
        let is_known = self.seat(seat.worker).is_some_and(|known| known.epoch >= seat.epoch);
        seat.epoch >= self.open_epochs[seat.worker.index()] && !is_known
    }

    /// A life begins; the one before has left.
    pub(super) fn join(&mut self, now_us: u64, seat: Seat) {
        let next = &mut self.next_epochs[seat.worker.index()];
        *next = (*next).max(seat.epoch + 1);
        self.lives[seat.worker.index()] = Some(Life {
            epoch: seat.epoch,
            heard_us: now_us,
            is_suspect: false,
            is_draining: false,
            due_us: None,
        });
        self.watch(seat.worker);
    }

    /// A life is over. False if it was not ready, or is over already.
    pub(super) fn leave(&mut self, seat: Seat) -> bool {
        let open = &mut self.open_epochs[seat.worker.index()];
        *open = (*open).max(seat.epoch + 1);
        let life = &mut self.lives[seat.worker.index()];
        let Some(gone) = life.take_if(|life| life.epoch == seat.epoch) else { return false };
        if let Some(due_us) = gone.due_us {
            self.watched.remove(&(due_us, seat.worker));
        }
        self.loads[seat.worker.index()] = 0;
        true
    }

    /// Whether it was suspect before.
    pub(super) fn heard(&mut self, now_us: u64, seat: Seat) -> bool {
        let Some(life) = self.lives[seat.worker.index()].as_mut().filter(|life| life.epoch == seat.epoch)
        else {
            return false;
        };
        life.heard_us = life.heard_us.max(now_us);
        let was_suspect = std::mem::replace(&mut life.is_suspect, false);
        if was_suspect {
            self.watch(seat.worker);
        }
        was_suspect
    }

    /// Puts a worker where it is looked at when its patience ends.
    fn watch(&mut self, worker: WorkerId) {
        let Some(patience) = self.patience else { return };
        let Some(life) = &mut self.lives[worker.index()] else { return };
        let wait_us = if life.is_suspect { patience.eject_us } else { patience.suspect_us };
        let due_us = life.heard_us.saturating_add(wait_us);
        if let Some(before_us) = life.due_us.replace(due_us) {
            self.watched.remove(&(before_us, worker));
        }
        self.watched.insert((due_us, worker));
    }

    /// The next thing that silence comes to by `now_us`.
    pub(super) fn silence(&mut self, now_us: u64) -> Option<Silence> {
        let patience = self.patience?;
        while let Some((due_us, worker)) = self.watched.first().copied()
            && due_us <= now_us
        {
            let Some(life) = &mut self.lives[worker.index()] else {
                unreachable!("who has left is not watched");
            };
            let silent_us = now_us.saturating_sub(life.heard_us);
            if silent_us >= patience.eject_us {
                return Some(Silence::Eject(Seat { worker, epoch: life.epoch }));
            }
            let was_suspect = life.is_suspect;
            life.is_suspect |= silent_us >= patience.suspect_us;
            let turned = life.is_suspect && !was_suspect;
            self.watch(worker);
            if turned {
                return Some(Silence::Suspect);
            }
        }
        None
    }

    /// The link between two workers broke.
    pub(super) fn part(&mut self, now_us: u64, one: WorkerId, other: WorkerId) {
        self.apart.retain(|_, until_us| *until_us > now_us);
        self.apart.insert((one.min(other), one.max(other)), now_us.saturating_add(APART_US));
    }

    fn are_apart(&self, now_us: u64, one: WorkerId, other: WorkerId) -> bool {
        let until_us = self.apart.get(&(one.min(other), one.max(other)));
        until_us.is_some_and(|until_us| *until_us > now_us)
    }

    /// The worker takes no new replays. Whether it is idle already.
    pub(super) fn drain(&mut self, worker: WorkerId) -> bool {
        let Some(life) = &mut self.lives[worker.index()] else { return true };
        life.is_draining = true;
        self.loads[worker.index()] == 0
    }

    fn is_draining(&self, worker: WorkerId) -> bool {
        self.lives[worker.index()].as_ref().is_some_and(|life| life.is_draining)
    }

    /// A replay is given to a worker.
    pub(super) fn load(&mut self, worker: WorkerId) {
        self.loads[worker.index()] += 1;
    }

    /// A replay on a worker is over. Whether it was the last of one that drains.
    pub(super) fn unload(&mut self, worker: WorkerId) -> bool {
        let load = &mut self.loads[worker.index()];
        *load -= 1;
        *load == 0 && self.is_draining(worker)
    }

    /// The replicas of a request have read what it brings.
    pub(super) fn note_read(&mut self, replicas: &[Seat], readings: &[Reading]) {
        for reading in readings {
            self.beginnings.note(replicas[reading.stage.index()], reading);
        }
    }

    /// How much each worker knows of what each stage is about to read. What a life that is over has read is forgotten.
    fn known_bytes(&self, readings: &[Reading]) -> BTreeMap<(StageId, WorkerId), i64> {
        let mut known_bytes = BTreeMap::new();
        for reading in readings {
            for (seat, bytes) in self.beginnings.known(reading) {
                if self.seat(seat.worker) == Some(seat) {
                    known_bytes.entry((reading.stage, seat.worker)).or_insert(bytes as i64);
                }
            }
        }
        known_bytes
    }

    fn is_available(&self, worker: WorkerId) -> bool {
        let life = self.lives[worker.index()].as_ref();
        life.is_some_and(|life| !life.is_suspect && !life.is_draining)
    }

    /// Who would take what has changed: keeps in mind since when nobody would take a stage.
    pub(super) fn note_lacking(&mut self, now_us: u64, plan: &Plan) {
        for (stage, known) in plan.stages.enumerate() {
            let is_lacking = !known.replicas.iter().any(|worker| self.is_available(*worker));
            let since_us = &mut self.lacking_since_us[stage.index()];
            *since_us = if is_lacking { Some(since_us.unwrap_or(now_us)) } else { None };
        }
    }

    /// Until when requests wait for someone to take `stage`, which nobody would now.
    pub(super) fn waits_until_us(&self, stage: StageId) -> u64 {
        let wait_us = self.patience.map_or(0, |patience| patience.wait_us);
        self.lacking_since_us[stage.index()].unwrap_or(0).saturating_add(wait_us)
    }

    /// The first stage of `parts` that nobody would take.
    pub(super) fn lacking(&self, plan: &Plan, parts: &[Part]) -> Option<StageId> {
        let stages = parts.iter().map(|part| part.stage);
        stages
            .into_iter()
            .find(|stage| !plan.stages[*stage].replicas.iter().any(|worker| self.is_available(*worker)))
    }

    /// A worker for each stage of a recording, chosen together: little under way on each of them, few hand-overs
    /// between workers, one of which weighs as much as one replay under way, and much of `readings` known where it
    /// is read, by [`REPLAY_BYTES`]. Workers in `avoided`, and two that are kept apart, are taken only if there is no
    /// other. Stages that take no part get their first replica, which nobody asks.
    ///
    /// Each stage in turn takes what is best for it as the others are, until none moves. That is not always the
    /// least of all costs, but it is never worse than choosing each for itself, and it takes microseconds.
    pub(super) fn choose(
        &mut self,
        now_us: u64,
        plan: &Plan,
        parts: &[Part],
        readings: &[Reading],
        avoided: &[WorkerId],
    ) -> Result<Arc<[Seat]>, StageId> {
        if let Some(stage) = self.lacking(plan, parts) {
            return Err(stage);
        }
        let known = self.known_bytes(readings);
        let mut chosen: Vec<Option<WorkerId>> = vec![None; plan.stages.len()];
        for _ in 0..ROUNDS_OF_CHOICE {
            let mut moved = false;
            for part in parts {
                let best = self.best(now_us, plan, part, &chosen, &known, avoided);
                moved |= chosen[part.stage.index()].replace(best) != Some(best);
            }
            if !moved {
                break;
            }
        }
        for part in parts {
            self.turns[part.stage.index()] += 1;
        }
        let seats = plan.stages.enumerate().map(|(stage, known)| {
            let worker = chosen[stage.index()].unwrap_or(known.replicas[0]);
            self.seat(worker).unwrap_or(Seat { worker, epoch: 0 })
        });
        Ok(seats.collect())
    }

    fn best(
        &self,
        now_us: u64,
        plan: &Plan,
        part: &Part,
        chosen: &[Option<WorkerId>],
        known: &BTreeMap<(StageId, WorkerId), i64>,
        avoided: &[WorkerId],
    ) -> WorkerId {
        let replicas = plan.stages[part.stage].replicas.iter().copied();
        let available: Vec<WorkerId> = replicas.filter(|worker| self.is_available(*worker)).collect();
        let turn = (self.turns[part.stage.index()] % available.len().max(1) as u64) as usize;
        let in_turn = available[turn..].iter().chain(&available[..turn]).copied();
        let cost = |worker: &WorkerId| {
            let elsewhere = || {
                let peers = part.peers.iter().filter_map(|peer| chosen[peer.index()]);
                peers.filter(|at| at != worker)
            };
            let changes = elsewhere().count() as i64;
            let is_apart = || elsewhere().any(|at| self.are_apart(now_us, at, *worker));
            let is_avoided = avoided.contains(worker) || (!self.apart.is_empty() && is_apart());
            let penalty = if is_avoided { AVOIDED } else { 0 };
            let known_bytes = known.get(&(part.stage, *worker)).copied().unwrap_or(0);
            let cost =
                (i64::from(self.loads[worker.index()]) + changes) * REPLAY_BYTES - known_bytes + penalty;
            // Of what costs the same, that with fewer changes, and then who stays rather than moves.
            (cost, changes, Reverse(chosen[part.stage.index()] == Some(*worker)))
        };
        in_turn.min_by_key(cost).expect("a stage that nobody would take was found before")
    }
}
