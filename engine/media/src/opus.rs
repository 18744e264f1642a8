//! Opus in Ogg files (RFC 7845), and its packets in other containers. Positions in such a file count samples at 48 kHz, whatever the sound's rate.

mod read;
mod write;

pub(crate) use read::{Head, Packets, read};
pub(crate) use write::OpusWriter;

/// The rate of positions.
pub(crate) const POSITION_HZ: u32 = 48_000;
