//! What a worker says to its peers and to its coordinator.

use corn_core::executor::Usage;
use corn_core::message::{CallTrace, HandOver, RequestId, Seat, WorkerEvent};
use corn_core::{Datum, Fault};
use corn_plan::{StageId, Transport, ValueId};

use super::{Links, Peer};
use crate::wire::Frame;
use crate::wire::control::{Called, Control, write};
use crate::worker::Outside;

impl Outside for Links {
    fn hand_over(&mut self, to: Seat, hand_over: HandOver) {
        if self.inner.seat.get() == Some(to) {
            self.count_item(&hand_over, Transport::Pointer);
            let now_us = self.inner.clock.to_unix_us(self.inner.clock.now_us());
            self.tell_handed(&hand_over, Transport::Pointer, now_us);
            let _ = self.inner.events.send(WorkerEvent::HandOver(hand_over));
            return;
        }
        let mut peers = self.inner.peers.borrow_mut();
        match peers.get_mut(&to) {
            Some(Peer::Open(open)) => self.send(open, hand_over),
            Some(Peer::Opening(waiting)) => waiting.push(hand_over),
            None => {
                peers.insert(to, Peer::Opening(vec![hand_over]));
                tokio::task::spawn_local(self.clone().open(to));
            }
        }
    }

    fn output(&mut self, request: RequestId, stage: StageId, value: ValueId, item: Option<Datum>) {
        self.tell(&Frame::Output { request, stage, value, item });
    }

    /// It goes with the output that ends the answer, or long before it.
    fn used(&mut self, request: RequestId, usage: Usage) {
        self.tell_late(&Frame::Used { request, usage });
    }

    fn closed(&mut self, request: RequestId, stage: StageId, outcome: Result<(), Fault>) {
        // The client has its answer from the stages that make it; what waits is at most another request, for admission.
        let is_late = outcome.is_ok() && self.inner.has_many.get();
        let frame = Frame::Closed { request, stage, outcome };
        if is_late { self.tell_late(&frame) } else { self.tell(&frame) }
    }

    fn parted(&mut self, peer: Seat, kept: Vec<(RequestId, StageId)>) {
        self.tell(&Frame::Parted { peer, kept });
    }

    fn trace(&mut self, trace: CallTrace) {
        let called = Called::new(&trace, self.inner.clock);
        self.tell_late(&Frame::Control(write(&Control::Called(called))));
    }

    /// Peers first: they have work to do.
    fn flush(&mut self) {
        for peer in self.inner.peers.borrow().values() {
            if let Peer::Open(open) = peer {
                open.out.flush();
            }
        }
        if self.inner.is_urgent.get() || self.is_late_due() {
            self.tell_now();
        }
    }
}
