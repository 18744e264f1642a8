//! The engine's core: values, faults, the executor interface, and coordinator and worker as
//! state machines. Events go in, actions come out; there is no I/O, no clock and no thread here.

pub mod datum;
pub mod executor;
pub mod fault;
pub mod interleaved;

pub use datum::{Audio, Datum, Image, Tensor};
pub use fault::{Blame, Fault};
