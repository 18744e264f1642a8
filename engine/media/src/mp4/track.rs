//! Tracks: what they are, and what part of them is shown.

use std::num::NonZeroU32;

use image::metadata::Orientation;

use super::boxes::{Boxes, Fields, Part, find, required};
use super::fragments::Defaults;
use super::samples::Table;
use super::{KIND, malformed};
use crate::error::MediaError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Sound,
    Pictures,
    Other,
}

/// The part of a track that is shown, in its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// What comes before is left out.
    pub(crate) start: i64,
    /// What comes after so much is left out; all is shown where nothing is said.
    pub(crate) length: Option<u64>,
    /// Nothing is shown for so long first.
    pub(crate) delay: u64,
}

pub(crate) struct Track<'a> {
    pub(super) id: u32,
    pub(crate) is_enabled: bool,
    pub(crate) medium: Medium,
    /// Units of a second.
    pub(crate) timescale: NonZeroU32,
    /// How its pictures are turned to stand upright.
    pub(crate) turn: Orientation,
    pub(crate) edit: Edit,
    pub(super) has_edit: bool,
    /// How its samples are coded: a word, and what else there is to say.
    pub(super) description: Option<Part<'a>>,
    pub(super) table: Table<'a>,
    pub(super) defaults: Defaults,
}

/// The tracks of a movie.
pub(super) fn read_all(movie: &[u8]) -> Result<Vec<Track<'_>>, MediaError> {
    let (mut fields, version, _) = Fields::versioned(*b"mvhd", required(movie, *b"mvhd")?)?;
    fields.bytes(if version == 0 { 8 } else { 16 })?;
    let timescale = fields.u32()?;
    let mut tracks = Vec::new();
    for part in Boxes::within(movie) {
        let part = part?;
        if part.kind == *b"trak" {
            tracks.push(read(part.body, timescale)?);
        }
    }
    if let Some(extends) = find(movie, *b"mvex")? {
        for part in Boxes::within(extends) {
            let part = part?;
            if part.kind == *b"trex" {
                let (mut fields, ..) = Fields::versioned(*b"trex", part.body)?;
                let id = fields.u32()?;
                fields.u32()?;
                let defaults = Defaults { duration: fields.u32()?, size: fields.u32()? };
                tracks.iter_mut().filter(|track| track.id == id).for_each(|track| track.defaults = defaults);
            }
        }
    }
    Ok(tracks)
}

fn read(body: &[u8], movie_timescale: u32) -> Result<Track<'_>, MediaError> {
    let (id, is_enabled, turn) = head(required(body, *b"tkhd")?)?;
    let media = required(body, *b"mdia")?;
    let (mut fields, version, _) = Fields::versioned(*b"mdhd", required(media, *b"mdhd")?)?;
    fields.bytes(if version == 0 { 8 } else { 16 })?;
    let timescale = NonZeroU32::new(fields.u32()?)
        .ok_or_else(|| malformed(format!("track {id} has 0 units a second"), None))?;
    let mut fields = Fields::new(*b"hdlr", required(media, *b"hdlr")?);
    fields.bytes(8)?;
    let medium = match &fields.word()? {
        b"soun" => Medium::Sound,
        b"vide" => Medium::Pictures,
        _ => Medium::Other,
    };
    let edits = find(body, *b"edts")?.map(|edits| find(edits, *b"elst")).transpose()?.flatten();
    let edit = match edits.filter(|_| medium != Medium::Other) {
        Some(edits) => edit(edits, movie_timescale, timescale)?,
        None => Edit::default(),
    };
    let has_edit = edits.is_some();
    let information = find(media, *b"minf")?.unwrap_or_default();
    let table = find(information, *b"stbl")?.unwrap_or_default();
    let description = match find(table, *b"stsd")? {
        Some(descriptions) => {
            let (mut fields, ..) = Fields::versioned(*b"stsd", descriptions)?;
            fields.u32()?;
            Boxes::within(fields.rest).next().transpose()?
        }
        None => None,
    };
    let table = Table::find(table)?;
    let defaults = Defaults::default();
    Ok(Track { id, is_enabled, medium, timescale, turn, edit, has_edit, description, table, defaults })
}

/// Number of the track, whether it is to be shown, and how it is turned.
fn head(body: &[u8]) -> Result<(u32, bool, Orientation), MediaError> {
    let (mut fields, version, flags) = Fields::versioned(*b"tkhd", body)?;
    fields.bytes(if version == 0 { 8 } else { 16 })?;
    let id = fields.u32()?;
    // Its duration, and places in the layers of what is shown and heard.
    fields.bytes(if version == 0 { 24 } else { 28 })?;
    let (a, b, _) = (fields.i32()?, fields.i32()?, fields.i32()?);
    let (c, d) = (fields.i32()?, fields.i32()?);
    let turn = match (a.signum(), b.signum(), c.signum(), d.signum()) {
        (0, 1, -1, 0) => Orientation::Rotate90,
        (-1, 0, 0, -1) => Orientation::Rotate180,
        (0, -1, 1, 0) => Orientation::Rotate270,
        (-1, 0, 0, 1) => Orientation::FlipHorizontal,
        (1, 0, 0, -1) => Orientation::FlipVertical,
        (0, 1, 1, 0) => Orientation::Rotate90FlipH,
        (0, -1, -1, 0) => Orientation::Rotate270FlipH,
        _ => Orientation::NoTransforms,
    };
    Ok((id, flags & 1 != 0, turn))
}

fn edit(body: &[u8], movie_timescale: u32, timescale: NonZeroU32) -> Result<Edit, MediaError> {
    let (mut fields, version, _) = Fields::versioned(*b"elst", body)?;
    let count = fields.u32()?;
    let in_track = |length: u64| {
        let length = u128::from(length) * u128::from(timescale.get());
        u64::try_from(length / u128::from(movie_timescale.max(1))).unwrap_or(u64::MAX)
    };
    let (mut edit, mut is_found) = (Edit::default(), false);
    for _ in 0..count {
        let length = in_track(fields.wide(version)?);
        let start = if version == 0 { i64::from(fields.i32()?) } else { fields.u64()?.cast_signed() };
        fields.u32()?;
        if start < 0 && !is_found {
            edit.delay = edit.delay.saturating_add(length);
        } else if start >= 0 && is_found {
            return Err(MediaError::Unsupported {
                kind: KIND,
                what: "several cuts one after the other".to_owned(),
                hint: "export it as one piece first",
            });
        } else if start >= 0 {
            is_found = true;
            edit.start = start;
            edit.length = (length > 0).then_some(length);
        }
    }
    Ok(edit)
}

/// The description changes on the way.
pub(super) fn changes() -> MediaError {
    MediaError::Unsupported {
        kind: KIND,
        what: "a track that is coded in several ways, one after the other".to_owned(),
        hint: "export it as one piece first",
    }
}
