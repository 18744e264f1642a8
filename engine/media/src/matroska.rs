//! Reads Matroska and WebM files (RFC 9559): their tracks, and packets of one of them.

mod outline;

use std::io::Cursor;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::video::well_known::CODEC_ID_H264;
use symphonia::core::codecs::video::well_known::extra_data::VIDEO_EXTRA_DATA_ID_AVC_DECODER_CONFIG;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use crate::audio;
use crate::error::MediaError;
use crate::film::PICTURES_TAKEN;
use crate::opus;
use crate::sniff::MediaKind;
use crate::sound::Coding;
use outline::{Entry, Outline};

const SOUNDS_TAKEN: &str = "in Matroska and WebM, Opus, Vorbis, AAC-LC, MP3 and FLAC are; convert it first";

pub(crate) struct Matroska<'a> {
    kind: MediaKind,
    outline: Outline,
    reader: Box<dyn FormatReader + 'a>,
}

/// A packet of the track that was asked for.
pub(crate) struct Taken {
    pub(crate) packet: Packet,
    /// When it is shown or heard, in nanoseconds; below 0 if it only prepares what follows.
    pub(crate) ns: i64,
}

impl std::ops::Deref for Taken {
    type Target = Packet;

    fn deref(&self) -> &Packet {
        &self.packet
    }
}

pub(crate) fn us(packet: &Taken) -> u64 {
    packet.ns.max(0).cast_unsigned() / 1000
}

/// Whether a file has tracks of sound and none of pictures.
pub(crate) fn is_only_sound(bytes: &[u8], kind: MediaKind) -> Result<bool, MediaError> {
    let tracks = Outline::read(bytes, kind)?.tracks;
    let has = |medium| tracks.iter().any(|entry| entry.medium == medium);
    Ok(has(outline::SOUND) && !has(outline::PICTURES))
}

