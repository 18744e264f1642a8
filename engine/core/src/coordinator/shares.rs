//! How many requests of each graph are admitted: those of its `limit inflight`, or what the plan admits where it has none.
//!
//! What one graph may have in flight is reserved for it in the plan's memory, so a crowd at one graph keeps nobody from
//! another.

use corn_plan::ids::Id;
use corn_plan::{Plan, RecordingId};

use crate::coordinator::WAITING_PER_INFLIGHT;
use crate::fault::{Blame, Fault};

/// What graphs admit, and have in flight.
#[derive(Debug)]
pub(super) struct Shares {
    /// By recording.
    of: Vec<usize>,
    shares: Vec<Share>,
}

#[derive(Debug)]
struct Share {
    /// The graph; none for all those that have no limit of their own.
    graph: Option<String>,
    most: usize,
    in_flight: usize,
}

impl Shares {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut shares = vec![Share { graph: None, most: plan.inflight as usize, in_flight: 0 }];
        let limited = plan.serves.iter().filter_map(|serve| Some((&serve.graph, serve.limits.inflight?)));
        shares.extend(limited.map(|(graph, most)| Share {
            graph: Some(graph.clone()),
            most: most as usize,
            in_flight: 0,
        }));
        let of = |graph: &String| shares.iter().position(|share| share.graph.as_ref() == Some(graph));
        let of = plan.recordings.iter().map(|recording| of(&recording.graph).unwrap_or(0)).collect();
        Self { of, shares }
    }

    /// The share that requests for `recording` have part in.
    pub(super) fn of(&self, recording: RecordingId) -> usize {
        self.of[recording.index()]
    }

    pub(super) fn has_room(&self, share: usize) -> bool {
        self.shares[share].in_flight < self.shares[share].most
    }

    /// Refuses another that would have to wait, where `waiting` do.
    pub(super) fn check_waiting(&self, share: usize, waiting: usize) -> Result<(), Fault> {
        let Share { graph, most, .. } = &self.shares[share];
        if waiting < most * WAITING_PER_INFLIGHT {
            return Ok(());
        }
        let of = graph.as_ref().map(|graph| format!(" of graph '{graph}'")).unwrap_or_default();
        let message = format!(
            "{most} requests{of} are in flight and {waiting} wait; the plan admits no more: try again later"
        );
        Err(Fault::new(Blame::Busy, message))
    }

    pub(super) fn begin(&mut self, recording: RecordingId) {
        self.shares[self.of[recording.index()]].in_flight += 1;
    }

    pub(super) fn end(&mut self, recording: RecordingId) {
        self.shares[self.of[recording.index()]].in_flight -= 1;
    }
}
