//! Reads the sound of files that may hold pictures beside it: MP4 and Matroska, and their like.

use corn_core::datum::Audio;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

use crate::audio::{AudioLimits, Taken, failed, open_decoder, rate_of};
use crate::error::MediaError;
use crate::matroska::Matroska;
use crate::mp4::{self, Medium, Movie};
use crate::opus;
use crate::sniff::MediaKind;

/// How a sound is coded that can be decoded.
pub(crate) enum Coding {
    Plain(Box<AudioCodecParameters>),
    Opus(opus::Head),
}

enum Decoder {
    Plain(Box<dyn AudioDecoder>),
    Opus(Box<opus::Packets>),
}

impl Decoder {
    /// A decoder, and the rate of what it makes.
    fn new(coding: &Coding, kind: MediaKind) -> Result<(Self, u32), MediaError> {
        match coding {
            Coding::Plain(params) => {
                let decoder = open_decoder(params, kind)?;
                let rate_hz = rate_of(decoder.as_ref(), kind)?;
                Ok((Self::Plain(decoder), rate_hz))
            }
            Coding::Opus(head) => {
                Ok((Self::Opus(Box::new(opus::Packets::new(kind, *head)?)), opus::POSITION_HZ))
            }
        }
    }

    fn decode(&mut self, data: &[u8], kind: MediaKind, taken: &mut Taken) -> Result<(), MediaError> {
        match self {
            Self::Plain(decoder) => {
                let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, data);
                let frames =
                    decoder.decode_ref(&packet).map_err(|error| failed(kind, &error, Some(taken.ms())))?;
                taken.take(&frames)
            }
            Self::Opus(packets) => {
                let at_ms = taken.ms();
                taken.take_mono(packets.decode(data, at_ms)?)
            }
        }
    }
}

/// Decodes the first sound, without what the file says is only there to begin or to fill it.
pub(crate) fn read(bytes: &[u8], kind: MediaKind, limits: AudioLimits) -> Result<Audio, MediaError> {
    if kind == MediaKind::Mp4 { from_mp4(bytes, limits) } else { from_matroska(bytes, kind, limits) }
}

fn from_mp4(bytes: &[u8], limits: AudioLimits) -> Result<Audio, MediaError> {
    let movie = Movie::read(bytes)?;
    let track = movie.track(Medium::Sound).ok_or(MediaError::Lacks { kind: mp4::KIND, what: "sound" })?;
    let coding = mp4::sound(track)?;
    let (mut decoder, rate_hz) = Decoder::new(&coding, mp4::KIND)?;
    let samples = movie.samples(track)?;
    let in_frames = |units: i64| {
        let frames = i128::from(units.max(0)) * i128::from(rate_hz) / i128::from(track.timescale.get());
        u64::try_from(frames).unwrap_or(u64::MAX)
    };
    let first = samples.first().map_or(0, mp4::Sample::shown);
    let last = samples.last().map_or(0, mp4::Sample::ends);
    let mut skipped = in_frames(track.edit.start.saturating_sub(first));
    if skipped == 0
        && let Coding::Opus(head) = coding
    {
        skipped = head.skipped as u64;
    }
    let heard = in_frames(last.saturating_sub(first)).saturating_sub(skipped);
    let heard = track.edit.length.map_or(heard, |length| heard.min(in_frames(length.cast_signed())));
    let mut taken = Taken::new(mp4::KIND, limits, rate_hz);
    taken.check_duration(heard)?;
    // The last packet may be longer than what is heard of it.
    let end = skipped.saturating_add(heard);
    taken.left_out = skipped.saturating_add(u64::from(rate_hz));
    for sample in &samples {
        if taken.mono.len() as u64 >= end {
            break;
        }
        decoder.decode(sample.data, mp4::KIND, &mut taken)?;
    }
    trimmed(taken, skipped, end)
}

fn from_matroska(bytes: &[u8], kind: MediaKind, limits: AudioLimits) -> Result<Audio, MediaError> {
    let mut file = Matroska::open(bytes, kind)?;
    let (track, coding) = file.sound()?;
    let (mut decoder, rate_hz) = Decoder::new(&coding, kind)?;
    let mut taken = Taken::new(kind, limits, rate_hz);
    let in_frames = |ns: u64| {
        let frames = (u128::from(ns) * u128::from(rate_hz) + 500_000_000) / 1_000_000_000;
        u64::try_from(frames).unwrap_or(u64::MAX)
    };
    let padding = in_frames(file.padding_ns(track));
    let mut skipped = 0;
    while let Some(packet) = file.next(track)? {
        // Some decoders make nothing of the first packet, which is then skipped already.
        if taken.mono.is_empty() {
            skipped = match &coding {
                Coding::Opus(head) => head.skipped as u64,
                Coding::Plain(_) => in_frames(packet.ns.min(0).unsigned_abs()),
            };
            taken.left_out = skipped.saturating_add(padding);
        }
        decoder.decode(&packet.data, kind, &mut taken)?;
    }
    let end = (taken.mono.len() as u64).saturating_sub(padding);
    trimmed(taken, skipped, end)
}

/// What is heard, from `start` to `end`.
fn trimmed(mut taken: Taken, start: u64, end: u64) -> Result<Audio, MediaError> {
    taken.mono.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(taken.mono.len());
    taken.mono.drain(..start);
    taken.left_out = 0;
    let frames = taken.mono.len() as u64;
    taken.check_duration(frames)?;
    taken.finish(None)
}
