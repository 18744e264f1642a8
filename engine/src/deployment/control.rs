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

use super::{Generations, Status};
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
    /// No new requests to a worker.
    Drain(u32),
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
    /// How long what is under way may take to end.
    pub drain_within: Duration,
    /// Is told when it is served, or why it cannot be. Closed when whoever ordered it has gone away.
    pub outcome: oneshot::Sender<Result<(), String>>,
}

/// Serves a deployment's control socket at `path`, on this thread's local set, until it is dropped. What is not the
/// deployment's own goes to `orders`.
pub async fn serve_control(
    path: &Path,
    generations: Arc<Generations>,
    orders: UnboundedSender<Order>,
) -> Result<(), Fault> {
    let _ = std::fs::remove_file(path);
    let cannot = |error| Fault::setup(format!("cannot listen at {}: {error}", path.display()));
    let listener = UnixListener::bind(path).map_err(cannot)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (generations, orders) = (Arc::clone(&generations), orders.clone());
                tokio::task::spawn_local(answer(Socket::Unix(stream), generations, orders));
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
                    Ok(Command::Update { plan, listen, drain_ms }) => {
                        let drain_within = Duration::from_millis(drain_ms);
                        tokio::select! {
                            reply = update(plan, listen, drain_within, &orders) => reply,
                            // Nothing is asked meanwhile; so this is the end of the connection.
                            _ = inbox.next() => return,
                        }
                    }
                    Ok(command) => obey(command, &generations, &orders),
                    Err(problem) => Reply::Refused(problem.to_string()),
                };
                send(&out, &Frame::Control(write(&reply)));
            }
            Ok(Frame::Ask { plan, recording, inputs, deadline_us, priority }) => {
                let deadline = deadline_us.map(Duration::from_micros);
                let ask = Ask { recording, inputs, deadline, priority, is_traced: false };
                call(plan, ask, &generations, &out, &mut inbox).await;
            }
            _ => return,
        }
    }
}

async fn update(
    plan: String,
    listen: Option<String>,
    drain_within: Duration,
    orders: &UnboundedSender<Order>,
) -> Reply {
    let (outcome, told) = oneshot::channel();
    let _ = orders.send(Order::Update(Update { plan, listen, drain_within, outcome }));
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
        Command::Describe => Reply::Described(plan.to_text()),
        Command::Status => Reply::Status(generations.status()),
        Command::Drain(id) => worker(id).map_or_else(
            |refused| refused,
            |worker| {
                deployment.drain(worker);
                Reply::Done
            },
        ),
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
        Command::Changed(_) | Command::Update { .. } => unreachable!("they take time"),
    }
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

/// Answers a request. Whoever asked cancels it by going away.
async fn call(plan: PlanHash, ask: Ask, generations: &Generations, out: &Outbox, inbox: &mut Inbox) {
    let mut answer = match generations.submit(plan, ask) {
        Ok(answer) => answer,
        Err(fault) => {
            send(out, &Frame::Piece(Some(Piece::Failed(fault))));
            return send(out, &Frame::Piece(None));
        }
    };
    let mut left = answer.outputs();
    let pieces = async {
        while left > 0
            && let Some(piece) = answer.next().await
        {
            left -= usize::from(matches!(piece, Piece::End { .. }));
            out.room().await;
            out.queue(written(&Frame::Piece(Some(piece))));
            if left > 0 {
                out.flush();
            }
        }
        out.queue(written(&Frame::Piece(None)));
        out.flush();
    };
    tokio::select! {
        () = pieces => answer.leave(),
        // Nothing is said while an answer comes; so this is the end of the connection, and `answer` cancels.
        _ = inbox.next() => {}
    }
}

fn send(out: &Outbox, frame: &Frame) {
    out.send(written(frame));
}

fn written(frame: &Frame) -> Writer {
    frame.write(0, None).expect("nothing is lent to another process")
}
