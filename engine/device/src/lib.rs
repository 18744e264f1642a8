//! GPUs: which there are, what lies in their memory, and how other processes of the host read it.
//!
//! The driver is loaded at run time, so all of this builds and starts on machines without one, and says what is
//! missing there. Nobody else in Corn knows CUDA: the core passes on what lies on a device without looking, the engine
//! asks for places and copies, and executors that work on a GPU ask [`Gpu`] to do it.

mod arena;
mod array;
mod driver;
mod foreign;
mod found;
mod gpu;
mod held;
pub mod transformer;

pub use array::{Array, Landing, Number, Space};
pub use foreign::Foreign;
pub use found::{Found, find};
pub use gpu::{Gpu, Lost};
pub use held::Held;
