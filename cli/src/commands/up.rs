//! `corn up`: a plan's coordinator, and its workers on this host as processes.

mod change;
mod generation;
mod supervise;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use corn_core::Fault;
use corn_engine::{Deployment, Generations, Order, Standing, Switchboard, serve_control};
use corn_plan::{Plan, Transport, Verified, WeightsSource, verify};
use corn_serve::Sockets;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::args::Placement;
use crate::commands::lacking::lacks;
use crate::commands::models::pins;
use crate::commands::serve::{Faces, told_twice};
use crate::commands::{print, say, told_to_stop};
use crate::failure::Failure;
use crate::itself::itself;
use crate::program;
use crate::progress::Bars;
use crate::request::paste;
use crate::state::State;
use change::Change;
use generation::{Common, Generation};
use supervise::end_strays;

/// Requests in flight at once, if nobody says how many.
const INFLIGHT: u32 = 16;
/// How many seconds loading may take where nobody watches it, if nobody says: weights may have to be fetched first.
pub(crate) const LOAD_WITHIN: u64 = 1800;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  corn up assistant.corn                  until Ctrl-C or `corn down assistant`
  corn up assistant.corn --detach         in the background; returns when everything is ready
  corn up omni.plan --host a --listen 0.0.0.0:7070
                                          the coordinator and the workers of host 'a'; those of other hosts
                                          join with `corn worker`

Then `corn call assistant …`, `corn ps`, `corn logs assistant`, `corn down assistant`. A coordinator that
died is brought back with the same command: it finds the workers that are still there.")]
pub(crate) struct Up {
    /// The `.corn` file, or a plan.
    file: PathBuf,
    /// What the deployment is called [default: the program's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Return when everything is ready, and go on in the background.
    #[arg(long)]
    detach: bool,
    /// Say on standard output what is up, once it is, followed by an empty line.
    #[arg(long, hide = true)]
    for_detached: bool,
    /// How long loading may take, in seconds; then it ends and says what is missing [default: 1800 with --detach,
    /// otherwise until Ctrl-C].
    #[arg(long, value_name = "SECONDS")]
    load_within: Option<u64>,
    /// The host of the plan that this is [default: the one host of the plan, or the first].
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Where workers of other hosts join.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Encrypt what goes to other hosts, by TLS 1.3. Workers know that from the token.
    #[arg(long)]
    encrypt: bool,
    /// How long requests wait for a worker to come back, once the last that has a component is lost or drained.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait_for_workers: u64,
    #[command(flatten)]
    faces: Faces,
    /// Use only weights that are in the cache.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    placement: Placement,
}

impl Up {
    /// How long loading may take.
    fn loads_within(&self) -> Option<Duration> {
        let unattended = self.for_detached.then_some(LOAD_WITHIN);
        self.load_within.or(unattended).map(Duration::from_secs)
    }
}

pub(crate) fn up(args: &Up) -> Result<(), Failure> {
    let inflight = args.placement.inflight.or(Some(INFLIGHT));
    let plan = planned(&args.file, &Placement { inflight, ..args.placement.clone() })?;
    let host = host(args, plan.plan())?;
    let state = State::of(args.name.as_deref().unwrap_or(&plan.plan().name))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::setup(format!("no event loop: {error}")))?;
    let outcome = LocalSet::new().block_on(&runtime, async {
        state.create()?;
        // Held until the process ends: whoever comes after a coordinator finds nothing of it half there.
        let Some(lock) = state.lock()? else {
            let name = &state.name;
            let message = format!("a deployment '{name}' is up already; end it with `corn down {name}`");
            return Err(Failure::Usage(message));
        };
        if args.detach {
            drop(lock);
            return detach(&state, args).await;
        }
        let state = state.locked(lock).present();
        // Workers of another plan are of no use to this one, and its token is not theirs.
        let text = plan.plan().to_text();
        if std::fs::read_to_string(state.plan()).is_ok_and(|before| before != text) {
            let _ = std::fs::remove_file(state.token());
        }
        run(args, &state, &host, Arc::new(plan)).await
    });
    runtime.shutdown_background();
    outcome
}

