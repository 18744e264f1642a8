//! A body that holds something until it has gone out whole, or was given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A body, and what is let go of with it.
pub(crate) struct Held<B, T> {
    body: B,
    holds: Option<T>,
}

impl<B, T> Held<B, T> {
    pub(crate) const fn new(body: B, holds: T) -> Self {
        Self { body, holds: Some(holds) }
    }
}

impl<B, T> Body for Held<B, T>
where
    B: Body<Data = Bytes> + Unpin,
    T: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let is_over = match &polled {
            Poll::Ready(None | Some(Err(_))) => true,
            // Before the client has the last of it, and asks again.
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            Poll::Pending => false,
        };
        if is_over {
            self.holds = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
