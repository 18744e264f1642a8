//! Opus in Ogg files (RFC 7845). Positions in such a file count samples at 48 kHz, whatever the sound's rate.

mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::OpusWriter;

/// The rate of positions.
const POSITION_HZ: u32 = 48_000;
