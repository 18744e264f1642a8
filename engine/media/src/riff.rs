//! Walks the chunks of a RIFF file, so that lying sizes are found before anything is decoded.
//!
//! Layout (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"): `RIFF`,
//! u32 size, form type; then chunks of four-byte tag, u32 size, body, padded to even length.

use crate::error::MediaError;
use crate::sniff::MediaKind;

/// Written by encoders that stream: the size was not known.
const UNKNOWN_SIZE: u32 = u32::MAX;

/// Checks a WAV file's chunks up to and including its sound.
pub(crate) fn check_wav(bytes: &[u8]) -> Result<(), MediaError> {
    let mut at = 12;
    let mut block_bytes = None;
    loop {
        let chunk = Chunk::read(bytes, at, MediaKind::Wav)?;
        match &chunk.tag {
            b"fmt " => block_bytes = Some(check_format(bytes, &chunk)?),
            b"data" => {
                let Some(block_bytes) = block_bytes else {
                    return Err(malformed("the sound comes before the chunk 'fmt ' that describes it", at));
                };
                return check_sound(bytes, &chunk, block_bytes);
            }
            _ => chunk.check_within(bytes, MediaKind::Wav)?,
        }
        at = chunk.body + chunk.size as usize + (chunk.size as usize & 1);
    }
}

/// Checks that a WebP file is as long as its header says.
pub(crate) fn check_webp(bytes: &[u8]) -> Result<(), MediaError> {
    let kind = MediaKind::WebP;
    let whole = Chunk::read(bytes, 0, kind)?;
    whole.check_within(bytes, kind)
}

struct Chunk {
    tag: [u8; 4],
    size: u32,
    body: usize,
}

impl Chunk {
    fn read(bytes: &[u8], at: usize, kind: MediaKind) -> Result<Self, MediaError> {
        let Some(&[t0, t1, t2, t3, s0, s1, s2, s3]) = bytes.get(at..).and_then(|rest| rest.first_chunk())
        else {
            let what = "it ends before its content starts".into();
            return Err(MediaError::Truncated { kind, what, offset: Some(bytes.len() as u64) });
        };
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        Ok(Self { tag: [t0, t1, t2, t3], size, body: at + 8 })
    }

    fn check_within(&self, bytes: &[u8], kind: MediaKind) -> Result<(), MediaError> {
        let there = bytes.len() - self.body;
        if self.size as usize <= there {
            return Ok(());
        }
        let tag = self.tag.escape_ascii();
        let what = format!("its chunk '{tag}' says {} bytes, but {there} follow", self.size);
        Err(MediaError::Truncated { kind, what, offset: Some(self.body as u64) })
    }
}

/// Checks the description of the sound and returns the bytes of one frame (a sample of every channel).
fn check_format(bytes: &[u8], chunk: &Chunk) -> Result<u16, MediaError> {
    chunk.check_within(bytes, MediaKind::Wav)?;
    let Some(&format) = bytes[chunk.body..chunk.body + chunk.size as usize].first_chunk::<16>() else {
        return Err(malformed("the chunk 'fmt ' is shorter than 16 bytes", chunk.body));
    };
    let word = |index: usize| u16::from_le_bytes([format[index], format[index + 1]]);
    let (channels, block_bytes, bits) = (word(2), word(12), word(14));
    if channels == 0 || block_bytes == 0 {
        return Err(malformed(&format!("{channels} channels in frames of {block_bytes} bytes"), chunk.body));
    }
    if bits == 0 || u32::from(block_bytes) * 8 < u32::from(channels) * u32::from(bits) {
        let what = format!("{channels} channels of {bits} bits in frames of {block_bytes} bytes");
        return Err(malformed(&what, chunk.body));
    }
    Ok(block_bytes)
}

fn check_sound(bytes: &[u8], chunk: &Chunk, block_bytes: u16) -> Result<(), MediaError> {
    if chunk.size == UNKNOWN_SIZE {
        return Ok(());
    }
    chunk.check_within(bytes, MediaKind::Wav)?;
    if !chunk.size.is_multiple_of(u32::from(block_bytes)) {
        let what = format!("{} bytes of sound are not whole frames of {block_bytes} bytes", chunk.size);
        return Err(malformed(&what, chunk.body));
    }
    Ok(())
}

fn malformed(what: &str, at: usize) -> MediaError {
    MediaError::Malformed { kind: MediaKind::Wav, what: what.to_owned(), offset: Some(at as u64) }
}
