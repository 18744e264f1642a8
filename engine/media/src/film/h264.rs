//! Decodes H.264 as containers hold it: its parameters apart (`avcC`, ISO/IEC 14496-15), its units behind their length.

use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitReader, decode_nal};
use rusty_h264_common::YuvFrame;
use rusty_h264_decoder::{DecodeError, Decoder, Sps};

use super::PICTURES_TAKEN;
use super::colour::{Look, Matrix};
use crate::error::MediaError;
use crate::sniff::MediaKind;

pub(super) type Picture = YuvFrame;

const SLICE: u8 = 1;
const PARTITIONS: std::ops::RangeInclusive<u8> = 2..=4;
const SLICE_OF_KEY: u8 = 5;
const SEQUENCE: u8 = 7;
const PICTURE: u8 = 8;
/// Most slices of a picture. Each could take as long as the whole of it, and be a few bytes.
const MAX_SLICES: usize = 256;
/// What a decoder may keep beside what is asked for: pictures that others refer to.
const KEPT_BYTES: u64 = 256 << 20;

pub(super) struct Pictures {
    kind: MediaKind,
    decoder: Decoder,
    /// Bytes of the length before each unit.
    length_bytes: usize,
    /// Parameters that the decoder is still to be given.
    waiting: Vec<u8>,
    look: Look,
    size: (u32, u32),
    max_bytes: u64,
}

impl Pictures {
    /// For pictures that are coded as `config` says.
    pub(super) fn new(kind: MediaKind, config: &[u8], max_bytes: u64) -> Result<Self, MediaError> {
        let wrong = || malformed(kind, "what it says of its H.264 cannot be read");
        let record = AvcDecoderConfigurationRecord::try_from(config).map_err(|_| wrong())?;
        let mut pictures = Self {
            kind,
            decoder: Decoder::new(),
            length_bytes: usize::from(record.length_size_minus_one()) + 1,
            waiting: Vec::new(),
            look: Look { matrix: Matrix::Bt601, is_full: false },
            size: (0, 0),
            max_bytes,
        };
        let (sequences, parameters) = (record.sequence_parameter_sets(), record.picture_parameter_sets());
        let mut waiting = Vec::new();
        for unit in sequences.chain(parameters) {
            pictures.unit(unit.map_err(|_| wrong())?, &mut waiting)?;
        }
        pictures.waiting = waiting;
        Ok(pictures)
    }

    /// Pixels in a row, and rows; 0 where they are said only later.
    pub(super) const fn size(&self) -> (u32, u32) {
        self.size
    }

    pub(super) const fn look(&self) -> Look {
        self.look
    }

    /// The picture that a sample holds. `last_us` is where the one before it was, for errors.
    pub(super) fn decode(&mut self, mut sample: &[u8], last_us: u64) -> Result<Option<Picture>, MediaError> {
        let mut units = std::mem::take(&mut self.waiting);
        let (mut pictures, mut slices) = (0, 0);
        let cut = |kind| malformed(kind, format!("a picture is cut off{}", after(last_us)));
        while !sample.is_empty() {
            let (length, rest) = sample.split_at_checked(self.length_bytes).ok_or_else(|| cut(self.kind))?;
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (unit, rest) = rest.split_at_checked(length).ok_or_else(|| cut(self.kind))?;
            self.unit(unit, &mut units)?;
            if let [head, first_block, ..] = *unit
                && matches!(head & 0x1f, SLICE | SLICE_OF_KEY)
            {
                slices += 1;
                // A picture begins with its block 0, which is written as a single 1.
                pictures += usize::from(first_block >> 7);
            }
            sample = rest;
        }
        if pictures > 1 {
            return Err(unsupported(self.kind, "H.264 of several pictures or fields at one time"));
        }
        if slices > MAX_SLICES {
            return Err(unsupported(self.kind, &format!("H.264 of more than {MAX_SLICES} slices a picture")));
        }
        self.decoder.decode(&units).map_err(|error| match error {
            DecodeError::Unsupported(what) => refused(self.kind, what, last_us),
            error => malformed(self.kind, format!("{error}{}", after(last_us))),
        })
    }

    /// Appends `unit` as the decoder takes it, if it has to do with pictures.
    fn unit(&mut self, unit: &[u8], units: &mut Vec<u8>) -> Result<(), MediaError> {
        let Some(first) = unit.first() else { return Ok(()) };
        match first & 0x1f {
            SEQUENCE => self.sequence(unit)?,
            SLICE | SLICE_OF_KEY | PICTURE => {}
            kind if PARTITIONS.contains(&kind) => {
                return Err(unsupported(self.kind, "H.264 in partitions (Extended profile)"));
            }
            _ => return Ok(()),
        }
        units.extend([0, 0, 0, 1]);
        units.extend(unit);
        Ok(())
    }

    /// Looks at parameters before anything is made of them.
    fn sequence(&mut self, unit: &[u8]) -> Result<(), MediaError> {
        let kind = self.kind;
        let wrong = |_| malformed(kind, "what it says of its H.264 cannot be read");
        let bytes = decode_nal(unit).map_err(wrong)?;
        let sps = Sps::parse(&bytes).map_err(|error| match error {
            DecodeError::Unsupported(what) => refused(kind, what, 0),
            error => malformed(kind, error.to_string()),
        })?;
        let (width, height) = (sps.display_width() as u32, sps.display_height() as u32);
        let max_pixels = self.max_bytes / 3;
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(MediaError::TooLarge { kind, width, height, max_pixels });
        }
        let coded = sps.coded_width() as u64 * sps.coded_height() as u64;
        if coded.saturating_mul(u64::from(sps.max_num_ref_frames)) > self.max_bytes.saturating_add(KEPT_BYTES)
        {
            return Err(unsupported(kind, "H.264 that refers to so many pictures so large"));
        }
        // Its reader is stricter than players are; without it colours are those that are usual.
        let signal = SeqParameterSet::from_bits(BitReader::new(bytes.as_ref())).ok();
        let signal = signal.and_then(|sps| sps.vui_parameters).and_then(|vui| vui.video_signal_type);
        let number =
            signal.as_ref().and_then(|it| it.colour_description.as_ref()).map(|it| it.matrix_coefficients);
        let is_full = signal.is_some_and(|signal| signal.video_full_range_flag);
        self.look = Look { matrix: Matrix::of(number, height), is_full };
        self.size = (width, height);
        Ok(())
    }
}

fn after(last_us: u64) -> String {
    if last_us == 0 {
        String::new()
    } else {
        format!(", after {}.{:03} s", last_us / 1_000_000, last_us / 1000 % 1000)
    }
}

fn malformed(kind: MediaKind, what: impl Into<String>) -> MediaError {
    MediaError::Malformed { kind, what: what.into(), offset: None }
}

fn unsupported(kind: MediaKind, what: &str) -> MediaError {
    MediaError::Unsupported { kind, what: what.to_owned(), hint: PICTURES_TAKEN }
}

/// What the decoder refuses, in words that people use.
fn refused(kind: MediaKind, what: &'static str, last_us: u64) -> MediaError {
    let what = match what {
        "non-4:2:0 chroma" => "H.264 that is not 4:2:0",
        "bit depth > 8" => "H.264 of more than 8 bits",
        what if what.contains("interlace") || what.contains("field") => "interlaced H.264",
        what => return unsupported(kind, &format!("H.264 with {what}{}", after(last_us))),
    };
    let hint = "of films, progressive H.264 of 8 bits in 4:2:0 is read; convert it first";
    MediaError::Unsupported { kind, what: what.to_owned(), hint }
}
