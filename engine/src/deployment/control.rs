//! What other processes of the same person ask of a deployment: how it is, to drain a worker, to answer a request,
//! to end. Over a Unix socket in a folder that only its owner may enter.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corn_core::Fault;
use corn_plan::{Plan, PlanHash, Stage, WorkerId};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::generations::Translated;
use super::noted::{Note, RequestTimes};
use super::{Deployment, Generations, Standing, Status, Switchboard};
use crate::client::Piece;
use crate::engine::Ask;
use crate::wire::control::{read, write};
use crate::wire::link::{Inbox, Outbox, Socket};
use crate::wire::{Frame, Writer};

/// Something asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    /// What it replays.
    Describe,
    /// How it is.
    Status,
    /// How it is, as soon as that is another version than this one.
    Changed(u64),
    /// No new requests to a worker; also if no other has what it has, if `force` says so.
    Drain { worker: u32, force: bool },
    /// Another process for a worker, once it is drained.
    Restart(u32),
    /// So many replicas of the stage that a component is in.
    Scale { component: String, replicas: u32 },
    /// To replay another plan from when it is ready. Whoever asked takes it back by going away before.
    Update {
        /// The plan's text.
        plan: String,
        /// Where workers of other hosts join.
        listen: Option<String>,
        /// How long its workers may take to be ready, in ms.
        load_ms: u64,
        /// How long what is under way may take to end, in ms.
        drain_ms: u64,
    },
    /// To end.
    Down,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Reply {
    /// The plan's text.
    Described(String),
    /// How it is.
    Status(Status),
    /// It is done, or will be.
    Done,
    /// It cannot be.
    Refused(String),
    /// What the request took that is over.
    Traced(RequestTimes),
}

/// What whoever runs a deployment has to see to.
#[derive(Debug)]
pub enum Order {
    /// End everything.
    Down,
    /// Another process for a worker, once it is drained.
    Restart(WorkerId),
    /// These workers are to be there and no others of their stage.
    Keep {
        /// To be there.
        kept: Vec<WorkerId>,
        /// Not to be there.
        gone: Vec<WorkerId>,
    },
    /// Another plan is to be served.
    Update(Update),
}

/// An order to serve another plan as soon as its workers are ready.
#[derive(Debug)]
pub struct Update {
    /// The plan's text.
    pub plan: String,
    /// Where workers of other hosts join.
    pub listen: Option<String>,
    /// How long its workers may take to be ready.
    pub load_within: Duration,
    /// How long what is under way may take to end.
    pub drain_within: Duration,
    /// Is told when it is served, or why it cannot be. Closed when whoever ordered it has gone away.
    pub outcome: oneshot::Sender<Result<(), String>>,
}

/// Serves a deployment's control socket at `path`, on `switchboard`, until it is dropped; the socket is there once this
/// was polled. What is not the deployment's own goes to `orders`.
///
/// # Errors
/// If nothing can listen there.
pub async fn serve_control(
    switchboard: &Switchboard,
    path: &Path,
    generations: Arc<Generations>,
    orders: UnboundedSender<Order>,
) -> Result<(), Fault> {
    let cannot = |error| Fault::setup(format!("cannot listen at {}: {error}", path.display()));
    let _ = std::fs::remove_file(path);
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let ended = switchboard.run(move || accept(listener, generations, orders)).await;
    ended.unwrap_or_else(|| Err(Fault::setup("nobody answers at the control socket any more")))
}

