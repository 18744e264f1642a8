//! Sees to it that a deployment's workers are there: starts their processes, takes over those of a coordinator that
//! died, and starts again what ended, after longer and longer pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corn_engine::{Deployment, Order, Standing};
use corn_plan::{Plan, WorkerId};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::commands::say;
use crate::failure::Failure;
use crate::state::State;

/// How often a process is looked at that another one has started: nobody is told when it ends.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// The first pause before a process is started again; each one after doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A worker that lived so long is not in trouble: the pauses begin anew.
const LIVED_WELL: Duration = Duration::from_secs(30);
/// How long a process that is there may be away: one that hangs, or that does not find this coordinator.
const AWAY_WITHIN: Duration = Duration::from_secs(5);
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
}

enum Process {
    None,
    Ours(Box<Child>, Instant),
    /// Started by a coordinator that died; it looks for one.
    Found(u32),
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
            let process = found(&state, id).map_or(Process::None, Process::Found);
            (
                id,
                Kept { process, away: None, is_wanted: true, not_before: Instant::now(), pause: FIRST_PAUSE },
            )
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
        if self.workers.contains_key(&worker) {
            say(&format!("{worker} is drained, and gets another process then"));
            self.restarting.insert(worker);
            self.deployment.drain(worker);
        }
    }

    fn keep(&mut self, kept: &[WorkerId], gone: &[WorkerId]) {
        for worker in gone {
            if let Some(entry) = self.workers.get_mut(worker) {
                entry.is_wanted = false;
                self.restarting.insert(*worker);
                self.deployment.drain(*worker);
            }
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
        for (worker, kept) in &mut self.workers {
            let member = &status.workers[worker.0 as usize];
            if self.restarting.contains(worker) && member.standing == Standing::Drained {
                self.deployment.end(*worker);
            }
            let is_away = member.pid.is_none();
            if is_away {
                kept.away.get_or_insert((Instant::now(), AWAY_WITHIN));
            } else {
                kept.away = None;
            }
            let is_lost = kept.away.is_some_and(|(since, within)| since.elapsed() > within);
            match &mut kept.process {
                Process::Ours(child, since) => {
                    if is_lost {
                        say(&format!("{worker} does not come back, and its process is ended"));
                        let _ = child.start_kill();
                        kept.away = None;
                    }
                    let Ok(Some(exit)) = child.try_wait() else { continue };
                    let was_told = self.restarting.remove(worker);
                    if !*self.is_patient.borrow() && !was_told {
                        let name = &self.state.name;
                        let message = format!("{worker} ended: {exit}; `corn logs {name} {worker}` says why");
                        return Err(Failure::setup(message));
                    }
                    if !was_told && !is_lost {
                        say(&format!(
                            "{worker} ended: {exit}; `corn logs {} {worker}` says why",
                            self.state.name
                        ));
                    }
                    if was_told || since.elapsed() > LIVED_WELL {
                        kept.pause = FIRST_PAUSE;
                    }
                    kept.not_before = Instant::now() + if was_told { Duration::ZERO } else { kept.pause };
                    kept.pause = (kept.pause * 2).min(LONGEST_PAUSE);
                    kept.process = Process::None;
                }
                Process::Found(pid) if !is_alive(*pid) || is_lost => {
                    self.restarting.remove(worker);
                    say(&format!("{worker} (process {pid}) has ended or does not come back"));
                    kill(*pid);
                    kept.process = Process::None;
                }
                Process::Found(_) | Process::None => {}
            }
            if matches!(kept.process, Process::None)
                && kept.is_wanted
                && is_away
                && Instant::now() >= kept.not_before
            {
                let child = start(&self.state, *worker, self.offline)?;
                kept.process = Process::Ours(Box::new(child), Instant::now());
                kept.away = Some((Instant::now(), JOINS_WITHIN));
            }
        }
        Ok(status.version)
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
            let _ = fs::remove_file(self.state.pid(worker.0));
        }
    }
}

/// Starts a worker's process. It outlives this one if need be: a coordinator that comes back finds it.
fn start(state: &State, worker: WorkerId, offline: bool) -> Result<Child, Failure> {
    let cannot = |what: &str, error: std::io::Error| Failure::setup(format!("{what}: {error}"));
    let own = std::env::current_exe().map_err(|error| cannot("who am I", error))?;
    let log = state.log(&worker.to_string());
    let file = OpenOptions::new().create(true).append(true).open(&log);
    let file = file.map_err(|error| cannot(&format!("'{}' cannot be written", log.display()), error))?;
    let mut command = Command::new(own);
    command
        .args(["worker", "--join", &format!("unix:{}", state.workers_socket().display())])
        .args(["--as", &worker.to_string()])
        .arg("--token-file")
        .arg(state.token());
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
    is_ours(pid, &state.workers_socket()).then_some(pid)
}

/// Ends what other generations left that a coordinator before this one was killed with.
pub(super) fn end_strays(state: &State) {
    let (pids, others) = state.strays();
    for path in pids {
        let pid = fs::read_to_string(&path).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| is_ours(*pid, state.folder())) {
            say(&format!("process {pid} is of a plan that is not served any more, and is ended"));
            kill(pid);
        }
        let _ = fs::remove_file(path);
    }
    for path in others {
        let _ = fs::remove_file(path);
    }
}

/// Whether a process works for a deployment, which names `place` in its command line. Process ids are given again.
fn is_ours(pid: u32, place: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    is_alive(pid) && String::from_utf8_lossy(&line).contains(&*place.to_string_lossy())
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
