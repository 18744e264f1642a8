//! Requests that stop coming. A message is read whole before anything is done with it, and whoever sends a part of one
//! and then nothing would keep that part here for as long as it likes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Frame;
use tokio::time::{Instant, Sleep};
use tonic::Status;

/// Who sends nothing of a message for so long has gone, or holds a place for nothing.
const PIECE_WITHIN: Duration = Duration::from_secs(30);
/// Calls whose clients may be silent: what they have sent so far is under way.
const CONVERSATIONS: [&str; 3] = ["/Converse", "/ModelStreamInfer", "/ServerReflectionInfo"];

/// Gives up on requests of one message that stop coming.
pub(super) async fn within_reason(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if CONVERSATIONS.iter().any(|call| path.ends_with(call)) {
        return next.run(request).await;
    }
    next.run(request.map(|body| Body::new(Patient::new(body)))).await
}

struct Patient {
    body: Body,
    until: Pin<Box<Sleep>>,
}

impl Patient {
    fn new(body: Body) -> Self {
        Self { body, until: Box::pin(tokio::time::sleep(PIECE_WITHIN)) }
    }
}

impl hyper::body::Body for Patient {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.until.as_mut().reset(Instant::now() + PIECE_WITHIN);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.until.as_mut().poll(context));
        let seconds = PIECE_WITHIN.as_secs();
        let status = Status::deadline_exceeded(format!("nothing of the request came for {seconds} s"));
        Poll::Ready(Some(Err(status.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    fn body(pieces: usize, pause: Duration) -> Patient {
        let pieces = stream::unfold(0, move |n| async move {
            tokio::time::sleep(pause).await;
            (n < pieces).then_some((Ok::<_, std::io::Error>("ab"), n + 1))
        });
        Patient::new(Body::from_stream(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_may_be_slow_and_may_not_stop() {
        let slow = body(4, PIECE_WITHIN / 2).collect().await.unwrap();
        assert_eq!(&slow.to_bytes()[..], b"abababab");
        let error = body(4, PIECE_WITHIN * 2).collect().await.unwrap_err();
        let status = error.downcast::<Status>().unwrap();
        assert_eq!(status.message(), "nothing of the request came for 30 s");
    }
}
