//! Shared-memory arenas: how contents are handed to another process of the same host without
//! moving them.
//!
//! A worker has one arena, a memfd that every peer on its host maps once. What it hands over lies
//! in a block of it; a message says where. The block is free again when the last reader over there
//! has dropped its view, or when the link to that peer has ended. Allocation is constant time; memory
//! is touched once and used again.
//!
//! Nobody writes to a block once it has been frozen, and peers map the arena for reading only, so a
//! view is as good as memory of one's own.

#![allow(unsafe_code, reason = "shared memory cannot be mapped or looked at without it")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use offset_allocator::{Allocation, Allocator};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// What blocks begin and end at: so that every dtype is aligned, and no two blocks share a cache line.
const GRANULE_BYTES: u64 = 256;

/// Memory of this worker that its peers can read.
pub(crate) struct Arena {
    map: Arc<Mapping>,
    fd: OwnedFd,
    bytes: u64,
    state: Mutex<State>,
}

struct State {
    allocator: Allocator,
    used_bytes: u64,
}

/// A mapping of an arena, this process's or another's.
struct Mapping {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is plain memory; who may write where is decided by the blocks' owners, and
// what is read is never written any more.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, bytes: u64, access: ProtFlags) -> std::io::Result<Self> {
        let too_large = || std::io::Error::other("an arena that does not fit into the address space");
        let bytes = usize::try_from(bytes).map_err(|_| too_large())?;
        // SAFETY: a fresh mapping, which overlaps nothing; the file is sealed at its size, so no access
        // can fault.
        let at = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, fd, 0) }?;
        let at = NonNull::new(at.cast::<u8>()).ok_or_else(too_large)?;
        Ok(Self { at, bytes })
    }

    /// The bytes from `offset`, which the caller has seen to lie inside.
    fn slice(&self, offset: u64, bytes: usize) -> &[u8] {
        let offset = offset as usize;
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.bytes), "a view lies in its arena");
        // SAFETY: inside the mapping, as just seen; frozen, so nobody writes there.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(offset), bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: ours, and no view is left: each holds the mapping.
        let _ = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

impl Arena {
    /// An arena of at least `bytes`.
    pub(crate) fn new(bytes: u64) -> std::io::Result<Arc<Self>> {
        let granules = bytes.div_ceil(GRANULE_BYTES).max(1);
        let granules = u32::try_from(granules)
            .map_err(|_| std::io::Error::other(format!("an arena of {bytes} bytes is too large")))?;
        let bytes = u64::from(granules) * GRANULE_BYTES;
        let fd = rustix::fs::memfd_create("corn-arena", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, bytes)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let map = Arc::new(Mapping::new(fd.as_fd(), bytes, ProtFlags::READ | ProtFlags::WRITE)?);
        let state = State { allocator: Allocator::new(granules), used_bytes: 0 };
        Ok(Arc::new(Self { map, fd, bytes, state: Mutex::new(state) }))
    }

    /// What a peer maps.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Where it lies in this process, all of it.
    pub(crate) fn span(&self) -> (*const u8, usize) {
        (self.map.at.as_ptr(), self.map.bytes)
    }

    /// Its size.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the blocks that are not free.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.lock().used_bytes
    }

    /// A block of `bytes`; `None` if there is no such room now. Constant time.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Option<Block> {
        let granules = u32::try_from((bytes as u64).div_ceil(GRANULE_BYTES).max(1)).ok()?;
        let mut state = self.lock();
        let allocation = state.allocator.allocate(granules)?;
        let size = u64::from(granules) * GRANULE_BYTES;
        state.used_bytes += size;
        drop(state);
        Some(Block { arena: Arc::clone(self), allocation, bytes, size })
    }

    /// Where `bytes` lie, if it is in this arena.
    pub(crate) fn offset_of(&self, bytes: &[u8]) -> Option<u64> {
        let offset = (bytes.as_ptr() as usize).checked_sub(self.map.at.as_ptr() as usize)?;
        (offset + bytes.len() <= self.map.bytes).then_some(offset as u64)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of an arena that nobody else has; dropping it makes it free again.
pub(crate) struct Block {
    arena: Arc<Arena>,
    allocation: Allocation,
    bytes: usize,
    size: u64,
}

impl Block {
    /// To be filled.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        let offset = self.allocation.offset as usize * GRANULE_BYTES as usize;
        // SAFETY: inside the mapping, since the allocator only gives what is; no other block overlaps it, and it
        // has not been frozen, so no view of it exists.
        unsafe { std::slice::from_raw_parts_mut(self.arena.map.at.as_ptr().add(offset), self.bytes) }
    }

    /// Never to be written again: to be read here and by peers.
    pub(crate) fn freeze(self) -> Bytes {
        // An empty `Bytes` would not keep its owner.
        if self.bytes == 0 { Bytes::new() } else { Bytes::from_owner(Frozen(self)) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut state = self.arena.lock();
        state.allocator.free(self.allocation);
        state.used_bytes -= self.size;
    }
}

struct Frozen(Block);

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        let block = &self.0;
        block.arena.map.slice(u64::from(block.allocation.offset) * GRANULE_BYTES, block.bytes)
    }
}

