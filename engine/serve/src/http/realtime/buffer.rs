//! The sound that a client is sending, until it is an item.

use super::voice::RATE_HZ;

const BYTES_OF_SAMPLE: u64 = 2;

/// The newest sound, and where it is in all that a session has heard. Places are counted in samples.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    end: u64,
}

impl Buffer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.end += bytes.len() as u64 / BYTES_OF_SAMPLE;
    }

    /// How much it holds, in ms, rounded up.
    pub(super) fn ms(&self) -> u64 {
        ms(self.bytes.len())
    }

    /// The place after the last sample.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The place of the first sample.
    pub(super) fn begin(&self) -> u64 {
        self.end - self.bytes.len() as u64 / BYTES_OF_SAMPLE
    }

    /// Forgets what is before `place`.
    pub(super) fn forget_before(&mut self, place: u64) {
        let gone = place.saturating_sub(self.begin()) * BYTES_OF_SAMPLE;
        self.bytes.drain(..(gone as usize).min(self.bytes.len()));
    }

    /// All that it holds; it is empty then.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// How long so many bytes of sound are, in ms, rounded up.
pub(super) fn ms(bytes: usize) -> u64 {
    (bytes as u64 / BYTES_OF_SAMPLE * 1000).div_ceil(u64::from(RATE_HZ))
}
