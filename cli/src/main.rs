//! The `corn` command.

fn main() {}
