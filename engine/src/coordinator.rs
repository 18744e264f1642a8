//! Drives the coordinator's state machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::Coordinator;
use corn_core::message::{CoordinatorAction, CoordinatorEvent, WorkerEvent};
use corn_plan::WorkerId;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::client::Clients;
use crate::clock::Clock;
use crate::observe::Observer;
use crate::ports::Ports;

/// What the coordinator's thread reaches.
pub(crate) struct Driver {
    pub(crate) coordinator: Arc<Mutex<Coordinator>>,
    pub(crate) clock: Clock,
    pub(crate) events: UnboundedReceiver<CoordinatorEvent>,
    pub(crate) ports: Ports,
    pub(crate) clients: Clients,
    pub(crate) observer: Arc<dyn Observer>,
    /// Is told of a worker that drains and has nothing under way any more.
    pub(crate) drained: Box<dyn Fn(WorkerId) + Send>,
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
            CoordinatorAction::PeerLost { worker, peer } => {
                self.ports.send(worker, WorkerEvent::PeerLost(peer));
            }
            CoordinatorAction::Drained(worker) => (self.drained)(worker),
            CoordinatorAction::Failed(request, fault) => self.clients.fail(request, fault),
            CoordinatorAction::Again(request) => {
                // Unless the client has got a first piece while this was decided: the coordinator hears of that
                // next, and fails the request.
                self.clients.again(request);
            }
            // Its channel closes, and so the answer ends.
            CoordinatorAction::Finished(request) => {
                self.observer.finished(request);
                self.clients.remove(request);
            }
            // Whoever holds the worker's connection sees that its port is closed, and ends it.
            CoordinatorAction::Eject(seat) => self.ports.close(seat),
        }
    }
}
