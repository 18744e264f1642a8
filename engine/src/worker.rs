//! The thread that drives one worker's state machine.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use corn_core::message::{CoordinatorEvent, HandOver, Seat, WorkerAction, WorkerEvent};
use corn_core::{Ledger, Worker};
use corn_plan::ComponentId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::client::{Clients, Message};
use crate::clock::Clock;
use crate::executor::Command;
use crate::observe::Observer;

/// What a worker's thread reaches.
pub(crate) struct Driver {
    pub(crate) worker: Worker,
    pub(crate) clock: Clock,
    pub(crate) events: UnboundedReceiver<WorkerEvent>,
    pub(crate) peers: Vec<UnboundedSender<WorkerEvent>>,
    pub(crate) executors: BTreeMap<ComponentId, Sender<Command>>,
    pub(crate) coordinator: UnboundedSender<CoordinatorEvent>,
    pub(crate) clients: Clients,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) stop: tokio::sync::watch::Receiver<bool>,
}

impl Driver {
    /// Drives the worker until the engine stops.
    pub(crate) async fn drive(mut self) {
        let mut actions = Vec::new();
        loop {
            let deadline_us = self.worker.next_deadline_us();
            let event = tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => return,
                event = self.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                () = self.clock.wait_until(deadline_us) => WorkerEvent::Tick,
            };
            self.worker.handle(self.clock.now_us(), event, &mut actions);
            // Seen before anyone can hear that a replay has closed.
            *self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.worker.ledger();
            for action in actions.drain(..) {
                self.act(action);
            }
        }
    }

    fn act(&self, action: WorkerAction) {
        match action {
            WorkerAction::Start(component, call) => self.command(component, Command::Start(call)),
            WorkerAction::Feed(component, call, port, item) => {
                self.command(component, Command::Feed(call, port, item));
            }
            WorkerAction::End(component, call, port) => self.command(component, Command::End(call, port)),
            WorkerAction::Grant(component, call, port, count) => {
                self.command(component, Command::Grant(call, port, count));
            }
            WorkerAction::Abort(component, call) => self.command(component, Command::Abort(call)),
            WorkerAction::HandOver(worker, hand_over) => self.hand_over(worker, hand_over),
            WorkerAction::Output { request, stage, value, item } => {
                self.clients.send(request, Message::Output { worker: self.worker.id(), stage, value, item });
            }
            WorkerAction::Closed { request, stage, outcome } => {
                let _ = self.coordinator.send(CoordinatorEvent::Closed { request, stage, outcome });
            }
            // Workers that are threads of one process are never lost to each other.
            WorkerAction::Parted { .. } => {}
            WorkerAction::Trace(trace) => self.observer.call(&trace),
        }
    }

    fn command(&self, component: ComponentId, command: Command) {
        if let Some(executor) = self.executors.get(&component) {
            // The thread ends only with the engine.
            let _ = executor.send(command);
        }
    }

    fn hand_over(&self, to: Seat, hand_over: HandOver) {
        let _ = self.peers[to.worker.0 as usize].send(WorkerEvent::HandOver(hand_over));
    }
}
