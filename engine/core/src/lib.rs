//! The engine's core: values, faults, the executor interface, and coordinator and worker as
//! state machines. Events go in, actions come out; there is no I/O, no clock and no thread here.

mod adapt;
pub mod coordinator;
pub mod datum;
pub mod executor;
pub mod fault;
pub mod interleaved;
mod ledger;
pub mod message;
mod program;
mod replay;
mod replayable;
mod samples;
mod slot;
pub mod worker;

pub use coordinator::{Coordinator, Patience};
pub use datum::{Audio, Datum, Image, Tensor};
pub use fault::{Blame, Fault};
pub use ledger::Ledger;
pub use replayable::replayable;
pub use samples::Samples;
pub use worker::Worker;
