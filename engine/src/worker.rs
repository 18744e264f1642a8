//! Drives one worker's state machine, and those of its executors that are light enough to need no
//! thread of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use corn_core::executor::Usage;
use corn_core::message::{CallTrace, HandOver, RequestId, Seat, WorkerAction, WorkerEvent};
use corn_core::{Datum, Fault, Ledger, Worker};
use corn_plan::{ComponentId, StageId, ValueId};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::Clock;
use crate::executor::{Command, Runner};

/// Turns of light executors after which others on this thread are let on.
const TURNS_AT_ONCE: u32 = 64;

/// What a worker says to everybody else.
pub(crate) trait Outside {
    /// Hands something over to a stage on another worker, or on this one.
    fn hand_over(&mut self, to: Seat, hand_over: HandOver);
    /// Sends something of an answer to the client.
    fn output(&mut self, request: RequestId, stage: StageId, value: ValueId, item: Option<Datum>);
    /// Tells the client what a call of its request has used.
    fn used(&mut self, request: RequestId, usage: Usage);
    /// Tells the coordinator that a replay is over.
    fn closed(&mut self, request: RequestId, stage: StageId, outcome: Result<(), Fault>);
    /// Tells the coordinator that a worker was lost to this one, and which replays with it go on.
    fn parted(&mut self, peer: Seat, kept: Vec<(RequestId, StageId)>);
    /// Says what a call took to whoever wants to know.
    fn trace(&mut self, trace: CallTrace);
    /// Nothing more is said for now.
    fn flush(&mut self) {}
}

/// What a worker's thread reaches.
pub(crate) struct Driver<O> {
    pub(crate) worker: Worker,
    pub(crate) clock: Clock,
    pub(crate) events: UnboundedReceiver<WorkerEvent>,
    pub(crate) executors: BTreeMap<ComponentId, Runner>,
    pub(crate) outside: O,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
}

impl<O: Outside> Driver<O> {
    /// Drives the worker until `stop` ends or nobody can say anything to it any more.
    pub(crate) async fn drive(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut actions = Vec::new();
        loop {
            let is_busy = self.turns(&mut actions);
            let due_us = self.worker.next_deadline_us().into_iter().chain(self.waits_until_us()).min();
            let event = tokio::select! {
                biased;
                () = &mut stop => return,
                event = self.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                () = self.clock.wait_until(due_us) => WorkerEvent::Tick,
                () = tokio::task::yield_now(), if is_busy => continue,
            };
            self.hear(event, &mut actions);
        }
    }

    /// When the first light executor has waited long enough, if one waits.
    fn waits_until_us(&self) -> Option<u64> {
        let lights = self.executors.values().filter_map(|runner| match runner {
            Runner::Here(light) => light.waits_until_us(),
            Runner::Thread(_) => None,
        });
        lights.min()
    }

    /// Lets light executors work, a turn each, until none has anything to do or others wait; whether any still has.
    fn turns(&mut self, actions: &mut Vec<WorkerAction>) -> bool {
        let mut reports = Vec::new();
        for _ in 0..TURNS_AT_ONCE {
            let mut is_busy = false;
            for (id, runner) in &mut self.executors {
                if let Runner::Here(light) = runner
                    && light.is_due()
                {
                    is_busy = true;
                    light.turn(|report| reports.push(WorkerEvent::Report(*id, report)));
                }
            }
            if !is_busy {
                return false;
            }
            for report in reports.drain(..) {
                self.hear(report, actions);
            }
            if !self.events.is_empty() {
                break;
            }
        }
        true
    }

    fn hear(&mut self, event: WorkerEvent, actions: &mut Vec<WorkerAction>) {
        self.worker.handle(self.clock.now_us(), event, actions);
        // Seen before anyone can hear that a replay has closed.
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = self.worker.ledger();
        for action in actions.drain(..) {
            self.act(action);
        }
        self.outside.flush();
    }

    fn act(&mut self, action: WorkerAction) {
        match action {
            WorkerAction::Start(component, recording, call) => {
                self.command(component, Command::Start(recording, call));
            }
            WorkerAction::Feed(component, call, port, item) => {
                self.command(component, Command::Feed(call, port, item));
            }
            WorkerAction::End(component, call, port) => self.command(component, Command::End(call, port)),
            WorkerAction::Grant(component, call, port, count) => {
                self.command(component, Command::Grant(call, port, count));
            }
            WorkerAction::Abort(component, call) => self.command(component, Command::Abort(call)),
            WorkerAction::HandOver(to, hand_over) => self.outside.hand_over(to, hand_over),
            WorkerAction::Output { request, stage, value, item } => {
                self.outside.output(request, stage, value, item);
            }
            WorkerAction::Used { request, usage } => self.outside.used(request, usage),
            WorkerAction::Closed { request, stage, outcome } => self.outside.closed(request, stage, outcome),
            WorkerAction::Parted { peer, kept } => self.outside.parted(peer, kept),
            WorkerAction::Trace(trace) => self.outside.trace(trace),
        }
    }

    fn command(&mut self, component: ComponentId, command: Command) {
        match self.executors.get_mut(&component) {
            Some(Runner::Here(light)) => light.command(command),
            // The thread ends only with the engine.
            Some(Runner::Thread(commands)) => drop(commands.send(command)),
            None => {}
        }
    }
}
