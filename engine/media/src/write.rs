//! Writes sound in the formats that clients ask for, as a whole or while it is made.

use corn_core::datum::Audio;

use crate::error::MediaError;
use crate::flac::FlacWriter;
use crate::mp3::Mp3Writer;
use crate::opus::OpusWriter;
use crate::resample::OneRate;
use crate::wav::{to_i16, wav_head, write_wav};

/// The rate of sound without a header; clients know it.
const PCM_HZ: u32 = 24_000;

/// A format that sound is written in. All are mono.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundFormat {
    /// RIFF WAVE: 16 bits, at the sound's own rate.
    Wav,
    /// Samples without a header: 16 bits, little-endian, 24 kHz.
    Pcm,
    /// MPEG audio layer III, at 24 kHz, or at 48 kHz if the sound is above 24 kHz.
    Mp3,
    /// FLAC: 16 bits, at the sound's own rate.
    Flac,
    /// Opus in an Ogg file.
    Opus,
}

impl SoundFormat {
    /// The media type of what is written.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm",
            Self::Mp3 => "audio/mpeg",
            Self::Flac => "audio/flac",
            Self::Opus => "audio/ogg; codecs=opus",
        }
    }
}

/// Writes sound while it is made. Pieces may be of several rates; where the format has its sound's own, it is that of
/// the first.
pub struct SoundWriter {
    format: SoundFormat,
    writing: Option<Writing>,
}

enum Writing {
    /// With what has not been taken yet.
    Samples(Box<OneRate>, Vec<u8>),
    Mp3(Box<Mp3Writer>),
    Flac(Box<FlacWriter>),
    Opus(Box<OpusWriter>),
}

impl SoundWriter {
    /// A file of this format.
    pub const fn new(format: SoundFormat) -> Self {
        Self { format, writing: None }
    }

    /// The bytes that are known with this piece and before the next.
    ///
    /// # Errors
    /// [`MediaError::Write`], if the format cannot hold it.
    pub fn push(&mut self, audio: &Audio) -> Result<Vec<u8>, MediaError> {
        match self.begin(audio.rate_hz)? {
            Writing::Samples(rate, bytes) => {
                bytes.extend(to_bytes(&rate.push(audio)));
                Ok(std::mem::take(bytes))
            }
            Writing::Mp3(mp3) => mp3.push(audio).map(|()| mp3.take()),
            Writing::Flac(flac) => flac.push(audio).map(|()| flac.take()),
            Writing::Opus(opus) => opus.push(audio).map(|()| opus.take()),
        }
    }

    /// The bytes that are left. A file without any sound is a whole one too. What is pushed after it begins another.
    ///
    /// # Errors
    /// [`MediaError::Write`], if the format cannot hold it.
    pub fn finish(&mut self) -> Result<Vec<u8>, MediaError> {
        self.begin(PCM_HZ)?;
        match self.writing.take() {
            Some(Writing::Samples(mut rate, mut bytes)) => {
                bytes.extend(to_bytes(&rate.finish()));
                Ok(bytes)
            }
            Some(Writing::Mp3(mp3)) => mp3.finish(),
            Some(Writing::Flac(flac)) => flac.finish(),
            Some(Writing::Opus(opus)) => opus.finish(),
            None => Ok(Vec::new()),
        }
    }

    /// What writes, made for the rate of the first piece.
    fn begin(&mut self, rate_hz: u32) -> Result<&mut Writing, MediaError> {
        let writing = match self.writing.take() {
            Some(writing) => writing,
            None => match self.format {
                SoundFormat::Wav => Writing::Samples(Box::new(OneRate::new(rate_hz)), wav_head(rate_hz)),
                SoundFormat::Pcm => Writing::Samples(Box::new(OneRate::new(PCM_HZ)), Vec::new()),
                SoundFormat::Mp3 => Writing::Mp3(Box::new(Mp3Writer::new(rate_hz, false))),
                SoundFormat::Flac => Writing::Flac(Box::new(FlacWriter::new(rate_hz, None)?)),
                SoundFormat::Opus => Writing::Opus(Box::new(OpusWriter::new(rate_hz)?)),
            },
        };
        Ok(self.writing.insert(writing))
    }
}

/// The whole of `audio` as a file, which says its length where the format can.
///
/// # Errors
/// [`MediaError::Write`], if the format cannot hold it.
pub fn write_sound(audio: &Audio, format: SoundFormat) -> Result<Vec<u8>, MediaError> {
    match format {
        SoundFormat::Wav => write_wav(audio),
        SoundFormat::Mp3 => {
            let mut mp3 = Mp3Writer::new(audio.rate_hz, true);
            mp3.push(audio)?;
            mp3.finish()
        }
        SoundFormat::Flac => {
            let mut flac = FlacWriter::new(audio.rate_hz, Some(audio.samples.len() as u64))?;
            flac.push(audio)?;
            flac.finish()
        }
        SoundFormat::Pcm | SoundFormat::Opus => {
            let mut writer = SoundWriter::new(format);
            let mut bytes = writer.push(audio)?;
            bytes.extend(writer.finish()?);
            Ok(bytes)
        }
    }
}

fn to_bytes(samples: &[f32]) -> impl Iterator<Item = u8> {
    samples.iter().flat_map(|sample| to_i16(*sample).to_le_bytes())
}
