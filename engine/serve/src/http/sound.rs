//! Sound on its way out.

use std::borrow::Cow;

use corn_core::{Audio, Datum};
use corn_media::{Resampler, resample, write_wav};

use super::refusal::Refusal;

/// Clients take sound without a header for 16-bit samples at this rate, mono, little-endian; no field says another.
const PCM_RATE_HZ: u32 = 24_000;

/// Turns pieces of sound into samples of one rate, without a seam between them.
#[derive(Default)]
pub(super) struct Pcm {
    /// Of the pieces so far, which are of one rate.
    from: Option<Resampler>,
}

impl Pcm {
    /// The samples of the next piece, as far as they are known before the piece after it.
    pub(super) fn push(&mut self, audio: &Audio) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.from.as_ref().is_some_and(|from| from.from_hz() != audio.rate_hz) {
            bytes = self.finish();
        }
        let from = self.from.get_or_insert_with(|| Resampler::new(audio.rate_hz, PCM_RATE_HZ));
        bytes.extend(samples(&from.push(&audio.samples)));
        bytes
    }

    /// The samples that are left.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.from.take().map(|from| samples(&from.finish())).unwrap_or_default()
    }
}

/// Sound as 16-bit samples.
fn samples(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|sample| to_i16(*sample).to_le_bytes()).collect()
}

/// As in the WAV files that are written: scaled by 2¹⁵, the inverse of what reading does. `as` saturates.
fn to_i16(sample: f32) -> i16 {
    (sample * 32768.0).round() as i16
}

/// The header of a WAV file whose length is not known, as those that are read while they are made begin.
fn wav_header(rate_hz: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(44);
    header.extend(b"RIFF\xff\xff\xff\xffWAVEfmt ");
    header.extend(16u32.to_le_bytes());
    // PCM, one channel.
    header.extend([1, 0, 1, 0]);
    header.extend(rate_hz.to_le_bytes());
    header.extend((rate_hz * 2).to_le_bytes());
    // Two bytes a frame, 16 bits a sample.
    header.extend([2, 0, 16, 0]);
    header.extend(b"data\xff\xff\xff\xff");
    header
}

/// Writes a WAV file while its sound is made, at the rate of the first piece.
#[derive(Default)]
pub(super) struct Wav {
    rate_hz: Option<u32>,
}

impl Wav {
    /// The bytes of the next piece, with the header before the first.
    pub(super) fn push(&mut self, audio: &Audio) -> Vec<u8> {
        let mut bytes = Vec::new();
        let rate_hz = *self.rate_hz.get_or_insert_with(|| {
            bytes = wav_header(audio.rate_hz);
            audio.rate_hz
        });
        bytes.extend(samples(&at_rate(audio, rate_hz)));
        bytes
    }

    /// What makes a file of no sound at all.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        if self.rate_hz.is_none() { wav_header(PCM_RATE_HZ) } else { Vec::new() }
    }
}

/// A model's pieces are of one rate, unless a graph joins streams of several models.
fn at_rate(audio: &Audio, rate_hz: u32) -> Cow<'_, [f32]> {
    if audio.rate_hz == rate_hz {
        return Cow::Borrowed(&audio.samples);
    }
    Cow::Owned(resample(audio, rate_hz).samples.to_vec())
}

/// Pieces of sound as one WAV file, at the rate of the first.
pub(super) fn wav(pieces: &[Datum]) -> Result<Vec<u8>, Refusal> {
    let pieces = pieces.iter().filter_map(|it| if let Datum::Audio(audio) = it { Some(audio) } else { None });
    let mut whole: Option<(u32, Vec<f32>)> = None;
    for piece in pieces {
        let (rate_hz, samples) = whole.get_or_insert_with(|| (piece.rate_hz, Vec::new()));
        samples.extend_from_slice(&at_rate(piece, *rate_hz));
    }
    let (rate_hz, samples) = whole.unwrap_or((PCM_RATE_HZ, Vec::new()));
    write_wav(&Audio { rate_hz, samples: samples.into() }).map_err(|error| Refusal::ours(error.to_string()))
}
