//! What cannot be handed over yet: for want of room in an arena, or because a GPU has not made it.
//!
//! Contents of a GPU are handed over when they are made, and not before: whoever hears of them can read them, and
//! nobody's stream waits for a process that may die. This worker waits neither; the GPU's driver tells it. See
//! `docs/decisions/0011-told-when-made.md`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use corn_core::message::{Body, HandOver, Seat, WorkerEvent};
use corn_core::{Blame, Datum, DeviceTensor, Fault, OnDevice};
use corn_device::Held;
use corn_plan::Transport;

use super::{Inner, Lack, Links, Open, Peer};
use crate::process::lend::Lender;
use crate::wire::Frame;

/// How long a hand-over may wait for room in the arena.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

impl Links {
    /// Gives up what has waited too long for room.
    pub(crate) fn look_at_waiting(&self) {
        let mut given_up = Vec::new();
        let mut peers = self.inner.peers.borrow_mut();
        for peer in peers.values_mut() {
            if let Peer::Open(open) = peer
                && !open.waiting.is_empty()
                && open.waits_for == Lack::Room
                && open.since.elapsed() > ROOM_WITHIN
            {
                given_up.extend(open.waiting.drain(..));
            }
        }
        drop(peers);
        for hand_over in given_up {
            self.inner.no_room(&hand_over);
        }
    }

    /// Sends to an open peer, or lets it wait.
    pub(super) fn send(&self, open: &mut Open, mut hand_over: HandOver) {
        if open.waiting.is_empty() {
            match self.try_send(open, &mut hand_over) {
                Ok(()) => return,
                Err(lack) => open.wait_for(lack),
            }
        }
        open.waiting.push_back(hand_over);
    }

    /// Sends what waits, as far as it can be sent now.
    fn resume(&self, open: &mut Open) {
        let had_waiting = !open.waiting.is_empty();
        while let Some(mut hand_over) = open.waiting.pop_front() {
            if let Err(lack) = self.try_send(open, &mut hand_over) {
                if lack != open.waits_for {
                    open.wait_for(lack);
                }
                open.waiting.push_front(hand_over);
                break;
            }
            open.since = Instant::now();
        }
        open.out.flush();
        if had_waiting && open.waiting.is_empty() {
            self.inner.changed.notify_waiters();
        }
    }

    fn try_send(&self, open: &mut Open, hand_over: &mut HandOver) -> Result<(), Lack> {
        let mut transport = if open.is_shared { Transport::SharedMemory } else { Transport::Tcp };
        if let Body::Item(datum) = &mut hand_over.body
            && datum.is_on_device()
        {
            match self.prepare(open, datum)? {
                Ok(true) => transport = Transport::Cuda,
                Ok(false) => {}
                Err(fault) => {
                    self.inner.cancel(hand_over, fault);
                    return Ok(());
                }
            }
        }
        let now_us = self.inner.clock.now_us();
        let sent_us = hand_over.header.is_traced.then(|| self.inner.clock.to_unix_us(now_us));
        let frame = Frame::HandOver { hand_over: hand_over.clone(), sent_us };
        let arena = self.inner.arena.borrow();
        let written = match arena.as_ref().filter(|_| open.is_shared) {
            Some(arena) => {
                let first = open.next_lease;
                let mut lender = Lender {
                    arena,
                    devices: &self.inner.devices.borrow().gpus,
                    leases: &mut open.leases,
                    device_leases: &mut open.device_leases,
                    next: &mut open.next_lease,
                    copied_bytes: 0,
                };
                let written = frame.write(now_us, Some(&mut lender));
                let copied_bytes = lender.copied_bytes;
                if written.is_err() {
                    open.leases.split_off(&first);
                }
                self.count(|counts| counts.copied_bytes += copied_bytes);
                written.map_err(|_| Lack::Room)?
            }
            None => frame.write(now_us, None).expect("without an arena nothing waits for room"),
        };
        if !open.is_shared && !open.is_widened && open.out.would_cut(&written) {
            open.is_widened = true;
            tokio::task::spawn_local(self.clone().widen(open.peer, open.link));
        }
        open.out.queue(written);
        self.inner.counts.sent.count(&frame);
        self.count_item(hand_over, transport);
        Ok(())
    }

    /// Brings what lies on a device to where the peer reads it: whether that is on a device.
    fn prepare(&self, open: &mut Open, datum: &mut Datum) -> Result<Result<bool, Fault>, Lack> {
        let held = match datum {
            Datum::OnDevice(tensor) if open.reads_devices => Held::of(&tensor.contents),
            _ => None,
        };
        let (Datum::OnDevice(tensor), Some(mut held)) = (&*datum, held) else {
            // The plan has it otherwise: this peer is not where it was thought to be.
            return Ok(datum.to_host().map(|host| {
                *datum = host;
                false
            }));
        };
        let devices = self.inner.devices.borrow();
        if devices.gpus.place_of(&held, 0).is_none() {
            let Some(gpu) = devices.gpus.reader() else { return Ok(Ok(false)) };
            held = match gpu.adopted(&held).ok_or(Lack::Room)? {
                Ok(adopted) => adopted,
                Err(fault) => return Ok(Err(fault)),
            };
            self.count(|counts| counts.copied_bytes += held.bytes());
            let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
            let contents: Arc<dyn OnDevice> = Arc::clone(&held) as _;
            *datum = Datum::OnDevice(DeviceTensor { dtype, shape, contents }.into());
        }
        if held.is_made() {
            return Ok(Ok(true));
        }
        if !open.is_told {
            open.is_told = true;
            let (made, peer) = (self.inner.made.clone(), open.peer);
            held.when_made(Box::new(move || {
                // A worker that ends waits for nothing.
                let _ = made.send(peer);
            }));
        }
        Err(Lack::Work)
    }

    /// What lay under a lease is free again, and there may be room for what waits, whoever it is for.
    pub(super) fn released(&self, peer: Seat, lease: u64) {
        let mut peers = self.inner.peers.borrow_mut();
        if let Some(Peer::Open(open)) = peers.get_mut(&peer)
            && open.leases.remove(&lease).is_none()
        {
            open.device_leases.remove(&lease);
        }
        for peer in peers.values_mut() {
            let Peer::Open(open) = peer else { continue };
            self.resume(open);
        }
    }

    /// A GPU has made what the first hand-over to `peer` waited for.
    pub(super) fn made(&self, peer: Seat) {
        if let Some(Peer::Open(open)) = self.inner.peers.borrow_mut().get_mut(&peer) {
            open.is_told = false;
            self.resume(open);
        }
    }
}

impl Open {
    fn wait_for(&mut self, lack: Lack) {
        self.waits_for = lack;
        self.since = Instant::now();
    }
}

impl Inner {
    fn no_room(&self, hand_over: &HandOver) {
        let arena = self.arena.borrow();
        let bytes = arena.as_ref().map_or(0, |arena| arena.bytes());
        let message = format!(
            "{} could not be handed to {} within {} s: the arena of {bytes} bytes is full, because what was handed \
             over before is still held",
            hand_over.value,
            hand_over.to,
            ROOM_WITHIN.as_secs()
        );
        self.cancel(hand_over, Fault::new(Blame::Busy, message));
    }

    /// What was to be handed over cannot be: its request ends.
    fn cancel(&self, hand_over: &HandOver, fault: Fault) {
        let (request, stage) = (hand_over.header.request, hand_over.from);
        let _ = self.events.send(WorkerEvent::Cancel { request, stage, fault });
    }
}
