//! The gRPC face, driven by clients over a socket, in front of an engine of threads.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod broken;
mod harness;
mod kserve;
mod native;
mod python;
mod replaced;
mod services;
