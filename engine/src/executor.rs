//! The thread that drives one component's executor.
//!
//! It alone touches the executor. What waits for it is bounded by the plan: calls by the requests
//! in flight, items by the windows of their streams. A panic inside an executor ends its calls
//! with a fault and nothing else.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use corn_core::executor::{Call, CallId, CallInput, Executor, Report, Turn};
use corn_core::message::WorkerEvent;
use corn_core::{Datum, Fault};
use corn_plan::{Component, ComponentId, Kind};
use tokio::sync::mpsc::UnboundedSender;

use crate::clock::Clock;
use crate::observe::Observer;

/// What an executor's thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Start(Call),
    Feed(CallId, u32, Datum),
    End(CallId, u32),
    Grant(CallId, u32, u32),
    Abort(CallId),
}

/// One component on one worker.
pub(crate) struct Host {
    pub(crate) id: ComponentId,
    pub(crate) component: Component,
    pub(crate) commands: Receiver<Command>,
    pub(crate) worker: UnboundedSender<WorkerEvent>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Clock,
}

impl Host {
    /// Drives `executor` until nobody can send commands any more.
    pub(crate) fn drive(self, mut executor: Box<dyn Executor>) {
        // Calls that the executor has not ended yet.
        let mut open = BTreeSet::new();
        let mut turn = Turn::Idle;
        loop {
            let command = match turn {
                Turn::Idle => match self.commands.recv() {
                    Ok(command) => Some(command),
                    Err(_) => return,
                },
                Turn::Busy => match self.commands.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return,
                },
            };
            let is_command = command.is_some();
            let outcome = catch_unwind(AssertUnwindSafe(|| match command {
                Some(command) => {
                    self.command(executor.as_mut(), command, &mut open);
                    Turn::Busy
                }
                None => self.advance(executor.as_mut(), &mut open),
            }));
            turn = match outcome {
                // Every command that waits is heard before the next turn of work.
                Ok(_) if is_command => Turn::Busy,
                Ok(turn) => turn,
                Err(_) => {
                    self.break_off(&open);
                    return;
                }
            };
        }
    }

    fn command(&self, executor: &mut dyn Executor, command: Command, open: &mut BTreeSet<CallId>) {
        match command {
            Command::Start(mut call) => {
                open.insert(call.id);
                for (input, port) in call.inputs.iter_mut().zip(&self.component.inputs) {
                    if let CallInput::Value(datum) = input {
                        convert(datum, &port.ty.kind);
                    }
                }
                executor.start(call);
            }
            Command::Feed(call, port, mut item) => {
                convert(&mut item, &self.component.inputs[port as usize].ty.kind);
                executor.feed(call, port, item);
            }
            Command::End(call, port) => executor.end(call, port),
            Command::Grant(call, port, count) => executor.grant(call, port, count),
            Command::Abort(call) => {
                open.remove(&call);
                executor.cancel(call);
            }
        }
    }

    fn advance(&self, executor: &mut dyn Executor, open: &mut BTreeSet<CallId>) -> Turn {
        let mut from_us = self.clock.now_us();
        let turn = executor.advance(&mut |report| {
            // Told before the report: whoever hears that a call is done knows what it took.
            let now_us = self.clock.now_us();
            self.observer.busy(self.id, from_us, now_us);
            from_us = now_us;
            if let Report::Done { call } | Report::Failed { call, .. } = &report {
                open.remove(call);
            }
            self.report(report);
        });
        self.observer.busy(self.id, from_us, self.clock.now_us());
        turn
    }

    /// The executor's state cannot be trusted any more: its calls fail, now and from now on.
    fn break_off(&self, open: &BTreeSet<CallId>) {
        let fault = || Fault::component("it panicked; this is a bug of the component or of its executor");
        for call in open {
            self.report(Report::Failed { call: *call, fault: fault() });
        }
        while let Ok(command) = self.commands.recv() {
            if let Command::Start(call) = command {
                self.report(Report::Failed { call: call.id, fault: fault() });
            }
        }
    }

    fn report(&self, report: Report) {
        // The worker is gone only when the engine stops, and then nobody wants the report.
        let _ = self.worker.send(WorkerEvent::Report(self.id, report));
    }
}

/// Gives a port that names a rate sound of that rate.
pub(crate) fn convert(datum: &mut Datum, kind: &Kind) {
    if let (Datum::Audio(audio), Kind::Audio { rate_hz: Some(rate_hz), .. }) = (&*datum, kind)
        && audio.rate_hz != *rate_hz
    {
        *datum = Datum::Audio(corn_media::resample(audio, *rate_hz).into());
    }
}
