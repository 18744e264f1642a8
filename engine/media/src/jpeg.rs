//! Checks that a JPEG file is whole: decoders paint what is missing in grey and say nothing.
//!
//! Marker syntax from ITU-T T.81, annex B: segments with a length up to a scan, then entropy-coded
//! bytes in which 0xff is followed by 0x00 or a restart marker, until the next marker.

use crate::error::MediaError;
use crate::sniff::MediaKind;

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Walks the segments; the end-of-image marker must be there.
pub(crate) fn check(bytes: &[u8]) -> Result<(), MediaError> {
    let mut at = 2;
    loop {
        let (marker, body) = next_marker(bytes, at)?;
        match marker {
            END_OF_IMAGE => return Ok(()),
            0x01 | 0xd0..=0xd7 => at = body,
            _ => {
                at = segment_end(bytes, body)?;
                if marker == START_OF_SCAN {
                    at = scan_end(bytes, at)?;
                }
            }
        }
    }
}

/// The marker at `at`, past any fill bytes, and where its body starts.
fn next_marker(bytes: &[u8], at: usize) -> Result<(u8, usize), MediaError> {
    match bytes.get(at) {
        Some(0xff) => {}
        Some(_) => return Err(malformed("a segment does not start with a marker", at)),
        None => return Err(truncated("its end-of-image marker is missing", at)),
    }
    let fill = bytes[at..].iter().take_while(|byte| **byte == 0xff).count();
    match bytes.get(at + fill) {
        Some(0) => Err(malformed("an empty marker", at)),
        Some(marker) => Ok((*marker, at + fill + 1)),
        None => Err(truncated("its end-of-image marker is missing", bytes.len())),
    }
}

fn segment_end(bytes: &[u8], body: usize) -> Result<usize, MediaError> {
    let Some(length) = bytes.get(body..).and_then(|rest| rest.first_chunk()) else {
        return Err(truncated("it ends inside a segment's header", body));
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < 2 {
        return Err(malformed("a segment is shorter than its own length field", body));
    }
    let end = body + length;
    if end > bytes.len() { Err(truncated("it ends inside a segment", body)) } else { Ok(end) }
}

/// Where the entropy-coded bytes that start at `at` end: at the next real marker.
fn scan_end(bytes: &[u8], at: usize) -> Result<usize, MediaError> {
    let pairs = bytes.get(at..).unwrap_or_default().windows(2);
    pairs
        .enumerate()
        .find(|(_, pair)| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff))
        .map(|(index, _)| at + index)
        .ok_or_else(|| truncated("its picture data stop in the middle", bytes.len()))
}

fn malformed(what: &str, at: usize) -> MediaError {
    MediaError::Malformed { kind: MediaKind::Jpeg, what: what.to_owned(), offset: Some(at as u64) }
}

fn truncated(what: &str, at: usize) -> MediaError {
    MediaError::Truncated { kind: MediaKind::Jpeg, what: what.to_owned(), offset: Some(at as u64) }
}
