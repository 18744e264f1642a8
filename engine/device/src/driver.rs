//! The driver, `libcuda.so.1`, found and loaded while the process runs: nothing of it is needed to build Corn or to
//! start it. Each type here owns what the driver gave for it, keeps alive what it lies in, and gives it back.
//!
//! Whoever calls the driver without it would panic, so [`open`] is asked first, and every other type is made from a
//! [`Context`], which asks it.

#![allow(unsafe_code, reason = "the driver is a C library")]

mod graph;
mod launch;
mod stream;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys;

pub(crate) use graph::{Graph, Recorder};
pub(crate) use launch::{Given, Kernel};
pub(crate) use stream::{Event, Stream};

/// Every function of the driver that is called here and not in [`graph`].
const CALLED: [&str; 40] = [
    "cuInit",
    "cuGetErrorName",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceTotalMem_v2",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuMemGetInfo_v2",
    "cuMemGetAllocationGranularity",
    "cuMemCreate",
    "cuMemRelease",
    "cuMemExportToShareableHandle",
    "cuMemImportFromShareableHandle",
    "cuMemAddressReserve",
    "cuMemAddressFree",
    "cuMemMap",
    "cuMemUnmap",
    "cuMemSetAccess",
    "cuMemHostRegister_v2",
    "cuMemHostUnregister",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamQuery",
    "cuStreamWaitEvent",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventQuery",
    "cuLaunchHostFunc",
    "cuModuleLoadDataEx",
    "cuModuleGetFunction",
    "cuLaunchKernel",
];

/// What the driver did not do.
#[derive(Debug)]
pub(crate) struct Refused {
    call: &'static str,
    error: String,
    /// Whether this process can do nothing on the device any more, be it as well as before for others.
    pub(crate) is_final: bool,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} said {}", self.call, self.error)
    }
}

type Did<T = ()> = Result<T, Refused>;

fn check(call: &'static str, result: sys::CUresult) -> Did {
    if result == sys::CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let mut name: *const c_char = std::ptr::null();
    // SAFETY: the driver writes where a text of its own stands, or nothing.
    let is_known = unsafe { sys::cuGetErrorName(result, &raw mut name) } == sys::CUresult::CUDA_SUCCESS;
    let error = if is_known && !name.is_null() {
        // SAFETY: a C string of the driver's, which stays.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    } else {
        format!("error {}", result as u32)
    };
    Err(Refused { call, error, is_final: is_final(result) })
}

/// What an answer says that may be that it is not over yet.
fn is_over(call: &'static str, asked: sys::CUresult) -> Did<bool> {
    match asked {
        sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
        asked => check(call, asked).map(|()| true),
    }
}

/// Whether NVIDIA's manual says of an error that the process has to end: each later call fails with it.
const fn is_final(result: sys::CUresult) -> bool {
    use sys::CUresult as Said;
    matches!(
        result,
        Said::CUDA_ERROR_ECC_UNCORRECTABLE
            | Said::CUDA_ERROR_NVLINK_UNCORRECTABLE
            | Said::CUDA_ERROR_CONTAINED
            | Said::CUDA_ERROR_ILLEGAL_ADDRESS
            | Said::CUDA_ERROR_LAUNCH_TIMEOUT
            | Said::CUDA_ERROR_CONTEXT_IS_DESTROYED
            | Said::CUDA_ERROR_ASSERT
            | Said::CUDA_ERROR_HARDWARE_STACK_ERROR
            | Said::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | Said::CUDA_ERROR_MISALIGNED_ADDRESS
            | Said::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | Said::CUDA_ERROR_INVALID_PC
            | Said::CUDA_ERROR_LAUNCH_FAILED
            | Said::CUDA_ERROR_TENSOR_MEMORY_LEAK
            | Said::CUDA_ERROR_EXTERNAL_DEVICE
            | Said::CUDA_ERROR_MPS_CLIENT_TERMINATED
            | Said::CUDA_ERROR_UNKNOWN
    )
}

