//! What goes wrong while weights are fetched: what, why, and what to do.

use std::io;
use std::path::Path;

use corn_core::fault::{Blame, Fault};
use thiserror::Error;

/// Why weights could not be had.
#[derive(Debug, Error)]
#[error("{what}: {reason}{}", hint_text(.hint))]
pub struct StoreError {
    /// Which sort of trouble it is.
    pub kind: StoreErrorKind,
    /// What was wanted, as the program writes it, or the file that was worked on.
    pub what: String,
    /// What happened.
    pub reason: String,
    /// What to do; may be empty.
    pub hint: String,
}

/// Sorts of trouble, for those who act on them by program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The source itself is not well formed.
    Source,
    /// The package, repository or file does not exist where it was looked for.
    Missing,
    /// Only the network could give it, and the store was told to stay offline.
    Offline,
    /// The network or the server failed; trying again can help.
    Network,
    /// The server wants credentials or an accepted licence.
    Denied,
    /// The bytes are not those that were asked for.
    Integrity,
    /// The disk is full, read-only or failing.
    Disk,
    /// Python or pip is missing or failed.
    Tool,
    /// The content cannot be used: damaged, or of a form that is refused.
    Content,
    /// Someone said stop.
    Interrupted,
}

fn hint_text(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, what: what.into(), reason: reason.into(), hint: String::new() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// A failing read or write of the cache at `path` while `what` was fetched.
    pub(crate) fn disk(what: &str, path: &Path, error: &io::Error) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let (reason, hint) = match error.kind() {
            _ if full => (
                format!("the disk that holds '{}' is full", path.display()),
                "free some space (`corn models` lists what can be removed) or set CORN_CACHE to a folder on another disk",
            ),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
                format!("'{}' cannot be written ({error})", path.display()),
                "set CORN_CACHE to a folder that you may write",
            ),
            _ => (format!("'{}': {error}", path.display()), ""),
        };
        Self::new(StoreErrorKind::Disk, what, reason).hint(hint)
    }

    pub(crate) fn interrupted(what: &str) -> Self {
        Self::new(StoreErrorKind::Interrupted, what, "stopped before it was complete")
            .hint("run it again to go on")
    }

    /// The bytes are not those that are pinned: both hashes.
    pub(crate) fn integrity(what: &str, of: &str, expected: &str, found: &str) -> Self {
        let reason = format!("the sha256 of {of} is {found}, but {expected} is expected");
        Self::new(StoreErrorKind::Integrity, what, reason)
            .hint("nothing of it was kept; if the source has really changed, correct the hash in the program or in corn.lock")
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let blame = match error.kind {
            StoreErrorKind::Interrupted => Blame::Cancelled,
            _ => Blame::Setup,
        };
        Self::new(blame, error.to_string())
    }
}
