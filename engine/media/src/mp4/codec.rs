//! How the samples of a track are coded, and by what name people know it.

use symphonia::core::audio::{Channels, layouts};
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::boxes::{Fields, Part, find, required};
use super::{KIND, Track, malformed};
use crate::error::MediaError;
use crate::film::PICTURES_TAKEN;
use crate::opus;
use crate::sound::Coding;

/// Bytes of a description before its boxes, for pictures and for sound.
const PICTURE_HEAD: usize = 78;
const SOUND_HEAD: usize = 28;
const SOUNDS_TAKEN: &str = "in MP4, AAC-LC, MP3, FLAC, ALAC and Opus are; convert it first";

/// What a decoder of H.264 needs to know before the first picture of `track`.
pub(crate) fn picture<'a>(track: &Track<'a>) -> Result<&'a [u8], MediaError> {
    let Part { kind, body, .. } = described(track)?;
    match &kind {
        b"avc1" | b"avc3" => {
            let mut fields = Fields::new(kind, body);
            fields.bytes(PICTURE_HEAD)?;
            required(fields.rest, *b"avcC")
        }
        _ => Err(refused(picture_name(kind), PICTURES_TAKEN)),
    }
}

/// How to decode the sound of `track`.
pub(crate) fn sound(track: &Track<'_>) -> Result<Coding, MediaError> {
    let Part { kind, body, .. } = described(track)?;
    let mut fields = Fields::new(kind, body);
    let head = fields.bytes(SOUND_HEAD)?;
    let (version, channels) =
        (u16::from_be_bytes([head[8], head[9]]), u16::from_be_bytes([head[16], head[17]]));
    let rate_hz = u32::from(u16::from_be_bytes([head[24], head[25]]));
    // QuickTime says more of a sound before its boxes.
    fields.bytes(match version {
        1 => 16,
        2 => 36,
        _ => 0,
    })?;
    let boxes = fields.rest;
    let plain = |codec: AudioCodecId, extra: Option<&[u8]>| {
        let mut params = AudioCodecParameters::new();
        params.for_codec(codec).with_sample_rate(rate_hz);
        params.with_channels(match channels {
            1 => layouts::CHANNEL_LAYOUT_MONO,
            2 => layouts::CHANNEL_LAYOUT_STEREO,
            other => Channels::Discrete(other),
        });
        if let Some(extra) = extra {
            params.with_extra_data(extra.into());
        }
        Coding::Plain(Box::new(params))
    };
    match &kind {
        b"mp4a" => {
            let (object, specific) = elementary(stream_box(boxes)?)?;
            match object {
                // MPEG-4 AAC, and that of MPEG-2.
                0x40 | 0x66..=0x68 => {
                    let specific =
                        specific.ok_or_else(|| malformed("nothing says how its AAC is coded", None))?;
                    check_aac(specific)?;
                    Ok(plain(CODEC_ID_AAC, Some(specific)))
                }
                0x69 | 0x6b => Ok(plain(CODEC_ID_MP3, None)),
                0xa5 => Err(refused("AC-3", SOUNDS_TAKEN)),
                0xa6 => Err(refused("E-AC-3", SOUNDS_TAKEN)),
                0xa9 | 0xac => Err(refused("DTS", SOUNDS_TAKEN)),
                0xdd => Err(refused("Vorbis", SOUNDS_TAKEN)),
                other => Err(refused(&format!("sound of type {other:#x}"), SOUNDS_TAKEN)),
            }
        }
        b".mp3" => Ok(plain(CODEC_ID_MP3, None)),
        b"Opus" => opus::Head::from_mp4(required(boxes, *b"dOps")?).map(Coding::Opus),
        b"fLaC" => {
            let (fields, ..) = Fields::versioned(*b"dfLa", required(boxes, *b"dfLa")?)?;
            // A block of STREAMINFO comes first, behind four bytes that say so.
            let info =
                fields.rest.get(4..38).ok_or_else(|| malformed("its box 'dfLa' is too short", None))?;
            Ok(plain(CODEC_ID_FLAC, Some(info)))
        }
        b"alac" => {
            let inner = match find(boxes, *b"wave")? {
                Some(wave) => required(wave, *b"alac")?,
                None => required(boxes, *b"alac")?,
            };
            let (fields, ..) = Fields::versioned(*b"alac", inner)?;
            Ok(plain(CODEC_ID_ALAC, Some(fields.rest)))
        }
        _ => Err(refused(sound_name(kind), SOUNDS_TAKEN)),
    }
}

