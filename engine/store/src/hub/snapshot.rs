//! Looks into the cache that the hub's own tools keep on this machine.
//!
//! Layout (huggingface_hub, "Understand caching"): `models--OWNER--NAME/refs/REVISION` holds a
//! commit, `models--OWNER--NAME/snapshots/COMMIT/PATH` are links to the files.

use std::fs;
use std::path::{Path, PathBuf};

use super::Repository;

/// The snapshot folder of `repository` in the cache at `cache`, if there is one.
pub(crate) fn find(cache: &Path, repository: &Repository<'_>) -> Option<PathBuf> {
    let folder = cache.join(format!("models--{}", repository.name.replace('/', "--")));
    let commit = fs::read_to_string(folder.join("refs").join(repository.revision));
    let commit = commit.as_deref().map_or(repository.revision, str::trim);
    let is_plain = !commit.is_empty() && !commit.contains(['/', '\\', '.']);
    let snapshot = folder.join("snapshots").join(commit);
    (is_plain && snapshot.is_dir()).then_some(snapshot)
}
