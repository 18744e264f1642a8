//! An answer as it comes from a server.

use std::sync::Arc;

use corn_core::Fault;
use corn_core::executor::Usage;
use corn_engine::Piece;
use tonic::Streaming;

use super::connect::Ended;
use super::{Address, OfferedRoute};
use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::stream_response::Event as Said;
use crate::grpc::value;

/// The answer to a question. Dropping it cancels the request on every worker of the server.
pub struct Answering {
    said: Streaming<pb::StreamResponse>,
    route: Arc<OfferedRoute>,
    address: Address,
    line: Ended,
    has_ended: bool,
}

impl Answering {
    pub(super) const fn new(
        said: Streaming<pb::StreamResponse>,
        route: Arc<OfferedRoute>,
        address: Address,
        line: Ended,
    ) -> Self {
        Self { said, route, address, line, has_ended: false }
    }

    /// The next piece, whose output is a place among those of the offered route; `None` at the end, and after a failure.
    pub async fn next(&mut self) -> Option<Piece> {
        while !self.has_ended {
            let said = match self.said.message().await {
                Ok(Some(said)) => said.event,
                Ok(None) => break,
                Err(status) => {
                    self.has_ended = true;
                    return Some(Piece::Failed(self.address.fault(&status, &self.line)));
                }
            };
            let piece = match said {
                Some(Said::Item(item)) => self.item(item),
                Some(Said::End(end)) => self.place(&end.output).map(|output| Piece::End { output }),
                // What comes is said again with each piece.
                Some(Said::Started(_)) | None => continue,
                Some(Said::Used(used)) => Ok(Piece::Used(Usage {
                    prompt_tokens: used.prompt_tokens,
                    cached_tokens: used.cached_tokens,
                    completion_tokens: used.completion_tokens,
                    is_cut: used.is_cut,
                })),
            };
            return Some(piece.unwrap_or_else(|fault| {
                self.has_ended = true;
                Piece::Failed(fault)
            }));
        }
        self.has_ended = true;
        None
    }

    fn item(&self, item: pb::Item) -> Result<Piece, Fault> {
        let output = self.place(&item.output)?;
        let ty = &self.route.outputs[output].ty;
        let datum = item.value.ok_or_else(|| "it is nothing".to_owned());
        let datum = datum.and_then(|value| value::read_made(value, ty));
        datum.map(|datum| Piece::Item { output, datum }).map_err(|problem| {
            Fault::component(format!(
                "what the server made of output '{}' is not what it offers: {problem}",
                item.output
            ))
        })
    }

    fn place(&self, output: &str) -> Result<usize, Fault> {
        let place = self.route.outputs.iter().position(|offered| offered.name == output);
        place.ok_or_else(|| {
            let message = format!("the server made output '{output}', which it does not offer");
            Fault::component(message)
        })
    }
}
