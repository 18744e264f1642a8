//! Whom a call asks: a deployment of this host, or a server anywhere.

use std::rc::Rc;

use corn_core::{Blame, Fault};
use corn_engine::{Ask, Piece, Remote, RemoteAnswer};
use corn_plan::PlanHash;
use corn_serve::client::{Address, Answering, Connection, Question};

use crate::failure::Failure;
use crate::request::answer::Pieces;
use crate::state::State;

/// Somebody who can be asked one thing, as often as one likes. Clones ask the same.
pub(super) trait Whom: Clone + 'static {
    /// A connection.
    type Line: 'static;
    /// What comes over it. Dropping it cancels the request.
    type Answer: Pieces;

    /// Connects.
    async fn connect(&self) -> Result<Self::Line, Failure>;

    /// Asks.
    async fn ask(&self, line: Self::Line) -> Self::Answer;

    /// The connection of an answer that is over, for the next one, if it still can be used.
    fn line(answer: Self::Answer) -> Option<Self::Line>;
}

/// A deployment of this host.
#[derive(Clone)]
pub(super) struct Deployment {
    pub(super) state: State,
    /// What it replays, as far as is known.
    pub(super) plan: PlanHash,
    pub(super) ask: Ask,
}

impl Whom for Deployment {
    type Line = Remote;
    type Answer = RemoteAnswer;

    async fn connect(&self) -> Result<Remote, Failure> {
        self.state.connected().await
    }

    async fn ask(&self, line: Remote) -> RemoteAnswer {
        line.call(self.plan, self.ask.clone())
    }

    fn line(answer: RemoteAnswer) -> Option<Remote> {
        answer.into_remote()
    }
}

/// A server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) question: Rc<Question>,
}

/// What a server answers.
pub(super) struct Answered {
    connection: Connection,
    /// The answer, or why there is none.
    answering: Result<Answering, Option<Fault>>,
    is_broken: bool,
}

impl Whom for Server {
    type Line = Connection;
    type Answer = Answered;

    async fn connect(&self) -> Result<Connection, Failure> {
        Ok(self.address.connect().await?)
    }

    async fn ask(&self, mut connection: Connection) -> Answered {
        let answering = connection.ask(&self.question).await.map_err(Some);
        Answered { connection, answering, is_broken: false }
    }

    fn line(answer: Answered) -> Option<Connection> {
        (!answer.is_broken).then_some(answer.connection)
    }
}

impl Pieces for Answered {
    async fn next(&mut self) -> Option<Piece> {
        let piece = match &mut self.answering {
            Ok(answering) => answering.next().await,
            Err(fault) => fault.take().map(Piece::Failed),
        };
        // Whoever is away may be so for this connection only.
        let is_away = |fault: &Fault| matches!(fault.blame, Blame::Unavailable | Blame::Lost);
        self.is_broken |= matches!(&piece, Some(Piece::Failed(fault)) if is_away(fault));
        piece
    }
}
