//! Reads sound: decodes, mixes to one channel, bounds the duration.

use std::io::{Cursor, ErrorKind};

use corn_core::datum::Audio;
use corn_plan::types::MAX_AUDIO_RATE_HZ;
use symphonia::core::audio::{AudioSpec, Channels, GenericAudioBufferRef, Position};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;

use crate::error::{MediaError, contain};
use crate::resample::resample;
use crate::sniff::{MediaKind, describe, sniff};
use crate::{ogg, opus, riff, sound};

/// Rates outside are no sound but a broken header.
const RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// The longest sound that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLimits {
    /// Longest duration in milliseconds.
    pub max_ms: u64,
}

impl Default for AudioLimits {
    /// One minute, the bound of `audio` where a program writes none.
    fn default() -> Self {
        Self { max_ms: corn_plan::types::DEFAULT_AUDIO_MAX_MS }
    }
}

/// Decodes a WAV, MP3, FLAC, Ogg Vorbis, Ogg Opus or AAC file, or the first sound of an MP4 or Matroska file, to mono at its own rate, or at 48 kHz if that is
/// higher: no bound of the plan allows more.
///
/// Channels are averaged, low-frequency effects left out. A duration over the limit is refused from
/// the header where it states one, else as soon as decoding passes the limit.
pub fn read_audio(bytes: &[u8], limits: AudioLimits) -> Result<Audio, MediaError> {
    let kind = match sniff(bytes) {
        _ if bytes.is_empty() => return Err(MediaError::Empty { wanted: "audio" }),
        Some(kind) if kind.is_audio() || kind.is_film() => kind,
        _ => return Err(MediaError::NotAccepted { wanted: "audio", found: describe(bytes) }),
    };
    match kind {
        MediaKind::Wav => riff::check_wav(bytes)?,
        MediaKind::OggVorbis | MediaKind::OggOpus => ogg::check(bytes, kind)?,
        _ => {}
    }
    let audio = contain(kind, || match kind {
        MediaKind::OggOpus => opus::read(bytes, limits),
        kind if kind.is_film() => sound::read(bytes, kind, limits),
        _ => decode(bytes, kind, limits),
    })?;
    Ok(if audio.rate_hz > MAX_AUDIO_RATE_HZ { resample(&audio, MAX_AUDIO_RATE_HZ) } else { audio })
}

fn decode(bytes: &[u8], kind: MediaKind, limits: AudioLimits) -> Result<Audio, MediaError> {
    let source: Box<dyn MediaSource> = match kind {
        // Where an MP3 does not say how long it is, that would be guessed from the bytes there are, often wrongly.
        MediaKind::Mp3 => Box::new(ReadOnlySource::new(Cursor::new(bytes))),
        _ => Box::new(Cursor::new(bytes)),
    };
    let source = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| failed(kind, &error, None))?;
    let track =
        format.default_track(TrackType::Audio).ok_or_else(|| malformed(kind, "it has no sound in it"))?;
    let (track_id, stated_frames) = (track.id, track.num_frames);
    let params = track.codec_params.as_ref().and_then(|params| params.audio());
    let params = params.ok_or_else(|| malformed(kind, "its header does not describe the sound"))?;
    let mut decoder = open_decoder(params, kind)?;
    let mut taken = Taken::new(kind, limits, rate_of(decoder.as_ref(), kind)?);
    taken.check_duration(stated_frames.unwrap_or(0))?;
    while let Some(packet) = next_packet(format.as_mut(), &taken)? {
        if packet.track_id != track_id {
            continue;
        }
        let frames = decoder.decode(&packet).map_err(|error| failed(kind, &error, Some(taken.ms())))?;
        taken.take(&frames)?;
    }
    taken.finish(stated_frames)
}

pub(crate) fn open_decoder(
    params: &AudioCodecParameters,
    kind: MediaKind,
) -> Result<Box<dyn AudioDecoder>, MediaError> {
    symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|error| failed(kind, &error, None))
}

pub(crate) fn rate_of(decoder: &dyn AudioDecoder, kind: MediaKind) -> Result<u32, MediaError> {
    let rate_hz = decoder.codec_params().sample_rate.unwrap_or(0);
    if RATES_HZ.contains(&rate_hz) {
        Ok(rate_hz)
    } else {
        Err(malformed(kind, format!("a sample rate of {rate_hz} Hz")))
    }
}

fn next_packet(
    format: &mut dyn FormatReader,
    taken: &Taken,
) -> Result<Option<symphonia::core::packet::Packet>, MediaError> {
    match format.next_packet() {
        // What is missing is told by the frames that the header stated.
        Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(failed(taken.kind, &error, Some(taken.ms()))),
        Ok(packet) => Ok(packet),
    }
}

