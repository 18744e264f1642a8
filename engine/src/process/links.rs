//! What a worker process hands over to its peers, and takes from them: a link to each worker that it sends
//! to, opened with the first hand-over and used for everything after it.
//!
//! To a peer of the same host a link is a Unix socket, and contents lie in this worker's arena; to one of
//! another host it is TCP, and contents follow the frame. What lies on a GPU stays there for a peer of the same host that
//! has GPUs, and is handed over once it is made; see [`waiting`]. A link that breaks is a peer that was lost: the
//! core decides what that means. Everything here runs on the worker's one thread.

mod ends;
mod outside;
mod waiting;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corn_core::message::{Body, HandOver, Seat, WorkerEvent};
use corn_core::{Datum, OnDevice};
use corn_device::Gpu;
use corn_plan::{Transport, WorkerId};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::lend::Borrower;
use crate::arena::{Arena, Foreign};
use crate::clock::Clock;
use crate::counts::Counts;
use crate::devices::Devices;
use crate::observe::HandOverTrace;
use crate::wire::cipher::Side;
use crate::wire::control::{Address, Control, Handed, Host, write};
use crate::wire::greet::{Token, greet, listen};
use crate::wire::lanes::{LANES, Lanes};
use crate::wire::link::{Inbox, Outbox, Socket};
use crate::wire::{Borrow, Frame, Vitals};

/// How long a peer may take to be known and to answer.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// How long what nobody waits for waits for company, and how much of it, if the worker has something to do then.
const LATE_US: u64 = 1000;
const LATE_TOGETHER: u32 = 16;
/// How long it waits if not. A timer costs two turns of the event loop; with more of them steps would be slower.
const LATE_WITHIN: Duration = Duration::from_millis(5);

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
    devices: RefCell<Rc<LentDevices>>,
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
    /// What is queued for the coordinator that nobody waits for, and since when.
    late: Cell<u32>,
    late_since_us: Cell<u64>,
    /// A timer will look at it.
    is_late_timed: Cell<bool>,
    /// Something is queued for the coordinator that somebody waits for.
    is_urgent: Cell<bool>,
    events: UnboundedSender<WorkerEvent>,
    /// Whose first hand-over can go on, since a GPU has made what it waited for.
    made: UnboundedSender<Seat>,
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

/// This worker's GPUs, and whose GPUs read their memory.
#[derive(Default)]
pub(crate) struct LentDevices {
    pub(crate) gpus: Devices,
    /// Workers that have GPUs.
    pub(crate) readers: BTreeSet<WorkerId>,
}

impl LentDevices {
    fn are_read_by(&self, worker: WorkerId) -> bool {
        !self.gpus.is_empty() && self.readers.contains(&worker)
    }
}

/// What keeps a hand-over from being sent now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Room in an arena.
    Room,
    /// A GPU has not made it yet.
    Work,
}

/// A link that is there.
struct Reached {
    out: Outbox,
    inbox: Inbox,
    is_shared: bool,
    reads_devices: bool,
    link: u64,
}

struct Open {
    peer: Seat,
    out: Outbox,
    /// Whether contents lie in the arena.
    is_shared: bool,
    /// What the peer has not given back.
    leases: BTreeMap<u64, Bytes>,
    /// The same of what lies on a GPU.
    device_leases: BTreeMap<u64, Arc<dyn OnDevice>>,
    next_lease: u64,
    /// Whether the peer reads the memory of this worker's GPUs.
    reads_devices: bool,
    /// What waits, in order, and what the first of it waits for.
    waiting: VecDeque<HandOver>,
    waits_for: Lack,
    since: Instant,
    /// Whether this worker will be told when what the first waits for is made.
    is_told: bool,
    /// Which of the links that this worker ever opened.
    link: u64,
    /// Connections beside it have been asked for.
    is_widened: bool,
}

