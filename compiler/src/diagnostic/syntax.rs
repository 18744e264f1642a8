//! Problems that the parser finds. One constructor each, and the rows E00xx of the code table.

use super::Explained;

/// The codes of this file: E00xx and E01xx.
pub(crate) const TABLE: &[Explained] = &[];