impl<'a> Matroska<'a> {
    pub(crate) fn open(bytes: &'a [u8], kind: MediaKind) -> Result<Self, MediaError> {
        let outline = Outline::read(bytes, kind)?;
        let source =
            MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
        let reader = symphonia::default::get_probe()
            .probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default())
            .map_err(|error| audio::failed(kind, &error, None))?;
        Ok(Self { kind, outline, reader })
    }

    /// The number of the first track of pictures, and what its decoder is told.
    pub(crate) fn pictures(&self) -> Result<(u64, Vec<u8>), MediaError> {
        let entry = self.entry(outline::PICTURES, "pictures", PICTURES_TAKEN)?;
        if let Some(CodecParameters::Video(params)) = self.params(entry)
            && params.codec == CODEC_ID_H264
        {
            let mut extra = params.extra_data.iter();
            let config = extra.find(|extra| extra.id == VIDEO_EXTRA_DATA_ID_AVC_DECODER_CONFIG);
            let config = config.ok_or_else(|| self.malformed("nothing says how its H.264 is coded"))?;
            return Ok((entry.number, config.data.to_vec()));
        }
        Err(self.unsupported(picture_name(&entry.codec), PICTURES_TAKEN))
    }

    /// The number of the first track of sound, and how it is decoded.
    pub(crate) fn sound(&self) -> Result<(u64, Coding), MediaError> {
        let entry = self.entry(outline::SOUND, "sound", SOUNDS_TAKEN)?;
        let Some(CodecParameters::Audio(params)) = self.params(entry) else {
            return Err(self.unsupported(sound_name(&entry.codec), SOUNDS_TAKEN));
        };
        let is_taken = ["A_OPUS", "A_VORBIS", "A_AAC", "A_MPEG/L3", "A_FLAC"];
        if !is_taken.iter().any(|taken| entry.codec.starts_with(taken)) {
            return Err(self.unsupported(sound_name(&entry.codec), SOUNDS_TAKEN));
        }
        let sound = if params.codec == CODEC_ID_OPUS {
            let head = params.extra_data.as_deref().unwrap_or_default();
            Coding::Opus(opus::Head::from_ogg(self.kind, head)?)
        } else {
            Coding::Plain(Box::new(params.clone()))
        };
        Ok((entry.number, sound))
    }

    /// How many packets of a track there are at least.
    pub(crate) fn blocks(&self, track: u64) -> u64 {
        self.outline.blocks.get(&track).map_or(0, |blocks| blocks.count)
    }

    /// How much of the last packet of a track is only there to fill it.
    pub(crate) fn padding_ns(&self, track: u64) -> u64 {
        self.outline.blocks.get(&track).map_or(0, |blocks| blocks.padding_ns)
    }

    /// The next packet of `track`.
    pub(crate) fn next(&mut self, track: u64) -> Result<Option<Taken>, MediaError> {
        loop {
            match self.reader.next_packet() {
                Ok(Some(packet)) if u64::from(packet.track_id) == track => {
                    let ns = self.ns(&packet);
                    return Ok(Some(Taken { packet, ns }));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                // A file that is written while it is recorded ends without a word.
                Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Err(error) => return Err(audio::failed(self.kind, &error, None)),
            }
        }
    }

    fn ns(&self, packet: &Packet) -> i64 {
        let base = self.reader.tracks().iter().find(|track| track.id == packet.track_id);
        let base = base.and_then(|track| track.time_base).unwrap_or(TimeBase::default());
        let ns = i128::from(packet.pts.get()) * i128::from(base.numer.get()) * 1_000_000_000;
        i64::try_from(ns / i128::from(base.denom.get())).unwrap_or(i64::MAX)
    }

    fn entry(&self, medium: u64, what: &'static str, hint: &'static str) -> Result<&Entry, MediaError> {
        let entry = self.outline.tracks.iter().find(|entry| entry.medium == medium);
        let entry = entry.ok_or(MediaError::Lacks { kind: self.kind, what })?;
        if entry.is_encrypted {
            return Err(self.unsupported("encryption", "only files that anybody can play are read"));
        }
        if entry.is_packed {
            return Err(self.unsupported("compression of what is compressed already", hint));
        }
        Ok(entry)
    }

    fn params(&self, entry: &Entry) -> Option<&CodecParameters> {
        let track = self.reader.tracks().iter().find(|track| u64::from(track.id) == entry.number)?;
        track.codec_params.as_ref()
    }

    fn malformed(&self, what: &str) -> MediaError {
        MediaError::Malformed { kind: self.kind, what: what.to_owned(), offset: None }
    }

    fn unsupported(&self, what: &str, hint: &'static str) -> MediaError {
        MediaError::Unsupported { kind: self.kind, what: what.to_owned(), hint }
    }
}

fn picture_name(codec: &str) -> &str {
    match codec {
        "V_VP8" => "VP8",
        "V_VP9" => "VP9",
        "V_AV1" => "AV1",
        "V_MPEGH/ISO/HEVC" => "HEVC (H.265)",
        "V_MPEGI/ISO/VVC" => "VVC (H.266)",
        "V_MPEG1" => "MPEG-1 video",
        "V_MPEG2" => "MPEG-2 video",
        "V_MPEG4/ISO/SP" | "V_MPEG4/ISO/ASP" => "MPEG-4 Part 2 video",
        "V_MJPEG" => "Motion JPEG",
        "V_THEORA" => "Theora",
        "V_PRORES" => "ProRes",
        other => other,
    }
}

fn sound_name(codec: &str) -> &str {
    match codec {
        "A_EAC3" => "E-AC-3",
        "A_TRUEHD" => "TrueHD",
        "A_ALAC" => "ALAC",
        codec if codec.starts_with("A_AC3") => "AC-3",
        codec if codec.starts_with("A_DTS") => "DTS",
        codec if codec.starts_with("A_PCM") => "sound that is not compressed",
        other => other,
    }
}
