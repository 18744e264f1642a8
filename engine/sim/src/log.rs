//! What happened, line by line; written only if somebody will read it.

/// The lines of a run.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) is_kept: bool,
    pub(crate) lines: Vec<String>,
}

impl Log {
    /// Adds the line that `line` makes.
    pub(crate) fn add(&mut self, now_us: u64, line: impl FnOnce() -> String) {
        if self.is_kept {
            self.lines.push(format!("{now_us:>9} {}", line()));
        }
    }
}
