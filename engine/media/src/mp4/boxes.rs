//! Boxes, of which such a file is made: their length, a word for what they are, and their content.

use super::{malformed, truncated};
use crate::error::MediaError;

/// What a box is, in four characters.
pub(super) type Word = [u8; 4];

#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) kind: Word,
    pub(super) body: &'a [u8],
    /// Where the box begins in what it is in.
    pub(super) at: u64,
}

/// The boxes in `rest`, one after the other.
#[derive(Clone)]
pub(super) struct Boxes<'a> {
    rest: &'a [u8],
    at: u64,
    is_file: bool,
}

impl<'a> Boxes<'a> {
    pub(super) const fn of_file(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0, is_file: true }
    }

    pub(super) const fn within(body: &'a [u8]) -> Self {
        Self { rest: body, at: 0, is_file: false }
    }

    fn read(&mut self) -> Result<Option<Part<'a>>, MediaError> {
        // QuickTime ends some of its lists with four bytes of 0, and some writers fill files up.
        if self.rest.len() < 8 || self.rest.starts_with(&[0; 8]) {
            return Ok(None);
        }
        let mut fields = Fields::new(*b"box ", self.rest);
        let (length, kind) = (u64::from(fields.u32()?), fields.word()?);
        let (length, header) = match length {
            0 => (self.rest.len() as u64, 8),
            1 => (fields.u64()?, 16),
            length => (length, 8),
        };
        let named = || String::from_utf8_lossy(&kind).into_owned();
        if length < header {
            return Err(malformed(format!("its box '{}' says {length} bytes", named()), Some(self.at)));
        }
        let left = self.rest.len() as u64;
        if length > left {
            let what = format!("its box '{}' says {length} bytes, and {left} are left", named());
            return Err(if self.is_file { truncated(what, Some(self.at)) } else { malformed(what, None) });
        }
        let (this, rest) = self.rest.split_at(length as usize);
        let part = Part { kind, body: &this[header as usize..], at: self.at };
        self.rest = rest;
        self.at += length;
        Ok(Some(part))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<Part<'a>, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        read.transpose()
    }
}

/// The content of the first box of `kind` in `body`.
pub(super) fn find(body: &[u8], kind: Word) -> Result<Option<&[u8]>, MediaError> {
    for part in Boxes::within(body) {
        let part = part?;
        if part.kind == kind {
            return Ok(Some(part.body));
        }
    }
    Ok(None)
}

pub(super) fn required(body: &[u8], kind: Word) -> Result<&[u8], MediaError> {
    find(body, kind)?
        .ok_or_else(|| malformed(format!("its box '{}' is missing", String::from_utf8_lossy(&kind)), None))
}

/// Numbers one after the other, the highest byte first.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    kind: Word,
    pub(super) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(kind: Word, rest: &'a [u8]) -> Self {
        Self { kind, rest }
    }

    /// Those of a box with a version and flags, and these.
    pub(super) fn versioned(kind: Word, body: &'a [u8]) -> Result<(Self, u8, u32), MediaError> {
        let mut fields = Self::new(kind, body);
        let head = fields.u32()?;
        Ok((fields, (head >> 24) as u8, head & 0xff_ffff))
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], MediaError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            let kind = String::from_utf8_lossy(&self.kind);
            return Err(malformed(format!("its box '{kind}' is too short"), None));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MediaError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn word(&mut self) -> Result<Word, MediaError> {
        self.array()
    }

    pub(super) fn u8(&mut self) -> Result<u8, MediaError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, MediaError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, MediaError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, MediaError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, MediaError> {
        self.array().map(u64::from_be_bytes)
    }

    /// 64 bits in later versions of a box, 32 in the first.
    pub(super) fn wide(&mut self, version: u8) -> Result<u64, MediaError> {
        if version == 0 { self.u32().map(u64::from) } else { self.u64() }
    }
}
