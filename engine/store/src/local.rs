//! Paths of `file(…)` sources.

use std::path::{Path, PathBuf};

use crate::error::{StoreError, StoreErrorKind};
use crate::work::Work;

/// The path that `path` of a program in the folder `base` means. `~` is the home folder.
pub(crate) fn resolve(path: &str, base: &Path, work: &Work<'_>) -> Result<PathBuf, StoreError> {
    let home = |below: &str| {
        directories::BaseDirs::new()
            .map(|dirs| dirs.home_dir().join(below.trim_start_matches('/')))
            .ok_or_else(|| {
                work.error(StoreErrorKind::Source, "'~' is used, but this user has no home folder")
            })
    };
    let path = match path.strip_prefix('~') {
        Some(below) if below.is_empty() || below.starts_with('/') => home(below)?,
        _ => base.join(path),
    };
    match path.metadata() {
        Ok(_) => Ok(path),
        Err(error) => Err(work
            .error(StoreErrorKind::Missing, format!("'{}' cannot be opened ({error})", path.display()))
            .hint("a file(…) is looked for from the folder of the .corn file")),
    }
}
