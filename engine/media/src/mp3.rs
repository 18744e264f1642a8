//! Writes MP3 while its sound is made.
//!
//! At 24 kHz or below a frame leaves the encoder as soon as its 576 samples are there, at a constant bit rate. Above, a
//! constant rate would make the encoder keep everything to the end, to spread bits over the whole; so a variable one
//! is asked for. A file that is written as a whole begins with a frame that says how long it is, and what players leave
//! out at both ends; where sound is sent while it is made, nobody knows that yet.

use corn_core::datum::Audio;
use rusty_mp3::{Mp3Encoder, Mp3EncoderConfig, vbr_quality_index};

use crate::error::MediaError;
use crate::resample::OneRate;
use crate::sniff::MediaKind;

/// Speech of models is at 24 kHz or below; at this rate and bit rate little of it can be told from the original.
const SPEECH_HZ: u32 = 24_000;
const SPEECH_KBPS: u32 = 96;
/// What is above, and how good it is to be on a scale from 0, the best, to 9.
const MUSIC_HZ: u32 = 48_000;
const MUSIC_QUALITY: f32 = 2.0;

pub(crate) struct Mp3Writer {
    encoder: Mp3Encoder,
    rate_hz: u32,
    rate: OneRate,
    /// Whether the frame that says the length is still to be left out.
    leaves_out: bool,
}

impl Mp3Writer {
    /// For sound at `from_hz`; `is_whole` if all of it is pushed before anything is sent.
    pub(crate) fn new(from_hz: u32, is_whole: bool) -> Self {
        let (rate_hz, config) = if from_hz <= SPEECH_HZ {
            (SPEECH_HZ, Mp3EncoderConfig { bitrate_kbps: SPEECH_KBPS, vbr_quality: None })
        } else {
            let quality = vbr_quality_index(MUSIC_QUALITY);
            (MUSIC_HZ, Mp3EncoderConfig { bitrate_kbps: 0, vbr_quality: Some(quality) })
        };
        let (encoder, rate) = (Mp3Encoder::new(config), OneRate::new(rate_hz));
        Self { encoder, rate_hz, rate, leaves_out: !is_whole }
    }

    pub(crate) fn push(&mut self, audio: &Audio) -> Result<(), MediaError> {
        let samples = self.rate.push(audio);
        self.encode(&samples)
    }

    /// The frames that are done.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(frame) = self.encoder.next_packet() {
            if !std::mem::take(&mut self.leaves_out) {
                bytes.extend(frame);
            }
        }
        bytes
    }

    pub(crate) fn finish(mut self) -> Result<Vec<u8>, MediaError> {
        let samples = self.rate.finish();
        self.encode(&samples)?;
        self.encoder.finish();
        Ok(self.take())
    }

    fn encode(&mut self, samples: &[f32]) -> Result<(), MediaError> {
        let pushed = self.encoder.push_pcm_f32(samples, 1, self.rate_hz);
        pushed.map_err(|error| MediaError::Write { kind: MediaKind::Mp3, what: error.to_string() })
    }
}
