//! The plan: the one contract between Corn's compiler and its engine.
//!
//! The compiler writes a [`Plan`], the engine replays it, and neither names the other. This
//! crate holds the plan's types, the text that a person reads and a worker parses
//! ([`Plan::to_text`], [`Plan::parse`]), and the verifier that stands between text and trust
//! ([`verify()`]). It depends on nothing else of Corn's and does no I/O.

pub mod catalog;
pub mod control;
pub mod diff;
pub mod endpoint;
pub mod ids;
mod memory;
pub mod plan;
mod rules;
pub mod shapes;
mod signature;
pub mod text;
pub mod types;
pub mod verify;

pub use control::{Arm, BlockId, Branch, Carry, Case, Loop, all_steps};
pub use ids::{ComponentId, IdVec, RecordingId, StageId, ValueId, WorkerId};
pub use plan::{
    Adaptor, Batch, Component, Endpoint, GpuRow, Gpus, Input, InputMedia, Limits, Literal, MemoryRow,
    Modality, Needs, Offset, Operand, Output, Plan, PlanHash, Port, Program, Recording, Run, Serve, Stage,
    Step, Transport, Value, Weights, WeightsSource, Worker,
};
pub use rules::RULES;
pub use signature::Signature;
pub use text::ParseError;
pub use types::{Bytes, Dim, Dtype, Form, FrameRate, Kind, Type};
pub use verify::{Verified, Violation, verify};