impl Links {
    pub(crate) fn new(token: Token, clock: Clock, host: Host, events: UnboundedSender<WorkerEvent>) -> Self {
        let (made, mut told) = unbounded_channel();
        let inner = Inner {
            seat: Cell::new(None),
            token,
            clock,
            arena: RefCell::new(None),
            devices: RefCell::default(),
            host,
            known: RefCell::default(),
            changed: Notify::new(),
            peers: RefCell::default(),
            takes_from: RefCell::default(),
            next_link: Cell::new(0),
            coordinator: RefCell::new(None),
            has_many: Cell::new(false),
            late: Cell::new(0),
            late_since_us: Cell::new(0),
            is_late_timed: Cell::new(false),
            is_urgent: Cell::new(false),
            events,
            made,
            vitals: Cell::default(),
            counts: Arc::default(),
        };
        let links = Self { inner: Rc::new(inner) };
        let resumed = links.clone();
        tokio::task::spawn_local(async move {
            while let Some(peer) = told.recv().await {
                resumed.made(peer);
            }
        });
        links
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
    pub(crate) fn lend_from(&self, arena: Arc<Arena>, devices: LentDevices, inflight: u32) {
        *self.inner.arena.borrow_mut() = Some(arena);
        *self.inner.devices.borrow_mut() = Rc::new(devices);
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
        let device_bytes = self.inner.devices.borrow().gpus.used_bytes();
        Vitals { arena_bytes, device_bytes, ..self.inner.vitals.get() }
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
        if late >= LATE_TOGETHER {
            self.inner.is_urgent.set(true);
        } else if late == 1 {
            self.inner.late_since_us.set(self.inner.clock.now_us());
            if !self.inner.is_late_timed.replace(true) {
                let links = self.clone();
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(LATE_WITHIN).await;
                    links.inner.is_late_timed.set(false);
                    links.tell_now();
                });
            }
        }
    }

    /// Whether what nobody waits for has waited long enough.
    fn is_late_due(&self) -> bool {
        let waited = || self.inner.clock.now_us().saturating_sub(self.inner.late_since_us.get());
        self.inner.late.get() > 0 && waited() >= LATE_US
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
            Transport::SharedMemory => vitals.by_shared_memory += 1,
            Transport::Cuda => vitals.by_cuda += 1,
            Transport::Tcp => vitals.by_tcp += 1,
        });
    }

    /// Opens the way to `to`, sends what waits for it, and listens for what it gives back.
    async fn open(self, to: Seat) {
        let reached = tokio::time::timeout(REACHED_WITHIN, self.reach(to)).await;
        let Ok(Ok(Reached { out, mut inbox, is_shared, reads_devices, link })) = reached else {
            return self.lose(to);
        };
        let mut open = Open {
            peer: to,
            out,
            is_shared,
            leases: BTreeMap::new(),
            device_leases: BTreeMap::new(),
            next_lease: 0,
            reads_devices,
            waiting: VecDeque::new(),
            waits_for: Lack::Room,
            since: Instant::now(),
            is_told: false,
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

    async fn reach(&self, to: Seat) -> Result<Reached, String> {
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
        let devices = self.inner.devices.borrow().clone();
        let reads_devices = arena.is_some() && devices.are_read_by(to.worker);
        let lent: Vec<_> = if reads_devices { devices.gpus.arenas().collect() } else { Vec::new() };
        if let Some(arena) = &arena {
            let fds: Vec<_> =
                std::iter::once(arena.fd()).chain(lent.iter().map(|(fd, _)| fd.as_fd())).collect();
            socket.send_fds(&fds).await.map_err(|error| error.to_string())?;
        }
        let (out, mut inbox) = socket.split().map_err(|error| error.to_string())?;
        let arena_bytes = arena.map(|arena| arena.bytes());
        let device_bytes = lent.into_iter().map(|(_, bytes)| bytes).collect();
        let link = self.new_link();
        let greeting = |nonce, proof| Control::Peer {
            nonce,
            proof,
            from: from.into(),
            to: to.into(),
            arena_bytes,
            device_bytes,
            link,
        };
        greet(&out, &mut inbox, &self.inner.token, greeting).await?;
        Ok(Reached { out, inbox, is_shared, reads_devices, link })
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

    /// Serves whoever connected to this worker.
    pub(crate) async fn serve(self, socket: Socket) {
        // Whoever is no peer, or no friend, is not answered.
        let _ = self.take_from(socket).await;
    }

    async fn take_from(&self, socket: Socket) -> Result<(), String> {
        let fds = match &socket {
            Socket::Unix(_) => socket.take_fds().await.map_err(|error| error.to_string())?,
            Socket::Tcp(_) | Socket::Concealed(..) => Vec::new(),
        };
        let token = &self.inner.token;
        let socket = socket.secured(token, Side::Listens).await.and_then(Socket::split);
        let (out, mut inbox) = socket.map_err(|error| error.to_string())?;
        let greeted = tokio::time::timeout(REACHED_WITHIN, listen(&out, &mut inbox, token)).await;
        let greeted = greeted.map_err(|_| "it said nothing".to_owned())??;
        let (from, to, link, bytes) = match greeted {
            Control::Peer { from, to, link, arena_bytes, device_bytes, .. } => {
                (Seat::from(from), to, link, (arena_bytes, device_bytes))
            }
            Control::Lane { from, to, link, lane, .. } if self.inner.seat.get() == Some(to.into()) => {
                return self.take_lane(from.into(), link, lane, inbox);
            }
            _ => return Err("a worker takes peers only".to_owned()),
        };
        let seat = self.inner.seat.get();
        if seat != Some(to.into()) {
            return Err("it looks for another life of this worker".to_owned());
        }
        let lent = self.borrow(&fds, bytes, &out)?;
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
                let transport = match &hand_over.body {
                    Body::Item(Datum::OnDevice(_)) => Transport::Cuda,
                    _ if lent.is_some() => Transport::SharedMemory,
                    _ => Transport::Tcp,
                };
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

    /// What a peer lends over a link: the arenas behind the descriptors that came with it, of these sizes.
    fn borrow(
        &self,
        fds: &[OwnedFd],
        (arena_bytes, device_bytes): (Option<u64>, Vec<u64>),
        out: &Outbox,
    ) -> Result<Option<Borrower>, String> {
        let (Some((fd, others)), Some(bytes)) = (fds.split_first(), arena_bytes) else { return Ok(None) };
        if others.len() != device_bytes.len() {
            return Err("it named other arenas than came".to_owned());
        }
        let arena = Foreign::map(fd, bytes).map_err(|error| error.to_string())?;
        let devices = self.inner.devices.borrow();
        let map = |reader: &Arc<Gpu>| {
            let lent = others.iter().zip(device_bytes);
            lent.map(|(fd, bytes)| corn_device::Foreign::map(reader, fd, bytes)).collect()
        };
        let devices = devices.gpus.reader().map(map).unwrap_or_default();
        Ok(Some(Borrower::new(arena, devices, out.clone(), Arc::clone(&self.inner.counts))))
    }
}
