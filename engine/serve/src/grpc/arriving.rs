//! Requests on their way in. A message is read whole before anything is done with it, so it is seen here how it comes: what
//! comes takes room that all requests share, and whoever sends a part of a message and then too little would keep that
//! room for as long as it likes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Frame;
use tokio::time::Sleep;
use tonic::Status;

use crate::grpc::status;
use crate::intake::{Intake, Pace, Taken};

/// Calls whose clients may be silent between messages: what they have sent so far is under way.
const CONVERSATIONS: [&str; 3] = ["/Converse", "/ModelStreamInfer", "/ServerReflectionInfo"];
/// What is before each message: whether it is compressed, and its length.
const HEADER_BYTES: usize = 5;

/// Sees how the messages of a call come.
pub(super) async fn within_reason(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_conversation = CONVERSATIONS.iter().any(|call| path.ends_with(call));
    next.run(request.map(|body| Body::new(Arriving::new(body, is_conversation, &intake)))).await
}

struct Arriving {
    body: Body,
    is_conversation: bool,
    pace: Pace,
    until: Pin<Box<Sleep>>,
    /// By the message that is coming.
    taken: Taken,
    header: [u8; HEADER_BYTES],
    /// How much of the header has come.
    begun: usize,
    /// What is still to come of the message.
    left: usize,
    has_whole: bool,
}

impl Arriving {
    fn new(body: Body, is_conversation: bool, intake: &Intake) -> Self {
        let pace = Pace::begin();
        Self {
            body,
            is_conversation,
            pace,
            until: Box::pin(tokio::time::sleep_until(pace.until)),
            taken: intake.begin(),
            header: [0; HEADER_BYTES],
            begun: 0,
            left: 0,
            has_whole: false,
        }
    }

    /// These bytes have come. When a message is whole its room is given back: who reads it takes its own.
    fn came(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            if self.begun == 0 {
                self.pace = Pace::begin();
            }
            let count = if self.begun < HEADER_BYTES {
                let count = bytes.len().min(HEADER_BYTES - self.begun);
                self.header[self.begun..self.begun + count].copy_from_slice(&bytes[..count]);
                self.begun += count;
                if self.begun == HEADER_BYTES {
                    let [flag, length @ ..] = self.header;
                    if flag > 1 {
                        return Err(status::refused(format!(
                            "a message begins with 0 or 1, for whether it is compressed, and this one with {flag}"
                        )));
                    }
                    self.left = u32::from_be_bytes(length) as usize;
                }
                count
            } else {
                let count = bytes.len().min(self.left);
                self.left -= count;
                self.taken.take(count as u64).map_err(|fault| status::of(&fault))?;
                count
            };
            self.pace.came(count);
            bytes = &bytes[count..];
            if self.begun == HEADER_BYTES && self.left == 0 {
                self.begun = 0;
                self.has_whole = true;
                self.taken.clear();
            }
        }
        Ok(())
    }

    /// Nothing comes any more.
    fn ended(&self) -> Result<(), Status> {
        if self.begun > 0 {
            return Err(status::refused("the request ends within a message"));
        }
        if !self.has_whole && !self.is_conversation {
            return Err(status::refused("the request has no message"));
        }
        Ok(())
    }
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let seen = match &frame {
                Some(Ok(frame)) => frame.data_ref().map_or(Ok(()), |bytes| self.came(bytes)),
                Some(Err(_)) => Ok(()),
                None => self.ended(),
            };
            let until = self.pace.until;
            self.until.as_mut().reset(until);
            return Poll::Ready(match seen {
                Ok(()) => frame.map(|frame| frame.map_err(Into::into)),
                Err(status) => Some(Err(status.into())),
            });
        }
        if self.is_conversation && self.begun == 0 {
            return Poll::Pending;
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Some(Err(Status::deadline_exceeded(Pace::missed("the request")).into())))
    }

    fn is_end_stream(&self) -> bool {
        // Its end has something to say, so it must be asked for.
        false
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use http_body_util::BodyExt;
    use tonic::Code;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    fn body(pieces: Vec<&'static [u8]>, is_conversation: bool, intake: &Intake) -> Arriving {
        let pieces = stream::unfold(pieces.into_iter(), |mut pieces| async move {
            tokio::time::sleep(PAUSE).await;
            pieces.next().map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
        });
        Arriving::new(Body::from_stream(pieces), is_conversation, intake)
    }

    async fn outcome(body: Arriving) -> Result<Vec<u8>, Status> {
        match body.collect().await {
            Ok(whole) => Ok(whole.to_bytes().to_vec()),
            Err(error) => Err(*error.downcast().unwrap()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_may_be_slow_and_may_not_crawl() {
        let intake = Intake::new(100);
        let slow = outcome(body(vec![b"\0\0\0", b"\0\x04a", b"b", b"c", b"d"], false, &intake)).await;
        assert!(slow.unwrap_err().message().starts_with("the request came too slowly"));
        let slow = outcome(body(vec![b"\0\0\0", b"\0\x02ab"], false, &intake)).await;
        assert_eq!(slow.unwrap(), b"\0\0\0\0\x02ab");
    }

    #[tokio::test(start_paused = true)]
    async fn a_conversation_may_be_silent_between_messages_and_not_within() {
        let intake = Intake::new(100);
        let message: &[u8] = b"\0\0\0\0\x01a";
        let pauses: &[u8] = b"";
        let silent = vec![message, pauses, pauses, pauses, pauses, message];
        assert_eq!(outcome(body(silent.clone(), true, &intake)).await.unwrap().len(), 12);
        assert_eq!(outcome(body(silent, false, &intake)).await.unwrap_err().code(), Code::DeadlineExceeded);
        let broken_off = vec![&message[..5], pauses, pauses, pauses, pauses, b"a"];
        assert_eq!(
            outcome(body(broken_off, true, &intake)).await.unwrap_err().code(),
            Code::DeadlineExceeded
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_message_is_refused() {
        let intake = Intake::new(100);
        for (pieces, why) in [
            (vec![], "the request has no message"),
            (vec![&b"\0\0\0"[..]], "the request ends within a message"),
            (vec![b"\0\0\0\0\x03ab"], "the request ends within a message"),
            (
                vec![b"\x02\0\0\0\0"],
                "a message begins with 0 or 1, for whether it is compressed, and this one with 2",
            ),
        ] {
            let status = outcome(body(pieces, false, &intake)).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (Code::InvalidArgument, why));
        }
        assert!(outcome(body(vec![], true, &intake)).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn messages_take_room_until_they_are_whole() {
        let intake = Intake::new(4);
        let three: &[u8] = b"\0\0\0\0\x03abc";
        let mut other = intake.begin();
        other.take(1).unwrap();
        outcome(body(vec![three, three], true, &intake)).await.unwrap();
        other.take(1).unwrap();
        let status = outcome(body(vec![three], true, &intake)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get("corn-retry").unwrap(), "true");
    }
}
