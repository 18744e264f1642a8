//! Writes WAV: 16-bit PCM, mono.
//!
//! A sample is scaled by 2¹⁵, the inverse of what reading does, so that 16-bit sound passes
//! through unchanged.

use std::io::{Cursor, Seek, Write};

use corn_core::datum::Audio;
use hound::{SampleFormat, WavSpec};

use crate::error::MediaError;
use crate::sniff::MediaKind;

/// The whole of `audio` as a WAV file.
pub fn write_wav(audio: &Audio) -> Result<Vec<u8>, MediaError> {
    let mut file = Cursor::new(Vec::with_capacity(44 + audio.samples.len() * 2));
    let mut writer = WavWriter::new(&mut file, audio.rate_hz)?;
    writer.write(&audio.samples)?;
    writer.finish()?;
    Ok(file.into_inner())
}

/// Writes a WAV file piece by piece, as sound is made.
///
/// The header's sizes are brought up to date by [`flush`](Self::flush) and
/// [`finish`](Self::finish), so what was flushed can be played even if the writer dies.
pub struct WavWriter<W: Write + Seek> {
    inner: hound::WavWriter<W>,
}

impl<W: Write + Seek> WavWriter<W> {
    /// A file at `rate_hz` samples a second, from the start of `target`. Give it a buffered one.
    pub fn new(target: W, rate_hz: u32) -> Result<Self, MediaError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        Ok(Self { inner: hound::WavWriter::new(target, spec).map_err(failed)? })
    }

    /// Appends samples; what is outside −1..1 is clipped.
    pub fn write(&mut self, samples: &[f32]) -> Result<(), MediaError> {
        samples.iter().try_for_each(|sample| self.inner.write_sample(to_i16(*sample))).map_err(failed)
    }

    /// Brings the header up to date and flushes the target.
    pub fn flush(&mut self) -> Result<(), MediaError> {
        self.inner.flush().map_err(failed)
    }

    /// Completes the file.
    pub fn finish(self) -> Result<(), MediaError> {
        self.inner.finalize().map_err(failed)
    }
}

/// The head of a file that is sent while it is made, so that its length is not known.
pub(crate) fn wav_head(rate_hz: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(44);
    head.extend(b"RIFF\xff\xff\xff\xffWAVEfmt ");
    head.extend(16u32.to_le_bytes());
    // PCM, one channel.
    head.extend([1, 0, 1, 0]);
    head.extend(rate_hz.to_le_bytes());
    head.extend((rate_hz * 2).to_le_bytes());
    // Two bytes a frame, 16 bits a sample.
    head.extend([2, 0, 16, 0]);
    head.extend(b"data\xff\xff\xff\xff");
    head
}

/// `as` saturates and takes NaN to 0, which is silence.
pub(crate) fn to_i16(sample: f32) -> i16 {
    (sample * 32768.0).round() as i16
}

fn failed(error: hound::Error) -> MediaError {
    let what = match error {
        hound::Error::IoError(error) => error.to_string(),
        error => error.to_string(),
    };
    MediaError::Write { kind: MediaKind::Wav, what }
}
