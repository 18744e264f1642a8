//! What every step of a fetch carries: for what it works, who watches, who may say stop.

use std::io;
use std::path::Path;

use corn_core::executor::Progress;

use crate::error::{StoreError, StoreErrorKind};
use crate::interrupt::Interrupt;

/// One fetch under way.
pub(crate) struct Work<'a> {
    /// The source, as a program writes it.
    pub(crate) what: String,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
}

impl Work<'_> {
    /// Tells how far `step` is; an error if someone said stop.
    pub(crate) fn advance(&self, step: &str, done: u64, total: u64) -> Result<(), StoreError> {
        self.check()?;
        self.progress.advance(&format!("{step} {}", self.what), done, total);
        Ok(())
    }

    /// An error if someone said stop.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.interrupt.is_raised() { Err(StoreError::interrupted(&self.what)) } else { Ok(()) }
    }

    pub(crate) fn disk(&self, path: &Path, error: &io::Error) -> StoreError {
        StoreError::disk(&self.what, path, error)
    }

    pub(crate) fn error(&self, kind: StoreErrorKind, reason: impl Into<String>) -> StoreError {
        StoreError::new(kind, &self.what, reason)
    }
}
