//! A coordinator in front of workers that are processes, of this host or of others: they join, are told what to
//! replay, say that they are ready, and may be lost at any moment.
//!
//! What it decides is [`corn_core::Coordinator`]'s; here are the connections. Each worker has one, over which its
//! replays are opened and its outputs come back. When it breaks, the worker's life is over.

mod control;
mod generations;
mod members;
mod noted;
mod remote;
mod switchboard;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corn_core::Fault;
use corn_core::coordinator::Patience;
use corn_core::message::{CoordinatorEvent, Seat, WorkerEvent};
use corn_plan::{RecordingId, Verified, WorkerId};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Answer, Message};
use crate::counts::Sent;
use crate::engine::{Ask, Engine};
use crate::observe::Observer;
use crate::wire::Frame;
use crate::wire::cipher::Side;
use crate::wire::control::{Address, Control, Join, read, write};
use crate::wire::greet::{Token, hear, listen, say};
use crate::wire::link::{Inbox, Outbox, Socket};

pub use control::{Order, Update, serve_control};
pub use generations::Generations;
pub use members::{Member, SeenGpu, Standing, Started, Status};
pub use noted::{CallTimes, HandOverTimes, RequestTimes};
pub use remote::{Remote, RemoteAnswer};
pub use switchboard::Switchboard;

use members::Members;
pub(crate) use members::host_name;
use noted::{Note, Noted};

/// A worker that is silent gets no new replays after this.
const SUSPECT_AFTER: Duration = Duration::from_secs(1);
/// A worker that is silent counts as lost after this.
const EJECT_AFTER: Duration = Duration::from_secs(5);
/// How long a stranger may take to say who he is.
const GREETS_WITHIN: Duration = Duration::from_secs(10);

/// How a deployment listens for its workers, and waits for them.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Its Unix socket, for workers of this host.
    pub unix: PathBuf,
    /// Its TCP address, for those of others, if there are any.
    pub tcp: Option<String>,
    /// What its processes know.
    pub token: Token,
    /// How long requests wait for a worker to come back, once the last that has a component is lost.
    pub waits: Duration,
}

/// A coordinator and its workers.
pub struct Deployment {
    engine: Arc<Engine>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// Says nothing, and ends with the connections.
    ended: Mutex<Receiver<()>>,
    _switchboard: Switchboard,
}

/// What its connections share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    plan_text: String,
    token: Token,
    members: Mutex<Members>,
    /// How often something about the workers has changed.
    changes: watch::Sender<u64>,
    sent: Sent,
    observer: Arc<Noted>,
}

impl Deployment {
    /// Listens on `switchboard` for the workers of `plan`; `observer` is told of requests that are traced. Nothing is
    /// replayed before they have joined; see [`Self::ready`].
    pub fn start(
        plan: &Arc<Verified>,
        listening: &Listening,
        observer: Arc<dyn Observer>,
        switchboard: &Switchboard,
    ) -> Result<Self, Fault> {
        let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
        let micros = |duration: Duration| duration.as_micros() as u64;
        let patience = Patience {
            suspect_us: micros(SUSPECT_AFTER),
            eject_us: micros(EJECT_AFTER),
            wait_us: micros(listening.waits),
        };
        let (drained, mut drains) = unbounded_channel();
        let idle = move |worker| {
            let _ = drained.send(worker);
        };
        let observer = Arc::new(Noted::new(observer));
        let watched = Arc::clone(&observer) as Arc<dyn Observer>;
        let (engine, told) = Engine::without_workers(Arc::clone(plan), &recordings, patience, watched, idle);
        let engine = Arc::new(engine);
        let shared = Arc::new(Shared {
            engine: Arc::clone(&engine),
            plan_text: plan.plan().to_text(),
            token: listening.token.clone(),
            members: Mutex::new(Members::new(plan.plan().workers.len())),
            changes: watch::Sender::new(0),
            sent: Sent::default(),
            observer,
        });
        let members = Arc::downgrade(&shared);
        let _ = engine.members.set(Box::new(move |status| {
            if let Some(shared) = members.upgrade() {
                shared.read(status);
            }
        }));
        let (stop, stopped) = watch::channel(false);
        let (bound, is_bound) = channel();
        let (inside, listening) = (Arc::clone(&shared), listening.clone());
        let (ends, ended) = channel();
        switchboard.spawn(move || async move {
            let _ends = ends;
            let (unix, tcp) = match bind(&listening).await {
                Ok(sockets) => sockets,
                Err(fault) => return drop(bound.send(Err(fault))),
            };
            let _ = bound.send(Ok(()));
            let mut tasks = JoinSet::new();
            // Beside the connections: what comes in moves the coordinator and goes out without waking a thread.
            let desk = Arc::clone(&inside.engine.desk);
            tasks.spawn_local(async move { desk.hear_all(told).await });
            tokio::select! {
                () = accept(unix, tcp, &inside, &mut tasks) => {}
                () = note_drained(&mut drains, &inside) => {}
                () = stopped_by(stopped) => {}
            }
            end_all(&inside).await;
            inside.observer.close();
        });
        is_bound.recv().unwrap_or_else(|_| Err(Fault::setup("the thread for links ended at once")))?;
        Ok(Self { engine, shared, stop, ended: Mutex::new(ended), _switchboard: switchboard.clone() })
    }

