//! Conversion of fetched content into the form that executors read.
//!
//! What is converted is told by the content, never by a name, and decided in one table, [`TABLE`].
//! A converter reads untrusted bytes: it checks every length before it believes it, streams what
//! is large, and refuses by name what it does not know.

mod ctranslate2;
mod pickle;
mod tensors;
mod torch;
mod whisper;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{StoreError, StoreErrorKind};
use crate::work::Work;

/// What a converter does.
pub(crate) struct Conversion {
    /// Its name and version; a new version makes cached results of the old one stale.
    pub(crate) name: &'static str,
    /// Whether the file or folder at a path is of its form.
    recognise: fn(&Path) -> io::Result<bool>,
    /// Writes the converted files into a folder.
    convert: fn(&Path, &Path, &Work<'_>) -> Result<(), ConvertError>,
    /// The file in that folder that replaces the source; empty if the folder does.
    entry: &'static str,
}

/// Everything that is converted.
pub(crate) const TABLE: [Conversion; 2] = [
    Conversion {
        name: "ctranslate2-whisper-to-safetensors 1",
        recognise: whisper::recognise,
        convert: whisper::convert,
        entry: "",
    },
    Conversion {
        name: "torch-pickle-to-safetensors 1",
        recognise: torch::recognise,
        convert: torch::convert,
        entry: "model.safetensors",
    },
];

/// Why content was not converted.
#[derive(Debug)]
pub(crate) enum ConvertError {
    /// The content is damaged or of a form that is refused; says what and where.
    Content(String),
    /// A file could not be read or written.
    Disk(PathBuf, io::Error),
    /// The fetch was stopped or failed elsewhere.
    Store(StoreError),
}

impl From<StoreError> for ConvertError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl ConvertError {
    pub(crate) fn content(reason: impl Into<String>) -> Self {
        Self::Content(reason.into())
    }

    /// An error of reading `path`: an early end is the content's fault, not the disk's.
    pub(crate) fn reading(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::content("it is cut off"),
            io::ErrorKind::InvalidData => Self::content(error.to_string()),
            _ => Self::Disk(path.to_owned(), error),
        }
    }

    fn into_store(self, path: &Path, work: &Work<'_>) -> StoreError {
        match self {
            Self::Content(reason) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                work.error(StoreErrorKind::Content, format!("'{name}' cannot be converted: {reason}"))
            }
            Self::Disk(path, error) => work.disk(&path, &error),
            Self::Store(error) => error,
        }
    }
}

/// The conversion that the file or folder at `path` wants, if any.
pub(crate) fn recognise(path: &Path, work: &Work<'_>) -> Result<Option<&'static Conversion>, StoreError> {
    for conversion in &TABLE {
        if (conversion.recognise)(path).map_err(|error| work.disk(path, &error))? {
            return Ok(Some(conversion));
        }
    }
    Ok(None)
}

impl Conversion {
    /// Converts `path` into the empty folder `target`; returns the entry in it.
    pub(crate) fn run(
        &self,
        path: &Path,
        target: &Path,
        work: &Work<'_>,
    ) -> Result<&'static str, StoreError> {
        (self.convert)(path, target, work).map_err(|error| error.into_store(path, work))?;
        Ok(self.entry)
    }
}

/// The first bytes of the file at `path`, as many as there are.
fn first_bytes(path: &Path, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if fs::metadata(path)?.is_file() {
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, count), &mut bytes)?;
    }
    Ok(bytes)
}