/// Deploys, and sees to it until told to stop.
async fn run(args: &Up, state: &State, host: &str, plan: Arc<Verified>) -> Result<(), Failure> {
    let is_served = args.faces.are_any();
    let sockets = Sockets::bind(&args.faces.listening()?).await?;
    let bound = sockets.bound();
    end_strays(state);
    let common = Common {
        host: host.to_owned(),
        token: state.make_token(args.encrypt)?,
        switchboard: Switchboard::start()?,
        waits: Duration::from_secs(args.wait_for_workers),
        offline: args.offline,
        faces: args.faces.clone(),
    };
    let mut now = Generation::start(&common, state.clone(), &plan, args.listen.clone())?;
    now.trust();
    let generations = Arc::new(Generations::new(Arc::clone(&now.deployment)));
    let (orders, mut obeyed) = unbounded_channel();
    let socket = state.control_socket();
    say_awaited(args.listen.as_deref(), state, host, plan.plan());
    let (serves, is_answered) = watch::channel(Arc::clone(&now.served));
    let first = Arc::clone(&now.deployment);
    let is_up = Cell::new(false);
    let begun = async {
        ready(state, &first, args.loads_within()).await?;
        let up = what_is_up(state, plan.plan(), &first);
        is_up.set(true);
        say(&up);
        args.faces.say_bound(plan.plan(), &bound);
        if args.for_detached {
            print(&format!("{up}\n\n"))?;
        }
        std::future::pending().await
    };
    let mut begun = pin!(begun);
    let mut control = pin!(serve_control(&common.switchboard, &socket, Arc::clone(&generations), orders));
    let mut serving = pin!(sockets.serve(is_answered, told_to_stop()));
    let mut stop = pin!(async {
        if is_served {
            told_twice().await;
        } else {
            told_to_stop().await;
        }
    });
    let mut removed = pin!(state.removed());
    let mut change = Change::None;
    let outcome = loop {
        tokio::select! {
            // Clients first: requests under way may end.
            biased;
            outcome = &mut serving, if is_served => break outcome.map_err(Failure::Fault),
            outcome = &mut begun => break outcome,
            () = &mut stop => break Ok(()),
            outcome = &mut control => break outcome.map_err(Failure::Fault),
            failure = now.failed() => break Err(failure),
            // Behind `control`, which makes the socket that is looked for.
            failure = &mut removed => break Err(failure),
            order = obeyed.recv() => match order {
                Some(Order::Down) | None => break Ok(()),
                Some(Order::Update(update)) if is_up.get() => change.begin(&common, &now, &generations, update),
                Some(Order::Update(update)) => {
                    let _ = update.outcome.send(Err("it is not up yet: ask again when it is".to_owned()));
                }
                Some(order) => now.order(order),
            },
            step = change.step(is_served) => {
                change.go_on(step, &mut now, &generations);
                serves.send_if_modified(|served| {
                    let is_new = !Arc::ptr_eq(served, &now.served);
                    served.clone_from(&now.served);
                    is_new
                });
            }
        }
    };
    say(&format!("{} ends", state.name));
    tokio::join!(change.end(), now.end(true));
    state.forget_control();
    outcome
}

