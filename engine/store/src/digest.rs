//! SHA-256 of files and streams, in lowercase hex.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::work::Work;

/// Bytes read at once.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// A hash in progress.
#[derive(Clone, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn hex(self) -> String {
        self.0.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// The hash of a text.
pub(crate) fn of_text(text: &str) -> String {
    let mut hasher = Hasher::default();
    hasher.update(text.as_bytes());
    hasher.hex()
}

/// The hash of the file at `path`, with its bytes reported as they are read.
pub(crate) fn of_file(path: &Path, work: &Work<'_>) -> Result<String, StoreError> {
    let mut hasher = Hasher::default();
    let mut file = File::open(path).map_err(|error| work.disk(path, &error))?;
    let total = file.metadata().map_err(|error| work.disk(path, &error))?.len();
    let mut done = 0;
    while let Some(chunk) = read_chunk(&mut file).map_err(|error| work.disk(path, &error))? {
        hasher.update(&chunk);
        done += chunk.len() as u64;
        work.advance("checking", done, total)?;
    }
    Ok(hasher.hex())
}

/// Up to [`CHUNK_BYTES`] bytes; `None` at the end.
pub(crate) fn read_chunk(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    reader.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    Ok((!chunk.is_empty()).then_some(chunk))
}

/// Whether `text` is a SHA-256 in hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
