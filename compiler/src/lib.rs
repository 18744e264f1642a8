//! Lowers `.corn` text to static replay plans.

pub mod diagnostic;
pub mod source;
pub mod syntax;
