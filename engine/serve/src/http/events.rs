//! Answers in pieces: server-sent events, and bodies that grow.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use corn_core::Datum;
use corn_core::executor::Usage;
use futures_util::stream;
use serde_json::Value;

use super::answer::Outputs;
use super::refusal::Refusal;

/// What the events of an endpoint say.
pub(super) trait Say: Send + 'static {
    /// Before the first item.
    fn begin(&mut self) -> Vec<Value>;

    /// Of an item of the output at `place`.
    fn item(&mut self, place: usize, datum: &Datum) -> Result<Vec<Value>, Refusal>;

    /// Components say that they have used so much so far.
    fn used(&mut self, usage: Usage) {
        let _ = usage;
    }

    /// After the last item.
    fn end(&mut self) -> Result<Vec<Value>, Refusal>;

    /// Whether `[DONE]` says that all has been said.
    fn says_done(&self) -> bool;
}

struct Saying<S> {
    /// None after it has panicked.
    say: Option<S>,
    outputs: Outputs,
    waiting: VecDeque<Event>,
    is_over: bool,
}

impl<S: Say> Saying<S> {
    /// Takes from the answer until there is something to say.
    async fn next(&mut self) -> Option<Event> {
        while self.waiting.is_empty() && !self.is_over {
            let next = self.outputs.next().await;
            if let (Some(say), Some(usage)) = (&mut self.say, self.outputs.usage()) {
                say.used(usage);
            }
            let said = match next {
                Ok(Some((place, datum))) => {
                    written(&mut self.say, datum, move |say, it| say.item(place, it)).await
                }
                Ok(None) => {
                    self.is_over = true;
                    self.say.as_mut().map_or_else(|| Ok(Vec::new()), Say::end)
                }
                Err(refusal) => Err(refusal),
            };
            match said {
                Ok(said) => self.waiting.extend(said.iter().map(event)),
                Err(refusal) => {
                    self.is_over = true;
                    self.outputs.break_off(&refusal);
                    self.waiting.push_back(event(&refusal.body()).event("error"));
                    return self.waiting.pop_front();
                }
            }
            if self.is_over {
                self.outputs.end();
                let says_done = self.say.as_ref().is_some_and(Say::says_done);
                self.waiting.extend(says_done.then(|| Event::default().data("[DONE]")));
            }
        }
        self.waiting.pop_front()
    }
}

/// What `work` makes of an item. All but texts take a while to write, and are written where that keeps nobody waiting.
pub(super) async fn written<W: Send + 'static, T: Send + 'static>(
    writer: &mut Option<W>,
    datum: Datum,
    work: impl FnOnce(&mut W, &Datum) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let broken = || Refusal::ours("writing a piece of the answer panicked; this is a bug of corn");
    let mut taken = writer.take().ok_or_else(broken)?;
    if matches!(datum, Datum::Text(_)) {
        let made = work(&mut taken, &datum);
        *writer = Some(taken);
        return made;
    }
    let apart = tokio::task::spawn_blocking(move || {
        let made = work(&mut taken, &datum);
        (taken, made)
    });
    let (taken, made) = apart.await.map_err(|_| broken())?;
    *writer = Some(taken);
    made
}

fn event(value: &Value) -> Event {
    Event::default().data(value.to_string())
}

/// The answer as events, each made when the one before it has been taken.
pub(super) fn events(mut say: impl Say, outputs: Outputs) -> Response {
    let waiting = say.begin().iter().map(event).collect();
    let saying = Saying { say: Some(say), outputs, waiting, is_over: false };
    let events = stream::unfold(saying, |mut saying| async move {
        let event = saying.next().await?;
        Some((Ok::<_, Infallible>(event), saying))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// What a body that grows is made of.
pub(super) trait Grow: Send + 'static {
    /// Of an item of the output at `place`.
    fn item(&mut self, place: usize, datum: &Datum) -> Result<Vec<u8>, Refusal>;

    /// After the last item.
    fn end(&mut self) -> Result<Vec<u8>, Refusal>;
}

/// The answer as a body that grows. If it fails, the body breaks off, which clients see: it has no other way to say so.
pub(super) fn growing(grow: impl Grow, outputs: Outputs) -> Body {
    let state = Some((Some(grow), outputs));
    Body::from_stream(stream::unfold(state, |state| async move {
        let (mut grow, mut outputs) = state?;
        loop {
            let (grown, is_over) = match outputs.next().await {
                Ok(Some((place, datum))) => {
                    (written(&mut grow, datum, move |grow, it| grow.item(place, it)).await, false)
                }
                Ok(None) => (grow.as_mut().map_or_else(|| Ok(Vec::new()), Grow::end), true),
                Err(refusal) => (Err(refusal), true),
            };
            match grown {
                Ok(bytes) if bytes.is_empty() && !is_over => {}
                Ok(bytes) if is_over => {
                    outputs.end();
                    return Some((Ok(Bytes::from(bytes)), None));
                }
                Ok(bytes) => return Some((Ok(Bytes::from(bytes)), Some((grow, outputs)))),
                Err(refusal) => {
                    outputs.break_off(&refusal);
                    return Some((Err(std::io::Error::other(refusal.message)), None));
                }
            }
        }
    }))
}