/// Ends when every worker is ready, or within so long; shows how far they are.
async fn ready(state: &State, deployment: &Deployment, within: Option<Duration>) -> Result<(), Failure> {
    let bars = Bars::new(false);
    let shown = async {
        loop {
            let status = deployment.status();
            for worker in status.workers {
                if let Standing::Loading { what, done, total } = worker.standing
                    && !what.is_empty()
                {
                    corn_core::executor::Progress::advance(&bars, &what, done, total);
                }
            }
            deployment.changed(status.version).await;
        }
    };
    let is_late = async {
        match within {
            Some(within) => tokio::time::sleep(within).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        outcome = deployment.ready() => outcome.map_err(Failure::Fault),
        () = shown => Ok(()),
        () = is_late => Err(Failure::setup(late(state, deployment, within.unwrap_or_default()))),
    };
    bars.clear();
    outcome
}

/// Says which workers are not ready though they had so long, and why.
fn late(state: &State, deployment: &Deployment, within: Duration) -> String {
    let lacks = lacks(state, deployment.engine().plan().plan(), &deployment.status());
    format!("not everything was ready within {} s (--load-within): {lacks}", within.as_secs())
}

/// Says how the workers of other hosts join, if there are any.
fn say_awaited(listen: Option<&str>, state: &State, host: &str, plan: &Plan) {
    let others: Vec<String> = plan
        .workers
        .enumerate()
        .filter(|(_, worker)| worker.host != host)
        .map(|(id, worker)| format!("{id} of host '{}'", worker.host))
        .collect();
    if others.is_empty() {
        return;
    }
    say(&format!("{} waits for {}", state.name, others.join(", ")));
    match listen {
        Some(address) => {
            let token = state.token();
            say(&format!("  corn worker --join {address} --token-file TOKEN --as w… --listen HOST:0"));
            say(&format!("  with the token in {}", token.display()));
        }
        None => say("  they cannot join: nobody listens for them; give `corn up` --listen HOST:PORT"),
    }
}

/// What is up, and how it is called, line by line.
fn what_is_up(state: &State, plan: &Plan, deployment: &Deployment) -> String {
    let status = deployment.status();
    let ready = status.workers.iter().filter(|worker| worker.standing == Standing::Ready).count();
    let (name, all) = (&state.name, status.workers.len());
    let mut lines = vec![format!("{name} is up: {ready} of {all} workers are ready")];
    lines.extend(paste::to_deployment(name, plan).into_iter().map(|line| format!("  {line}")));
    lines.join("\n")
}

/// Starts the same command in the background, and waits until it is ready or has failed.
async fn detach(state: &State, args: &Up) -> Result<(), Failure> {
    let log = state.coordinator_log();
    let file = std::fs::File::create(&log)
        .map_err(|error| Failure::setup(format!("'{}' cannot be written: {error}", log.display())))?;
    let same = std::env::args_os().skip(1).map(|argument| match argument.to_str() {
        Some("--detach") => "--for-detached".into(),
        _ => argument,
    });
    let command = itself().map_err(|error| Failure::setup(format!("who am I: {error}")));
    let mut command = command?;
    command.args(same).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(file));
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| Failure::setup(format!("no process: {error}")))?;
    let mut up = String::new();
    let mut lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
    while let Some(lines) = &mut lines
        && let Ok(Some(line)) = lines.next_line().await
    {
        if line.is_empty() {
            let name = args.name.as_deref().unwrap_or(&state.name);
            return print(&format!("{up}`corn logs {name}` shows what it says\n"));
        }
        up += &line;
        up.push('\n');
    }
    let _ = child.wait().await;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let last = said.lines().rfind(|line| line.starts_with("error"));
    let last = last.map_or_else(
        || {
            let log = log.display();
            format!("it ended at once, and '{log}' has no error: without --detach it says why")
        },
        |line| line.trim_start_matches("error: ").to_owned(),
    );
    Err(Failure::Fault(Fault::setup(last)))
}

/// A plan for threads of one process hands pointers over, and processes have none in common.
fn refuse_threads(plan: &Plan) -> Result<(), Failure> {
    let programs = plan.recordings.iter().flat_map(|recording| &recording.programs);
    let steps = programs.flat_map(|program| corn_plan::all_steps(&program.steps));
    let by_pointer =
        |step: &corn_plan::Step| matches!(step, corn_plan::Step::Send { transport: Transport::Pointer, .. });
    if steps.into_iter().any(by_pointer) && plan.workers.len() > 1 {
        let message = "this plan is for threads of one process: it hands over by pointer. Compile it with \
                       `corn compile --processes`, or give `corn up` the program";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(())
}

/// The plan of a file for worker processes.
pub(crate) fn planned(file: &Path, placement: &Placement) -> Result<Verified, Failure> {
    let plan = program::load(file, &Placement { processes: true, ..placement.clone() })?;
    program::refuse_foreign(plan.plan())?;
    refuse_threads(plan.plan())?;
    pinned(file, plan.plan())
}

/// The plan, with the hashes of `corn.lock`, and with files named so that workers find them wherever they run.
fn pinned(file: &Path, plan: &Plan) -> Result<Verified, Failure> {
    let pins = pins(file)?;
    let folder = file.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
    let mut plan = plan.clone();
    for component in &mut plan.components {
        for weights in &mut component.weights {
            weights.source = pins.apply(&weights.source);
            if let WeightsSource::File { path, .. } = &mut weights.source {
                let file = folder.join(&*path);
                let file = file.canonicalize().map_err(|error| {
                    Failure::setup(format!("the weights '{}' cannot be read: {error}", file.display()))
                })?;
                *path = file.display().to_string();
            }
        }
    }
    verify(plan).map_err(|_| Failure::setup("the plan does not hold with the hashes of corn.lock"))
}

/// The host of the plan that this is.
fn host(args: &Up, plan: &Plan) -> Result<String, Failure> {
    let mut hosts: Vec<&str> = plan.workers.iter().map(|worker| worker.host.as_str()).collect();
    hosts.dedup();
    match &args.host {
        Some(host) if !hosts.contains(&host.as_str()) => {
            let there_is = hosts.join(", ");
            Err(Failure::Usage(format!("the plan has no host '{host}'; it has {there_is}")))
        }
        Some(host) => Ok(host.clone()),
        None => Ok(hosts.first().copied().unwrap_or("local").to_owned()),
    }
}
