//! Drives Corn's core with tokio.
