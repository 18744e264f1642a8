//! A deployment as another process of the same person sees it.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use corn_core::Fault;
use corn_plan::{Plan, PlanHash, Verified, WorkerId, verify};

use super::Status;
use super::control::{Command, Reply};
use super::noted::RequestTimes;
use crate::client::Piece;
use crate::engine::Ask;
use crate::wire::Frame;
use crate::wire::control::{read, write};
use crate::wire::link::{Inbox, Outbox, Socket};

/// A connection to a deployment's control socket. To be used within a local set.
pub struct Remote {
    out: Outbox,
    inbox: Inbox,
}

impl Remote {
    /// Connects to the deployment that listens at `path`; `None` if nobody does.
    ///
    /// # Errors
    /// If somebody may listen, and this process cannot connect.
    pub async fn connect(path: &Path) -> io::Result<Option<Self>> {
        let socket = match Socket::unix(path).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            socket => socket?,
        };
        let (out, mut inbox) = socket.split()?;
        inbox.trust();
        Ok(Some(Self { out, inbox }))
    }

    /// What it replays.
    pub async fn plan(&mut self) -> Result<Verified, Fault> {
        let Reply::Described(text) = self.ask(&Command::Describe).await? else { return Err(nonsense()) };
        let plan = Plan::parse(&text).map_err(|error| Fault::setup(error.to_string()))?;
        verify(plan).map_err(|_| Fault::setup("the deployment replays a plan that this corn does not take"))
    }

    /// How it is.
    pub async fn status(&mut self) -> Result<Status, Fault> {
        match self.ask(&Command::Status).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(nonsense()),
        }
    }

    /// How it is, as soon as something about its workers has changed since it was `version`.
    pub async fn changed(&mut self, version: u64) -> Result<Status, Fault> {
        match self.ask(&Command::Changed(version)).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(nonsense()),
        }
    }

    /// Ends when the deployment has.
    pub async fn ended(mut self) {
        while let Ok(Some(_)) = self.inbox.next().await {}
    }

    /// No new requests to `worker`; see [`Status`] for when it is drained. Refused if no other worker that is ready has
    /// what it has, unless `force` says so.
    pub async fn drain(&mut self, worker: WorkerId, force: bool) -> Result<(), Fault> {
        self.order(&Command::Drain { worker: worker.0, force }).await
    }

    /// Another process for `worker`, once what it has under way is done.
    pub async fn restart(&mut self, worker: WorkerId) -> Result<(), Fault> {
        self.order(&Command::Restart(worker.0)).await
    }

    /// So many replicas of `component`, as far as the plan has room for them.
    pub async fn scale(&mut self, component: &str, replicas: u32) -> Result<(), Fault> {
        self.order(&Command::Scale { component: component.to_owned(), replicas }).await
    }

    /// Replays `plan` from when it is ready, within `load_within`, and then ends what is under way, within
    /// `drain_within`. Workers of other hosts join at `listen`. Dropping it before its end takes it back.
    pub async fn update(
        &mut self,
        plan: &Plan,
        listen: Option<&str>,
        load_within: Duration,
        drain_within: Duration,
    ) -> Result<(), Fault> {
        let ms = |within: Duration| u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let (load_ms, drain_ms) = (ms(load_within), ms(drain_within));
        let listen = listen.map(str::to_owned);
        match self.ask(&Command::Update { plan: plan.to_text(), listen, load_ms, drain_ms }).await? {
            Reply::Done => Ok(()),
            Reply::Refused(reason) => Err(Fault::setup(reason)),
            _ => Err(nonsense()),
        }
    }

    /// Ends the deployment.
    pub async fn down(&mut self) -> Result<(), Fault> {
        self.order(&Command::Down).await
    }

    /// Asks for the answer to a request; `plan` is the one that its recording is of. Dropping it cancels the request.
    pub fn call(self, plan: PlanHash, ask: Ask) -> RemoteAnswer {
        let Ask { recording, inputs, deadline, priority, is_traced } = ask;
        let deadline_us = deadline.map(|deadline| u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX));
        self.send(&Frame::Ask { plan, recording, inputs, deadline_us, priority, is_traced });
        RemoteAnswer { remote: self, is_over: false, is_traced }
    }

    async fn order(&mut self, command: &Command) -> Result<(), Fault> {
        match self.ask(command).await? {
            Reply::Done => Ok(()),
            Reply::Refused(reason) => Err(Fault::request(reason)),
            _ => Err(nonsense()),
        }
    }

    async fn ask(&mut self, command: &Command) -> Result<Reply, Fault> {
        self.send(&Frame::Control(write(command)));
        match self.frame().await? {
            Frame::Control(json) => read(&json).map_err(|problem| Fault::setup(problem.to_string())),
            _ => Err(nonsense()),
        }
    }

    fn send(&self, frame: &Frame) {
        self.out.send(frame.write(0, None).expect("nothing is lent to another process"));
    }

    async fn frame(&mut self) -> Result<Frame, Fault> {
        let ended = || Fault::setup("the deployment ended before it had answered");
        let came = self.inbox.next().await.map_err(|error| match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => ended(),
            _ => Fault::setup(format!("the connection to the deployment broke: {error}")),
        })?;
        let came = came.ok_or_else(ended)?;
        Frame::read(&came.head, came.payloads, 0, None).map_err(|problem| Fault::setup(problem.to_string()))
    }
}

fn nonsense() -> Fault {
    Fault::setup("the deployment answers something else than was asked: it is of another version of corn")
}

/// The answer to a request that another process replays.
pub struct RemoteAnswer {
    remote: Remote,
    is_over: bool,
    /// What it took is said when it is over, and was not taken yet.
    is_traced: bool,
}

impl RemoteAnswer {
    /// The next piece; `None` when the request is over.
    pub async fn next(&mut self) -> Option<Piece> {
        if self.is_over {
            return None;
        }
        match self.remote.frame().await {
            Ok(Frame::Piece(Some(piece))) => Some(piece),
            Ok(Frame::Piece(None)) => {
                self.is_over = true;
                None
            }
            Ok(_) => Some(self.broken(nonsense())),
            Err(fault) => Some(self.broken(fault)),
        }
    }

    /// What a traced request took, once its last piece has come and everything that it held is given back; nothing of
    /// one that failed.
    pub async fn times(&mut self) -> Result<RequestTimes, Fault> {
        if !self.is_over || !std::mem::take(&mut self.is_traced) {
            return Ok(RequestTimes::default());
        }
        let Frame::Control(json) = self.remote.frame().await? else { return Err(nonsense()) };
        match read(&json) {
            Ok(Reply::Traced(times)) => Ok(times),
            _ => Err(nonsense()),
        }
    }

    /// The connection, for the next request, if this one is over.
    pub fn into_remote(self) -> Option<Remote> {
        (self.is_over && !self.is_traced).then_some(self.remote)
    }

    fn broken(&mut self, fault: Fault) -> Piece {
        (self.is_over, self.is_traced) = (true, false);
        Piece::Failed(fault)
    }
}
