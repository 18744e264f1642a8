//! Walks over a file's elements (EBML, RFC 8794): whether it is whole, what tracks it has, and what the reader of its
//! packets passes over.

use std::collections::BTreeMap;

use crate::error::MediaError;
use crate::sniff::MediaKind;

/// Types of tracks.
pub(super) const PICTURES: u64 = 1;
pub(super) const SOUND: u64 = 2;

// Elements whose content is walked over too.
const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK: u32 = 0xae;
const ENCODINGS: u32 = 0x6d80;
const ENCODING: u32 = 0x6240;
const CLUSTER: u32 = 0x1f43_b675;
const GROUP: u32 = 0xa0;
// Elements with values.
const NUMBER: u32 = 0xd7;
const MEDIUM: u32 = 0x83;
const CODEC: u32 = 0x86;
const ENCRYPTION: u32 = 0x5035;
const PADDING: u32 = 0x75a2;
const BLOCK: u32 = 0xa1;
const SIMPLE_BLOCK: u32 = 0xa3;

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) medium: u64,
    pub(super) codec: String,
    pub(super) is_encrypted: bool,
    pub(super) is_packed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) tracks: Vec<Entry>,
    /// Those of each track.
    pub(super) blocks: BTreeMap<u64, Blocks>,
    /// The track of the last block.
    last: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blocks {
    pub(super) count: u64,
    /// How much of the last one is only there to fill it.
    pub(super) padding_ns: u64,
}

impl Outline {
    pub(super) fn read(bytes: &[u8], kind: MediaKind) -> Result<Self, MediaError> {
        let mut outline = Self::default();
        let mut at = 0;
        while at < bytes.len() {
            let cut =
                |what: &str| MediaError::Truncated { kind, what: what.to_owned(), offset: Some(at as u64) };
            let broken = MediaError::Malformed {
                kind,
                what: "what is there is no element".to_owned(),
                offset: Some(at as u64),
            };
            let id_bytes = bytes[at].leading_zeros() as usize + 1;
            if id_bytes > 4 {
                return Err(broken);
            }
            let id = bytes.get(at..at + id_bytes).ok_or_else(|| cut("an element stops in its beginning"))?;
            let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
            let (size, size_bytes) =
                variable(&bytes[at + id_bytes..]).ok_or_else(|| cut("an element stops in its beginning"))?;
            let content = at + id_bytes + size_bytes;
            let left = (bytes.len() - content) as u64;
            if size.is_some_and(|size| size > left) {
                return Err(cut("an element should go on behind the end of the file"));
            }
            if matches!(id, SEGMENT | TRACKS | TRACK | ENCODINGS | ENCODING | CLUSTER | GROUP) {
                outline.enter(id);
                at = content;
            } else {
                let size = size.ok_or(broken)? as usize;
                outline.take(id, &bytes[content..][..size]);
                at = content + size;
            }
        }
        Ok(outline)
    }

    fn enter(&mut self, id: u32) {
        if id == TRACK {
            self.tracks.push(Entry::default());
        } else if id == ENCODING
            && let Some(track) = self.tracks.last_mut()
        {
            track.is_packed = true;
        }
    }

    fn take(&mut self, id: u32, content: &[u8]) {
        let number = || content.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        if matches!(id, BLOCK | SIMPLE_BLOCK) {
            if let Some((Some(track), _)) = variable(content) {
                self.last = track;
                let blocks = self.blocks.entry(track).or_default();
                *blocks = Blocks { count: blocks.count + 1, padding_ns: 0 };
            }
            return;
        }
        if id == PADDING {
            self.blocks.entry(self.last).or_default().padding_ns = number();
            return;
        }
        let Some(track) = self.tracks.last_mut() else { return };
        match id {
            NUMBER => track.number = number(),
            MEDIUM => track.medium = number(),
            CODEC => track.codec = String::from_utf8_lossy(content).replace('\0', ""),
            ENCRYPTION => track.is_encrypted = true,
            _ => {}
        }
    }
}

/// A number with its own length before it, and how many bytes it takes; no number if it is said to be unknown.
fn variable(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let most = (1u64 << (7 * length)) - 1;
    let number = bytes.get(..length)?.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)) & most;
    Some(((number != most).then_some(number), length))
}
