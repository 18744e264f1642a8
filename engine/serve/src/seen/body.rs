//! Bodies whose bytes are counted for the call that they are of.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::call::Call;

/// A body, and the call that is not over before it is.
pub(crate) struct Counted<B> {
    body: B,
    call: Arc<Call>,
    is_answer: bool,
}

impl<B> Counted<B> {
    /// What a client brings.
    pub(crate) const fn brought(body: B, call: Arc<Call>) -> Self {
        Self { body, call, is_answer: false }
    }

    fn count(&self, frame: &Frame<Bytes>) {
        let bytes = frame.data_ref().map_or(0, Buf::remaining);
        if self.is_answer {
            self.call.sent(bytes);
            frame.trailers_ref().into_iter().for_each(|trailers| self.call.ended(trailers));
        } else {
            self.call.brought(bytes);
        }
    }
}

impl<B: Body> Counted<B> {
    /// What it gets.
    pub(crate) fn answer(body: B, call: Arc<Call>) -> Self {
        // Nobody asks one that is empty for anything.
        if body.is_end_stream() {
            call.whole();
        }
        Self { body, call, is_answer: true }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => this.count(frame),
            None if this.is_answer => this.call.whole(),
            Some(Err(_)) | None => {}
        }
        if this.is_answer && this.body.is_end_stream() {
            this.call.whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
