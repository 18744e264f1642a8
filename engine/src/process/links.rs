//! What a worker process hands over to its peers, and takes from them: a link to each worker that it sends
//! to, opened with the first hand-over and used for everything after it.
//!
//! To a peer of the same host a link is a Unix socket, and contents lie in this worker's arena; to one of
//! another host it is TCP, and contents follow the frame. A link that breaks is a peer that was lost: the
//! core decides what that means. Everything here runs on the worker's one thread.

mod ends;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corn_core::message::{Body, CallTrace, HandOver, RequestId, Seat, WorkerEvent};
use corn_core::{Blame, Datum, Fault};
use corn_plan::{StageId, Transport, ValueId};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::lend::{Borrower, Lender};
use crate::arena::{Arena, Foreign};
use crate::clock::Clock;
use crate::counts::Counts;
use crate::observe::HandOverTrace;
use crate::wire::cipher::Side;
use crate::wire::control::{Address, Called, Control, Handed, Host, write};
use crate::wire::greet::{Token, greet, listen};
use crate::wire::lanes::{LANES, Lanes};
use crate::wire::link::{Inbox, Outbox, Socket};
use crate::wire::{Borrow, Frame, Full, Vitals};
use crate::worker::Outside;

/// How long a peer may take to be known and to answer.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// How long what nobody waits for may wait for company, and how much of it.
const LATE_WITHIN: Duration = Duration::from_millis(1);
const LATE_TOGETHER: u32 = 16;
/// How long a hand-over may wait for room in the arena.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// The links of a worker.
#[derive(Clone)]
pub(crate) struct Links {
    inner: Rc<Inner>,
}

struct Inner {
    seat: Cell<Option<Seat>>,
    token: Token,
    clock: Clock,
    arena: RefCell<Option<Arc<Arena>>>,
    host: Host,
    known: RefCell<BTreeMap<Seat, Host>>,
    /// Of who is known, or of a link.
    changed: Notify,
    peers: RefCell<BTreeMap<Seat, Peer>>,
    /// Who hands over to this worker, and by which of the links that it ever had.
    takes_from: RefCell<BTreeMap<Seat, Taken>>,
    next_link: Cell<u64>,
    coordinator: RefCell<Option<Outbox>>,
    /// So many requests may be in flight that nobody waits for one to be over.
    has_many: Cell<bool>,
    /// What is queued for the coordinator that nobody waits for.
    late: Cell<u32>,
    /// Something is queued for the coordinator that somebody waits for.
    is_urgent: Cell<bool>,
    events: UnboundedSender<WorkerEvent>,
    vitals: Cell<Vitals>,
    counts: Arc<Counts>,
}

/// A link from a peer.
#[derive(Clone)]
struct Taken {
    /// Which of those that ever came to this worker.
    number: u64,
    /// Which of those that the peer ever opened.
    link: u64,
    lanes: Rc<Lanes>,
}

/// The way to a peer.
enum Peer {
    /// Being opened; what is to be handed over waits.
    Opening(Vec<HandOver>),
    Open(Open),
}

struct Open {
    peer: Seat,
    out: Outbox,
    /// Whether contents lie in the arena.
    is_shared: bool,
    /// What the peer has not given back.
    leases: BTreeMap<u64, Bytes>,
    next_lease: u64,
    /// What waits for room in the arena, in order.
    waiting: VecDeque<HandOver>,
    since: Instant,
    /// Which of the links that this worker ever opened.
    link: u64,
    /// Connections beside it have been asked for.
    is_widened: bool,
}

impl Links {
    pub(crate) fn new(token: Token, clock: Clock, host: Host, events: UnboundedSender<WorkerEvent>) -> Self {
        let inner = Inner {
            seat: Cell::new(None),
            token,
            clock,
            arena: RefCell::new(None),
            host,
            known: RefCell::default(),
            changed: Notify::new(),
            peers: RefCell::default(),
            takes_from: RefCell::default(),
            next_link: Cell::new(0),
            coordinator: RefCell::new(None),
            has_many: Cell::new(false),
            late: Cell::new(0),
            is_urgent: Cell::new(false),
            events,
            vitals: Cell::default(),
            counts: Arc::default(),
        };
        Self { inner: Rc::new(inner) }
    }

