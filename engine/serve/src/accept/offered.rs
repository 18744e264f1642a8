//! An answer that is offered piece by piece, and given up when its client takes nothing of it for long: one stream of
//! HTTP/2 can be held back while its connection is well, so that no socket says it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::InUse;
use super::crowd::Work;

/// What an answer is as long as it lasts: work of its connection, and use of what answers it.
pub(super) type Holds = (Work, Option<InUse>);

/// A body, and what it holds.
pub(super) struct Offered {
    flow: Arc<Flow>,
    taken_within: Duration,
    /// Looks whether it is taken, once there is something to take.
    watch: Option<AbortHandle>,
}

struct Flow(Mutex<State>);

struct State {
    /// None when it is over, or was given up.
    rest: Option<(Body, Holds)>,
    is_given_up: bool,
    /// Since when the last piece has been offered, if the client has not come back for the next.
    since: Option<Instant>,
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offered {
    pub(super) fn new(body: Body, holds: Holds, taken_within: Duration) -> Self {
        let state = State { rest: Some((body, holds)), is_given_up: false, since: None };
        Self { flow: Arc::new(Flow(Mutex::new(state))), taken_within, watch: None }
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

/// Gives an answer up that is not taken.
async fn watch(flow: Weak<Flow>, within: Duration) {
    let mut until = Instant::now() + within;
    loop {
        tokio::time::sleep_until(until).await;
        let Some(flow) = flow.upgrade() else { return };
        let mut state = flow.state();
        until = state.since.unwrap_or_else(Instant::now) + within;
        if state.since.is_some() && until <= Instant::now() {
            state.is_given_up = true;
            let rest = state.rest.take();
            drop(state);
            drop(rest);
            return;
        }
    }
}

impl hyper::body::Body for Offered {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let mut state = self.flow.state();
        state.since = None;
        let Some((body, _)) = &mut state.rest else {
            let given_up =
                || io::Error::new(io::ErrorKind::TimedOut, "the client took nothing of the answer").into();
            return Poll::Ready(state.is_given_up.then(|| Err(given_up())));
        };
        let polled = Pin::new(&mut *body).poll_frame(context);
        let is_over = match &polled {
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Pending => false,
        };
        let rest = if is_over { state.rest.take() } else { None };
        if !is_over && polled.is_ready() {
            state.since = Some(Instant::now());
            drop(state);
            if self.watch.is_none() {
                let watched = watch(Arc::downgrade(&self.flow), self.taken_within);
                self.watch = Some(tokio::spawn(watched).abort_handle());
            }
        } else {
            drop(state);
        }
        drop(rest);
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.flow.state();
        match &state.rest {
            Some((body, _)) => body.is_end_stream(),
            None => !state.is_given_up,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.state().rest.as_ref().map_or_else(SizeHint::default, |(body, _)| body.size_hint())
    }
}