/// Loads the driver, once; why it cannot be used, otherwise.
pub(crate) fn open() -> Result<(), String> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    let open = || {
        // SAFETY: loads the library, whose initialisers are NVIDIA's, and lets go of it again.
        if !unsafe { sys::is_culib_present() } {
            return Err("libcuda.so.1 is not found".to_owned());
        }
        if let Some(name) = lacks(&CALLED) {
            return Err(format!("libcuda.so.1 is too old: it has no {name}"));
        }
        // SAFETY: takes no pointer.
        check("cuInit", unsafe { sys::cuInit(0) })
            .map_err(|refused| format!("the driver does not start: {refused}"))
    };
    OPENED.get_or_init(open).clone()
}

/// The first of these functions that the driver, which is present, has not.
fn lacks<'a>(names: &[&'a str]) -> Option<&'a str> {
    // SAFETY: it is present, so this does not panic.
    let library = unsafe { sys::culib() };
    // SAFETY: only whether the symbol is there is looked at.
    let lacks = |name: &&&str| unsafe { library.get::<*const c_void>(name.as_bytes()) }.is_err();
    names.iter().find(lacks).copied()
}

/// How many devices the process sees, once the driver is open.
pub(crate) fn count() -> Did<u32> {
    let mut count = 0;
    // SAFETY: writes the number where it is told to.
    check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&raw mut count) })?;
    Ok(count.unsigned_abs())
}

/// What a device is called, and bytes of its memory. Nothing is made on it for that.
pub(crate) fn describe(ordinal: u32) -> Did<(String, u64)> {
    let device = device(ordinal)?;
    let mut name = [0u8; 128];
    let at = name.as_mut_ptr().cast::<c_char>();
    // SAFETY: writes no more than it is told there is room for.
    check("cuDeviceGetName", unsafe { sys::cuDeviceGetName(at, name.len() as c_int, device) })?;
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy().into_owned();
    let mut bytes = 0;
    // SAFETY: writes the figure where it is told to.
    check("cuDeviceTotalMem", unsafe { sys::cuDeviceTotalMem_v2(&raw mut bytes, device) })?;
    Ok((name, bytes as u64))
}

fn device(ordinal: u32) -> Did<sys::CUdevice> {
    let mut device = 0;
    // SAFETY: writes the device where it is told to.
    check("cuDeviceGet", unsafe { sys::cuDeviceGet(&raw mut device, ordinal as c_int) })?;
    Ok(device)
}

/// What work on one device is done in: the process's primary context, which others in it share.
pub(crate) struct Context {
    raw: sys::CUcontext,
    device: c_int,
}

