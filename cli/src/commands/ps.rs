//! `corn ps`, `logs`, `drain`, `restart`, `scale` and `down`: a deployment that is up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use corn_engine::{Member, Standing, Status};
use corn_plan::{Bytes, Plan, Stage, WorkerId};
use serde_json::json;
use tokio::task::LocalSet;

use crate::commands::{print, told_to_stop};
use crate::failure::Failure;
use crate::state::State;

/// How long `down` waits for the end.
const DOWN_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Only this deployment.
    name: Option<String>,
    /// Show also which messages its processes have sent each other, by kind and for each request.
    #[arg(long)]
    messages: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The deployment.
    name: String,
    /// Only `coordinator`, or a worker such as w0.
    who: Option<String>,
    /// Go on with what is said from now on.
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The deployment.
    name: String,
    /// The worker, such as w1.
    #[arg(value_parser = crate::args::worker)]
    worker: WorkerId,
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// The deployment.
    name: String,
    /// The worker, such as w1 [default: all, one after the other].
    #[arg(value_parser = crate::args::worker)]
    worker: Option<WorkerId>,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// The deployment.
    name: String,
    /// A component; what is placed with it is scaled with it.
    component: String,
    /// How many replicas, as far as the plan has room for them.
    replicas: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// The deployment.
    name: String,
}

pub(crate) fn ps(args: &Ps) -> Result<(), Failure> {
    let states = match &args.name {
        Some(name) => vec![State::of(name)?],
        None => State::all(),
    };
    let all: Vec<(State, Option<Status>)> = local(async {
        let mut all = Vec::new();
        for state in states {
            let status = match state.connect().await {
                Some(mut remote) => Some(remote.status().await?),
                None => None,
            };
            all.push((state, status));
        }
        Ok(all)
    })?;
    if args.json {
        let each = all.iter().map(|(state, status)| json!({ "name": state.name, "status": status }));
        let each: Vec<serde_json::Value> = each.collect();
        return print(&format!("{}\n", json!(each)));
    }
    if let (Some(name), [(_, None)]) = (&args.name, all.as_slice()) {
        return Err(Failure::Usage(format!("no deployment '{name}' is up")));
    }
    let up: Vec<String> = all
        .iter()
        .filter_map(|(state, status)| {
            let status = status.as_ref()?;
            let mut text = table(&state.name, status);
            if args.messages {
                text += &messages(status);
            }
            for (beside, how) in [(&status.coming, "coming"), (&status.leaving, "leaving")] {
                text += &beside
                    .as_ref()
                    .map_or_else(String::new, |beside| table(&format!("{}, {how}", state.name), beside));
            }
            Some(text)
        })
        .collect();
    let none = || "no deployment is up; `corn up FILE.corn` starts one\n".to_owned();
    print(&if up.is_empty() { none() } else { up.join("\n") })
}

fn table(name: &str, status: &Status) -> String {
    let mut text = format!("{name}: {} requests in flight, {} waiting\n", status.in_flight, status.waiting);
    let _ = writeln!(
        text,
        "  {:<6} {:<12} {:>8} {:>8} {:>10}  handed over by",
        "worker", "is", "process", "restarts", "holds"
    );
    for worker in &status.workers {
        let is = match &worker.standing {
            Standing::Away => "away".to_owned(),
            Standing::Loading { .. } => "loading".to_owned(),
            Standing::Ready => "ready".to_owned(),
            Standing::Draining => "draining".to_owned(),
            Standing::Drained => "drained".to_owned(),
            Standing::Failed(_) => "failed".to_owned(),
        };
        let pid = worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let held = format!("{} B", worker.bytes);
        let _ = writeln!(
            text,
            "  {:<6} {is:<12} {pid:>8} {:>8} {held:>10}  {}",
            format!("w{}", worker.worker),
            worker.restarts,
            handed(worker)
        );
        let _ = writeln!(text, "         {}", worker.components.join(", "));
        for gpu in &worker.gpus {
            if let Some(free) = gpu.free_bytes {
                let (index, name, total) = (gpu.index, &gpu.name, Bytes(gpu.total_bytes));
                let _ = writeln!(text, "         GPU {index} {name}: {:#} of {total:#} free", Bytes(free));
            }
        }
        if let Standing::Failed(why) = &worker.standing {
            let _ = writeln!(text, "         {why}");
        }
    }
    text
}

