//! Fetches, verifies and keeps model weights.
