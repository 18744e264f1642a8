//! Drives the coordinator's state machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::message::{CoordinatorAction, CoordinatorEvent, Seat, WorkerEvent};
use corn_core::{Blame, Coordinator, Fault};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::client::Clients;
use crate::clock::Clock;
use crate::ports::Ports;

/// What the coordinator's thread reaches.
pub(crate) struct Driver {
    pub(crate) coordinator: Arc<Mutex<Coordinator>>,
    pub(crate) clock: Clock,
    pub(crate) events: UnboundedReceiver<CoordinatorEvent>,
    /// To itself.
    pub(crate) back: UnboundedSender<CoordinatorEvent>,
    pub(crate) ports: Ports,
    pub(crate) clients: Clients,
}

impl Driver {
    /// Drives the coordinator until `stop` ends.
    pub(crate) async fn drive(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut actions = Vec::new();
        loop {
            let deadline_us = self.lock().next_deadline_us();
            let event = tokio::select! {
                biased;
                () = &mut stop => return,
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

    fn lock(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, action: CoordinatorAction) {
        match action {
            CoordinatorAction::Open { worker, header, stage, inputs } => {
                self.ports.send(worker, WorkerEvent::Open { header, stage, inputs });
            }
            CoordinatorAction::Cancel { worker, request, stage, fault } => {
                self.ports.send(worker, WorkerEvent::Cancel { request, stage, fault });
            }
            CoordinatorAction::Failed(request, fault) => self.clients.fail(request, fault),
            CoordinatorAction::Again(request) => {
                // The client may have got the first piece while this was decided.
                if !self.clients.again(request) {
                    let message = "a worker was lost after the first of the answer had been sent; ask again";
                    self.clients.fail(request, Fault::new(Blame::Lost, message));
                    let _ = self.back.send(CoordinatorEvent::Cancel(request));
                }
            }
            // Its channel closes, and so the answer ends.
            CoordinatorAction::Finished(request) => self.clients.remove(request),
            // Whoever holds the worker's connection sees that its port is closed, and ends it.
            CoordinatorAction::Eject(seat) => self.lose(seat),
        }
    }

    fn lose(&self, seat: Seat) {
        self.ports.close(seat);
        for other in self.ports.seats() {
            self.ports.send(other, WorkerEvent::PeerLost(seat));
        }
    }
}
