//! A worker that is a process of its own: it joins a coordinator, loads its components, replays, and comes back
//! when the coordinator does.

mod lend;
mod links;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use corn_core::executor::{Loader, Memory, Progress, Room};
use corn_core::message::{Seat, WorkerEvent};
use corn_core::{Fault, Ledger, Worker};
use corn_device::Gpu;
use corn_plan::{Plan, RecordingId, Verified, WorkerId, verify};
use rustix::process::{Signal, getpid, kill_process};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::arena::{Arena, Block};
use crate::clock::Clock;
use crate::counts::Work;
use crate::deployment::host_name;
use crate::devices::{Devices, see};
use crate::load::{Loading, Loads, needed};
use crate::observe::NoObserver;
use crate::wire::control::{Control, Host, Join, read, write};
use crate::wire::greet::{Token, greet, hear, say};
use crate::wire::link::{Inbox, Outbox, Socket};
use crate::wire::{Frame, Vitals};
use crate::worker::{Driver, Outside};
use links::{LentDevices, Links};

/// How often a worker says that it lives.
const ALIVE_EVERY: Duration = Duration::from_millis(250);
/// How long a worker waits between two tries to reach its coordinator.
const TRIES_EVERY: Duration = Duration::from_millis(300);
/// The arena is this many times what the plan lets requests hold: what was handed over is held by both ends for a
/// moment, and free room comes in pieces.
const ARENA_SLACK: u64 = 2;
/// The least arena.
const MIN_ARENA_BYTES: u64 = 1 << 20;
/// How long a coordinator may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a worker that ends may take to write what it handed over.
const WRITES_WITHIN: Duration = Duration::from_secs(1);

/// How a worker joins.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Where the coordinator listens: `unix:PATH` or `HOST:PORT`.
    pub coordinator: String,
    /// What the deployment's processes know.
    pub token: Token,
    /// Which worker of the plan to be; any that is free, if none.
    pub worker: Option<WorkerId>,
    /// Where to listen for peers of other hosts: `HOST:PORT`, port 0 for any.
    pub listen: String,
    /// How peers of other hosts name this one, if not as it listens.
    pub advertise: Option<String>,
    /// A folder for this worker's socket, which only its owner may enter.
    pub folder: PathBuf,
    /// How long to look for a coordinator that is not there.
    pub patience: Duration,
}

/// What a worker replays, once it has loaded it.
struct Loaded {
    /// The plan's text, as the coordinator sent it.
    plan: String,
    ledger: Arc<Mutex<Ledger>>,
}

/// How a life of a worker ended.
enum Ended {
    /// The coordinator said so.
    Told,
    /// The coordinator is not there any more.
    Forsaken,
}

/// A worker process between and in its lives.
struct Process<'a> {
    membership: &'a Membership,
    loader: Arc<dyn Loader>,
    told: fn(&str),
    clock: Clock,
    events: UnboundedSender<WorkerEvent>,
    links: Links,
    /// What the worker hears, until someone listens.
    unheard: Option<UnboundedReceiver<WorkerEvent>>,
    loaded: Option<Loaded>,
    /// Those that it works on.
    gpus: Vec<Arc<Gpu>>,
    /// The life before this one.
    before: Option<Seat>,
}

/// Is a worker until the coordinator says that it ends, or has been away for too long. `loader` loads components of
/// whatever plan the coordinator names; `told` is told what goes on, a line at a time. Runs on this thread; blocks.
pub fn work(membership: &Membership, loader: Arc<dyn Loader>, told: fn(&str)) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::setup(format!("no event loop: {error}")))?;
    let lives = async {
        let clock = Clock::new();
        let (events, unheard) = unbounded_channel();
        if let Err(reason) = see() {
            told(&format!("no GPU is seen here: {reason}"));
        }
        let links = listen(membership, clock, &events).await?;
        let unheard = Some(unheard);
        let mut process = Process {
            membership,
            loader,
            told,
            clock,
            events,
            links,
            unheard,
            loaded: None,
            gpus: Vec::new(),
            before: None,
        };
        while !matches!(process.life().await?, Ended::Told) {}
        Ok(())
    };
    let outcome = LocalSet::new().block_on(&runtime, lives);
    // Executors that are in a long turn are not waited for: the process ends with them.
    runtime.shutdown_background();
    outcome
}