// SAFETY: the driver may be called from any thread; a context is made current before each call.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Of the device with this number.
    pub(crate) fn retain(ordinal: u32) -> Did<Arc<Self>> {
        open().map_err(|error| Refused { call: "the driver", error, is_final: false })?;
        let device = device(ordinal)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: writes the context where it is told to.
        check("cuDevicePrimaryCtxRetain", unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut raw, device) })?;
        Ok(Arc::new(Self { raw, device }))
    }

    /// What it can do, as NVIDIA numbers it: 9 and 0 of a GPU of compute capability 9.0.
    pub(crate) fn capability(&self) -> Did<(c_int, c_int)> {
        let major = self.ask(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        Ok((major, self.ask(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?))
    }

    /// How many multiprocessors it has, at least one.
    pub(crate) fn multiprocessors(&self) -> Did<u32> {
        let count = self.ask(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        Ok(u32::try_from(count).unwrap_or(0).max(1))
    }

    fn ask(&self, what: sys::CUdevice_attribute) -> Did<c_int> {
        let mut number = 0;
        // SAFETY: writes the number where it is told to.
        let asked = unsafe { sys::cuDeviceGetAttribute(&raw mut number, what, self.device) };
        check("cuDeviceGetAttribute", asked).map(|()| number)
    }

    fn bind(&self) -> Did {
        // SAFETY: a context that is retained.
        check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.raw) })
    }

    /// Bytes of the device's memory that nobody uses now.
    pub(crate) fn free_bytes(&self) -> Did<u64> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes both where it is told to.
        check("cuMemGetInfo", unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) })?;
        Ok(free as u64)
    }

    /// What memory is asked for: on this device, and so that its descriptor can be given to other processes.
    fn property(&self) -> sys::CUmemAllocationProp {
        sys::CUmemAllocationProp {
            type_: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
            requestedHandleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
            location: self.location(),
            win32HandleMetaData: std::ptr::null_mut(),
            allocFlags: sys::CUmemAllocationProp_st__bindgen_ty_1 {
                compressionType: 0,
                gpuDirectRDMACapable: 0,
                usage: 0,
                reserved: [0; 4],
            },
        }
    }

    const fn location(&self) -> sys::CUmemLocation {
        sys::CUmemLocation { type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE, id: self.device }
    }

    /// `bytes`, rounded up to what can be mapped.
    pub(crate) fn rounded(&self, bytes: u64) -> Did<u64> {
        let mut granule = 0;
        let property = self.property();
        let option = sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_RECOMMENDED;
        // SAFETY: writes the figure where it is told to; the description is read before it returns.
        let asked =
            unsafe { sys::cuMemGetAllocationGranularity(&raw mut granule, &raw const property, option) };
        check("cuMemGetAllocationGranularity", asked)?;
        Ok(bytes.max(1).next_multiple_of(granule.max(1) as u64))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once, and everything made in it is gone: it holds the context.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

/// Memory of a device, this process's or another's, at addresses of this process.
pub(crate) struct Mapping {
    /// There until it is dropped.
    mapped: Option<Mapped>,
    at: sys::CUdeviceptr,
    bytes: u64,
    /// What may work on it.
    work: Arc<Stream>,
}

/// What is given back when no work is left.
struct Mapped {
    handle: sys::CUmemGenericAllocationHandle,
    at: sys::CUdeviceptr,
    bytes: usize,
    context: Arc<Context>,
}

impl Mapping {
    /// Fresh memory of `bytes`, which [`Context::rounded`] gave, for `work` to work on.
    pub(crate) fn new(work: &Arc<Stream>, bytes: u64) -> Did<Self> {
        let context = &work.context;
        context.bind()?;
        let property = context.property();
        let mut handle = 0;
        // SAFETY: writes the handle where it is told to; the description is read before it returns.
        let created = unsafe { sys::cuMemCreate(&raw mut handle, bytes as usize, &raw const property, 0) };
        check("cuMemCreate", created)?;
        Self::of(work, handle, bytes)
    }

    /// What another process has described by `fd`.
    pub(crate) fn import(work: &Arc<Stream>, fd: BorrowedFd<'_>, bytes: u64) -> Did<Self> {
        work.context.bind()?;
        let mut handle = 0;
        let kind = sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
        let fd = std::ptr::without_provenance_mut::<c_void>(fd.as_raw_fd() as usize);
        // SAFETY: writes the handle where it is told to; a descriptor is given by its number.
        let imported = unsafe { sys::cuMemImportFromShareableHandle(&raw mut handle, fd, kind) };
        check("cuMemImportFromShareableHandle", imported)?;
        Self::of(work, handle, bytes)
    }

    fn of(work: &Arc<Stream>, handle: sys::CUmemGenericAllocationHandle, bytes: u64) -> Did<Self> {
        let context = Arc::clone(&work.context);
        let access = sys::CUmemAccessDesc {
            location: context.location(),
            flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
        };
        let mut mapped = Mapped { handle, at: 0, bytes: bytes as usize, context };
        let size = mapped.bytes;
        // SAFETY: writes the address where it is told to.
        let reserved = unsafe { sys::cuMemAddressReserve(&raw mut mapped.at, size, 0, 0, 0) };
        check("cuMemAddressReserve", reserved)?;
        // SAFETY: addresses that were just reserved; the driver refuses more bytes than there are.
        check("cuMemMap", unsafe { sys::cuMemMap(mapped.at, size, 0, handle, 0) })?;
        // SAFETY: mapped just now; the description is read before it returns.
        let set = unsafe { sys::cuMemSetAccess(mapped.at, size, &raw const access, 1) };
        check("cuMemSetAccess", set)?;
        Ok(Self { at: mapped.at, mapped: Some(mapped), bytes, work: Arc::clone(work) })
    }

    /// What another process imports.
    pub(crate) fn export(&self) -> Did<OwnedFd> {
        let mapped = self.mapped.as_ref().expect("it is there until it is dropped");
        mapped.context.bind()?;
        let mut fd: c_int = -1;
        let kind = sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
        let to = (&raw mut fd).cast::<c_void>();
        // SAFETY: writes a descriptor where it is told to.
        let exported = unsafe { sys::cuMemExportToShareableHandle(to, mapped.handle, kind, 0) };
        check("cuMemExportToShareableHandle", exported)?;
        // SAFETY: fresh, and ours.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Mapping {
    /// No span of it is left; what works on it may be under way. Waiting for that is nobody's business.
    fn drop(&mut self) {
        let (mapped, work) = (self.mapped.take(), Arc::clone(&self.work));
        let unmap = move || {
            let _ = work.wait();
            drop(mapped);
        };
        // Without a thread it is given back at once.
        let _ = std::thread::Builder::new().name("corn-unmap".to_owned()).spawn(unmap);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let _ = self.context.bind();
        if self.at != 0 {
            // SAFETY: ours, and used no more.
            let _ = unsafe { sys::cuMemUnmap(self.at, self.bytes) };
            // SAFETY: as above.
            let _ = unsafe { sys::cuMemAddressFree(self.at, self.bytes) };
        }
        // SAFETY: ours; the memory itself stays for as long as another process maps it.
        let _ = unsafe { sys::cuMemRelease(self.handle) };
    }
}

/// A part of a mapping.
#[derive(Clone)]
pub(crate) struct Span {
    map: Arc<Mapping>,
    offset: u64,
    bytes: u64,
}

impl Span {
    /// `bytes` from `offset`, if they lie inside.
    pub(crate) fn new(map: &Arc<Mapping>, offset: u64, bytes: u64) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        (end <= map.bytes).then(|| Self { map: Arc::clone(map), offset, bytes })
    }

    pub(crate) const fn mapping(&self) -> &Arc<Mapping> {
        &self.map
    }

    /// Whether its memory stays until what was enqueued in `work` is done.
    pub(crate) fn is_of(&self, work: &Arc<Stream>) -> bool {
        Arc::ptr_eq(&self.map.work, work)
    }

    /// `bytes` of it from `offset`, if they lie inside.
    pub(crate) fn part(&self, offset: u64, bytes: u64) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        let is_inside = end <= self.bytes;
        is_inside.then(|| Self { map: Arc::clone(&self.map), offset: self.offset + offset, bytes })
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_in(&self, map: &Arc<Mapping>) -> bool {
        Arc::ptr_eq(&self.map, map)
    }

    fn at(&self) -> sys::CUdeviceptr {
        self.map.at + self.offset
    }

    const fn len(&self) -> usize {
        self.bytes as usize
    }
}

/// Memory of the host that devices copy from and to directly.
pub(crate) struct Pinned {
    at: *mut c_void,
    context: Arc<Context>,
    /// Keeps it mapped.
    _owner: Arc<dyn Send + Sync>,
}

// SAFETY: an address that is only given back.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// `bytes` from `at`, which `owner` keeps mapped. The driver refuses what is no memory.
    pub(crate) fn new(
        context: &Arc<Context>,
        at: *const u8,
        bytes: usize,
        owner: Arc<dyn Send + Sync>,
    ) -> Did<Self> {
        context.bind()?;
        let at = at.cast_mut().cast::<c_void>();
        // SAFETY: nothing is read or written; the memory stays while this is there.
        check("cuMemHostRegister", unsafe { sys::cuMemHostRegister_v2(at, bytes, 1) })?;
        Ok(Self { at, context: Arc::clone(context), _owner: owner })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: registered once.
        let _ = unsafe { sys::cuMemHostUnregister(self.at) };
    }
}
