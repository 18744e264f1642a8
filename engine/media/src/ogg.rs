//! Checks that an Ogg file ends where its stream says it ends.
//!
//! Page layout from RFC 3533, section 6: `OggS`, version, flags (4 = last page), granule position,
//! serial, sequence, checksum, count of segments, their lengths, their bytes.

use crate::error::MediaError;
use crate::sniff::MediaKind;

const HEADER_BYTES: usize = 27;
const LAST_PAGE: u8 = 4;

/// Walks the pages; the last must be whole and flagged as last.
pub(crate) fn check(bytes: &[u8], kind: MediaKind) -> Result<(), MediaError> {
    let mut at = 0;
    let mut ended = false;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if !rest.starts_with(b"OggS") {
            // Bytes after the end are someone's tag; in the middle they are damage.
            return if ended {
                Ok(())
            } else {
                Err(malformed(kind, "a page does not start with 'OggS'", at))
            };
        }
        let Some(length) = page_bytes(rest).filter(|length| *length <= rest.len()) else {
            return Err(truncated(kind, "its last page is incomplete", at));
        };
        ended = rest[5] & LAST_PAGE != 0;
        at += length;
    }
    if ended { Ok(()) } else { Err(truncated(kind, "the page that ends the sound is missing", at)) }
}

fn page_bytes(page: &[u8]) -> Option<usize> {
    let segments = usize::from(*page.get(HEADER_BYTES - 1)?);
    let lengths = page.get(HEADER_BYTES..HEADER_BYTES + segments)?;
    Some(HEADER_BYTES + segments + lengths.iter().map(|length| usize::from(*length)).sum::<usize>())
}

fn malformed(kind: MediaKind, what: &str, at: usize) -> MediaError {
    MediaError::Malformed { kind, what: what.to_owned(), offset: Some(at as u64) }
}

fn truncated(kind: MediaKind, what: &str, at: usize) -> MediaError {
    MediaError::Truncated { kind, what: what.to_owned(), offset: Some(at as u64) }
}
