//! Samples of the one table of a file that is written as a whole.

use super::boxes::{Boxes, Fields};
use super::{Samples, malformed};
use crate::error::MediaError;

/// Bodies of the boxes that together say where and when samples are.
#[derive(Clone, Copy, Default)]
pub(super) struct Table<'a> {
    times: Option<&'a [u8]>,
    shifts: Option<&'a [u8]>,
    sizes: Option<&'a [u8]>,
    chunks: Option<&'a [u8]>,
    offsets: Option<&'a [u8]>,
    wide_offsets: Option<&'a [u8]>,
}

impl<'a> Table<'a> {
    pub(super) fn find(body: &'a [u8]) -> Result<Self, MediaError> {
        let mut table = Self::default();
        for part in Boxes::within(body) {
            let part = part?;
            match &part.kind {
                b"stts" => table.times = Some(part.body),
                b"ctts" => table.shifts = Some(part.body),
                b"stsz" => table.sizes = Some(part.body),
                b"stsc" => table.chunks = Some(part.body),
                b"stco" => table.offsets = Some(part.body),
                b"co64" => table.wide_offsets = Some(part.body),
                b"stz2" => {
                    return Err(malformed("it gives sizes of samples in a form that is not read", None));
                }
                _ => {}
            }
        }
        Ok(table)
    }
}

/// Values that hold for so many samples each.
struct Runs<'a> {
    fields: Fields<'a>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    fn new(kind: [u8; 4], body: Option<&'a [u8]>) -> Result<Self, MediaError> {
        let mut fields = Fields::new(kind, body.unwrap_or_default());
        if body.is_some() {
            // Its version, and how many there are: they end with the box.
            fields.bytes(8)?;
        }
        Ok(Self { fields, left: 0, value: 0 })
    }

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.left = self.fields.u32().ok()?;
            self.value = self.fields.u32().ok()?;
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// How many samples each chunk has.
struct Chunks<'a> {
    fields: Fields<'a>,
    now: (u32, u32),
    next: Option<(u32, u32)>,
    description: u32,
}

impl<'a> Chunks<'a> {
    fn new(body: &'a [u8]) -> Result<Self, MediaError> {
        let (mut fields, ..) = Fields::versioned(*b"stsc", body)?;
        fields.u32()?;
        let mut chunks = Self { fields, now: (0, 0), next: None, description: 0 };
        chunks.next = chunks.read()?;
        Ok(chunks)
    }

    fn read(&mut self) -> Result<Option<(u32, u32)>, MediaError> {
        if self.fields.rest.len() < 12 {
            return Ok(None);
        }
        let (first, samples, description) = (self.fields.u32()?, self.fields.u32()?, self.fields.u32()?);
        if self.description != 0 && description != self.description {
            return Err(super::track::changes());
        }
        self.description = description;
        Ok(Some((first, samples)))
    }

    /// Samples of chunk `number`, the first of which is 1; to be asked for one after the other.
    fn samples(&mut self, number: u32) -> Result<u32, MediaError> {
        while let Some(next) = self.next.filter(|(first, _)| *first <= number) {
            self.now = next;
            self.next = self.read()?;
        }
        Ok(self.now.1)
    }
}

/// Takes what the table names. A file that is made of fragments has an empty one.
pub(super) fn read(table: &Table<'_>, samples: &mut Samples<'_>) -> Result<(), MediaError> {
    let (Some(sizes), Some(chunks)) = (table.sizes, table.chunks) else { return Ok(()) };
    let (mut sizes, ..) = Fields::versioned(*b"stsz", sizes)?;
    let (one_size, count) = (sizes.u32()?, sizes.u32()?);
    let mut times = Runs::new(*b"stts", table.times)?;
    let mut shifts = Runs::new(*b"ctts", table.shifts)?;
    let mut chunks = Chunks::new(chunks)?;
    let (is_wide, offsets) = match (table.wide_offsets, table.offsets) {
        (Some(offsets), _) => (true, offsets),
        (None, offsets) => (false, offsets.unwrap_or_default()),
    };
    let mut offsets = Fields::new(if is_wide { *b"co64" } else { *b"stco" }, offsets);
    if count > 0 {
        offsets.bytes(8)?;
    }
    let (mut place, mut decoded, mut chunk) = (0, 0u64, 0u32);
    while place < count {
        chunk += 1;
        let mut at = offsets.wide(u8::from(is_wide))?;
        for _ in 0..chunks.samples(chunk)?.min(count - place) {
            let size = if one_size == 0 { sizes.u32()? } else { one_size };
            let Some(duration) = times.next() else {
                return Err(malformed(format!("nothing says when its sample {place} is"), None));
            };
            let shift = shifts.next().unwrap_or(0).cast_signed();
            samples.push(at, size, (decoded, shift, duration))?;
            at = at.saturating_add(u64::from(size));
            decoded = decoded.saturating_add(u64::from(duration));
            place += 1;
        }
    }
    Ok(())
}