    /// Where peers reach this worker.
    pub(crate) fn host(&self) -> &Host {
        &self.inner.host
    }

    /// What this worker has done.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.inner.counts
    }

    /// What is handed over on this host lies here from now on, for as many requests at once.
    pub(crate) fn lend_from(&self, arena: Arc<Arena>, inflight: u32) {
        *self.inner.arena.borrow_mut() = Some(arena);
        self.inner.has_many.set(inflight >= 2 * LATE_TOGETHER);
    }

    /// A life begins: links of the one before are closed.
    pub(crate) fn sit(&self, seat: Seat, coordinator: Outbox) {
        self.stand_up();
        self.inner.seat.set(Some(seat));
        *self.inner.coordinator.borrow_mut() = Some(coordinator);
    }

    /// A life is over.
    pub(crate) fn stand_up(&self) {
        self.inner.seat.set(None);
        *self.inner.coordinator.borrow_mut() = None;
        self.inner.peers.borrow_mut().clear();
        self.inner.known.borrow_mut().clear();
        self.inner.takes_from.borrow_mut().clear();
    }

    /// The workers that are ready.
    pub(crate) fn know(&self, peers: Vec<Address>) {
        let known: BTreeMap<Seat, Host> =
            peers.into_iter().map(|peer| (Seat::from(peer.worker), peer.host)).collect();
        *self.inner.known.borrow_mut() = known;
        self.inner.changed.notify_waiters();
    }

    /// What has been handed over so far, and what of the arena is in use.
    pub(crate) fn vitals(&self) -> Vitals {
        let arena = self.inner.arena.borrow();
        let arena_bytes = arena.as_ref().map_or(0, |arena| arena.used_bytes());
        Vitals { arena_bytes, ..self.inner.vitals.get() }
    }

    /// Says something to the coordinator, if there is one.
    pub(crate) fn tell(&self, frame: &Frame) {
        self.inner.is_urgent.set(true);
        self.queue(frame);
    }

    /// Says something that nobody waits for: it goes with what is said next, or together with others like it.
    fn tell_late(&self, frame: &Frame) {
        self.queue(frame);
        let late = self.inner.late.get() + 1;
        self.inner.late.set(late);
        if late == 1 {
            let links = self.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(LATE_WITHIN).await;
                links.tell_now();
            });
        } else if late >= LATE_TOGETHER {
            self.inner.is_urgent.set(true);
        }
    }

    fn tell_now(&self) {
        self.inner.late.set(0);
        self.inner.is_urgent.set(false);
        if let Some(coordinator) = self.inner.coordinator.borrow().as_ref() {
            coordinator.flush();
        }
    }

    fn queue(&self, frame: &Frame) {
        if let Some(coordinator) = self.inner.coordinator.borrow().as_ref() {
            self.inner.counts.sent.count(frame);
            let written = frame.write(self.inner.clock.now_us(), None);
            coordinator.queue(written.expect("nothing is lent to the coordinator"));
        }
    }

    /// Gives up what has waited too long for room.
    pub(crate) fn look_at_waiting(&self) {
        let mut given_up = Vec::new();
        let mut peers = self.inner.peers.borrow_mut();
        for peer in peers.values_mut() {
            if let Peer::Open(open) = peer
                && !open.waiting.is_empty()
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

    fn count(&self, count: impl FnOnce(&mut Vitals)) {
        let mut vitals = self.inner.vitals.get();
        count(&mut vitals);
        self.inner.vitals.set(vitals);
    }

    /// Says to whoever wants to know that something has come that was sent at `sent_us`, in µs since 1970.
    fn tell_handed(&self, hand_over: &HandOver, transport: Transport, sent_us: u64) {
        let taken_us = self.inner.clock.to_unix_us(self.inner.clock.now_us());
        if let Some(trace) = HandOverTrace::of(hand_over, transport, sent_us, taken_us) {
            self.tell_late(&Frame::Control(write(&Control::Handed(Handed::new(&trace)))));
        }
    }

    /// Counts what is handed over, if it is an item.
    fn count_item(&self, hand_over: &HandOver, transport: Transport) {
        let Body::Item(datum) = &hand_over.body else { return };
        self.inner.counts.edge(hand_over.from, hand_over.to, transport, datum.bytes());
        self.count(|vitals| match transport {
            Transport::Pointer => vitals.by_pointer += 1,
            Transport::SharedMemory | Transport::Cuda => vitals.by_shared_memory += 1,
            Transport::Tcp => vitals.by_tcp += 1,
        });
    }

    /// Sends to an open peer, or lets it wait for room.
    fn send(&self, open: &mut Open, hand_over: HandOver) {
        if open.waiting.is_empty() && self.try_send(open, &hand_over).is_ok() {
            return;
        }
        if open.waiting.is_empty() {
            open.since = Instant::now();
        }
        open.waiting.push_back(hand_over);
    }

    fn try_send(&self, open: &mut Open, hand_over: &HandOver) -> Result<(), Full> {
        let now_us = self.inner.clock.now_us();
        let sent_us = hand_over.header.is_traced.then(|| self.inner.clock.to_unix_us(now_us));
        let frame = Frame::HandOver { hand_over: hand_over.clone(), sent_us };
        let arena = self.inner.arena.borrow();
        let written = match arena.as_ref().filter(|_| open.is_shared) {
            Some(arena) => {
                let first = open.next_lease;
                let mut lender =
                    Lender { arena, leases: &mut open.leases, next: &mut open.next_lease, copied_bytes: 0 };
                let written = frame.write(now_us, Some(&mut lender));
                let copied_bytes = lender.copied_bytes;
                if written.is_err() {
                    open.leases.split_off(&first);
                }
                self.count(|counts| counts.copied_bytes += copied_bytes);
                written?
            }
            None => frame.write(now_us, None)?,
        };
        if !open.is_shared && !open.is_widened && open.out.would_cut(&written) {
            open.is_widened = true;
            tokio::task::spawn_local(self.clone().widen(open.peer, open.link));
        }
        open.out.queue(written);
        self.inner.counts.sent.count(&frame);
        self.count_item(hand_over, if open.is_shared { Transport::SharedMemory } else { Transport::Tcp });
        Ok(())
    }

    /// Opens the way to `to`, sends what waits for it, and listens for what it gives back.
    async fn open(self, to: Seat) {
        let reached = tokio::time::timeout(REACHED_WITHIN, self.reach(to)).await;
        let Ok(Ok((out, mut inbox, is_shared, link))) = reached else {
            return self.lose(to);
        };
        let mut open = Open {
            peer: to,
            out,
            is_shared,
            leases: BTreeMap::new(),
            next_lease: 0,
            waiting: VecDeque::new(),
            since: Instant::now(),
            link,
            is_widened: false,
        };
        {
            let mut peers = self.inner.peers.borrow_mut();
            // A life that has ended meanwhile has no peers.
            let Some(Peer::Opening(waiting)) = peers.remove(&to) else { return };
            for hand_over in waiting {
                self.send(&mut open, hand_over);
            }
            open.out.flush();
            peers.insert(to, Peer::Open(open));
        }
        self.inner.changed.notify_waiters();
        while let Ok(Some(came)) = inbox.next().await {
            let frame = Frame::read(&came.head, came.payloads, self.inner.clock.now_us(), None);
            let Ok(Frame::Released(lease)) = frame else { break };
            self.released(to, lease);
        }
        self.lose(to);
    }

    async fn reach(&self, to: Seat) -> Result<(Outbox, Inbox, bool, u64), String> {
        let host = loop {
            let changed = self.inner.changed.notified();
            if let Some(host) = self.inner.known.borrow().get(&to).cloned() {
                break host;
            }
            changed.await;
        };
        let from = self.inner.seat.get().ok_or_else(|| "this worker's life is over".to_owned())?;
        let is_shared = host.boot == self.inner.host.boot;
        let socket = if is_shared {
            Socket::unix(Path::new(&host.unix)).await
        } else {
            Socket::tcp(&host.tcp, &self.inner.token).await
        };
        let socket = socket.map_err(|error| error.to_string())?;
        let arena = self.inner.arena.borrow().clone().filter(|_| is_shared);
        if let Some(arena) = &arena {
            socket.send_fd(arena.fd()).await.map_err(|error| error.to_string())?;
        }
        let (out, mut inbox) = socket.split().map_err(|error| error.to_string())?;
        let arena_bytes = arena.map(|arena| arena.bytes());
        let link = self.new_link();
        let greeting = |nonce, proof| Control::Peer {
            nonce,
            proof,
            from: from.into(),
            to: to.into(),
            arena_bytes,
            link,
        };
        greet(&out, &mut inbox, &self.inner.token, greeting).await?;
        Ok((out, inbox, is_shared, link))
    }

    fn new_link(&self) -> u64 {
        let link = self.inner.next_link.get();
        self.inner.next_link.set(link + 1);
        link
    }

    /// Opens connections beside the link to a peer of another host. If one cannot be opened, the link stays as it is.
    async fn widen(self, to: Seat, link: u64) {
        let host = self.inner.known.borrow().get(&to).cloned();
        let (Some(host), Some(from)) = (host, self.inner.seat.get()) else { return };
        let lane = async |lane| {
            let socket = Socket::tcp(&host.tcp, &self.inner.token).await.and_then(Socket::split);
            let (out, mut inbox) = socket.map_err(|error| error.to_string())?;
            let greeting =
                |nonce, proof| Control::Lane { nonce, proof, from: from.into(), to: to.into(), link, lane };
            greet(&out, &mut inbox, &self.inner.token, greeting).await.map(|()| out)
        };
        let lanes = futures_util::future::try_join_all((0..LANES).map(lane));
        let Ok(Ok(lanes)) = tokio::time::timeout(REACHED_WITHIN, lanes).await else { return };
        if let Some(Peer::Open(open)) = self.inner.peers.borrow().get(&to)
            && open.link == link
        {
            open.out.widen(lanes);
        }
    }

    /// Whether nobody has taken the place of a link from a peer.
    fn is_newest(&self, from: Seat, number: u64) -> bool {
        self.inner.takes_from.borrow().get(&from).is_some_and(|taken| taken.number == number)
    }

    /// A connection beside a link that is open.
    fn take_lane(&self, from: Seat, link: u64, lane: u8, inbox: Inbox) -> Result<(), String> {
        let taken = self.inner.takes_from.borrow().get(&from).filter(|taken| taken.link == link).cloned();
        match taken {
            Some(taken) if taken.lanes.add(lane, inbox) => Ok(()),
            Some(_) => Err("that connection is there already, or there are too many".to_owned()),
            None => Err("the link that it belongs to is gone".to_owned()),
        }
    }

    fn lose(&self, peer: Seat) {
        let was_there = self.inner.peers.borrow_mut().remove(&peer).is_some();
        self.inner.changed.notify_waiters();
        if was_there && self.inner.seat.get().is_some() {
            let _ = self.inner.events.send(WorkerEvent::PeerLost(peer));
        }
    }

    /// What lay under a lease is free again, and there may be room for what waits, whoever it is for.
    fn released(&self, peer: Seat, lease: u64) {
        let mut peers = self.inner.peers.borrow_mut();
        if let Some(Peer::Open(open)) = peers.get_mut(&peer) {
            open.leases.remove(&lease);
        }
        let mut has_moved = false;
        for peer in peers.values_mut() {
            let Peer::Open(open) = peer else { continue };
            while let Some(hand_over) = open.waiting.pop_front() {
                if self.try_send(open, &hand_over).is_err() {
                    open.waiting.push_front(hand_over);
                    break;
                }
                open.since = Instant::now();
                has_moved = true;
            }
            open.out.flush();
        }
        if has_moved {
            self.inner.changed.notify_waiters();
        }
    }

    /// Serves whoever connected to this worker.
    pub(crate) async fn serve(self, socket: Socket) {
        // Whoever is no peer, or no friend, is not answered.
        let _ = self.take_from(socket).await;
    }

    async fn take_from(&self, socket: Socket) -> Result<(), String> {
        let fd = match &socket {
            Socket::Unix(_) => Some(socket.take_fd().await.map_err(|error| error.to_string())?),
            Socket::Tcp(_) | Socket::Concealed(..) => None,
        };
        let token = &self.inner.token;
        let socket = socket.secured(token, Side::Listens).await.and_then(Socket::split);
        let (out, mut inbox) = socket.map_err(|error| error.to_string())?;
        let greeted = tokio::time::timeout(REACHED_WITHIN, listen(&out, &mut inbox, token)).await;
        let greeted = greeted.map_err(|_| "it said nothing".to_owned())??;
        let (from, to, link, arena_bytes) = match greeted {
            Control::Peer { from, to, link, arena_bytes, .. } => (Seat::from(from), to, link, arena_bytes),
            Control::Lane { from, to, link, lane, .. } if self.inner.seat.get() == Some(to.into()) => {
                return self.take_lane(from.into(), link, lane, inbox);
            }
            _ => return Err("a worker takes peers only".to_owned()),
        };
        let seat = self.inner.seat.get();
        if seat != Some(to.into()) {
            return Err("it looks for another life of this worker".to_owned());
        }
        let lent = match (fd, arena_bytes) {
            (Some(fd), Some(bytes)) => {
                let arena = Foreign::map(&fd, bytes).map_err(|error| error.to_string())?;
                Some(Borrower::new(arena, out.clone(), Arc::clone(&self.inner.counts)))
            }
            _ => None,
        };
        let lent = lent.as_ref().map(|lent| lent as &dyn Borrow);
        let lanes = Rc::new(Lanes::default());
        inbox.widen(Rc::clone(&lanes));
        let number = self.new_link();
        let taken = Taken { number, link, lanes };
        // A link in place of one that broke: that it did must be known before anything comes over this one.
        if self.inner.takes_from.borrow_mut().insert(from, taken).is_some() {
            self.inner.changed.notify_waiters();
            let _ = self.inner.events.send(WorkerEvent::PeerLost(from));
        }
        loop {
            let came = inbox.next().await;
            if self.inner.seat.get() != seat || !self.is_newest(from, number) {
                return Ok(());
            }
            let frame = match came {
                Ok(Some(came)) => Frame::read(&came.head, came.payloads, self.inner.clock.now_us(), lent),
                Ok(None) | Err(_) => break,
            };
            // Whoever sends what cannot be is not to be trusted with what comes next.
            let Ok(Frame::HandOver { hand_over, sent_us }) = frame else { break };
            if let Some(sent_us) = sent_us {
                let transport = if lent.is_some() { Transport::SharedMemory } else { Transport::Tcp };
                self.tell_handed(&hand_over, transport, sent_us);
            }
            let _ = self.inner.events.send(WorkerEvent::HandOver(hand_over));
        }
        if self.is_newest(from, number) {
            self.inner.takes_from.borrow_mut().remove(&from);
            self.inner.changed.notify_waiters();
            let _ = self.inner.events.send(WorkerEvent::PeerLost(from));
        }
        Ok(())
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
        let _ = self.events.send(WorkerEvent::Cancel {
            request: hand_over.header.request,
            stage: hand_over.from,
            fault: Fault::new(Blame::Busy, message),
        });
    }
}

impl Outside for Links {
    fn hand_over(&mut self, to: Seat, hand_over: HandOver) {
        if self.inner.seat.get() == Some(to) {
            self.count_item(&hand_over, Transport::Pointer);
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
        if self.inner.is_urgent.get() {
            self.tell_now();
        }
    }
}
