//! A worker's process: the engine's state machine, its executors, and whether it runs at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corn_core::Worker;
use corn_core::executor::{Executor, Report, Turn};
use corn_core::message::Seat;
use corn_plan::{Component, ComponentId};

use crate::event::Event;

/// What an executor's turns take on simulated time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// To begin a call, or all that begin in one batch.
    pub call_us: u64,
    /// To make an item.
    pub item_us: u64,
    /// To go on with a call without making an item, such as reading on.
    pub step_us: u64,
}

/// A component, loaded.
pub struct Loaded {
    /// What runs it.
    pub executor: Box<dyn Executor>,
    /// What its turns take.
    pub cost: Cost,
}

/// Loads components, as often as a worker's process starts.
pub type Loader = Arc<dyn Fn(&Component) -> Loaded + Send + Sync>;

/// A worker's process.
#[derive(Default)]
pub(crate) struct Process {
    /// How often it was started or killed: what was to happen to it before does not.
    pub(crate) incarnation: u32,
    pub(crate) is_up: bool,
    pub(crate) is_paused: bool,
    /// What happens to it while it is paused.
    pub(crate) backlog: VecDeque<Event>,
    /// Its life, while it is connected.
    pub(crate) seat: Option<Seat>,
    pub(crate) worker: Option<Worker>,
    pub(crate) executors: BTreeMap<ComponentId, Running>,
    /// What its executors have worked, in whatever life, by component.
    pub(crate) busy_us: BTreeMap<ComponentId, u64>,
    /// How many calls each of their batches had, likewise.
    pub(crate) batches: BTreeMap<ComponentId, Vec<u32>>,
    /// How many times as long its turns take.
    pub(crate) slowness: u64,
    pub(crate) tick_us: Option<u64>,
    /// When the coordinator heard that its present life is ready.
    pub(crate) joined_us: Option<u64>,
    /// Until when something is or was wrong with it.
    pub(crate) disturbed_us: u64,
    pub(crate) is_draining: bool,
}

/// An executor of a process.
pub(crate) struct Running {
    pub(crate) executor: Box<dyn Executor>,
    pub(crate) cost: Cost,
    /// When its next turn begins, which is among the events then.
    pub(crate) due_us: Option<u64>,
    /// When its present turn is over.
    pub(crate) free_us: u64,
    /// Calls that have not had a turn yet.
    pub(crate) begun: u64,
}

impl Running {
    /// What a turn took that ended in `turn` and made `reports`. One that only waits works on nothing.
    pub(crate) fn work_us(&mut self, turn: Turn, reports: &[Report]) -> u64 {
        if turn != Turn::Busy {
            return 0;
        }
        let is_batch = reports.iter().any(|report| matches!(report, Report::Batch { .. }));
        let begun = std::mem::take(&mut self.begun);
        let begun = if is_batch { 1 } else { begun };
        let items = reports.iter().filter(|report| matches!(report, Report::Emitted { .. })).count() as u64;
        let step_us = if items == 0 { self.cost.step_us } else { 0 };
        begun * self.cost.call_us + items * self.cost.item_us + step_us
    }
}

impl Process {
    /// The process is gone, and with it all that it held.
    pub(crate) fn die(&mut self) {
        self.incarnation += 1;
        self.is_up = false;
        self.is_paused = false;
        self.backlog.clear();
        self.seat = None;
        self.worker = None;
        self.executors.clear();
        self.slowness = 1;
        self.tick_us = None;
        self.joined_us = None;
        self.is_draining = false;
    }
}
