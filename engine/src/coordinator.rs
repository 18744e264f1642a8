//! Drives the coordinator's state machine.
//!
//! Where everything is in one process, whoever has something to tell the coordinator moves it on its own thread, so
//! that no thread has to wake for that. In front of worker processes, the thread of their connections does, since what
//! follows goes out over these.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::message::{CoordinatorAction, CoordinatorEvent, WorkerEvent};
use corn_core::{Coordinator, Fault};
use corn_plan::WorkerId;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::client::Clients;
use crate::clock::Clock;
use crate::observe::Observer;
use crate::ports::Ports;

/// The coordinator, and what it reaches.
pub(crate) struct Desk {
    pub(crate) ports: Ports,
    pub(crate) clients: Clients,
    pub(crate) clock: Clock,
    observer: Arc<dyn Observer>,
    /// Is told of a worker that drains and has nothing under way any more.
    drained: Box<dyn Fn(WorkerId) + Send + Sync>,
    state: Mutex<State>,
    /// Its timer has to look again.
    sooner: Notify,
    /// Nothing is under way any more.
    emptied: Notify,
}

struct State {
    coordinator: Coordinator,
    actions: Vec<CoordinatorAction>,
    /// When the timer will tick, as far as it knows.
    tick_us: Option<u64>,
}

/// Who moves the coordinator when there is something to tell it.
#[derive(Clone)]
pub(crate) enum Told {
    /// Whoever tells.
    Here(Arc<Desk>),
    /// [`Desk::hear_all`], elsewhere.
    There(UnboundedSender<CoordinatorEvent>),
}

impl Told {
    pub(crate) fn tell(&self, event: CoordinatorEvent) {
        match self {
            Self::Here(desk) => desk.hear(event),
            // When nobody listens any more, everything has ended.
            Self::There(events) => drop(events.send(event)),
        }
    }
}

impl Desk {
    pub(crate) fn new(
        coordinator: Coordinator,
        workers: usize,
        observer: Arc<dyn Observer>,
        drained: impl Fn(WorkerId) + Send + Sync + 'static,
    ) -> Self {
        Self {
            ports: Ports::new(workers),
            clients: Clients::default(),
            clock: Clock::new(),
            observer,
            drained: Box::new(drained),
            state: Mutex::new(State { coordinator, actions: Vec::new(), tick_us: None }),
            sooner: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// What `ask` wants to know of the coordinator, or tells it without anything that follows.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&mut Coordinator) -> T) -> T {
        ask(&mut self.lock().coordinator)
    }

    /// Moves the coordinator by `event`, and does what follows before anybody else moves it.
    pub(crate) fn hear(&self, event: CoordinatorEvent) {
        let mut state = self.lock();
        let State { coordinator, actions, tick_us } = &mut *state;
        let moved = catch_unwind(AssertUnwindSafe(|| {
            coordinator.handle(self.clock.now_us(), event, actions);
            actions.drain(..).for_each(|action| self.act(action));
            coordinator.next_deadline_us()
        }));
        if is_empty(coordinator) {
            self.emptied.notify_waiters();
        }
        match moved {
            Ok(Some(due_us)) if tick_us.is_none_or(|tick_us| due_us < tick_us) => {
                *tick_us = Some(due_us);
                self.sooner.notify_one();
            }
            Ok(_) => {}
            // A bug of ours. Its requests would never end; so they fail, now and from now on.
            Err(_) => {
                self.clients.close(&Fault::component("the coordinator panicked, which is a bug of corn"));
            }
        }
    }

    /// Ends when no request is under way, nor waits.
    pub(crate) async fn idle(&self) {
        loop {
            let emptied = self.emptied.notified();
            // Clients are known from when they ask on, also before the coordinator hears of it.
            if self.ask(|coordinator| is_empty(coordinator)) && self.clients.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Hears `events` until nobody can send any more, and tells the time. What has been said is heard before time passes.
    pub(crate) async fn hear_all(&self, mut events: UnboundedReceiver<CoordinatorEvent>) {
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                () = self.tick() => {}
            }
        }
    }

    /// Tells the coordinator the time, whenever it has to know, for ever.
    pub(crate) async fn tick_on(&self) {
        loop {
            self.tick().await;
        }
    }

    /// Waits until the coordinator has to know the time, and tells it; or until that is sooner.
    async fn tick(&self) {
        let due_us = {
            let mut state = self.lock();
            state.tick_us = state.coordinator.next_deadline_us();
            state.tick_us
        };
        tokio::select! {
            () = self.sooner.notified() => {}
            () = self.clock.wait_until(due_us) => self.hear(CoordinatorEvent::Tick),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

fn is_empty(coordinator: &Coordinator) -> bool {
    coordinator.in_flight() == 0 && coordinator.waiting() == 0
}
