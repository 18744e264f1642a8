//! Generated programs for benches, of any size, and the parts that it takes to compile them.
//!
//! [`generated`] writes the program and [`compiled`] compiles it, telling how long each stage took.
//! `docs/PERFORMANCE.md` says what was measured with them.

mod generate;
mod timed;

pub use generate::{Generated, Shape, generated, routes};
pub use timed::{Times, compiled, inputs, target};
