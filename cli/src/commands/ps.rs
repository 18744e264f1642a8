//! `corn ps`, `drain`, `restart`, `scale` and `down`: a deployment that is up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use corn_engine::{Member, Standing, Started, Status};
use corn_plan::{Bytes, Plan, Stage, WorkerId};
use serde_json::json;
use tokio::task::LocalSet;

use crate::commands::lacking::{lack, obstacle};
use crate::commands::{print, say};
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
#[command(after_help = "\
A worker that alone has a component, of those that are ready, is not drained unless --force says
so. `corn restart` brings it back.")]
pub(crate) struct Drain {
    /// The deployment.
    name: String,
    /// The worker, such as w1.
    #[arg(value_parser = crate::args::worker)]
    worker: WorkerId,
    /// Also if no other worker has what it has: requests for that wait then, and are refused.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// The deployment.
    name: String,
    /// The worker, such as w1 [default: all, one after the other].
    #[arg(value_parser = crate::args::worker)]
    worker: Option<WorkerId>,
    /// How long to wait until each is ready again, in seconds; then the command says what is missing.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    within: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It fails as soon as it is known that a worker does not become ready by itself: its process ends, or
it is of another host and nobody has joined from there. The deployment goes on with what was asked
for, until another `corn scale`.")]
pub(crate) struct Scale {
    /// The deployment.
    name: String,
    /// A component; what is placed with it is scaled with it.
    component: String,
    /// How many replicas, as far as the plan has room for them.
    replicas: u32,
    /// How long to wait until it is so, in seconds; then the command says what is missing.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    within: u64,
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
            let status = status(&state).await?;
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

/// How a deployment is; `None` if it is not up.
async fn status(state: &State) -> Result<Option<Status>, Failure> {
    let Some(mut remote) = state.connect().await? else { return Ok(None) };
    match remote.status().await {
        Ok(status) => Ok(Some(status)),
        // It ended in the meantime.
        Err(_) if state.connect().await?.is_none() => Ok(None),
        Err(fault) => Err(fault.into()),
    }
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
        } else if let (Standing::Away, Some(Started { last: Some(how), ended })) =
            (&worker.standing, &worker.started)
        {
            let times = if *ended == 1 { String::new() } else { format!(" {ended} times, at last") };
            let _ = writeln!(text, "         it ended{times}: {how}");
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

pub(crate) fn drain(args: &Drain) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    local(async {
        let mut remote = state.connected().await?;
        remote.drain(args.worker, args.force).await?;
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
        let (worker, name) = (args.worker, &args.name);
        let alone = status.only_on(worker);
        if !alone.is_empty() {
            say(&format!(
                "no worker is left that has {}: requests wait for one, and are refused",
                alone.join(", ")
            ));
        }
        print(&format!(
            "{worker} takes no requests, and has none; `corn restart {name} {worker}` brings it back\n"
        ))
    })
}

pub(crate) fn restart(args: &Restart) -> Result<(), Failure> {
    let state = State::of(&args.name)?.present();
    local(async {
        let mut remote = state.connected().await?;
        let generation = remote.status().await?.generation;
        let plan = remote.plan().await?;
        let plan = plan.plan();
        let all: Vec<WorkerId> = match args.worker {
            Some(worker) => vec![worker],
            None => plan.workers.ids().collect(),
        };
        for worker in all {
            let before = remote.status().await?;
            unchanged(generation, &before)?;
            remote.restart(worker).await?;
            let was = &before.workers[worker.0 as usize];
            if was.started.is_none() {
                let host = &plan.workers[worker].host;
                return Err(Failure::Usage(format!(
                    "{worker} is of host '{host}': whoever started it there ends it and starts another; \
                     `corn drain {} {worker}` empties it before",
                    args.name
                )));
            }
            let mut now = remote.status().await?;
            let mut is_late = pin!(tokio::time::sleep(Duration::from_secs(args.within)));
            loop {
                unchanged(generation, &now)?;
                let is = &now.workers[worker.0 as usize];
                if is.restarts > was.restarts && is.standing == Standing::Ready {
                    break;
                }
                if let Some(obstacle) = obstacle(&state, plan, was, is) {
                    return Err(Failure::setup(format!("{obstacle}; it is started again and again")));
                }
                tokio::select! {
                    changed = remote.changed(now.version) => now = changed?,
                    () = &mut is_late => {
                        let lack = lack(&state, plan, is).unwrap_or_else(|| format!("{worker} is still the one it was"));
                        let within = args.within;
                        return Err(Failure::setup(format!(
                            "{worker} is not ready again within {within} s (--within): {lack}; the deployment goes on with it"
                        )));
                    }
                }
            }
            print(&format!("{worker} is ready again\n"))?;
        }
        Ok(())
    })
}

pub(crate) fn scale(args: &Scale) -> Result<(), Failure> {
    let state = State::of(&args.name)?.present();
    local(async {
        let mut remote = state.connected().await?;
        let before = remote.status().await?;
        let plan = remote.plan().await?;
        let plan = plan.plan();
        remote.scale(&args.component, args.replicas).await?;
        let (kept, gone) = replicas(plan, &args.component, args.replicas);
        let mut is_late = pin!(tokio::time::sleep(Duration::from_secs(args.within)));
        let mut status = remote.status().await?;
        loop {
            unchanged(before.generation, &status)?;
            let member = |worker: &WorkerId| &status.workers[worker.0 as usize];
            let obstacle = kept.iter().find_map(|worker| {
                obstacle(&state, plan, &before.workers[worker.0 as usize], member(worker))
            });
            if let Some(obstacle) = obstacle {
                return Err(unscaled(args, &obstacle));
            }
            // One that was drained before is there as well.
            let is_missing = |worker: &&WorkerId| {
                matches!(
                    member(worker).standing,
                    Standing::Away | Standing::Loading { .. } | Standing::Failed(_)
                )
            };
            let missing: Vec<&WorkerId> = kept.iter().filter(is_missing).collect();
            let left: Vec<&WorkerId> = gone.iter().filter(|worker| member(worker).pid.is_some()).collect();
            if missing.is_empty() && left.is_empty() {
                break;
            }
            tokio::select! {
                changed = remote.changed(status.version) => status = changed?,
                () = &mut is_late => {
                    let lacks = missing.into_iter().filter_map(|worker| lack(&state, plan, member(worker)));
                    let stay = left.into_iter().map(|worker| format!("{worker} ends what it has under way"));
                    let each: Vec<String> = lacks.chain(stay).collect();
                    let within = args.within;
                    return Err(unscaled(args, &format!("within {within} s (--within): {}", each.join("; "))));
                }
            }
        }
        let ready: Vec<String> = kept.iter().map(WorkerId::to_string).collect();
        let replicas = counted(args.replicas);
        print(&format!("{} has {replicas}: {}\n", args.component, ready.join(", ")))
    })
}

/// It goes on to be wished for, though something stands in the way.
fn unscaled(args: &Scale, why: &str) -> Failure {
    let Scale { name, component, .. } = args;
    Failure::setup(format!(
        "{component} has not {} yet: {why}. The deployment goes on with it: `corn ps {name}` shows how far it is, and \
         another `corn scale {name} {component} N` replaces it",
        counted(args.replicas)
    ))
}

fn counted(replicas: u32) -> String {
    format!("{replicas} {}", if replicas == 1 { "replica" } else { "replicas" })
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
