//! What is yet to happen in a simulation.

use corn_core::Datum;
use corn_core::executor::Report;
use corn_core::message::{Body, CoordinatorEvent, RequestId, Seat, WorkerEvent};
use corn_plan::{ComponentId, StageId, ValueId, WorkerId};

use crate::network::{Pair, Party, Place};
use crate::world::Mishap;

/// Something that happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message reaches an end of a connection.
    Deliver { pair: Pair, to: Place, generation: u64, message: Message },
    /// An end notices that a connection is broken.
    Notice { pair: Pair, place: Place, generation: u64 },
    /// An end is told by its own side that it lost the other.
    Told { place: Place, other: Place },
    /// An executor's turn.
    Turn { worker: WorkerId, incarnation: u32, component: ComponentId },
    /// What an executor's turn has made.
    Reports { worker: WorkerId, incarnation: u32, component: ComponentId, reports: Vec<Report> },
    /// Time has passed for the coordinator.
    CoordinatorTick,
    /// Time has passed for a worker.
    WorkerTick { worker: WorkerId, incarnation: u32 },
    /// A worker says that it lives.
    Beat { worker: WorkerId, incarnation: u32 },
    /// A worker's process starts.
    Start { worker: WorkerId },
    /// A worker's process connects to the coordinator.
    Connect { worker: WorkerId, incarnation: u32 },
    /// A paused process goes on.
    Resume { worker: WorkerId, incarnation: u32 },
    /// The coordinator's process goes on.
    ResumeCoordinator,
    /// A slow worker is as fast as before.
    Hasten { worker: WorkerId, incarnation: u32 },
    /// Two can reach each other again.
    Heal(Party, Party),
    /// A client asks.
    Arrive(u64),
    /// A client takes the next item that is there for it.
    Take(u64),
    /// A client goes away.
    Leave(u64),
    /// The coordinator hears that a client was answered.
    Answered(RequestId),
    /// Something goes wrong.
    Mishap(Mishap),
}

/// What travels on a connection.
#[derive(Debug)]
pub(crate) enum Message {
    /// To a worker.
    Worker(WorkerEvent),
    /// To the coordinator.
    Coordinator(CoordinatorEvent),
    /// To a client, by way of the coordinator's process.
    Output { from: Seat, request: RequestId, stage: StageId, value: ValueId, item: Option<Datum> },
}

impl Message {
    /// What it takes on the line: its data and a header.
    pub(crate) fn bytes(&self) -> u64 {
        const HEADER_BYTES: u64 = 64;
        let data = match self {
            Self::Worker(WorkerEvent::Open { inputs, .. }) => {
                inputs.iter().map(|(_, datum)| datum.bytes()).sum()
            }
            Self::Worker(WorkerEvent::HandOver(hand_over)) => match &hand_over.body {
                Body::Item(datum) => datum.bytes(),
                _ => 0,
            },
            Self::Output { item: Some(item), .. } => item.bytes(),
            _ => 0,
        };
        HEADER_BYTES + data
    }

    /// A short line about it.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Worker(event) => worker_line(event),
            Self::Coordinator(event) => coordinator_line(event),
            Self::Output { request, value, item, .. } => {
                format!("{request} {value} {}", if item.is_some() { "item" } else { "end" })
            }
        }
    }
}

/// A short line about what a worker hears.
pub(crate) fn worker_line(event: &WorkerEvent) -> String {
    match event {
        WorkerEvent::Open { header, stage, .. } => format!("open {} {stage}", header.request),
        WorkerEvent::HandOver(hand_over) => {
            let body = match &hand_over.body {
                Body::Item(_) => "item",
                Body::End => "end",
                Body::Present => "present",
                Body::Absent => "absent",
                Body::RoundEnded(_) => "round ended",
                Body::Credit(_) => "credit",
            };
            format!("hand over {} {} {body} to {}", hand_over.header.request, hand_over.value, hand_over.to)
        }
        WorkerEvent::Report(component, _) => format!("report of {component}"),
        WorkerEvent::Consumed { request, value, .. } => format!("consumed {request} {value}"),
        WorkerEvent::Cancel { request, stage, fault } => {
            format!("cancel {request} {stage} {:?}", fault.blame)
        }
        WorkerEvent::PeerLost(seat) => format!("lost {seat}"),
        WorkerEvent::Forsaken => "forsaken".to_owned(),
        WorkerEvent::Seated(seat) => format!("seated as {seat}"),
        WorkerEvent::Tick => "tick".to_owned(),
    }
}

/// A short line about what the coordinator hears.
pub(crate) fn coordinator_line(event: &CoordinatorEvent) -> String {
    match event {
        CoordinatorEvent::Submit(submission) => {
            format!("submit {} {}", submission.request, submission.recording)
        }
        CoordinatorEvent::Closed { request, stage, outcome } => match outcome {
            Ok(()) => format!("closed {request} {stage}"),
            Err(fault) => format!("closed {request} {stage} {:?}", fault.blame),
        },
        other => format!("{other:?}"),
    }
}