    /// The engine that admits requests and gives their answers.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Submits a request, and notes what is told of it if it is traced. To be called on the thread of the connections:
    /// nothing is told meanwhile.
    pub(crate) fn submit(&self, ask: Ask) -> (Answer, Option<Note>) {
        let (is_traced, recording, from_us) = (ask.is_traced, ask.recording, self.engine.now_us());
        let answer = self.engine.submit(ask);
        let plan = Arc::clone(self.engine.plan());
        let note = is_traced.then(|| self.shared.observer.note(answer.request(), plan, recording, from_us));
        (answer, note)
    }

    /// What it replays, as text.
    pub(crate) fn plan_text(&self) -> &str {
        &self.shared.plan_text
    }

    /// Ends when every worker of the plan is ready, or with what a worker could not load.
    pub async fn ready(&self) -> Result<(), Fault> {
        loop {
            let mut changes = self.shared.changes.subscribe();
            {
                let members = self.shared.lock();
                if let Some(fault) = members.failure() {
                    return Err(fault);
                }
                if self.engine.plan().plan().workers.ids().all(|worker| members.is_ready(worker)) {
                    return Ok(());
                }
            }
            // It is there as long as this is.
            let _ = changes.changed().await;
        }
    }

    /// Ends when something about the workers has changed since it was `version` of [`Status`]: joined, loading, ready,
    /// lost, drained.
    pub async fn changed(&self, version: u64) {
        // It is there as long as this is.
        let _ = self.shared.changes.subscribe().wait_for(|changes| *changes != version).await;
    }

    /// How often something about the workers has changed.
    pub(crate) fn version(&self) -> u64 {
        *self.shared.changes.borrow()
    }

    /// Ends when no request is under way, nor waits.
    pub async fn idle(&self) {
        self.engine.desk.idle().await;
    }

    /// Every request under way fails with `fault`, and whichever comes.
    pub fn close(&self, fault: &Fault) {
        self.engine.desk.clients.close(fault);
        self.shared.observer.close();
    }

    /// The workers, and what is under way.
    pub fn status(&self) -> Status {
        self.engine.status()
    }

    /// Takes no new requests to `worker`. It is shown as drained once nothing is under way there.
    pub fn drain(&self, worker: WorkerId) {
        self.shared.drain(worker);
    }

    /// Whoever runs this starts the processes of `worker`, and says when one ends.
    pub fn starts(&self, worker: WorkerId) {
        self.shared.lock().starts(worker);
    }

    /// A process of `worker` has ended though nobody told it to: this is how.
    pub fn has_ended(&self, worker: WorkerId, how: &str) {
        self.shared.lock().ended(worker, how);
        self.shared.note_change();
    }

    /// Tells `worker` to end. What it has under way is replayed by others, where nothing of it was sent yet.
    pub fn end(&self, worker: WorkerId) {
        self.shared.lock().end(worker);
    }

    /// Tells every worker to end, closes what is open, and waits for it. Requests under way fail. Blocks.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
        // They say nothing: this is their end.
        let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
}

