//! Drives Corn's core with tokio: the embedded engine, in which every worker is a thread.
//!
//! The state machines of `corn-core` decide; this crate gives them threads, channels, a clock and
//! executors. See [`Engine`].

mod arena;
mod client;
mod clock;
mod coordinator;
mod counts;
mod deployment;
mod devices;
mod engine;
mod executor;
mod load;
mod observe;
mod placed;
mod ports;
mod process;
mod wire;
mod worker;

pub use client::{Answer, Piece};
pub use counts::{ComponentWork, EdgeWork, Times, Work};
pub use deployment::{
    CallTimes, Deployment, Generations, HandOverTimes, Listening, Member, Order, Remote, RemoteAnswer,
    RequestTimes, SeenGpu, Standing, Started, Status, Switchboard, Update, serve_control,
};
pub use engine::{Ask, Engine};
pub use observe::{HandOverTrace, NoObserver, Observer};
pub use process::{Membership, work};
pub use wire::greet::Token;
