//! Sees to it that a deployment's workers are there: starts their processes, takes over those of a coordinator that
//! died, and starts again what ended, after longer and longer pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corn_engine::{Deployment, Order, Standing};
use corn_plan::{Plan, WorkerId};
use rustix::event::{PollFd, PollFlags};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::commands::say;
use crate::failure::Failure;
use crate::itself::itself;
use crate::state::State;

/// How often a process is looked at that another one has started: nobody is told when it ends.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// The first pause before a process is started again; each one after doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A worker that lived so long is not in trouble: the pauses begin anew.
const LIVED_WELL: Duration = Duration::from_secs(30);
/// How long a process may be away that does not find this coordinator, or that was told to end.
const AWAY_WITHIN: Duration = Duration::from_secs(5);
/// How long one may be that was here until now: its connection ends when it hangs, and it comes back at once if it does not.
const HANGS_WITHIN: Duration = Duration::from_secs(2);
/// How long a process may take to join after it was started.
const JOINS_WITHIN: Duration = Duration::from_secs(30);
/// How long processes may take to end when they are told to.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Looks after the workers of one host.
pub(super) struct Supervisor {
    state: State,
    deployment: Arc<Deployment>,
    offline: bool,
    workers: BTreeMap<WorkerId, Kept>,
    /// Workers that get another process once they are drained.
    restarting: BTreeSet<WorkerId>,
    /// Whether a worker that ends is started again; otherwise that ends everything.
    is_patient: watch::Receiver<bool>,
}

/// A worker that is to be there.
struct Kept {
    process: Process,
    /// Since when nobody is this worker, and how long that may last.
    away: Option<(Instant, Duration)>,
    is_wanted: bool,
    /// Before which it is not started again.
    not_before: Instant,
    pause: Duration,
    /// How long it was away, if it is ended for that.
    was_away: Option<Duration>,
}

enum Process {
    None,
    Ours(Box<Child>, Instant),
    /// Started by a coordinator that died; it looks for one.
    Found(u32),
}

