//! Samples of files that are written piece by piece, as browsers and cameras do: each fragment has its own tables.

use super::boxes::{Boxes, Fields, required};
use super::track::Track;
use super::{Samples, malformed};
use crate::error::MediaError;

/// What holds for samples of which nothing else is said.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) size: u32,
}

/// Takes the samples of `track` that a fragment, which begins at `at`, names.
pub(super) fn read(
    fragment: &[u8],
    at: u64,
    track: &Track<'_>,
    samples: &mut Samples<'_>,
) -> Result<(), MediaError> {
    for part in Boxes::within(fragment) {
        let part = part?;
        if part.kind != *b"traf" {
            continue;
        }
        let (mut fields, _, flags) = Fields::versioned(*b"tfhd", required(part.body, *b"tfhd")?)?;
        if fields.u32()? != track.id {
            continue;
        }
        let mut base = at;
        let mut defaults = track.defaults;
        if flags & 0x1 != 0 {
            base = fields.u64()?;
        }
        if flags & 0x2 != 0 {
            fields.u32()?;
        }
        if flags & 0x8 != 0 {
            defaults.duration = fields.u32()?;
        }
        if flags & 0x10 != 0 {
            defaults.size = fields.u32()?;
        }
        runs(part.body, base, defaults, samples)?;
    }
    Ok(())
}

fn runs(body: &[u8], base: u64, defaults: Defaults, samples: &mut Samples<'_>) -> Result<(), MediaError> {
    let (mut decoded, mut at) = (samples.end(), base);
    for part in Boxes::within(body) {
        let part = part?;
        match &part.kind {
            b"tfdt" => {
                let (mut fields, version, _) = Fields::versioned(*b"tfdt", part.body)?;
                decoded = fields.wide(version)?;
            }
            b"trun" => {
                let (mut fields, _, flags) = Fields::versioned(*b"trun", part.body)?;
                let count = fields.u32()?;
                if flags & 0x1 != 0 {
                    let offset = i64::from(fields.i32()?);
                    at = base
                        .checked_add_signed(offset)
                        .ok_or_else(|| malformed("a fragment lies before the file", None))?;
                }
                if flags & 0x4 != 0 {
                    fields.u32()?;
                }
                for _ in 0..count {
                    let duration = if flags & 0x100 == 0 { defaults.duration } else { fields.u32()? };
                    let size = if flags & 0x200 == 0 { defaults.size } else { fields.u32()? };
                    if flags & 0x400 != 0 {
                        fields.u32()?;
                    }
                    let shift = if flags & 0x800 == 0 { 0 } else { fields.i32()? };
                    samples.push(at, size, (decoded, shift, duration))?;
                    at = at.saturating_add(u64::from(size));
                    decoded = decoded.saturating_add(u64::from(duration));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
