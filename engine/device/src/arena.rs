//! A GPU's arena: memory that is made once, lent in blocks, and mapped by other processes of the host.
//!
//! It is to a GPU what the memfd arena is to the host: allocation is constant time, a block is free again when whoever
//! holds it lets go, and peers map all of it once, when their link opens. Blocks are reused in the order of the GPU's
//! own stream: what was enqueued on a block before it was freed is done before what its next owner enqueues.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offset_allocator::{Allocation, Allocator};

use crate::driver::{Context, Mapping, Refused, Span, Stream};

/// What blocks begin and end at: so that every dtype is aligned, and copies are of whole lines.
const GRANULE_BYTES: u64 = 256;

pub(crate) struct Arena {
    map: Arc<Mapping>,
    state: Mutex<State>,
    /// Told when a block is free again.
    freed: Condvar,
}

struct State {
    allocator: Allocator,
    used_bytes: u64,
}

impl Arena {
    /// An arena of at least `bytes`, for `work` to work on.
    pub(crate) fn new(context: &Context, work: &Arc<Stream>, bytes: u64) -> Result<Arc<Self>, Refused> {
        let map = Mapping::new(work, context.rounded(bytes)?)?;
        // More granules than the allocator can count are left out.
        let granules = u32::try_from(map.bytes() / GRANULE_BYTES).unwrap_or(u32::MAX);
        let state = State { allocator: Allocator::new(granules), used_bytes: 0 };
        Ok(Arc::new(Self { map: Arc::new(map), state: Mutex::new(state), freed: Condvar::new() }))
    }

    /// What a peer imports.
    pub(crate) fn export(&self) -> Result<OwnedFd, Refused> {
        self.map.export()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.bytes()
    }

    /// Bytes of the blocks that are not free.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.lock().used_bytes
    }

    /// A block of `bytes`; `None` if there is no such room now. Constant time.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: u64) -> Option<Block> {
        self.allocate_within(bytes, Duration::ZERO)
    }

    /// The same, waiting for room for as long as `patience`.
    pub(crate) fn allocate_within(self: &Arc<Self>, bytes: u64, patience: Duration) -> Option<Block> {
        let granules = u32::try_from(bytes.div_ceil(GRANULE_BYTES).max(1)).ok()?;
        if bytes > self.bytes() {
            return None;
        }
        let mut allocation = None;
        let is_full = |state: &mut State| {
            allocation = state.allocator.allocate(granules);
            allocation.is_none()
        };
        let waited = self.freed.wait_timeout_while(self.lock(), patience, is_full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let allocation = allocation?;
        let size = u64::from(granules) * GRANULE_BYTES;
        state.used_bytes += size;
        drop(state);
        let span = Span::new(&self.map, u64::from(allocation.offset) * GRANULE_BYTES, bytes);
        let span = span.expect("the allocator gives what lies inside");
        Some(Block { arena: Arc::clone(self), allocation, span, size })
    }

    /// Where `span` begins, if it is in this arena.
    pub(crate) fn offset_of(&self, span: &Span) -> Option<u64> {
        span.is_in(&self.map).then(|| span.offset())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of an arena that nobody else has; dropping it makes it free again.
pub(crate) struct Block {
    arena: Arc<Arena>,
    allocation: Allocation,
    span: Span,
    size: u64,
}

impl Block {
    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut state = self.arena.lock();
        state.allocator.free(self.allocation);
        state.used_bytes -= self.size;
        drop(state);
        self.arena.freed.notify_all();
    }
}
