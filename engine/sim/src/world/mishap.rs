//! What goes wrong.

use corn_core::message::CoordinatorEvent;
use corn_plan::WorkerId;
use corn_plan::ids::Id;

use crate::event::Event;
use crate::network::{Party, Place};
use crate::world::Simulation;

/// Something that goes wrong, or that an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// A worker's process dies, and another one starts.
    Kill {
        /// The worker.
        worker: WorkerId,
        /// After how long it starts again, if it does.
        back_us: Option<u64>,
    },
    /// A worker's host vanishes: no connection says so. What is sent to it is lost, and only its silence shows.
    Vanish {
        /// The worker.
        worker: WorkerId,
        /// After how long it starts again.
        back_us: u64,
    },
    /// A worker's process stands still: it hears nothing and says nothing, then it hears everything at once.
    Pause {
        /// The worker.
        worker: WorkerId,
        /// For how long.
        for_us: u64,
    },
    /// The coordinator's process stands still, and then hears all that has come before it looks at the time.
    PauseCoordinator {
        /// For how long.
        for_us: u64,
    },
    /// The connections between two break. They can connect again at once.
    Break(Party, Party),
    /// Two cannot reach each other.
    Cut {
        /// One of them.
        one: Party,
        /// The other.
        other: Party,
        /// For how long.
        for_us: u64,
    },
    /// A worker's executors are slow.
    Slow {
        /// The worker.
        worker: WorkerId,
        /// How many times as long their turns take.
        times: u64,
        /// For how long.
        for_us: u64,
    },
    /// An operator replaces a worker: it takes nothing new, and when it is idle its process is replaced.
    Drain(WorkerId),
}

/// When whoever had a connection to a host that vanished notices by itself: long after all else is over.
const UNNOTICED_US: u64 = 1_000_000_000;

impl Simulation {
    pub(super) fn go_wrong(&mut self, mishap: Mishap) {
        self.log.add(self.now_us, || format!("MISHAP {mishap:?}"));
        match mishap {
            Mishap::Kill { worker, back_us } => self.kill(worker, back_us, self.settings.notice_us),
            Mishap::Vanish { worker, back_us } => self.kill(worker, Some(back_us), UNNOTICED_US),
            Mishap::Pause { worker, for_us } => {
                let until_us = self.now_us + for_us;
                let process = &mut self.processes[worker.index()];
                process.disturbed_us = process.disturbed_us.max(until_us);
                if process.is_up && !std::mem::replace(&mut process.is_paused, true) {
                    let incarnation = process.incarnation;
                    self.at(until_us, Event::Resume { worker, incarnation });
                }
            }
            Mishap::PauseCoordinator { for_us } => {
                let until_us = self.now_us + for_us;
                self.all_disturbed_us = self.all_disturbed_us.max(until_us);
                if !std::mem::replace(&mut self.is_paused, true) {
                    self.at(until_us, Event::ResumeCoordinator);
                }
            }
            Mishap::Break(one, other) => self.break_between(one, other, 0),
            Mishap::Cut { one, other, for_us } => {
                self.links.cut(one, other);
                self.break_between(one, other, for_us);
                self.after(for_us, Event::Heal(one, other));
            }
            Mishap::Slow { worker, times, for_us } => {
                let process = &mut self.processes[worker.index()];
                process.slowness = times.max(1);
                let incarnation = process.incarnation;
                self.after(for_us, Event::Hasten { worker, incarnation });
            }
            Mishap::Drain(worker) => {
                if self.processes[worker.index()].joined_us.is_some() {
                    self.processes[worker.index()].is_draining = true;
                    self.coordinator_hears(CoordinatorEvent::Drain(worker));
                }
            }
        }
    }

    fn kill(&mut self, worker: WorkerId, back_us: Option<u64>, notice_us: u64) {
        let process = &mut self.processes[worker.index()];
        if !process.is_up {
            return;
        }
        let seat = process.seat;
        process.die();
        process.disturbed_us = process.disturbed_us.max(self.now_us + back_us.unwrap_or(0));
        if let Some(here) = seat.map(Place::Worker) {
            for pair in self.links.whole(|pair| pair.has(here)) {
                self.break_link(pair, Some(here), notice_us);
            }
        }
        if let Some(back_us) = back_us {
            self.after(back_us, Event::Start { worker });
        }
    }

    /// A worker that was drained is idle: another process takes its place.
    pub(super) fn replace(&mut self, worker: WorkerId) {
        self.log.add(self.now_us, || format!("{worker} is idle"));
        if self.processes[worker.index()].is_draining {
            self.kill(worker, Some(1_000), self.settings.notice_us);
        }
    }

    fn break_between(&mut self, one: Party, other: Party, for_us: u64) {
        for party in [one, other] {
            if let Party::Worker(worker) = party {
                let process = &mut self.processes[worker.index()];
                process.disturbed_us = process.disturbed_us.max(self.now_us + for_us);
            }
        }
        let joins = |place: Place, other_place: Place| place.party() == one && other_place.party() == other;
        for pair in self.links.whole(|pair| joins(pair.0, pair.1) || joins(pair.1, pair.0)) {
            self.break_link(pair, None, self.settings.notice_us);
        }
    }

    pub(super) fn resume_coordinator(&mut self) {
        self.is_paused = false;
        self.log.add(self.now_us, || "the coordinator goes on".to_owned());
        while let Some(event) = self.backlog.pop_front() {
            self.happen(event);
        }
        self.coordinator_tick_us = Some(self.now_us);
        self.happen(Event::CoordinatorTick);
    }

    pub(super) fn resume(&mut self, worker: WorkerId, incarnation: u32) {
        let process = &mut self.processes[worker.index()];
        if process.incarnation != incarnation {
            return;
        }
        process.is_paused = false;
        self.log.add(self.now_us, || format!("{worker} goes on"));
        while let Some(event) = self.processes[worker.index()].backlog.pop_front() {
            self.happen(event);
        }
    }
}
