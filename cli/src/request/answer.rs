//! Takes the answer to a request, whoever replays it.

use corn_core::Fault;
use corn_engine::{Answer, Piece, RemoteAnswer};
use corn_serve::client::Answering;

use crate::failure::Failure;
use crate::request::outputs::Outputs;

/// An answer that comes piece by piece.
pub(crate) trait Pieces {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Piece>;
}

impl Pieces for Answer {
    async fn next(&mut self) -> Option<Piece> {
        self.next().await
    }
}

impl Pieces for RemoteAnswer {
    async fn next(&mut self) -> Option<Piece> {
        self.next().await
    }
}

impl Pieces for Answering {
    async fn next(&mut self) -> Option<Piece> {
        self.next().await
    }
}

/// Puts every piece where it goes; `came` is called when the last of it has come.
pub(crate) async fn take(
    answer: &mut impl Pieces,
    outputs: &mut Outputs,
    mut came: impl FnMut(),
) -> Result<(), Failure> {
    let mut failed: Option<Fault> = None;
    while let Some(piece) = answer.next().await {
        match piece {
            Piece::Item { output, datum } if failed.is_none() => outputs.item(output, datum)?,
            Piece::Item { .. } | Piece::Used(_) => {}
            Piece::End { .. } => came(),
            Piece::Failed(fault) => failed = Some(fault),
        }
    }
    failed.map_or(Ok(()), |fault| Err(Failure::Fault(fault)))
}
