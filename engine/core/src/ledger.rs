//! The ledger: what the values on one worker hold, and how much they held at most.
//!
//! Every value is leased to its request from the moment it is there until its free. The ledger
//! never refuses: admission has, by the plan's memory table, before anything was opened.

/// Leases of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Values held now.
    pub leases: u64,
    /// Bytes held now.
    pub bytes: u64,
    /// Most bytes ever held at once.
    pub peak_bytes: u64,
}

impl Ledger {
    pub(crate) const fn open(&mut self, leases: u64) {
        self.leases += leases;
    }

    pub(crate) fn hold(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.bytes);
    }

    pub(crate) fn release(&mut self, bytes: u64) {
        assert!(self.bytes >= bytes, "more bytes are given back than were held");
        self.bytes -= bytes;
    }

    pub(crate) fn close(&mut self) {
        assert!(self.leases > 0, "a lease is given back twice");
        self.leases -= 1;
    }

    /// Whether everything was given back.
    pub const fn is_empty(&self) -> bool {
        self.leases == 0 && self.bytes == 0
    }
}
