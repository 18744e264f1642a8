//! What drives one component's executor: a thread of its own, or, if it is light, its worker's.
//!
//! Nobody else touches the executor. What waits for it is bounded by the plan: calls by the requests
//! in flight, items by the windows of their streams. A panic inside an executor ends its calls
//! with a fault and nothing else.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use corn_core::executor::{Call, CallId, CallInput, Executor, Report, Turn};
use corn_core::message::WorkerEvent;
use corn_core::{Datum, Fault};
use corn_plan::{Component, ComponentId, Kind, RecordingId};
use tokio::sync::mpsc::UnboundedSender;

use crate::clock::Clock;
use crate::counts::{CallEnd, ComponentCounts};
use crate::observe::Observer;
use crate::placed::Stays;

/// What an executor is told.
#[derive(Debug)]
pub(crate) enum Command {
    Start(RecordingId, Call),
    Feed(CallId, u32, Datum),
    End(CallId, u32),
    Grant(CallId, u32, u32),
    Abort(CallId),
}

/// How a worker reaches an executor.
pub(crate) enum Runner {
    /// It has a thread of its own.
    Thread(Sender<Command>),
    /// The worker's thread drives it.
    Here(Box<Light>),
}

/// One component on one worker.
pub(crate) struct Host {
    pub(crate) id: ComponentId,
    pub(crate) component: Component,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Clock,
    pub(crate) counts: Arc<ComponentCounts>,
    /// Which outputs stay in the memory of its GPU, in each recording; `None` without one.
    pub(crate) stays: Option<Stays>,
}

/// An executor that its worker's thread drives.
pub(crate) struct Light {
    driven: Driven,
    turn: Turn,
}

/// An executor and its calls.
struct Driven {
    host: Host,
    executor: Box<dyn Executor>,
    /// Calls that it has not ended yet.
    open: BTreeMap<CallId, Open>,
    is_broken: bool,
    /// Calls that came after it broke.
    refused: Vec<CallId>,
}

/// A call that is under way.
struct Open {
    recording: RecordingId,
    since_us: u64,
    has_items: bool,
}

impl Light {
    pub(crate) fn new(host: Host, executor: Box<dyn Executor>) -> Self {
        Self { driven: Driven::new(host, executor), turn: Turn::Idle }
    }

    /// Whether it has something to do now.
    pub(crate) fn is_due(&self) -> bool {
        match self.turn {
            Turn::Busy => true,
            Turn::Until(us) => us <= self.driven.host.clock.now_us(),
            Turn::Idle => false,
        }
    }

    /// Until when it waits, if it does.
    pub(crate) const fn waits_until_us(&self) -> Option<u64> {
        if let Turn::Until(us) = self.turn { Some(us) } else { None }
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.driven.command(command);
        self.turn = Turn::Busy;
    }

    /// One bounded turn of work.
    pub(crate) fn turn(&mut self, reports: impl FnMut(Report)) {
        self.turn = self.driven.advance(reports);
    }
}

/// Drives `executor` on this thread until nobody can send commands any more.
pub(crate) fn drive(
    host: Host,
    executor: Box<dyn Executor>,
    commands: &Receiver<Command>,
    worker: &UnboundedSender<WorkerEvent>,
) {
    let id = host.id;
    let mut driven = Driven::new(host, executor);
    let mut turn = Turn::Idle;
    loop {
        let command = match turn {
            Turn::Idle => match commands.recv() {
                Ok(command) => Some(command),
                Err(_) => return,
            },
            Turn::Until(us) => match commands.recv_timeout(driven.host.clock.until(us)) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            },
            Turn::Busy => match commands.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return,
            },
        };
        turn = match command {
            // Every command that waits is heard before the next turn of work.
            Some(command) => {
                driven.command(command);
                Turn::Busy
            }
            // The worker is gone only when the engine stops, and then nobody wants the report.
            None => driven.advance(|report| drop(worker.send(WorkerEvent::Report(id, report)))),
        };
    }
}

impl Driven {
    fn new(host: Host, executor: Box<dyn Executor>) -> Self {
        Self { host, executor, open: BTreeMap::new(), is_broken: false, refused: Vec::new() }
    }

    fn command(&mut self, command: Command) {
        if self.is_broken {
            if let Command::Start(_, call) = command {
                self.refused.push(call.id);
            }
            return;
        }
        if let Command::Start(recording, call) = &command {
            self.open.insert(
                call.id,
                Open { recording: *recording, since_us: self.host.clock.now_us(), has_items: false },
            );
            self.host.counts.open(self.open.len());
        }
        if let Command::Abort(call) = &command
            && self.open.remove(call).is_some()
        {
            self.host.counts.end(CallEnd::Cancelled);
            self.host.counts.open(self.open.len());
        }
        let Self { host, executor, .. } = self;
        if catch_unwind(AssertUnwindSafe(|| tell(executor.as_mut(), &host.component, command))).is_err() {
            self.is_broken = true;
        }
    }

