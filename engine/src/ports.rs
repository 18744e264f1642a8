//! How the workers of a plan are reached: a sender for each, while it lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::message::{Seat, WorkerEvent};
use corn_plan::WorkerId;
use tokio::sync::mpsc::UnboundedSender;

/// Where each worker hears. What is said to a life that is over reaches nobody.
#[derive(Clone)]
pub(crate) struct Ports {
    open: Arc<[Mutex<Option<Port>>]>,
}

struct Port {
    epoch: u32,
    to: UnboundedSender<WorkerEvent>,
}

impl Ports {
    /// For `workers` workers, none of which lives yet.
    pub(crate) fn new(workers: usize) -> Self {
        Self { open: (0..workers).map(|_| Mutex::default()).collect() }
    }

    pub(crate) fn open(&self, seat: Seat, to: UnboundedSender<WorkerEvent>) {
        *self.lock(seat.worker) = Some(Port { epoch: seat.epoch, to });
    }

    /// Nothing more is said to `seat`.
    pub(crate) fn close(&self, seat: Seat) {
        let mut port = self.lock(seat.worker);
        if port.as_ref().is_some_and(|port| port.epoch == seat.epoch) {
            *port = None;
        }
    }

    pub(crate) fn send(&self, seat: Seat, event: WorkerEvent) {
        if let Some(port) = self.lock(seat.worker).as_ref()
            && port.epoch == seat.epoch
        {
            // A worker that has just gone is reported lost by whoever held it.
            let _ = port.to.send(event);
        }
    }

    fn lock(&self, worker: WorkerId) -> MutexGuard<'_, Option<Port>> {
        self.open[worker.0 as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
