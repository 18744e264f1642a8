//! A file that takes its name only when it is whole.
//!
//! What is at the path stays until then, and a failure, a full disk or Ctrl-C leaves nothing behind. A link is
//! followed, an existing file keeps its permissions, and a device or pipe is written as it is.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file under another name until it is kept; dropped, it is gone.
pub(crate) struct Pending {
    pub(crate) file: File,
    path: PathBuf,
    /// `None` for what is no ordinary file, and so written in place.
    temporary: Option<tempfile::TempPath>,
}

impl Pending {
    /// A file that will be at `path`.
    pub(crate) fn create(path: impl Into<PathBuf>) -> Result<Self, String> {
        let shown: PathBuf = path.into();
        // What a link points to is replaced, not the link.
        let path = shown.canonicalize().unwrap_or_else(|_| shown.clone());
        let existing = fs::metadata(&path).ok();
        if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err("it is a folder".to_owned());
        }
        if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(|error| error.to_string())?;
            return Ok(Self { file, path: shown, temporary: None });
        }
        if existing.as_ref().is_some_and(|metadata| metadata.permissions().readonly()) {
            return Err("it is there and may only be read".to_owned());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(format!("there is no folder '{}'", folder.display()));
        }
        let created = tempfile::Builder::new().prefix(".corn-").suffix(".part").tempfile_in(folder);
        // Without the temporary file's own name, which says nothing to anyone.
        let created = created.map_err(|error| match error.get_ref().and_then(std::error::Error::source) {
            Some(source) => source.to_string(),
            None => error.to_string(),
        });
        let (file, temporary) = created?.into_parts();
        // Temporary files are private; an answer is an ordinary file. If the change fails, it is still
        // its owner's to read.
        if let Some(metadata) = existing {
            let _ = file.set_permissions(metadata.permissions());
        } else {
            #[cfg(unix)]
            let _ = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        }
        Ok(Self { file, path, temporary: Some(temporary) })
    }

    /// Where it will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether two outputs would be one file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.temporary.is_some() && self.path == other.path
    }

    /// Gives the file its name.
    pub(crate) fn keep(mut self) -> Result<PathBuf, String> {
        self.file.flush().map_err(|error| error.to_string())?;
        if let Some(temporary) = self.temporary.take() {
            temporary.persist(&self.path).map_err(|error| error.error.to_string())?;
        }
        Ok(self.path)
    }
}
