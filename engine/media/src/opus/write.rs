//! Writes Opus in an Ogg file while its sound is made.
//!
//! The encoder looks ahead, so its sound comes late: the header says how much a player leaves out at the beginning, and
//! the position of the last page where the sound ends.

use corn_core::datum::Audio;
use ogg::{PacketWriteEndInfo, PacketWriter};
use ropus::{Application, Bitrate, Channels, Encoder};

use super::POSITION_HZ;
use crate::error::MediaError;
use crate::resample::OneRate;
use crate::sniff::MediaKind;

/// Packets of a second; each is 20 ms.
const PACKETS_PER_S: u32 = 50;
/// Most bytes of a packet, as the format has it: 1275 and what frames them.
const MAX_PACKET_BYTES: usize = 1500;
/// Speech of models is at 24 kHz or below.
const SPEECH_HZ: u32 = 24_000;
const SPEECH_BITS_PER_S: u32 = 48_000;
/// What is above.
const MUSIC_HZ: u32 = 48_000;
const MUSIC_BITS_PER_S: u32 = 96_000;
/// How hard the encoder tries, from 0 to 10. Above, it takes longer and nobody hears it.
const EFFORT: u8 = 5;
/// There is one stream in the file, so its number is any.
const SERIAL: u32 = 1;

pub(crate) struct OpusWriter {
    encoder: Encoder,
    rate: OneRate,
    rate_hz: u32,
    file: PacketWriter<'static, Vec<u8>>,
    /// Too few for a packet.
    waiting: Vec<f32>,
    /// The last packet, which is not written before it is known whether another one follows.
    held: Option<Vec<u8>>,
    /// Packets that were encoded.
    packets: u64,
    /// Samples that were pushed.
    samples: u64,
}

impl OpusWriter {
    pub(crate) fn new(from_hz: u32) -> Result<Self, MediaError> {
        let (rate_hz, bits_per_s) =
            if from_hz <= SPEECH_HZ { (SPEECH_HZ, SPEECH_BITS_PER_S) } else { (MUSIC_HZ, MUSIC_BITS_PER_S) };
        let encoder = Encoder::builder(rate_hz, Channels::Mono, Application::Audio)
            .bitrate(Bitrate::Bits(bits_per_s))
            .complexity(EFFORT)
            .build()
            .map_err(|error| failed(&error))?;
        let mut writer = Self {
            encoder,
            rate: OneRate::new(rate_hz),
            rate_hz,
            file: PacketWriter::new(Vec::new()),
            waiting: Vec::new(),
            held: None,
            packets: 0,
            samples: 0,
        };
        writer.write_head(from_hz)?;
        Ok(writer)
    }

    pub(crate) fn push(&mut self, audio: &Audio) -> Result<(), MediaError> {
        let samples = self.rate.push(audio);
        self.samples += samples.len() as u64;
        self.encode(&samples)
    }

    /// The pages that are done.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.file.inner_mut())
    }

    pub(crate) fn finish(mut self) -> Result<Vec<u8>, MediaError> {
        let samples = self.rate.finish();
        self.samples += samples.len() as u64;
        self.encode(&samples)?;
        // The end of the sound leaves the encoder when silence has been pushed after it.
        let packet = self.packet_samples() as u64;
        let wanted = (self.samples + u64::from(self.encoder.lookahead())).div_ceil(packet).max(1);
        let silence = (wanted - self.packets) * packet - self.waiting.len() as u64;
        self.encode(&vec![0.0; silence as usize])?;
        let end = self.skipped() + self.samples * u64::from(POSITION_HZ / self.rate_hz);
        if let Some(last) = self.held.take() {
            self.write(last, PacketWriteEndInfo::EndStream, end)?;
        }
        Ok(self.file.into_inner())
    }

    /// Samples that players leave out at the beginning.
    fn skipped(&self) -> u64 {
        u64::from(self.encoder.lookahead() * (POSITION_HZ / self.rate_hz))
    }

    const fn packet_samples(&self) -> usize {
        (self.rate_hz / PACKETS_PER_S) as usize
    }

    fn write_head(&mut self, from_hz: u32) -> Result<(), MediaError> {
        let mut head = b"OpusHead\x01\x01".to_vec();
        head.extend((self.skipped() as u16).to_le_bytes());
        head.extend(from_hz.to_le_bytes());
        // No gain, and one channel in its usual place.
        head.extend([0; 3]);
        self.write(head, PacketWriteEndInfo::EndPage, 0)?;
        let vendor = b"corn";
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0u32.to_le_bytes());
        self.write(tags, PacketWriteEndInfo::EndPage, 0)
    }

    /// Encodes all whole packets; those that are done end a page, so that they can be sent.
    fn encode(&mut self, samples: &[f32]) -> Result<(), MediaError> {
        // No decoder is to hear what is no number.
        self.waiting.extend(samples.iter().map(|it| if it.is_finite() { it.clamp(-1.0, 1.0) } else { 0.0 }));
        let (waiting, length) = (std::mem::take(&mut self.waiting), self.packet_samples());
        let whole = waiting.len() / length;
        for (place, samples) in waiting.chunks_exact(length).enumerate() {
            let mut packet = vec![0; MAX_PACKET_BYTES];
            let bytes = self.encoder.encode_float(samples, &mut packet).map_err(|error| failed(&error))?;
            packet.truncate(bytes);
            if let Some(before) = self.held.replace(packet) {
                let is_last = place + 1 == whole;
                let ends =
                    if is_last { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
                let position = self.packets * u64::from(POSITION_HZ / PACKETS_PER_S);
                self.write(before, ends, position)?;
            }
            self.packets += 1;
        }
        self.waiting = waiting[whole * length..].to_vec();
        Ok(())
    }

    fn write(&mut self, packet: Vec<u8>, ends: PacketWriteEndInfo, position: u64) -> Result<(), MediaError> {
        self.file.write_packet(packet, SERIAL, ends, position).map_err(|error| failed(&error))
    }
}

fn failed(error: &dyn std::fmt::Display) -> MediaError {
    MediaError::Write { kind: MediaKind::OggOpus, what: error.to_string() }
}