/// The sound decoded so far.
pub(crate) struct Taken {
    kind: MediaKind,
    limits: AudioLimits,
    pub(crate) rate_hz: u32,
    spec: Option<AudioSpec>,
    pub(crate) mono: Vec<f32>,
    /// Samples decoded that are left out at both ends, and so do not count.
    pub(crate) left_out: u64,
}

impl Taken {
    pub(crate) const fn new(kind: MediaKind, limits: AudioLimits, rate_hz: u32) -> Self {
        Self { kind, limits, rate_hz, spec: None, mono: Vec::new(), left_out: 0 }
    }

    pub(crate) fn ms(&self) -> u64 {
        self.mono.len() as u64 * 1000 / u64::from(self.rate_hz)
    }

    pub(crate) fn check_duration(&self, frames: u64) -> Result<(), MediaError> {
        let ms = (u128::from(frames) * 1000).div_ceil(u128::from(self.rate_hz));
        if ms <= u128::from(self.limits.max_ms) {
            return Ok(());
        }
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        Err(MediaError::TooLong { kind: self.kind, ms, max_ms: self.limits.max_ms })
    }

    pub(crate) fn take(&mut self, frames: &GenericAudioBufferRef<'_>) -> Result<(), MediaError> {
        let spec = self.spec.get_or_insert_with(|| frames.spec().clone());
        if spec.rate() != self.rate_hz || spec != frames.spec() {
            let what = format!("it changes to {} Hz, {} channels", frames.spec().rate(), frames.num_planes());
            return Err(malformed(self.kind, what));
        }
        self.check_room(frames.frames())?;
        let mut planes: Vec<Vec<f32>> = Vec::new();
        frames.copy_to_vecs_planar(&mut planes);
        mix(&planes, frames.spec().channels(), &mut self.mono);
        Ok(())
    }

    /// Takes samples that are mono already.
    pub(crate) fn take_mono(&mut self, samples: &[f32]) -> Result<(), MediaError> {
        self.check_room(samples.len())?;
        self.mono.extend_from_slice(samples);
        Ok(())
    }

    fn check_room(&self, more: usize) -> Result<(), MediaError> {
        self.check_duration(((self.mono.len() + more) as u64).saturating_sub(self.left_out))
    }

    pub(crate) fn finish(mut self, stated_frames: Option<u64>) -> Result<Audio, MediaError> {
        let frames = self.mono.len() as u64;
        if let Some(stated) = stated_frames.filter(|stated| *stated > frames) {
            let what = format!("its header says {stated} samples, but {frames} could be read");
            return Err(MediaError::Truncated { kind: self.kind, what, offset: None });
        }
        if frames == 0 {
            return Err(MediaError::Silent { kind: self.kind });
        }
        if let Some(index) = self.mono.iter().position(|sample| !sample.is_finite()) {
            return Err(malformed(self.kind, format!("sample {index} is not a number")));
        }
        self.mono.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        Ok(Audio { rate_hz: self.rate_hz, samples: self.mono.into() })
    }
}

/// Appends the mean of the channels, without low-frequency effects if there is anything else.
fn mix(planes: &[Vec<f32>], channels: &Channels, mono: &mut Vec<f32>) {
    let is_effects = |index: usize| {
        [Position::LFE1, Position::LFE2]
            .iter()
            .any(|lfe| channels.get_canonical_index_for_positioned_channel(*lfe) == Some(index))
    };
    let mut heard: Vec<&Vec<f32>> =
        planes.iter().enumerate().filter(|(index, _)| !is_effects(*index)).map(|(_, plane)| plane).collect();
    if heard.is_empty() {
        heard = planes.iter().collect();
    }
    let scale = 1.0 / heard.len().max(1) as f32;
    let frames = planes.first().map_or(0, Vec::len);
    mono.extend((0..frames).map(|frame| heard.iter().map(|plane| plane[frame]).sum::<f32>() * scale));
}

pub(crate) fn malformed(kind: MediaKind, what: impl Into<String>) -> MediaError {
    MediaError::Malformed { kind, what: what.into(), offset: None }
}

pub(crate) fn failed(kind: MediaKind, error: &Error, at_ms: Option<u64>) -> MediaError {
    let when =
        at_ms.map(|ms| format!(", {}.{:03} s into the sound", ms / 1000, ms % 1000)).unwrap_or_default();
    match error {
        Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            MediaError::Truncated { kind, what: format!("more was announced{when}"), offset: None }
        }
        Error::Unsupported(what) => MediaError::Unsupported {
            kind,
            what: (*what).to_owned(),
            hint: "convert it to 16-bit PCM WAV or to FLAC first",
        },
        Error::DecodeError(what) | Error::LimitError(what) => malformed(kind, format!("{what}{when}")),
        Error::ResetRequired => MediaError::Unsupported {
            kind,
            what: format!("several streams one after the other{when}"),
            hint: "join them into one stream first",
        },
        error => malformed(kind, format!("{error}{when}")),
    }
}