async fn stopped_by(mut stop: watch::Receiver<bool>) {
    // A deployment that is gone has stopped as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn bind(listening: &Listening) -> Result<(UnixListener, Option<TcpListener>), Fault> {
    let cannot =
        |what: &str, error: &std::io::Error| Fault::setup(format!("cannot listen at {what}: {error}"));
    let path: &Path = &listening.unix;
    let _ = std::fs::remove_file(path);
    let unix = UnixListener::bind(path).map_err(|error| cannot(&path.display().to_string(), &error))?;
    let tcp = match &listening.tcp {
        Some(address) => Some(TcpListener::bind(address).await.map_err(|error| cannot(address, &error))?),
        None => None,
    };
    Ok((unix, tcp))
}

/// Serves whoever connects.
async fn accept(
    unix: UnixListener,
    tcp: Option<TcpListener>,
    shared: &Arc<Shared>,
    connections: &mut JoinSet<()>,
) {
    loop {
        let by_tcp = async {
            match &tcp {
                Some(tcp) => tcp.accept().await.and_then(|(stream, _)| Socket::of_tcp(stream)),
                None => std::future::pending().await,
            }
        };
        let socket = tokio::select! {
            accepted = unix.accept() => accepted.map(|(stream, _)| Socket::Unix(stream)),
            accepted = by_tcp => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match socket {
            Ok(socket) => drop(connections.spawn_local(serve(socket, Arc::clone(shared)))),
            // Out of descriptors, say: others may be closed in the meantime.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn note_drained(drains: &mut UnboundedReceiver<WorkerId>, shared: &Arc<Shared>) {
    while let Some(worker) = drains.recv().await {
        shared.lock().drained(worker);
        shared.note_change();
    }
    // The coordinator is gone; so is everything else, soon.
    std::future::pending::<()>().await;
}

async fn end_all(shared: &Arc<Shared>) {
    for out in shared.lock().connections() {
        let _ = out.send(Control::End);
    }
    // The connections' tasks send it, and end when the workers close.
    let _ = timeout(Duration::from_secs(2), async {
        while shared.lock().is_anyone_here() {
            let mut changes = shared.changes.subscribe();
            if shared.lock().is_anyone_here() {
                let _ = changes.changed().await;
            }
        }
    })
    .await;
}

/// Listens to a stranger, who may be a worker that joins.
async fn serve(socket: Socket, shared: Arc<Shared>) {
    let Ok(socket) = socket.secured(&shared.token, Side::Listens).await else { return };
    let Ok((out, mut inbox)) = socket.split() else { return };
    let greeted = timeout(GREETS_WITHIN, listen(&out, &mut inbox, &shared.token)).await;
    let Ok(Ok(Control::Join(join))) = greeted else { return };
    let (control, said) = unbounded_channel();
    let seat = match shared.seat(&join, control) {
        Ok(seat) => seat,
        Err(reason) => return say(&out, &Control::Refused { reason }),
    };
    say(&out, &Control::Replay { worker: seat.into(), plan: shared.plan_text.clone() });
    let failure = life(seat, &join, &out, &mut inbox, said, &shared).await.err();
    shared.engine.desk.ports.close(seat);
    shared.engine.told.tell(CoordinatorEvent::Lost(seat));
    shared.lock().leave(seat, failure);
    shared.tell_peers();
}

/// A worker's life as its coordinator sees it; the error is why it could not load.
async fn life(
    seat: Seat,
    join: &Join,
    out: &Outbox,
    inbox: &mut Inbox,
    mut said: UnboundedReceiver<Control>,
    shared: &Arc<Shared>,
) -> Result<(), Fault> {
    // Loading takes as long as it takes; whoever supervises the worker's process sees it end.
    loop {
        match hear(inbox).await {
            Ok(Control::Loading { what, done, total }) => {
                shared.lock().loading(seat, what, done, total);
                shared.note_change();
            }
            Ok(Control::Gpus(gpus)) => shared.lock().gpus(seat, gpus),
            Ok(Control::Ready) => break,
            Ok(Control::Failed { message, component }) => {
                return Err(Fault { component, ..Fault::setup(message) });
            }
            _ => return Ok(()),
        }
    }
    let (port, mut events) = unbounded_channel();
    shared.engine.desk.ports.open(seat, port);
    shared.engine.told.tell(CoordinatorEvent::Joined(seat));
    shared.lock().ready(seat, join.host.clone());
    shared.tell_peers();
    let outgoing = async {
        loop {
            let mut next = tokio::select! {
                biased;
                control = said.recv() => control.map(|control| Frame::Control(write(&control))),
                event = events.recv() => event.map(frame_of),
            };
            let mut is_over = next.is_none();
            // What is there already crosses in the same write.
            while let Some(frame) = next.take() {
                shared.sent.count(&frame);
                let written = frame.write(shared.engine.now_us(), None);
                out.queue(written.expect("nothing is lent to a worker"));
                match events.try_recv() {
                    Ok(event) => next = Some(frame_of(event)),
                    Err(TryRecvError::Empty) => {}
                    // The worker is ejected.
                    Err(TryRecvError::Disconnected) => is_over = true,
                }
            }
            out.flush();
            if is_over {
                return;
            }
        }
    };
    tokio::select! {
        () = outgoing => {}
        () = incoming(seat, inbox, shared) => {}
    }
    Ok(())
}

/// What is said to a worker.
fn frame_of(event: WorkerEvent) -> Frame {
    match event {
        WorkerEvent::Open { header, stage, inputs } => Frame::Open { header, stage, inputs },
        WorkerEvent::Cancel { request, stage, fault } => Frame::Cancel { request, stage, fault },
        WorkerEvent::Consumed { request, stage, value, count } => {
            Frame::Consumed { request, stage, value, count }
        }
        WorkerEvent::PeerLost(peer) => Frame::PeerLost(peer),
        WorkerEvent::HandOver(_)
        | WorkerEvent::Report(..)
        | WorkerEvent::Forsaken
        | WorkerEvent::Seated(_)
        | WorkerEvent::Tick => unreachable!("the coordinator does not say that to workers"),
    }
}

/// What a worker says, until it is gone or talks nonsense.
async fn incoming(seat: Seat, inbox: &mut Inbox, shared: &Arc<Shared>) {
    let engine = &shared.engine;
    let tell = |event| engine.told.tell(event);
    while let Ok(Some(came)) = inbox.next().await {
        tell(CoordinatorEvent::Heard(seat));
        match Frame::read(&came.head, came.payloads, engine.now_us(), None) {
            Ok(Frame::Output { request, stage, value, item }) => {
                let output = Message::Output { worker: seat, request, stage, value, item };
                engine.desk.clients.send(request, output);
            }
            Ok(Frame::Used { request, usage }) => {
                engine.desk.clients.send(request, Message::Used { request, usage });
            }
            Ok(Frame::Closed { request, stage, outcome }) => {
                tell(CoordinatorEvent::Closed { request, stage, outcome });
            }
            Ok(Frame::Parted { peer, kept }) => tell(CoordinatorEvent::Parted { worker: seat, peer, kept }),
            Ok(Frame::Alive(vitals)) => shared.lock().alive(seat, vitals),
            Ok(Frame::Control(json)) => match read(&json) {
                Ok(Control::Worked(work)) => shared.lock().worked(seat, work),
                Ok(Control::Called(called)) => {
                    shared.observer.call(&called.trace(engine.desk.clock));
                }
                Ok(Control::Handed(handed)) => {
                    shared.observer.hand_over(&handed.trace(engine.desk.clock));
                }
                _ => return,
            },
            _ => return,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a worker that joins the seat it asks for, or one that is free.
    fn seat(&self, join: &Join, control: UnboundedSender<Control>) -> Result<Seat, String> {
        let mut members = self.lock();
        let worker = members.place_for(join)?;
        let seat = self.engine.desk.ask(|coordinator| coordinator.welcome(worker, join.epochs));
        if let Some(before) = members.join(seat, join, control) {
            self.engine.desk.ports.close(before);
        }
        drop(members);
        self.note_change();
        Ok(seat)
    }

    /// Tells every worker that is ready who else is, and whoever waits that something has changed.
    fn tell_peers(&self) {
        let members = self.lock();
        let peers: Vec<Address> = members.addresses();
        for out in members.connections() {
            let _ = out.send(Control::Peers { peers: peers.clone() });
        }
        drop(members);
        self.note_change();
    }

    pub(crate) fn drain(&self, worker: WorkerId) {
        self.lock().drain(worker);
        self.engine.told.tell(CoordinatorEvent::Drain(worker));
        self.note_change();
    }

    fn note_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Adds how the workers are, and what was said to them.
    fn read(&self, status: &mut Status) {
        status.version = *self.changes.borrow();
        status.workers = self.lock().read(self.engine.plan().plan());
        status.sent = self.sent.read();
    }
}
