//! The commands, a file each.

pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod models;
pub(crate) mod run;
