//! Devices, contexts and errors.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::{INVALID_DEVICE, INVALID_VALUE, SUCCESS, Status, is_refused, machine, memory, put};

thread_local! {
    static CURRENT: Cell<c_int> = const { Cell::new(-1) };
}

const fn is_device(device: c_int, gpus: c_int) -> bool {
    device >= 0 && device < gpus
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> Status {
    if is_refused("cuInit") { 803 } else { SUCCESS }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: *mut c_int) -> Status {
    put(count, machine().gpus)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> Status {
    if is_device(ordinal, machine().gpus) { put(device, ordinal) } else { INVALID_DEVICE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetName(name: *mut c_char, bytes: c_int, _device: c_int) -> Status {
    let text = b"Stand-in\0";
    if (bytes as usize) < text.len() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller says that there is room for so many bytes.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), name, text.len()) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> Status {
    put(bytes, machine().memory_bytes as usize)
}

/// Answers what is asked here: how many multiprocessors there are, and the compute capability, major and minor.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(number: *mut c_int, attribute: c_uint, _device: c_int) -> Status {
    match attribute {
        16 => put(number, 4),
        75 => put(number, machine().capability / 10),
        76 => put(number, machine().capability % 10),
        _ => INVALID_VALUE,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, device: c_int) -> Status {
    // The device's number and one, so that it is not null.
    put(context, std::ptr::without_provenance_mut(device as usize + 1))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> Status {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: *mut c_void) -> Status {
    CURRENT.set(context as usize as c_int - 1);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> Status {
    let device = CURRENT.get();
    if !is_device(device, machine().gpus) {
        return 201;
    }
    put(total, machine().memory_bytes as usize);
    put(free, (machine().memory_bytes - memory::used_bytes(device)) as usize)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(error: Status, name: *mut *const c_char) -> Status {
    let text = match error {
        1 => c"CUDA_ERROR_INVALID_VALUE",
        2 => c"CUDA_ERROR_OUT_OF_MEMORY",
        101 => c"CUDA_ERROR_INVALID_DEVICE",
        201 => c"CUDA_ERROR_INVALID_CONTEXT",
        400 => c"CUDA_ERROR_INVALID_HANDLE",
        500 => c"CUDA_ERROR_NOT_FOUND",
        600 => c"CUDA_ERROR_NOT_READY",
        700 => c"CUDA_ERROR_ILLEGAL_ADDRESS",
        801 => c"CUDA_ERROR_NOT_SUPPORTED",
        803 => c"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        _ => c"CUDA_ERROR_UNKNOWN",
    };
    put(name, text.as_ptr())
}
