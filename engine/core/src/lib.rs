//! The engine's core: values, faults, the executor interface, and coordinator and worker as
//! state machines. Events go in, actions come out; there is no I/O, no clock and no thread here.

mod adapt;
pub mod batched;
pub mod coordinator;
pub mod datum;
pub mod executor;
pub mod fault;
mod intake;
pub mod interleaved;
mod ledger;
mod look_up;
pub mod message;
mod program;
mod replay;
mod samples;
mod slot;
pub mod worker;

pub use coordinator::{Coordinator, Patience};
pub use datum::{
    Audio, Conversation, Datum, DeviceTensor, Frame, Image, Message, OnDevice, Part, Role, Tensor, Video,
};
pub use fault::{Blame, Fault};
pub use ledger::Ledger;
pub use samples::Samples;
pub use worker::Worker;
