//! What waits to go out to a client.
//!
//! Whoever fills it asks for room first: the answer that is under way waits for room, and no more events are read
//! from a client that does not take what they bring. So a client that reads slowly holds back its own work, and what
//! is kept for it is bounded by this bound and the largest single event.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{CloseFrame, Message, close_code};
use futures_util::Sink;
use serde_json::Value;

/// Bytes that may wait before no more is read from the client.
const MOST: usize = 1 << 20;
/// Bytes that may wait before no more is taken from an answer.
const MOST_OF_ANSWERS: usize = 256 << 10;

/// Messages that wait, in order.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Something has been handed over that may not have gone out.
    is_unflushed: bool,
}

struct Waiting {
    message: Message,
    is_sound: bool,
}

impl Waiting {
    /// None if it is no event.
    fn event_bytes(&self) -> Option<usize> {
        if let Message::Text(text) = &self.message { Some(text.len()) } else { None }
    }
}

impl Outbox {
    /// An event.
    pub(super) fn push(&mut self, event: &Value) {
        self.add(Message::Text(event.to_string().into()), false);
    }

    /// An event that is a piece of sound.
    pub(super) fn push_sound(&mut self, event: &Value) {
        self.add(Message::Text(event.to_string().into()), true);
    }

    /// Drops the pieces of sound that wait.
    pub(super) fn forget_sound(&mut self) {
        self.waiting.retain(|waiting| !waiting.is_sound);
        self.bytes = self.waiting.iter().filter_map(Waiting::event_bytes).sum();
    }

    pub(super) fn ping(&mut self) {
        self.add(Message::Ping(Vec::new().into()), false);
    }

    fn add(&mut self, message: Message, is_sound: bool) {
        let waiting = Waiting { message, is_sound };
        self.bytes += waiting.event_bytes().unwrap_or(0);
        self.waiting.push_back(waiting);
    }

    /// The last message: why the connection ends.
    pub(super) fn close(&mut self, code: u16, reason: &'static str) {
        self.add(Message::Close(Some(CloseFrame { code, reason: reason.into() })), false);
    }

    /// Whether there is anything to [send](Self::send).
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.is_unflushed
    }

    /// Whether what a client says may be answered.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < MOST
    }

    /// Whether more of an answer may be taken.
    pub(super) fn has_room_for_answers(&self) -> bool {
        self.bytes < MOST_OF_ANSWERS
    }

    /// Sends the next message, or sees to it that all have gone out. Says whether an event was sent: as long as a
    /// client takes these, it is there. Given up in the middle, it has lost nothing.
    pub(super) async fn send<S: Sink<Message> + Unpin>(&mut self, writer: &mut S) -> Result<bool, S::Error> {
        poll_fn(|context| self.poll_send(writer, context)).await
    }

    fn poll_send<S: Sink<Message> + Unpin>(
        &mut self,
        writer: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, S::Error>> {
        let mut writer = Pin::new(writer);
        if self.waiting.is_empty() {
            ready!(writer.poll_flush(context))?;
            self.is_unflushed = false;
            return Poll::Ready(Ok(false));
        }
        ready!(writer.as_mut().poll_ready(context))?;
        let Some(waiting) = self.waiting.pop_front() else { return Poll::Ready(Ok(false)) };
        let event = waiting.event_bytes();
        self.bytes -= event.unwrap_or(0);
        self.is_unflushed = true;
        writer.start_send(waiting.message)?;
        Poll::Ready(Ok(event.is_some()))
    }
}

/// The server ends.
pub(super) const ENDING: (u16, &str) = (close_code::AWAY, "the server is shutting down");
/// Nobody is there any more, or nobody says anything.
pub(super) const IDLE: (u16, &str) = (close_code::NORMAL, "the session was idle for too long");
/// A frame is larger than any may be.
pub(super) const TOO_LARGE: (u16, &str) = (close_code::SIZE, "a message was too large");
/// What came is no WebSocket protocol.
pub(super) const BROKEN: (u16, &str) = (close_code::PROTOCOL, "the frames were not as RFC 6455 has them");
