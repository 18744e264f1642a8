//! Reads the tables of MP4 files and their like (ISO/IEC 14496-12; QuickTime, M4A, 3GP): what tracks there are, and
//! where and when each of their samples is, whether one table says so or each fragment for itself.
//!
//! Own, because what is kept elsewhere either leaves out when pictures are shown, or makes as much of a table as its
//! header claims. Here every count is held to the bytes that are there before anything is made of it.

mod boxes;
mod codec;
mod fragments;
mod samples;
mod track;

use boxes::Boxes;
pub(crate) use codec::{picture, sound};
pub(crate) use track::{Medium, Track};

use crate::error::MediaError;
use crate::sniff::MediaKind;

pub(crate) const KIND: MediaKind = MediaKind::Mp4;
/// Most samples of a track: six hours of sound at 48 kHz.
const MAX_SAMPLES: usize = 1 << 20;

/// A part of a track that is decoded at once: a picture, or a few milliseconds of sound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) data: &'a [u8],
    /// When it is decoded, in the track's units.
    decoded: u64,
    /// From then until it is shown.
    shift: i32,
    duration: u32,
}

impl Sample<'_> {
    /// When it is shown, in the track's units and before any edit.
    pub(crate) fn shown(&self) -> i64 {
        i64::try_from(self.decoded).unwrap_or(i64::MAX).saturating_add(i64::from(self.shift))
    }

    pub(crate) fn ends(&self) -> i64 {
        self.shown().saturating_add(i64::from(self.duration))
    }
}

/// A file whose tracks are known.
pub(crate) struct Movie<'a> {
    bytes: &'a [u8],
    pub(crate) tracks: Vec<Track<'a>>,
    /// Contents of its fragments, and where each of them begins.
    fragments: Vec<(&'a [u8], u64)>,
}

impl<'a> Movie<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, MediaError> {
        let mut movie = None;
        let mut fragments = Vec::new();
        for part in Boxes::of_file(bytes) {
            let part = part?;
            match &part.kind {
                b"moov" if movie.is_none() => movie = Some(part.body),
                b"moof" => fragments.push((part.body, part.at)),
                _ => {}
            }
        }
        let movie = movie.ok_or_else(|| truncated("the table of what is in it ('moov') is missing", None))?;
        let mut tracks = track::read_all(movie)?;
        if !fragments.is_empty() {
            // It was not known when the edit was written.
            for track in &mut tracks {
                track.edit.length = None;
            }
        }
        Ok(Self { bytes, tracks, fragments })
    }

    /// The track to take, if there is one: the first that players would show or play.
    pub(crate) fn track(&self, medium: Medium) -> Option<&Track<'a>> {
        let mut all = self.tracks.iter().filter(|track| track.medium == medium);
        all.clone().find(|track| track.is_enabled).or_else(|| all.next())
    }

    /// Whether the file says when the first sample of `track` is shown, rather than only how far they are apart.
    pub(crate) fn is_timed(&self, track: &Track<'_>) -> bool {
        track.has_edit && self.fragments.is_empty()
    }

    /// All samples of `track`, in the order of decoding.
    pub(crate) fn samples(&self, track: &Track<'a>) -> Result<Vec<Sample<'a>>, MediaError> {
        let mut samples = Samples { bytes: self.bytes, taken: Vec::new(), total: 0 };
        samples::read(&track.table, &mut samples)?;
        for (fragment, at) in &self.fragments {
            fragments::read(fragment, *at, track, &mut samples)?;
        }
        Ok(samples.taken)
    }
}

/// Samples found so far.
struct Samples<'a> {
    bytes: &'a [u8],
    taken: Vec<Sample<'a>>,
    total: u64,
}

impl Samples<'_> {
    fn push(
        &mut self,
        at: u64,
        size: u32,
        (decoded, shift, duration): (u64, i32, u32),
    ) -> Result<(), MediaError> {
        let place = self.taken.len();
        if place == MAX_SAMPLES {
            return Err(MediaError::Unsupported {
                kind: KIND,
                what: format!("more than {MAX_SAMPLES} samples in a track"),
                hint: "cut it into shorter ones first",
            });
        }
        // A file could name the same bytes over and over, and be far longer than it is large.
        self.total += u64::from(size);
        if self.total > self.bytes.len() as u64 {
            return Err(malformed(format!("its samples overlap from sample {place} on"), None));
        }
        let end = at.checked_add(u64::from(size)).and_then(|end| usize::try_from(end).ok());
        let data = end.and_then(|end| self.bytes.get(at as usize..end));
        let data = data.ok_or_else(|| truncated(format!("its sample {place} should be there"), Some(at)))?;
        self.taken.push(Sample { data, decoded, shift, duration });
        Ok(())
    }

    /// When what follows the samples so far is decoded.
    fn end(&self) -> u64 {
        self.taken.last().map_or(0, |last| last.decoded.saturating_add(u64::from(last.duration)))
    }
}

pub(crate) fn malformed(what: impl Into<String>, offset: Option<u64>) -> MediaError {
    MediaError::Malformed { kind: KIND, what: what.into(), offset }
}

fn truncated(what: impl Into<String>, offset: Option<u64>) -> MediaError {
    MediaError::Truncated { kind: KIND, what: what.into(), offset }
}
