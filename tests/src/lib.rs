//! What needs more than one of Corn's crates: whole programs, sessions, faults.
