//! Reads Opus: from an Ogg file, or packet by packet.

use std::io::Cursor;

use corn_core::datum::Audio;
use ogg::{Packet, PacketReader};
use ropus::{Channels, DecodeMode, Decoder};

use super::POSITION_HZ;
use crate::audio::AudioLimits;
use crate::error::MediaError;
use crate::sniff::MediaKind;

const KIND: MediaKind = MediaKind::OggOpus;
/// Most samples of a packet: 120 ms.
const MAX_PACKET_SAMPLES: usize = 5760;

/// Decodes an Ogg file to mono at 48 kHz.
pub(crate) fn read(bytes: &[u8], limits: AudioLimits) -> Result<Audio, MediaError> {
    let mut packets = PacketReader::new(Cursor::new(bytes));
    let mut next = || packets.read_packet().map_err(|error| malformed(KIND, error.to_string()));
    let head = next()?.ok_or_else(|| malformed(KIND, "its header is missing"))?;
    let serial = head.stream_serial();
    let head = Head::from_ogg(KIND, &head.data)?;
    // What follows is a packet of tags.
    next()?.ok_or_else(|| malformed(KIND, "it ends after its header"))?;
    let mut decoder = Packets::new(KIND, head)?;
    let mut taken = Taken { limits, skipped: head.skipped, samples: Vec::new(), start: None, end: None };
    while let Some(packet) = next()? {
        if packet.stream_serial() != serial {
            return Err(unsupported(KIND, "several streams"));
        }
        taken.take(decoder.decode(&packet.data, taken.ms())?, &packet)?;
    }
    taken.finish()
}

/// What is said of a stream before its packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Samples that are left out at the beginning.
    pub(crate) skipped: usize,
    gain: i32,
}

impl Head {
    /// The header of an Ogg file, which Matroska has too.
    pub(crate) fn from_ogg(kind: MediaKind, head: &[u8]) -> Result<Self, MediaError> {
        let rest = head.strip_prefix(b"OpusHead").ok_or_else(|| malformed(kind, "its header is missing"))?;
        let Some(&[version, channels, s0, s1, _, _, _, _, g0, g1, mapping]) = rest.first_chunk() else {
            return Err(malformed(kind, "its header is cut off"));
        };
        if version > 15 {
            return Err(unsupported(kind, "a newer version of the format"));
        }
        Self::checked(kind, channels, mapping, u16::from_le_bytes([s0, s1]), i16::from_le_bytes([g0, g1]))
    }

    /// The box `dOps` of an MP4 file.
    pub(crate) fn from_mp4(body: &[u8]) -> Result<Self, MediaError> {
        let kind = MediaKind::Mp4;
        let Some(&[_, channels, s0, s1, _, _, _, _, g0, g1, mapping]) = body.first_chunk() else {
            return Err(malformed(kind, "its box 'dOps' is too short"));
        };
        Self::checked(kind, channels, mapping, u16::from_be_bytes([s0, s1]), i16::from_be_bytes([g0, g1]))
    }

    fn checked(
        kind: MediaKind,
        channels: u8,
        mapping: u8,
        skipped: u16,
        gain: i16,
    ) -> Result<Self, MediaError> {
        if mapping != 0 {
            return Err(unsupported(kind, "more than two channels"));
        }
        if !(1..=2).contains(&channels) {
            return Err(malformed(kind, format!("{channels} channels")));
        }
        Ok(Self { skipped: usize::from(skipped), gain: i32::from(gain) })
    }
}

/// Decodes packets one after the other, to mono at 48 kHz.
pub(crate) struct Packets {
    kind: MediaKind,
    decoder: Decoder,
    samples: Vec<f32>,
}

impl Packets {
    pub(crate) fn new(kind: MediaKind, head: Head) -> Result<Self, MediaError> {
        let wrong = |error: &dyn std::fmt::Display| malformed(kind, error.to_string());
        let mut decoder = Decoder::new(POSITION_HZ, Channels::Mono).map_err(|error| wrong(&error))?;
        decoder.set_gain(head.gain).map_err(|error| wrong(&error))?;
        Ok(Self { kind, decoder, samples: vec![0.0; MAX_PACKET_SAMPLES] })
    }

    /// The samples of a packet, which is `at_ms` into the sound.
    pub(crate) fn decode(&mut self, packet: &[u8], at_ms: u64) -> Result<&[f32], MediaError> {
        if packet.is_empty() {
            return Err(malformed(self.kind, "a packet is empty"));
        }
        let count = self.decoder.decode_float(packet, &mut self.samples, DecodeMode::Normal);
        let count =
            count.map_err(|error| malformed(self.kind, format!("{error}, {at_ms} ms into the sound")))?;
        Ok(&self.samples[..count])
    }
}

/// The sound decoded so far.
struct Taken {
    limits: AudioLimits,
    skipped: usize,
    samples: Vec<f32>,
    /// Position of the first sample: other than 0 if the file was cut out of a longer one.
    start: Option<u64>,
    /// Position of the last page.
    end: Option<u64>,
}

impl Taken {
    fn ms(&self) -> u64 {
        self.samples.len().saturating_sub(self.skipped) as u64 * 1000 / u64::from(POSITION_HZ)
    }

    fn take(&mut self, samples: &[f32], packet: &Packet) -> Result<(), MediaError> {
        self.samples.extend_from_slice(samples);
        if packet.last_in_page() {
            let position = packet.absgp_page();
            self.start.get_or_insert_with(|| position.saturating_sub(self.samples.len() as u64));
            self.end = Some(position);
        }
        let max = self.limits.max_ms.saturating_mul(u64::from(POSITION_HZ) / 1000);
        // The last packet may be longer than the sound.
        let sure = self.samples.len().saturating_sub(self.skipped + MAX_PACKET_SAMPLES) as u64;
        if sure > max {
            return Err(MediaError::TooLong { kind: KIND, ms: self.ms(), max_ms: self.limits.max_ms });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Audio, MediaError> {
        let there = self.samples.len() as u64;
        let wanted = self.end.unwrap_or(0).saturating_sub(self.start.unwrap_or(0));
        if wanted > there {
            let what = format!("its last page says {wanted} samples, but {there} could be read");
            return Err(MediaError::Truncated { kind: KIND, what, offset: None });
        }
        self.samples.truncate(wanted as usize);
        self.samples.drain(..self.skipped.min(self.samples.len()));
        self.skipped = 0;
        if self.samples.is_empty() {
            return Err(MediaError::Silent { kind: KIND });
        }
        let ms = (self.samples.len() as u64 * 1000).div_ceil(u64::from(POSITION_HZ));
        if ms > self.limits.max_ms {
            return Err(MediaError::TooLong { kind: KIND, ms, max_ms: self.limits.max_ms });
        }
        if self.samples.iter().any(|sample| !sample.is_finite()) {
            return Err(malformed(KIND, "a sample is not a number"));
        }
        self.samples.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        Ok(Audio { rate_hz: POSITION_HZ, samples: self.samples.into() })
    }
}

fn malformed(kind: MediaKind, what: impl Into<String>) -> MediaError {
    MediaError::Malformed { kind, what: what.into(), offset: None }
}

fn unsupported(kind: MediaKind, what: &str) -> MediaError {
    let hint = "convert it to one stream of one or two channels first";
    MediaError::Unsupported { kind, what: what.to_owned(), hint }
}
