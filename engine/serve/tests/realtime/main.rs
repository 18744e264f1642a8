//! Realtime sessions: over plain WebSockets, and by the unmodified client for Python.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod answers;
mod client;
mod connections;
mod harness;
mod refusals;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod transcripts;
mod turns;