/// Which messages coordinator and workers have sent each other, and how many for each request.
fn messages(status: &Status) -> String {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (kind, count) in &status.sent {
        kinds.entry(kind).or_default().0 += count;
    }
    for (kind, count) in status.workers.iter().flat_map(|worker| &worker.work.sent) {
        kinds.entry(kind).or_default().1 += count;
    }
    let ended = status.submitted.saturating_sub((status.in_flight + status.waiting) as u64);
    let mut text = format!(
        "  {:<12} {:>16} {:>12} {:>12}   of {ended} requests that ended\n",
        "message", "from coordinator", "from workers", "a request"
    );
    for (kind, (coordinator, workers)) in kinds {
        let each = (coordinator + workers) as f64 / ended.max(1) as f64;
        let _ = writeln!(text, "  {kind:<12} {coordinator:>16} {workers:>12} {each:>12.2}");
    }
    text
}

fn handed(worker: &Member) -> String {
    let counts = [
        ("pointer", worker.by_pointer),
        ("cuda", worker.by_cuda),
        ("shm", worker.by_shared_memory),
        ("tcp", worker.by_tcp),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(how, count)| format!("{how} {count}")).collect();
    if counts.is_empty() { "-".to_owned() } else { counts.join(", ") }
}

pub(crate) fn logs(args: &Logs) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    let mut logs = open_logs(&state, args.who.as_deref())?;
    let wide = logs.iter().map(|log| log.who.len()).max().unwrap_or(0);
    let mut show = || -> Result<(), Failure> {
        for log in &mut logs {
            for line in log.lines() {
                print(&format!("{:<wide$}  {line}\n", log.who))?;
            }
        }
        Ok(())
    };
    show()?;
    if !args.follow {
        return Ok(());
    }
    local(async {
        let follow = async {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                show()?;
            }
        };
        tokio::select! {
            () = told_to_stop() => Ok(()),
            outcome = follow => outcome,
        }
    })
}

/// A log, and how far it was read.
struct Log {
    who: String,
    path: PathBuf,
    at: u64,
}

impl Log {
    /// The whole lines that came since.
    fn lines(&mut self) -> Vec<String> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.at))?;
            file.read_to_string(&mut text)
        });
        if read.is_err() {
            return Vec::new();
        }
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.at += whole as u64;
        text[..whole].lines().map(str::to_owned).collect()
    }
}

fn open_logs(state: &State, who: Option<&str>) -> Result<Vec<Log>, Failure> {
    let entries = std::fs::read_dir(state.logs()).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = |path: &PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut logs: Vec<Log> =
        entries.filter_map(|path| Some(Log { who: name(&path)?, path, at: 0 })).collect();
    logs.sort_by(|one, other| one.who.cmp(&other.who));
    if logs.is_empty() {
        return Err(Failure::Usage(format!("there is no log of a deployment '{}'", state.name)));
    }
    let there_are: Vec<String> = logs.iter().map(|log| log.who.clone()).collect();
    logs.retain(|log| who.is_none_or(|who| who == log.who));
    if logs.is_empty() {
        let (who, there_are) = (who.unwrap_or_default(), there_are.join(", "));
        return Err(Failure::Usage(format!("there is no log of '{who}'; there are {there_are}")));
    }
    Ok(logs)
}

pub(crate) fn drain(args: &Drain) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    local(async {
        let mut remote = state.connected().await?;
        remote.drain(args.worker).await?;
        let mut status = remote.status().await?;
        let generation = status.generation;
        loop {
            unchanged(generation, &status)?;
            match &status.workers[args.worker.0 as usize].standing {
                Standing::Drained => break,
                Standing::Draining => status = remote.changed(status.version).await?,
                Standing::Away | Standing::Loading { .. } | Standing::Ready | Standing::Failed(_) => {
                    let (worker, name) = (args.worker, &args.name);
                    return Err(Failure::setup(format!(
                        "{worker} was lost before it had finished what it had, and takes requests when it is back; \
                         `corn ps {name}` shows it"
                    )));
                }
            }
        }
        print(&format!(
            "{} takes no requests, and has none; `corn restart {} {}` brings it back\n",
            args.worker, args.name, args.worker
        ))
    })
}