/// Another worker's arena, mapped for reading.
#[derive(Clone)]
pub(crate) struct Foreign {
    map: Arc<Mapping>,
}

impl Foreign {
    /// Maps the arena of `bytes` behind `fd`, which must be sealed so that it cannot shrink.
    pub(crate) fn map(fd: &OwnedFd, bytes: u64) -> std::io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(fd)?;
        let size = rustix::fs::fstat(fd)?.st_size;
        if !seals.contains(SealFlags::SHRINK) || u64::try_from(size).is_ok_and(|size| size < bytes) {
            return Err(std::io::Error::other("an arena that could shrink"));
        }
        Ok(Self { map: Arc::new(Mapping::new(fd.as_fd(), bytes, ProtFlags::READ)?) })
    }

    /// A view of `bytes` from `offset`; `None` if they do not lie in the arena. `released` is called when the last
    /// clone of it is dropped.
    pub(crate) fn view(
        &self,
        offset: u64,
        bytes: u64,
        released: impl FnOnce() + Send + Sync + 'static,
    ) -> Option<Bytes> {
        let end = offset.checked_add(bytes)?;
        if end > self.map.bytes as u64 || bytes == 0 {
            return None;
        }
        let view = View {
            map: Arc::clone(&self.map),
            offset,
            bytes: bytes as usize,
            released: Some(Box::new(released)),
        };
        Some(Bytes::from_owner(view))
    }
}

struct View {
    map: Arc<Mapping>,
    offset: u64,
    bytes: usize,
    released: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        self.map.slice(self.offset, self.bytes)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(released) = self.released.take() {
            released();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// H4, H8: what is written once is seen by whoever maps the arena, and the block is free again
    /// after its last view.
    #[test]
    fn a_peer_sees_what_was_written() {
        let arena = Arena::new(1 << 20).unwrap();
        let mut block = arena.allocate(1000).unwrap();
        block.as_mut().fill(7);
        let ours = block.freeze();
        assert_eq!(arena.used_bytes(), 1024);
        let fd = arena.fd().try_clone_to_owned().unwrap();
        let foreign = Foreign::map(&fd, arena.bytes()).unwrap();
        let released = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&released);
        let offset = arena.offset_of(&ours).unwrap();
        let view = foreign.view(offset, 1000, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let view = view.unwrap();
        assert_eq!(view, ours);
        let second = view.clone();
        drop(view);
        assert_eq!(released.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(released.load(Ordering::Relaxed), 1);
        drop(ours);
        assert_eq!(arena.used_bytes(), 0);
    }

    /// H6: a full arena says so, and has room again once something is given back.
    #[test]
    fn a_full_arena_has_no_room() {
        let arena = Arena::new(4096).unwrap();
        let blocks: Vec<Block> = (0..4).map(|_| arena.allocate(1024).unwrap()).collect();
        assert!(arena.allocate(1).is_none());
        drop(blocks);
        assert!(arena.allocate(4096).is_some());
    }

    /// H3: a place outside the arena is no place.
    #[test]
    fn a_view_lies_inside() {
        let arena = Arena::new(4096).unwrap();
        let fd = arena.fd().try_clone_to_owned().unwrap();
        let foreign = Foreign::map(&fd, arena.bytes()).unwrap();
        assert!(foreign.view(4000, 97, || {}).is_none());
        assert!(foreign.view(u64::MAX, 2, || {}).is_none());
        assert!(foreign.view(0, 0, || {}).is_none());
        assert!(foreign.view(0, 4096, || {}).is_some());
    }
}