impl Kept {
    /// It is not started again for a while, and for longer the next time.
    fn rest(&mut self) {
        self.not_before = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Supervisor {
    pub(super) fn new(
        state: State,
        deployment: Arc<Deployment>,
        plan: &Plan,
        host: &str,
        offline: bool,
        is_patient: watch::Receiver<bool>,
    ) -> Self {
        let of_host = plan.workers.enumerate().filter(|(_, worker)| worker.host == host);
        let workers = of_host.map(|(id, _)| {
            deployment.starts(id);
            let process = found(&state, id).map_or(Process::None, Process::Found);
            let (not_before, pause) = (Instant::now(), FIRST_PAUSE);
            (id, Kept { process, away: None, is_wanted: true, not_before, pause, was_away: None })
        });
        let workers = workers.collect();
        Self { state, deployment, offline, workers, restarting: BTreeSet::new(), is_patient }
    }

    /// Looks after the workers until ordered to end.
    pub(super) async fn supervise(&mut self, mut orders: UnboundedReceiver<Order>) -> Result<(), Failure> {
        let mut ended = signal(SignalKind::child())
            .map_err(|error| Failure::setup(format!("the ends of processes cannot be heard of: {error}")))?;
        let deployment = Arc::clone(&self.deployment);
        loop {
            let version = self.look()?;
            let due = self.next_due();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Down) | None => return Ok(()),
                    Some(Order::Restart(worker)) => self.restart(worker),
                    Some(Order::Keep { kept, gone }) => self.keep(&kept, &gone),
                    Some(Order::Update(_)) => unreachable!("it is about all workers"),
                },
                _ = ended.recv() => {}
                () = deployment.changed(version) => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
            }
        }
    }

    /// When something is to be done though nothing happens until then.
    fn next_due(&self) -> Option<Instant> {
        let due = self.workers.values().filter_map(|kept| {
            let (since, within) = kept.away?;
            match kept.process {
                Process::None => kept.is_wanted.then_some(kept.not_before),
                Process::Ours(..) => Some(since + within),
                Process::Found(_) => Some(Instant::now() + LOOKS_EVERY),
            }
        });
        due.min()
    }

    fn restart(&mut self, worker: WorkerId) {
        if let Some(kept) = self.workers.get_mut(&worker) {
            say(&format!("{worker} is drained, and gets another process then"));
            kept.not_before = Instant::now();
            self.end_drained(worker);
        }
    }

    /// Ends the process of a worker once it is drained; at once if it is not ready, since nothing is under way there.
    fn end_drained(&mut self, worker: WorkerId) {
        if self.restarting.contains(&worker) {
            // It may be away because it ends already: what it has handed over is to arrive.
            return;
        }
        let is_serving = match &self.deployment.status().workers[worker.0 as usize].standing {
            Standing::Ready | Standing::Draining | Standing::Drained => true,
            Standing::Away | Standing::Loading { .. } | Standing::Failed(_) => false,
        };
        if is_serving {
            self.restarting.insert(worker);
            self.deployment.drain(worker);
            return;
        }
        match self.workers.get_mut(&worker).map(|kept| &mut kept.process) {
            Some(Process::Ours(child, _)) => {
                let _ = child.start_kill();
                self.restarting.insert(worker);
            }
            Some(Process::Found(pid)) => {
                kill(*pid);
                self.restarting.insert(worker);
            }
            Some(Process::None) | None => {}
        }
    }

    fn keep(&mut self, kept: &[WorkerId], gone: &[WorkerId]) {
        for worker in gone {
            if let Some(entry) = self.workers.get_mut(worker) {
                entry.is_wanted = false;
            }
            self.end_drained(*worker);
        }
        for worker in kept {
            if let Some(entry) = self.workers.get_mut(worker) {
                entry.is_wanted = true;
            }
        }
    }

    /// Ends what is drained, notes what ended, and starts what is not there. As it was at this version of the deployment.
    fn look(&mut self) -> Result<u64, Failure> {
        let status = self.deployment.status();
        let mut has_ended = false;
        let member = |worker: &WorkerId| &status.workers[worker.0 as usize];
        for worker in &self.restarting {
            match member(worker).standing {
                Standing::Drained => self.deployment.end(*worker),
                // It lost its connection meanwhile, and has come back.
                Standing::Ready => self.deployment.drain(*worker),
                Standing::Away | Standing::Loading { .. } | Standing::Draining | Standing::Failed(_) => {}
            }
        }
        // Of other hosts, there is no process whose end is seen.
        self.restarting.retain(|worker| self.workers.contains_key(worker) || member(worker).pid.is_some());
        for (worker, kept) in &mut self.workers {
            let member = member(worker);
            let is_away = member.pid.is_none();
            if is_away {
                let hangs = matches!(kept.process, Process::Ours(..)) && !self.restarting.contains(worker);
                kept.away.get_or_insert((Instant::now(), if hangs { HANGS_WITHIN } else { AWAY_WITHIN }));
            } else {
                kept.away = None;
            }
            let is_lost = kept.away.filter(|(since, within)| since.elapsed() > *within);
            match &mut kept.process {
                Process::Ours(child, since) => {
                    if let Some((_, within)) = is_lost {
                        say(&format!("{worker} does not come back, and its process is ended"));
                        let _ = child.start_kill();
                        kept.away = None;
                        kept.was_away = Some(within);
                    }
                    let Ok(Some(exit)) = child.try_wait() else { continue };
                    let was_told = self.restarting.remove(worker);
                    let how = kept.was_away.take().map_or_else(
                        || exit.to_string(),
                        |within| format!("{exit}, because it was away for {} s", within.as_secs()),
                    );
                    if !was_told {
                        let (name, log) = (&self.state.name, self.state.log_name(*worker));
                        let message = format!("{worker} ended: {how}; `corn logs {name} {log}` says why");
                        if !*self.is_patient.borrow() {
                            return Err(Failure::setup(message));
                        }
                        say(&message);
                        self.deployment.has_ended(*worker, &how);
                    }
                    if was_told || since.elapsed() > LIVED_WELL {
                        kept.pause = FIRST_PAUSE;
                    }
                    kept.process = Process::None;
                    kept.rest();
                    if was_told {
                        kept.not_before = Instant::now();
                    }
                    has_ended = true;
                }
                Process::Found(pid) if !is_alive(*pid) || is_lost.is_some() => {
                    if !self.restarting.remove(worker) {
                        say(&format!("{worker} (process {pid}) has ended or does not come back"));
                        self.deployment.has_ended(*worker, "it went away, or did not come back");
                    }
                    kill(*pid);
                    kept.process = Process::None;
                    has_ended = true;
                }
                Process::Found(_) | Process::None => {}
            }
            if matches!(kept.process, Process::None)
                && kept.is_wanted
                && is_away
                && Instant::now() >= kept.not_before
            {
                match start(&self.state, *worker, self.offline) {
                    Ok(child) => {
                        kept.process = Process::Ours(Box::new(child), Instant::now());
                        kept.away = Some((Instant::now(), JOINS_WITHIN));
                    }
                    // Others serve meanwhile, and the machine may have room for a process again.
                    Err(failure) if *self.is_patient.borrow() => {
                        say(&format!("{worker} cannot be started: {failure}"));
                        self.deployment.has_ended(*worker, &failure.to_string());
                        kept.rest();
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        if has_ended {
            remove_sockets(&self.state);
        }
        Ok(status.version)
    }

    /// Ends the processes that hear no word of the end, since they have not joined or still load.
    pub(super) fn end_unready(&mut self) {
        let status = self.deployment.status();
        for (worker, kept) in &mut self.workers {
            let standing = &status.workers[worker.0 as usize].standing;
            if matches!(standing, Standing::Away | Standing::Loading { .. } | Standing::Failed(_)) {
                match &mut kept.process {
                    Process::Ours(child, _) => drop(child.start_kill()),
                    Process::Found(pid) => kill(*pid),
                    Process::None => {}
                }
            }
        }
    }

    /// Waits for every process to end, as it was told to; kills those that do not.
    pub(super) async fn end(&mut self) {
        let given_up = Instant::now() + ENDS_WITHIN;
        for (worker, kept) in &mut self.workers {
            let left = given_up.saturating_duration_since(Instant::now());
            match &mut kept.process {
                Process::Ours(child, _) => {
                    if tokio::time::timeout(left, child.wait()).await.is_err() {
                        let _ = child.start_kill();
                        let _ = child.wait().await;
                    }
                }
                Process::Found(pid) => {
                    while is_alive(*pid) && Instant::now() < given_up {
                        tokio::time::sleep(LOOKS_EVERY).await;
                    }
                    kill(*pid);
                }
                Process::None => {}
            }
            self.state.forget_process(*worker);
        }
        remove_sockets(&self.state);
    }
}

/// Starts a worker's process. It outlives this one if need be: a coordinator that comes back finds it.
fn start(state: &State, worker: WorkerId, offline: bool) -> Result<Child, Failure> {
    let cannot = |what: &str, error: std::io::Error| Failure::setup(format!("{what}: {error}"));
    state.still_there()?;
    let log = state.log(worker);
    let file = OpenOptions::new().create(true).append(true).open(&log);
    let file = file.map_err(|error| cannot(&format!("'{}' cannot be written", log.display()), error))?;
    let mut command = itself().map_err(|error| cannot("who am I", error))?;
    command
        .args(["worker", "--join", &joins(state)])
        .args(["--as", &worker.to_string()])
        .arg("--token-file")
        .arg(state.token())
        .arg("--socket-folder")
        .arg(state.folder());
    if offline {
        command.arg("--offline");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(file));
    // A Ctrl-C at the terminal is the coordinator's to hear; it tells its workers.
    command.process_group(0);
    let child = command.spawn().map_err(|error| cannot("no process for a worker", error))?;
    let pid = child.id().unwrap_or_default();
    crate::commands::write(&state.pid(worker.0), &format!("{pid}\n"))?;
    Ok(child)
}

/// The process of a worker that a coordinator before this one started, if it is still there.
fn found(state: &State, worker: WorkerId) -> Option<u32> {
    let pid: u32 = fs::read_to_string(state.pid(worker.0)).ok()?.trim().parse().ok()?;
    // Process ids are given again.
    (is_alive(pid) && arguments(pid).contains(&joins(state))).then_some(pid)
}

/// Ends what other generations left that a coordinator before this one was killed with, also the processes that it had
/// no time to write down.
pub(super) fn end_strays(state: &State) {
    let (own, folder) = (joins(state), state.folder().display().to_string());
    let is_stray = |pid: &u32| {
        let given = arguments(*pid);
        let is_here = given.windows(2).any(|it| it[0] == "--socket-folder" && it[1] == folder);
        is_here && !given.contains(&own) && sees(*pid, state.folder())
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let strays: Vec<u32> = pids.filter(|pid| is_alive(*pid) && is_stray(pid)).collect();
    for pid in &strays {
        say(&format!("process {pid} is of a plan that is not served any more, and is ended"));
        kill(*pid);
    }
    // One that has been killed may still be about to make its socket.
    let given_up = Instant::now() + ENDS_WITHIN;
    for pid in &strays {
        wait_for_end(*pid, given_up);
    }
    for path in state.strays() {
        let _ = fs::remove_file(path);
    }
    remove_sockets(state);
}

/// Removes the sockets of processes that have ended: one that is killed leaves its own.
fn remove_sockets(state: &State) {
    for (pid, path) in state.worker_sockets() {
        if !is_alive(pid) {
            let _ = fs::remove_file(path);
        }
    }
}

/// What a worker of this generation joins, as it stands in its command line.
fn joins(state: &State) -> String {
    format!("unix:{}", state.workers_socket().display())
}

/// The command line of a process; nothing of one that is gone.
fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|given| String::from_utf8_lossy(given).into_owned()).collect()
}

/// Whether a process means the same folder by its name: one of another container need not.
fn sees(pid: u32, folder: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let there = Path::new("/proc").join(pid.to_string()).join("root");
    let inside = folder.strip_prefix("/").unwrap_or(folder);
    inode(folder).is_some_and(|here| inode(&there.join(inside)) == Some(here))
}

fn is_alive(pid: u32) -> bool {
    // A process that ended and was not waited for is none.
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    state.is_some_and(|state| state != 'Z')
}

fn kill(pid: u32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Waits until a process has ended that somebody else started.
fn wait_for_end(pid: u32, given_up: Instant) {
    let left = || given_up.saturating_duration_since(Instant::now());
    let opened = rustix::process::Pid::from_raw(pid as i32)
        .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
    let wait = |ends: &mut [PollFd<'_>], within: Duration| {
        let _ = rustix::event::poll(ends, within.try_into().ok().as_ref());
    };
    match opened {
        Some(process) => wait(&mut [PollFd::new(&process, PollFlags::IN)], left()),
        // It has gone, or the kernel cannot be asked for its end.
        None => {
            while is_alive(pid) && !left().is_zero() {
                wait(&mut [], left().min(LOOKS_EVERY));
            }
        }
    }
}