pub(crate) fn restart(args: &Restart) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    local(async {
        let mut remote = state.connected().await?;
        let count = remote.status().await?.workers.len() as u32;
        let all: Vec<WorkerId> = match args.worker {
            Some(worker) => vec![worker],
            None => (0..count).map(WorkerId).collect(),
        };
        for worker in all {
            let lives = |status: &Status| status.workers[worker.0 as usize].restarts;
            let before = remote.status().await?;
            remote.restart(worker).await?;
            let mut now = remote.status().await?;
            loop {
                unchanged(before.generation, &now)?;
                let member = &now.workers[worker.0 as usize];
                if lives(&now) > lives(&before) && member.standing == Standing::Ready {
                    break;
                }
                if let Standing::Failed(why) = &member.standing {
                    return Err(Failure::setup(format!("{worker} did not come back: {why}")));
                }
                now = remote.changed(now.version).await?;
            }
            print(&format!("{worker} is ready again\n"))?;
        }
        Ok(())
    })
}

pub(crate) fn scale(args: &Scale) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    local(async {
        let mut remote = state.connected().await?;
        let plan = remote.plan().await?;
        remote.scale(&args.component, args.replicas).await?;
        let (kept, gone) = replicas(plan.plan(), &args.component, args.replicas);
        let mut status = remote.status().await?;
        let generation = status.generation;
        loop {
            unchanged(generation, &status)?;
            let standing = |worker: &WorkerId| &status.workers[worker.0 as usize].standing;
            if let Some((worker, why)) = kept.iter().find_map(|worker| match standing(worker) {
                Standing::Failed(why) => Some((worker, why)),
                _ => None,
            }) {
                return Err(Failure::setup(format!("{worker} cannot load: {why}")));
            }
            // One that was drained before is there as well.
            let is_there = |worker| !matches!(standing(worker), Standing::Away | Standing::Loading { .. });
            let are_there = kept.iter().all(is_there);
            if are_there && gone.iter().all(|worker| *standing(worker) == Standing::Away) {
                break;
            }
            status = remote.changed(status.version).await?;
        }
        let ready: Vec<String> = kept.iter().map(WorkerId::to_string).collect();
        let replicas = if args.replicas == 1 { "replica" } else { "replicas" };
        print(&format!("{} has {} {replicas}: {}\n", args.component, args.replicas, ready.join(", ")))
    })
}

/// Workers are known by their plan: with another one, there is nothing left to wait for.
fn unchanged(generation: u64, status: &Status) -> Result<(), Failure> {
    if status.generation == generation {
        return Ok(());
    }
    Err(Failure::setup("an update replaced the plan meanwhile, and its workers; see `corn ps`"))
}

/// The workers that are there when a component has so many replicas, and those that are not.
fn replicas(plan: &Plan, component: &str, count: u32) -> (Vec<WorkerId>, Vec<WorkerId>) {
    let holds = |stage: &&Stage| stage.components.iter().any(|id| plan.components[*id].name == component);
    let workers = plan.stages.iter().find(holds).map_or(&[][..], |stage| &stage.replicas);
    let (kept, gone) = workers.split_at(workers.len().min(count as usize));
    (kept.to_vec(), gone.to_vec())
}

pub(crate) fn down(args: &Down) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    local(async {
        let mut remote = state.connected().await?;
        remote.down().await?;
        let gone = async {
            remote.ended().await;
            // A process that ends closes its files one after the other, and the lock is another than the connection.
            while state.lock()?.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        tokio::time::timeout(DOWN_WITHIN, gone).await.unwrap_or_else(|_| {
            let message = format!("'{}' was told to end, and is still there; see `corn logs`", args.name);
            Err(Failure::setup(message))
        })?;
        print(&format!("{} is down\n", args.name))
    })
}

/// Runs what speaks to a deployment.
pub(crate) fn local<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::setup(format!("no event loop: {error}")))?;
    LocalSet::new().block_on(&runtime, work)
}
