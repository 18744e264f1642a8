//! The passes: each takes what the one before made and makes it simpler or more definite.
//!
//! A pass is one file with one entry function of its name. [`crate::compile`] calls them in order.

pub(crate) mod allocate;
pub(crate) mod check;
pub(crate) mod copies;
pub(crate) mod inline;
pub(crate) mod place;
pub(crate) mod schedule;
pub(crate) mod scopes;
pub(crate) mod served;
pub(crate) mod share;
pub(crate) mod simplify;
pub(crate) mod specialize;
pub(crate) mod stages;
pub(crate) mod target;
pub(crate) mod thin;
pub(crate) mod transfer;
