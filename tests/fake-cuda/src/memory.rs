//! Memory of a device: a memfd, which other processes map by its descriptor as they do with the real thing.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

use crate::{
    INVALID_HANDLE, INVALID_VALUE, NOT_SUPPORTED, OUT_OF_MEMORY, SUCCESS, Status, is_refused, machine, put,
};

/// What an address of a device has more than that of the host's memory behind it: whoever reads one as the other
/// ends.
const BEYOND: u64 = 1 << 60;
/// What sizes and addresses are multiples of.
const GRANULE_BYTES: usize = 2 << 20;

/// The beginning of `CUmemAllocationProp`, as far as it is looked at.
#[repr(C)]
pub struct Property {
    kind: c_uint,
    handle_types: c_uint,
    location_kind: c_uint,
    device: c_int,
}

struct Physical {
    fd: OwnedFd,
    bytes: u64,
    /// Of those that were made here.
    device: Option<c_int>,
}

#[derive(Default)]
struct Known {
    made: u64,
    physical: BTreeMap<u64, Physical>,
}

fn known() -> MutexGuard<'static, Known> {
    static KNOWN: Mutex<Known> = Mutex::new(Known { made: 0, physical: BTreeMap::new() });
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host's memory behind an address of a device.
pub(crate) const fn host(at: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut((at - BEYOND) as usize)
}

pub(crate) fn used_bytes(device: c_int) -> u64 {
    let known = known();
    known.physical.values().filter(|memory| memory.device == Some(device)).map(|memory| memory.bytes).sum()
}

fn keep(physical: Physical) -> u64 {
    let mut known = known();
    known.made += 1;
    let handle = known.made;
    known.physical.insert(handle, physical);
    handle
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAllocationGranularity(
    bytes: *mut usize,
    _property: *const Property,
    _option: c_uint,
) -> Status {
    put(bytes, GRANULE_BYTES)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemCreate(
    handle: *mut c_ulonglong,
    bytes: usize,
    property: *const Property,
    _flags: c_ulonglong,
) -> Status {
    // SAFETY: the caller gives a description.
    let property = unsafe { &*property };
    if !bytes.is_multiple_of(GRANULE_BYTES) || property.handle_types != 1 || property.location_kind != 1 {
        return INVALID_VALUE;
    }
    if used_bytes(property.device) + bytes as u64 > machine().memory_bytes {
        return OUT_OF_MEMORY;
    }
    let Ok(fd) = rustix::fs::memfd_create("fake-cuda", MemfdFlags::CLOEXEC) else { return OUT_OF_MEMORY };
    if rustix::fs::ftruncate(&fd, bytes as u64).is_err() {
        return OUT_OF_MEMORY;
    }
    put(handle, keep(Physical { fd, bytes: bytes as u64, device: Some(property.device) }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRelease(handle: c_ulonglong) -> Status {
    if known().physical.remove(&handle).is_some() { SUCCESS } else { INVALID_HANDLE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemExportToShareableHandle(
    shareable: *mut c_void,
    handle: c_ulonglong,
    _kind: c_uint,
    _flags: c_ulonglong,
) -> Status {
    let known = known();
    let Some(physical) = known.physical.get(&handle) else { return INVALID_HANDLE };
    match physical.fd.try_clone() {
        Ok(fd) => put(shareable.cast::<c_int>(), fd.into_raw_fd()),
        Err(_) => OUT_OF_MEMORY,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemImportFromShareableHandle(
    handle: *mut c_ulonglong,
    shareable: *mut c_void,
    _kind: c_uint,
) -> Status {
    if is_refused("cuMemImportFromShareableHandle") {
        return NOT_SUPPORTED;
    }
    // SAFETY: the caller has the descriptor open during this call.
    let fd = unsafe { BorrowedFd::borrow_raw(shareable as usize as c_int) };
    let (Ok(fd), Ok(stat)) = (fd.try_clone_to_owned(), rustix::fs::fstat(fd)) else { return INVALID_VALUE };
    put(handle, keep(Physical { fd, bytes: stat.st_size as u64, device: None }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAddressReserve(
    at: *mut u64,
    bytes: usize,
    _alignment: usize,
    _wanted: u64,
    _flags: c_ulonglong,
) -> Status {
    // SAFETY: a fresh mapping, which overlaps nothing.
    let map = unsafe {
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE)
    };
    map.map_or(OUT_OF_MEMORY, |map| put(at, map.expose_provenance() as u64 + BEYOND))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAddressFree(at: u64, bytes: usize) -> Status {
    // SAFETY: the caller reserved it.
    let freed = unsafe { rustix::mm::munmap(host(at).cast(), bytes) };
    freed.map_or(INVALID_VALUE, |()| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemMap(
    at: u64,
    bytes: usize,
    offset: usize,
    handle: c_ulonglong,
    _flags: c_ulonglong,
) -> Status {
    let known = known();
    let Some(physical) = known.physical.get(&handle) else { return INVALID_HANDLE };
    if (offset + bytes) as u64 > physical.bytes {
        return INVALID_VALUE;
    }
    let flags = MapFlags::SHARED | MapFlags::FIXED;
    // SAFETY: the caller reserved these addresses, and nobody may read there before `cuMemSetAccess`.
    let map = unsafe {
        rustix::mm::mmap(
            host(at).cast(),
            bytes,
            ProtFlags::empty(),
            flags,
            physical.fd.as_fd(),
            offset as u64,
        )
    };
    map.map_or(INVALID_VALUE, |_| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemUnmap(at: u64, bytes: usize) -> Status {
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    // SAFETY: the caller reserved these addresses, and no work on them is left.
    let map = unsafe { rustix::mm::mmap_anonymous(host(at).cast(), bytes, ProtFlags::empty(), flags) };
    map.map_or(INVALID_VALUE, |_| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemSetAccess(at: u64, bytes: usize, _access: *const c_void, _count: usize) -> Status {
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the caller mapped memory there.
    let set = unsafe { rustix::mm::mprotect(host(at).cast(), bytes, flags) };
    set.map_or(INVALID_VALUE, |()| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostRegister_v2(_at: *mut c_void, _bytes: usize, _flags: c_uint) -> Status {
    if is_refused("cuMemHostRegister_v2") { NOT_SUPPORTED } else { SUCCESS }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostUnregister(_at: *mut c_void) -> Status {
    SUCCESS
}