impl Process<'_> {
    /// One life, from joining to its end.
    async fn life(&mut self) -> Result<Ended, Fault> {
        let (out, mut inbox) = self.join().await?;
        let (seat, plan) = match hear(&mut inbox).await {
            Ok(Control::Replay { worker, plan }) => (Seat::from(worker), plan),
            Ok(Control::Refused { reason }) => return Err(Fault::setup(reason)),
            // It went away before it said anything: it is looked for again.
            _ => return Ok(Ended::Forsaken),
        };
        match &self.loaded {
            None => {
                (self.told)(&format!("{seat} loads"));
                if let Err(fault) = self.load(seat, &plan, &out).await {
                    let Fault { message, component, .. } = fault.clone();
                    say(&out, &Control::Failed { message, component });
                    return Err(fault);
                }
            }
            Some(loaded)
                if loaded.plan == plan && self.before.is_none_or(|before| before.worker == seat.worker) => {}
            // Nothing is unloaded: whoever supervises this process starts another.
            Some(_) => return Err(Fault::setup("the coordinator has other work now; this worker ends")),
        }
        self.links.sit(seat, out.clone());
        let _ = self.events.send(WorkerEvent::Seated(seat));
        self.before = Some(seat);
        say(&out, &Control::Ready);
        (self.told)(&format!("{seat} is ready"));
        let ended = self.session(&mut inbox).await;
        if matches!(ended, Ended::Told) {
            // What was handed over before is still under way, and its replays count as over here.
            let _ = timeout(WRITES_WITHIN, self.links.written()).await;
        }
        self.links.stand_up();
        let _ = self.events.send(WorkerEvent::Forsaken);
        match ended {
            Ended::Told => (self.told)(&format!("{seat} ends: it was told to")),
            Ended::Forsaken => (self.told)(&format!("{seat} lost its coordinator and looks for it")),
        }
        Ok(ended)
    }

    /// Reaches the coordinator, for as long as the worker's patience lasts.
    async fn join(&self) -> Result<(Outbox, Inbox), Fault> {
        let Membership { coordinator, patience, .. } = &self.membership;
        let given_up = Instant::now() + *patience;
        let mut told = String::new();
        loop {
            let problem = match timeout(ANSWERS_WITHIN, self.try_join()).await {
                Ok(Ok(joined)) => return Ok(joined),
                Ok(Err(TryAgain(problem))) => problem,
                Err(_) => format!("it did not answer within {} s", ANSWERS_WITHIN.as_secs()),
            };
            let problem = format!("cannot join the coordinator at {coordinator}: {problem}");
            if Instant::now() >= given_up {
                return Err(Fault::setup(problem));
            }
            // Not each time: it tries often.
            if problem != told {
                (self.told)(&format!(
                    "{problem}; tries for {} s more",
                    (given_up - Instant::now()).as_secs()
                ));
                told = problem;
            }
            tokio::time::sleep(TRIES_EVERY).await;
        }
    }

    async fn try_join(&self) -> Result<(Outbox, Inbox), TryAgain> {
        let socket = match self.membership.coordinator.strip_prefix("unix:") {
            Some(path) => Socket::unix(Path::new(path)).await,
            None => Socket::tcp(&self.membership.coordinator, &self.membership.token).await,
        };
        let (out, mut inbox) = socket.and_then(Socket::split).map_err(|error| TryAgain(error.to_string()))?;
        let (gpus, no_gpus) = match see() {
            Ok(gpus) => (gpus, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let greeting = |nonce, proof| {
            Control::Join(Join {
                nonce,
                proof,
                worker: self.before.map(|seat| seat.worker).or(self.membership.worker).map(|worker| worker.0),
                epochs: self.before.map_or(0, |seat| seat.epoch + 1),
                pid: std::process::id(),
                host: self.links.host().clone(),
                name: host_name(),
                cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32),
                memory_bytes: memory_bytes(),
                gpus,
                no_gpus,
            })
        };
        greet(&out, &mut inbox, &self.membership.token, greeting).await.map_err(TryAgain)?;
        Ok((out, inbox))
    }

    /// Loads the components of `seat` and begins to drive its state machine.
    async fn load(&mut self, seat: Seat, text: &str, out: &Outbox) -> Result<(), Fault> {
        let plan = Plan::parse(text).map_err(|error| Fault::setup(format!("the plan is broken: {error}")))?;
        let plan: Verified = verify(plan).map_err(|violations| {
            let first = violations.first().map_or("", |violation| violation.message.as_str());
            Fault::setup(format!("the plan does not hold: {first}"))
        })?;
        let plan = Arc::new(plan);
        if seat.worker.0 as usize >= plan.plan().workers.len() {
            return Err(Fault::setup(format!("the plan has no worker {}", seat.worker)));
        }
        let gpus = Devices::open(plan.plan(), seat.worker)?;
        self.gpus = gpus.gpus();
        let told = self.told;
        gpus.when_lost(move |problem| {
            told(&format!("{problem}; this worker ends, and another takes the GPU up again"));
            // At once, as if it were killed: its requests are replayed, and nothing that was not made is handed over.
            // The driver is not asked to clean up either, which may wait for the GPU.
            let _ = kill_process(getpid(), Signal::KILL);
        });
        say(out, &Control::Gpus(gpus.seen()));
        let row = plan.plan().memory[seat.worker];
        // What is made on a GPU passes through the host's memory to whoever has none.
        let request_bytes = row.request_bytes.saturating_add(row.gpu.map_or(0, |row| row.request_bytes));
        let arena_bytes = u64::from(plan.plan().inflight).saturating_mul(request_bytes);
        let arena = Arena::new(arena_bytes.saturating_mul(ARENA_SLACK).max(MIN_ARENA_BYTES));
        let arena = arena.map_err(|error| Fault::setup(format!("no arena: {error}")))?;
        let memory: Arc<dyn Memory> = Arc::new(Lent(Arc::clone(&arena)));
        gpus.copy_to(&arena, &memory);
        let device = gpus.first();
        let workers = plan.plan().workers.enumerate();
        let readers = workers.filter(|(_, worker)| worker.gpus.is_some()).map(|(id, _)| id).collect();
        self.links.lend_from(arena, LentDevices { gpus, readers }, plan.plan().inflight);
        let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
        let components = needed(plan.plan(), &recordings, seat.worker);
        let (progress, mut advances) = unbounded_channel();
        let loading = Loading {
            loader: Arc::clone(&self.loader),
            progress: Arc::new(Told(progress)),
            observer: Arc::new(NoObserver),
            clock: self.clock,
            memory: Some(memory),
            device,
        };
        let loads = Loads::begin(plan.plan(), &components, &self.events, &loading, self.links.counts())?;
        drop(loading);
        let mut ready = std::pin::pin!(loads.ready());
        let (executors, _threads) = loop {
            tokio::select! {
                biased;
                Some(advance) = advances.recv() => say(out, &advance),
                ready = &mut ready => break ready?,
            }
        };
        let ledger = Arc::default();
        self.loaded = Some(Loaded { plan: text.to_owned(), ledger: Arc::clone(&ledger) });
        let Some(events) = self.unheard.take() else {
            return Err(Fault::setup("this worker has loaded before"));
        };
        let driver = Driver {
            worker: Worker::new(seat, plan),
            clock: self.clock,
            events,
            executors,
            outside: self.links.clone(),
            ledger,
        };
        tokio::task::spawn_local(driver.drive(std::future::pending()));
        Ok(())
    }

    /// Hears the coordinator until it goes away or says that the worker ends; says now and then that it lives.
    async fn session(&self, inbox: &mut Inbox) -> Ended {
        let mut alive = tokio::time::interval(ALIVE_EVERY);
        let mut heard = std::pin::pin!(self.hear_all(inbox));
        let mut told = Work::default();
        loop {
            tokio::select! {
                ended = &mut heard => return ended,
                _ = alive.tick() => {
                    self.links.look_at_waiting();
                    self.gpus.iter().for_each(|gpu| gpu.look());
                    self.links.tell(&Frame::Alive(self.vitals()));
                    self.tell_work(&mut told);
                    self.links.clone().flush();
                }
            }
        }
    }

    async fn hear_all(&self, inbox: &mut Inbox) -> Ended {
        while let Ok(Some(came)) = inbox.next().await {
            let event = match Frame::read(&came.head, came.payloads, self.clock.now_us(), None) {
                Ok(Frame::Open { header, stage, inputs }) => WorkerEvent::Open { header, stage, inputs },
                Ok(Frame::Cancel { request, stage, fault }) => WorkerEvent::Cancel { request, stage, fault },
                Ok(Frame::Consumed { request, stage, value, count }) => {
                    WorkerEvent::Consumed { request, stage, value, count }
                }
                Ok(Frame::PeerLost(seat)) => {
                    self.links.lost(seat);
                    continue;
                }
                Ok(Frame::Control(json)) => match read(&json) {
                    Ok(Control::Peers { peers }) => {
                        self.links.know(peers);
                        continue;
                    }
                    Ok(Control::End) => return Ended::Told,
                    _ => break,
                },
                _ => break,
            };
            let _ = self.events.send(event);
        }
        Ended::Forsaken
    }

    /// Says what has been done so far, unless that is what was `told`.
    fn tell_work(&self, told: &mut Work) {
        let mut work = self.links.counts().read();
        // To say how it is, is no work.
        work.sent.retain(|kind, _| kind != "alive" && kind != "control");
        if work != *told {
            self.links.tell(&Frame::Control(write(&Control::Worked(work.clone()))));
            *told = work;
        }
    }

    fn vitals(&self) -> Vitals {
        let ledger =
            self.loaded.as_ref().map(|loaded| *loaded.ledger.lock().unwrap_or_else(PoisonError::into_inner));
        let ledger = ledger.unwrap_or_default();
        Vitals { leases: ledger.leases, bytes: ledger.bytes, ..self.links.vitals() }
    }
}

