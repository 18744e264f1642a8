//! Whole clusters in one thread, on simulated time.
//!
//! [`Simulation`] drives the engine's own [`Coordinator`](corn_core::Coordinator) and
//! [`Worker`](corn_core::Worker)s; what it makes up is only what surrounds them: connections with latency and
//! bandwidth, processes that load, answer late, stop and die, executors whose turns take time, and clients. A seed
//! decides everything that is left to chance, so a run is repeated by its seed.
//!
//! ```
//! use std::sync::Arc;
//! use corn_core::Datum;
//! use corn_plan::{Plan, RecordingId, verify};
//! use corn_sim::{Mishap, Request, Settings, Simulation, models};
//!
//! let plan = Plan::parse(models::ASSISTANT).unwrap();
//! let plan = Arc::new(verify(plan).unwrap());
//! let mut simulation = Simulation::new(&plan, Settings::default(), models::loader(200), 7);
//! let request = Request::new(RecordingId(1), vec![("prompt".to_owned(), Datum::text("Hello there."))]);
//! simulation.ask_at(50_000, request);
//! assert!(simulation.run_to_rest(10_000_000));
//! let answer = simulation.answers().next().unwrap();
//! assert!(answer.failure.is_none());
//! println!("answered in {} µs", answer.finished_us.unwrap() - answer.asked_us);
//! ```
//!
//! [`orders`] is a cluster without time, for tests of what no order of events may change.
//!
//! [`scenario`] makes up plans, requests and [`Mishap`]s from a seed, and [`verdict`] says which of the promises of
//! the engine a run broke.

mod client;
mod event;
mod log;
pub mod models;
mod network;
pub mod orders;
mod process;
pub mod scenario;
pub mod verdict;
mod world;

pub use client::{Answer, Piece, Request};
pub use network::{Line, Network, Party};
pub use process::{Cost, Loaded, Loader};
pub use world::{Mishap, Settings, Simulation};
