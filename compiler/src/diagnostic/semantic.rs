//! Problems that are found after parsing: names, types, routes, bounds. One constructor each.

use super::Explained;

/// The codes of this file: E02xx to E09xx and W0xxx.
pub(crate) const TABLE: &[Explained] = &[];