fn described<'a>(track: &Track<'a>) -> Result<Part<'a>, MediaError> {
    let part = track.description.ok_or_else(|| malformed("nothing says how a track is coded", None))?;
    if matches!(&part.kind, b"encv" | b"enca" | b"drms" | b"drmi") {
        return Err(MediaError::Unsupported {
            kind: KIND,
            what: "encryption".to_owned(),
            hint: "only files that anybody can play are read",
        });
    }
    Ok(part)
}

fn refused(what: &str, hint: &'static str) -> MediaError {
    MediaError::Unsupported { kind: KIND, what: what.to_owned(), hint }
}

/// The description of the stream, which QuickTime puts one deeper.
fn stream_box(boxes: &[u8]) -> Result<&[u8], MediaError> {
    match find(boxes, *b"wave")? {
        Some(wave) => required(wave, *b"esds"),
        None => required(boxes, *b"esds"),
    }
}

/// The type of a stream, and what its decoder is told (ISO/IEC 14496-1, section 7.2.6).
fn elementary(body: &[u8]) -> Result<(u8, Option<&[u8]>), MediaError> {
    let (mut fields, ..) = Fields::versioned(*b"esds", body)?;
    if fields.u8()? == 3 {
        descriptor_length(&mut fields)?;
        fields.u16()?;
        let flags = fields.u8()?;
        fields.bytes(if flags & 0x80 == 0 { 0 } else { 2 })?;
        let url = if flags & 0x40 == 0 { 0 } else { usize::from(fields.u8()?) };
        fields.bytes(url)?;
        fields.bytes(if flags & 0x20 == 0 { 0 } else { 2 })?;
        if fields.u8()? == 4 {
            descriptor_length(&mut fields)?;
            let object = fields.u8()?;
            fields.bytes(12)?;
            let specific = match fields.u8() {
                Ok(5) => {
                    let length = descriptor_length(&mut fields)?;
                    Some(fields.bytes(length)?)
                }
                _ => None,
            };
            return Ok((object, specific));
        }
    }
    Err(malformed("its box 'esds' does not describe a stream", None))
}

/// Seven bits a byte, as long as the eighth is set.
fn descriptor_length(fields: &mut Fields<'_>) -> Result<usize, MediaError> {
    let mut length = 0;
    for _ in 0..4 {
        let byte = fields.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(length)
}

/// The kinds of AAC beside LC have names of their own.
fn check_aac(specific: &[u8]) -> Result<(), MediaError> {
    let [first, second, ..] = *specific else {
        return Err(malformed("what it says of its AAC is too short", None));
    };
    let channels = second >> 3 & 0xf;
    let name = match first >> 3 {
        2 if channels > 2 => "AAC of more than two channels",
        2 => return Ok(()),
        1 => "AAC Main",
        3 => "AAC SSR",
        4 => "AAC LTP",
        5 => "HE-AAC",
        29 => "HE-AAC v2",
        42 => "xHE-AAC",
        23 | 39 => "AAC-LD",
        _ => "a rare kind of AAC",
    };
    Err(refused(name, SOUNDS_TAKEN))
}

fn picture_name(kind: [u8; 4]) -> &'static str {
    match &kind {
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "HEVC (H.265)",
        b"vvc1" | b"vvi1" => "VVC (H.266)",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"av01" => "AV1",
        b"mp4v" => "MPEG-4 Part 2 video",
        b"s263" | b"h263" => "H.263",
        b"mjp2" => "JPEG 2000",
        b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "ProRes",
        b"avc2" | b"avc4" => "H.264 with extensions",
        _ => "a rare kind of video",
    }
}

fn sound_name(kind: [u8; 4]) -> &'static str {
    match &kind {
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b"ac-4" => "AC-4",
        b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" => "DTS",
        b"samr" => "AMR",
        b"sawb" => "AMR-WB",
        b"sowt" | b"twos" | b"lpcm" | b"raw " | b"in24" | b"in32" | b"fl32" | b"fl64" | b"ipcm" | b"fpcm" => {
            "sound that is not compressed"
        }
        b"ulaw" | b"alaw" => "G.711",
        b"ima4" => "IMA ADPCM",
        b"mlpa" => "TrueHD",
        _ => "a rare kind of sound",
    }
}