/// The arena, as executors see it.
struct Lent(Arc<Arena>);

impl Memory for Lent {
    fn allocate(&self, bytes: usize) -> Option<Box<dyn Room>> {
        self.0.allocate(bytes).map(|block| Box::new(block) as Box<dyn Room>)
    }
}

impl Room for Block {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.as_mut()
    }

    fn freeze(self: Box<Self>) -> Bytes {
        (*self).freeze()
    }
}

/// Why the coordinator could not be joined; it is tried again.
struct TryAgain(String);

/// Tells the coordinator how far a load is.
struct Told(UnboundedSender<Control>);

impl Progress for Told {
    fn advance(&self, what: &str, done: u64, total: u64) {
        let _ = self.0.send(Control::Loading { what: what.to_owned(), done, total });
    }
}

/// Listens for peers, by Unix socket and by TCP, and serves them.
async fn listen(
    membership: &Membership,
    clock: Clock,
    events: &UnboundedSender<WorkerEvent>,
) -> Result<Links, Fault> {
    let cannot =
        |what: &str, error: std::io::Error| Fault::setup(format!("cannot listen at {what}: {error}"));
    let path = membership.folder.join(format!("worker-{}.sock", std::process::id()));
    // Of a process that had this id before.
    let _ = std::fs::remove_file(&path);
    let unix = UnixListener::bind(&path).map_err(|error| cannot(&path.display().to_string(), error))?;
    let tcp =
        TcpListener::bind(&membership.listen).await.map_err(|error| cannot(&membership.listen, error))?;
    let bound = tcp.local_addr().map_err(|error| cannot(&membership.listen, error))?;
    let tcp_address = match &membership.advertise {
        Some(name) if name.contains(':') => name.clone(),
        Some(name) => format!("{name}:{}", bound.port()),
        None => bound.to_string(),
    };
    let host = Host { boot: boot_id(), unix: path.display().to_string(), tcp: tcp_address };
    let links = Links::new(membership.token.clone(), clock, host, events.clone());
    let by_unix = links.clone();
    tokio::task::spawn_local(async move {
        loop {
            match unix.accept().await {
                Ok((stream, _)) => {
                    drop(tokio::task::spawn_local(by_unix.clone().serve(Socket::Unix(stream))));
                }
                // Out of descriptors, say: others may be closed in the meantime.
                Err(_) => tokio::time::sleep(TRIES_EVERY).await,
            }
        }
    });
    let by_tcp = links.clone();
    tokio::task::spawn_local(async move {
        loop {
            match tcp.accept().await {
                Ok((stream, _)) => {
                    // One that is broken already is not served.
                    let Ok(socket) = Socket::of_tcp(stream) else { continue };
                    tokio::task::spawn_local(by_tcp.clone().serve(socket));
                }
                Err(_) => tokio::time::sleep(TRIES_EVERY).await,
            }
        }
    });
    Ok(links)
}

/// What tells this running host from every other: processes see each other's sockets only if it is the same. A
/// container has its own namespace of processes, so that is part of it.
fn boot_id() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let link =
        |path: &str| std::fs::read_link(path).map(|link| link.display().to_string()).unwrap_or_default();
    format!(
        "{} {} {}",
        read("/proc/sys/kernel/random/boot_id"),
        link("/proc/self/ns/mnt"),
        link("/proc/self/ns/net")
    )
}

/// Memory of this host.
fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram as u64)
}
