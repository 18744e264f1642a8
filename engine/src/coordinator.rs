//! The task that drives the coordinator's state machine.

use std::sync::{Arc, Mutex, PoisonError};

use corn_core::Coordinator;
use corn_core::message::{CoordinatorAction, CoordinatorEvent, Seat, WorkerEvent};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::client::Clients;
use crate::clock::Clock;

/// What the coordinator's thread reaches.
pub(crate) struct Driver {
    pub(crate) coordinator: Arc<Mutex<Coordinator>>,
    pub(crate) clock: Clock,
    pub(crate) events: UnboundedReceiver<CoordinatorEvent>,
    pub(crate) workers: Vec<UnboundedSender<WorkerEvent>>,
    pub(crate) clients: Clients,
    pub(crate) stop: tokio::sync::watch::Receiver<bool>,
}

impl Driver {
    /// Drives the coordinator until the engine stops.
    pub(crate) async fn drive(mut self) {
        let mut actions = Vec::new();
        loop {
            let deadline_us = self.lock().next_deadline_us();
            let event = tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => return,
                event = self.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                () = self.clock.wait_until(deadline_us) => CoordinatorEvent::Tick,
            };
            self.lock().handle(self.clock.now_us(), event, &mut actions);
            for action in actions.drain(..) {
                self.act(action);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Coordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, action: CoordinatorAction) {
        let send = |to: Seat, event| {
            let _ = self.workers[to.worker.0 as usize].send(event);
        };
        match action {
            CoordinatorAction::Open { worker, header, stage, inputs } => {
                send(worker, WorkerEvent::Open { header, stage, inputs });
            }
            CoordinatorAction::Cancel { worker, request, stage, fault } => {
                send(worker, WorkerEvent::Cancel { request, stage, fault });
            }
            // Workers that are threads of this process are never lost.
            CoordinatorAction::Again(_)
            | CoordinatorAction::Eject(_)
            | CoordinatorAction::PeerLost { .. }
            | CoordinatorAction::Drained(_) => {}
            CoordinatorAction::Failed(request, fault) => self.clients.fail(request, fault),
            // Its channel closes, and so the answer ends.
            CoordinatorAction::Finished(request) => self.clients.remove(request),
        }
    }
}