    fn advance(&mut self, mut reports: impl FnMut(Report)) -> Turn {
        if self.is_broken {
            self.break_off(reports);
            return Turn::Idle;
        }
        let Self { host, executor, open, .. } = self;
        let mut from_us = host.clock.now_us();
        let now_us = from_us;
        let mut lost = Vec::new();
        let turn = catch_unwind(AssertUnwindSafe(|| {
            executor.advance(now_us, &mut |report| {
                let report = match &host.stays {
                    None => report,
                    Some(stays) => placed(report, stays, open, &mut lost),
                };
                if let Report::Batch { calls } = report {
                    host.counts.batch(calls);
                    return host.observer.batch(host.id, calls);
                }
                // Told before the report: whoever hears that a call is done knows what it took.
                let now_us = host.clock.now_us();
                host.observer.busy(host.id, from_us, now_us);
                from_us = now_us;
                host.count(&report, open, now_us);
                reports(report);
            })
        }));
        for call in lost {
            self.executor.cancel(call);
        }
        let ended_us = self.host.clock.now_us();
        self.host.observer.busy(self.host.id, from_us, ended_us);
        self.host.counts.turn(ended_us - now_us);
        turn.unwrap_or_else(|_| {
            self.is_broken = true;
            Turn::Busy
        })
    }

    /// The executor's state cannot be trusted any more: its calls fail, now and from now on.
    fn break_off(&mut self, mut reports: impl FnMut(Report)) {
        let fault = || Fault::component("it panicked; this is a bug of the component or of its executor");
        let calls = std::mem::take(&mut self.open).into_keys().chain(self.refused.drain(..));
        self.host.counts.open(0);
        for call in calls {
            self.host.counts.end(CallEnd::Failed);
            reports(Report::Failed { call, fault: fault() });
        }
    }
}

impl Host {
    /// Counts what an executor reports, of the calls that are `open`.
    fn count(&self, report: &Report, open: &mut BTreeMap<CallId, Open>, now_us: u64) {
        match report {
            Report::Emitted { call, item, .. } => {
                self.counts.item(item);
                if let Some(call) = open.get_mut(call)
                    && !std::mem::replace(&mut call.has_items, true)
                {
                    self.counts.first(now_us - call.since_us);
                }
            }
            Report::Done { call } => {
                if let Some(call) = open.remove(call) {
                    self.counts.end(CallEnd::Well(now_us - call.since_us));
                }
                self.counts.open(open.len());
            }
            Report::Failed { call, .. } => {
                open.remove(call);
                self.counts.end(CallEnd::Failed);
                self.counts.open(open.len());
            }
            Report::Used { usage, .. } => self.counts.used(usage),
            Report::Took { .. } | Report::Batch { .. } => {}
        }
    }
}

/// A report, with what it made where its readers take it. A call of which something cannot be copied there is `lost`.
fn placed(report: Report, stays: &Stays, open: &BTreeMap<CallId, Open>, lost: &mut Vec<CallId>) -> Report {
    let Report::Emitted { call, port, item } = report else { return report };
    let recording = open.get(&call).map(|open| open.recording);
    let stays =
        recording.and_then(|recording| stays.get(&recording)).is_some_and(|ports| ports[port as usize]);
    if stays || !item.is_on_device() {
        return Report::Emitted { call, port, item };
    }
    match item.to_host() {
        Ok(item) => Report::Emitted { call, port, item },
        Err(fault) => {
            lost.push(call);
            Report::Failed { call, fault }
        }
    }
}

fn tell(executor: &mut dyn Executor, component: &Component, command: Command) {
    match command {
        Command::Start(_, mut call) => {
            for (input, port) in call.inputs.iter_mut().zip(&component.inputs) {
                if let CallInput::Value(datum) = input {
                    convert(datum, &port.ty.kind);
                }
            }
            executor.start(call);
        }
        Command::Feed(call, port, mut item) => {
            convert(&mut item, &component.inputs[port as usize].ty.kind);
            executor.feed(call, port, item);
        }
        Command::End(call, port) => executor.end(call, port),
        Command::Grant(call, port, count) => executor.grant(call, port, count),
        Command::Abort(call) => executor.cancel(call),
    }
}

/// Gives a port that names a rate sound or video of that rate.
pub(crate) fn convert(datum: &mut Datum, kind: &Kind) {
    match (&*datum, kind) {
        (Datum::Audio(audio), Kind::Audio { rate_hz: Some(rate_hz), .. }) if audio.rate_hz != *rate_hz => {
            *datum = Datum::Audio(corn_media::resample(audio, *rate_hz).into());
        }
        (Datum::Video(video), Kind::Video { rate: Some(rate), .. }) => {
            if let Some(thinned) = video.thinned(*rate) {
                *datum = Datum::Video(thinned.into());
            }
        }
        (Datum::List(items), Kind::Audio { rate_hz: Some(_), .. } | Kind::Video { rate: Some(_), .. }) => {
            let mut items = items.to_vec();
            for item in &mut items {
                convert(item, kind);
            }
            *datum = Datum::List(items.into());
        }
        _ => {}
    }
}