async fn accept(
    listener: std::os::unix::net::UnixListener,
    generations: Arc<Generations>,
    orders: UnboundedSender<Order>,
) -> Result<(), Fault> {
    let cannot = |error| Fault::setup(format!("nobody can be let in at the control socket: {error}"));
    let listener = UnixListener::from_std(listener).map_err(cannot)?;
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let (generations, orders) = (Arc::clone(&generations), orders.clone());
                connections.spawn_local(answer(Socket::Unix(stream), generations, orders));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(socket: Socket, generations: Arc<Generations>, orders: UnboundedSender<Order>) {
    let Ok((out, mut inbox)) = socket.split() else { return };
    // The folder's rights have shown who it is.
    inbox.trust();
    while let Ok(Some(came)) = inbox.next().await {
        match Frame::read(&came.head, came.payloads, 0, None) {
            Ok(Frame::Control(json)) => {
                let reply = match read(&json) {
                    Ok(Command::Changed(version)) => {
                        tokio::select! {
                            () = generations.changed(version) => Reply::Status(generations.status()),
                            // Nothing is asked meanwhile; so this is the end of the connection.
                            _ = inbox.next() => return,
                        }
                    }
                    Ok(Command::Update { plan, listen, load_ms, drain_ms }) => {
                        let (outcome, told) = oneshot::channel();
                        let (load_within, drain_within) =
                            (Duration::from_millis(load_ms), Duration::from_millis(drain_ms));
                        let update = Update { plan, listen, load_within, drain_within, outcome };
                        tokio::select! {
                            reply = updated(update, told, &orders) => reply,
                            // Nothing is asked meanwhile; so this is the end of the connection.
                            _ = inbox.next() => return,
                        }
                    }
                    Ok(Command::Describe) => {
                        described(&out, &generations).await;
                        continue;
                    }
                    Ok(command) => obey(command, &generations, &orders),
                    Err(problem) => Reply::Refused(problem.to_string()),
                };
                send(&out, &Frame::Control(write(&reply)));
            }
            Ok(Frame::Ask { plan, recording, inputs, deadline_us, priority, is_traced }) => {
                let deadline = deadline_us.map(Duration::from_micros);
                let ask = Ask { recording, inputs, deadline, priority, is_traced };
                call(plan, ask, &generations, &out, &mut inbox).await;
            }
            _ => return,
        }
    }
}

/// Says what is replayed. Plans may be long, and what passes through here meanwhile is not to wait.
async fn described(out: &Outbox, generations: &Generations) {
    let deployment = generations.now();
    let written = move || write(&Reply::Described(deployment.plan_text().to_owned()));
    if let Ok(json) = tokio::task::spawn_blocking(written).await {
        send(out, &Frame::Control(json));
    }
}

async fn updated(
    update: Update,
    told: oneshot::Receiver<Result<(), String>>,
    orders: &UnboundedSender<Order>,
) -> Reply {
    let _ = orders.send(Order::Update(update));
    match told.await {
        Ok(Ok(())) => Reply::Done,
        Ok(Err(reason)) => Reply::Refused(reason),
        Err(_) => Reply::Refused("the deployment ends".to_owned()),
    }
}

fn obey(command: Command, generations: &Generations, orders: &UnboundedSender<Order>) -> Reply {
    let deployment = generations.now();
    let plan = deployment.engine().plan().plan();
    let worker = |id: u32| {
        let count = plan.workers.len();
        if (id as usize) < count {
            return Ok(WorkerId(id));
        }
        Err(Reply::Refused(format!("there is no worker w{id}; the plan has w0 to w{}", count - 1)))
    };
    let order = |order| {
        let _ = orders.send(order);
    };
    match command {
        Command::Status => Reply::Status(generations.status()),
        Command::Drain { worker: id, force } => worker(id)
            .and_then(|worker| drained(&deployment, worker, force))
            .unwrap_or_else(|refused| refused),
        Command::Restart(id) => worker(id).map_or_else(
            |refused| refused,
            |worker| {
                order(Order::Restart(worker));
                Reply::Done
            },
        ),
        Command::Scale { component, replicas } => match scaled(plan, &component, replicas) {
            Ok(keep) => {
                order(keep);
                Reply::Done
            }
            Err(reason) => Reply::Refused(reason),
        },
        Command::Down => {
            order(Order::Down);
            Reply::Done
        }
        Command::Describe | Command::Changed(_) | Command::Update { .. } => unreachable!("they take time"),
    }
}

/// Drains a worker, unless that would take what it has out of service and nobody wants that.
fn drained(deployment: &Deployment, worker: WorkerId, is_forced: bool) -> Result<Reply, Reply> {
    let status = deployment.status();
    let alone = status.only_on(worker);
    // One that is not ready serves nothing that could be missed.
    let is_ready = status.workers[worker.0 as usize].standing == Standing::Ready;
    if is_ready && !alone.is_empty() && !is_forced {
        return Err(Reply::Refused(format!(
            "{worker} is the last worker that is ready and has {}: without it, requests for that wait and are refused. \
             `corn scale` starts others where the plan has room; --force drains it all the same",
            alone.join(", ")
        )));
    }
    deployment.drain(worker);
    Ok(Reply::Done)
}

/// Which workers of a component's stage are to be there, for so many replicas.
fn scaled(plan: &Plan, component: &str, replicas: u32) -> Result<Order, String> {
    let holds = |stage: &&Stage| stage.components.iter().any(|id| plan.components[*id].name == component);
    let Some(stage) = plan.stages.iter().find(holds) else {
        let known: Vec<&str> = plan.components.iter().map(|component| component.name.as_str()).collect();
        return Err(format!("there is no component '{component}'; there is {}", known.join(", ")));
    };
    let most = stage.replicas.len();
    if replicas == 0 || replicas as usize > most {
        return Err(format!(
            "the plan has room for 1 to {most} replicas of '{component}', and {replicas} are asked for; more are \
             planned with `{component}: replicas {replicas}` in a `place`, and come with `corn update`"
        ));
    }
    let (kept, gone) = stage.replicas.split_at(replicas as usize);
    let is_shared =
        |worker: &&WorkerId| plan.stages.iter().filter(|stage| stage.replicas.contains(worker)).count() > 1;
    if let Some(shared) = gone.iter().find(is_shared) {
        return Err(format!("worker {shared} holds another stage besides '{component}', so it cannot go"));
    }
    Ok(Order::Keep { kept: kept.to_vec(), gone: gone.to_vec() })
}

/// Whoever asked has gone.
struct Gone;

/// Answers a request, and says what it took if it is traced. Whoever asked cancels it by going away.
async fn call(plan: PlanHash, ask: Ask, generations: &Generations, out: &Outbox, inbox: &mut Inbox) {
    let is_traced = ask.is_traced;
    let note = match generations.submit(plan, ask) {
        Ok(answer) => match passed_on(answer, out, inbox).await {
            Ok(note) => note,
            Err(Gone) => return,
        },
        Err(fault) => {
            send(out, &Frame::Piece(Some(Piece::Failed(fault))));
            send(out, &Frame::Piece(None));
            None
        }
    };
    if !is_traced {
        return;
    }
    let times = match note {
        None => RequestTimes::default(),
        Some(note) => tokio::select! {
            times = note.whole() => times,
            // Nothing is said while an answer comes; so this is the end of the connection.
            _ = inbox.next() => return,
        },
    };
    send(out, &Frame::Control(write(&Reply::Traced(times))));
}

/// Passes an answer on. Gives what will be told of it, if it is traced and has not failed.
async fn passed_on(mut answer: Translated, out: &Outbox, inbox: &mut Inbox) -> Result<Option<Note>, Gone> {
    let mut note = answer.note();
    let mut left = answer.outputs();
    let pieces = async {
        while left > 0
            && let Some(piece) = answer.next().await
        {
            left -= usize::from(matches!(piece, Piece::End { .. }));
            if matches!(piece, Piece::Failed(_)) {
                note = None;
            }
            out.queue(written(&Frame::Piece(Some(piece))));
            // What is there already crosses in the same write.
            if left > 0 && !answer.has_next() {
                out.all_written().await;
            }
        }
        out.queue(written(&Frame::Piece(None)));
        out.flush();
    };
    tokio::select! {
        () = pieces => {
            answer.leave();
            Ok(note)
        }
        // As above; `answer` cancels.
        _ = inbox.next() => Err(Gone),
    }
}

fn send(out: &Outbox, frame: &Frame) {
    out.send(written(frame));
}

fn written(frame: &Frame) -> Writer {
    frame.write(0, None).expect("nothing is lent to another process")
}
