//! Reads Opus from an Ogg file.

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

/// Decodes to mono at 48 kHz.
pub(crate) fn read(bytes: &[u8], limits: AudioLimits) -> Result<Audio, MediaError> {
    let mut packets = PacketReader::new(Cursor::new(bytes));
    let mut next = || packets.read_packet().map_err(|error| malformed(error.to_string()));
    let head = next()?.ok_or_else(|| malformed("its header is missing"))?;
    let serial = head.stream_serial();
    let (skipped, gain) = read_head(&head.data)?;
    // What follows is a packet of tags.
    next()?.ok_or_else(|| malformed("it ends after its header"))?;
    let mut decoder =
        Decoder::new(POSITION_HZ, Channels::Mono).map_err(|error| malformed(error.to_string()))?;
    decoder.set_gain(gain).map_err(|error| malformed(error.to_string()))?;
    let mut taken = Taken { limits, skipped, samples: Vec::new(), start: None, end: None };
    let mut samples = vec![0.0; MAX_PACKET_SAMPLES];
    while let Some(packet) = next()? {
        if packet.stream_serial() != serial {
            return Err(unsupported("several streams"));
        }
        if packet.data.is_empty() {
            return Err(malformed("a packet is empty"));
        }
        let count = decoder.decode_float(&packet.data, &mut samples, DecodeMode::Normal);
        let count = count.map_err(|error| malformed(format!("{error}, {} ms into the sound", taken.ms())))?;
        taken.take(&samples[..count], &packet)?;
    }
    taken.finish()
}

/// How many samples are left out at the beginning, and the gain.
fn read_head(head: &[u8]) -> Result<(usize, i32), MediaError> {
    let rest = head.strip_prefix(b"OpusHead").ok_or_else(|| malformed("its header is missing"))?;
    let Some(&[version, channels, s0, s1, _, _, _, _, g0, g1, mapping]) = rest.first_chunk() else {
        return Err(malformed("its header is cut off"));
    };
    if version > 15 {
        return Err(unsupported("a newer version of the format"));
    }
    if mapping != 0 {
        return Err(unsupported("more than two channels"));
    }
    if !(1..=2).contains(&channels) {
        return Err(malformed(format!("{channels} channels")));
    }
    Ok((usize::from(u16::from_le_bytes([s0, s1])), i32::from(i16::from_le_bytes([g0, g1]))))
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
            return Err(malformed("a sample is not a number"));
        }
        self.samples.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        Ok(Audio { rate_hz: POSITION_HZ, samples: self.samples.into() })
    }
}

fn malformed(what: impl Into<String>) -> MediaError {
    MediaError::Malformed { kind: KIND, what: what.into(), offset: None }
}

fn unsupported(what: &str) -> MediaError {
    let hint = "convert it to one stream of one or two channels first";
    MediaError::Unsupported { kind: KIND, what: what.to_owned(), hint }
}
