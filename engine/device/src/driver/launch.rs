//! Functions that run on a device.

use std::ffi::{CStr, c_void};

use cudarc::driver::sys;

use super::{Context, Did, Span, Stream, check};

/// A function that runs on a device. It stays for as long as the process.
pub(crate) struct Kernel {
    raw: sys::CUfunction,
}

// SAFETY: a handle that is only read.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// What a kernel is given, in the order in which it takes it.
#[derive(Clone, Copy)]
pub(crate) enum Given<'a> {
    /// Where something begins.
    At(&'a Span),
    Int(u32),
    Count(u64),
    Float(f32),
}

impl Given<'_> {
    /// As the driver reads it: the first bytes are what the kernel takes.
    fn bits(self) -> u64 {
        match self {
            Self::At(span) => span.at(),
            Self::Int(number) => number.into(),
            Self::Count(number) => number,
            Self::Float(number) => number.to_bits().into(),
        }
    }
}

impl Kernel {
    /// Those called `names` in `text`, which is PTX.
    pub(crate) fn load<const N: usize>(context: &Context, text: &CStr, names: [&CStr; N]) -> Did<[Self; N]> {
        context.bind()?;
        let mut module = std::ptr::null_mut();
        let mut log = [0u8; 1024];
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values = [log.as_mut_ptr().cast::<c_void>(), std::ptr::without_provenance_mut(log.len())];
        // SAFETY: writes the module where it is told to, and no more of the log than there is room for; the text ends
        // with a zero.
        let loaded = unsafe {
            sys::cuModuleLoadDataEx(
                &raw mut module,
                text.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        check("cuModuleLoadDataEx", loaded).map_err(|mut refused| {
            let log = CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy();
            if let Some(line) = log.lines().find(|line| !line.trim().is_empty()) {
                refused.error = format!("{} ({})", refused.error, line.trim());
            }
            refused
        })?;
        let mut found = [std::ptr::null_mut(); N];
        for (raw, name) in found.iter_mut().zip(names) {
            // SAFETY: writes the function where it is told to; the module is never unloaded.
            let got = unsafe { sys::cuModuleGetFunction(raw, module, name.as_ptr()) };
            check("cuModuleGetFunction", got)?;
        }
        Ok(found.map(|raw| Self { raw }))
    }
}

impl Stream {
    /// Runs `kernel` on `blocks` of `threads` threads. `given` must be what it takes, and what it reads and writes
    /// inside the spans that it is given.
    pub(crate) fn launch(&self, kernel: &Kernel, blocks: [u32; 3], threads: u32, given: &[Given<'_>]) -> Did {
        const MOST: usize = 12;
        assert!(given.len() <= MOST, "kernels take a dozen parameters at most");
        self.context.bind()?;
        let mut bits = [0u64; MOST];
        let mut places = [std::ptr::null_mut::<c_void>(); MOST];
        for ((bits, place), given) in bits.iter_mut().zip(&mut places).zip(given) {
            *bits = given.bits();
            *place = std::ptr::from_mut(bits).cast();
        }
        let [x, y, z] = blocks;
        // SAFETY: the kernel takes these parameters, which are read before this returns, and stays within the spans,
        // which outlive what was enqueued for them.
        let launched = unsafe {
            sys::cuLaunchKernel(
                kernel.raw,
                x,
                y,
                z,
                threads,
                1,
                1,
                0,
                self.raw,
                places.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        check("cuLaunchKernel", launched)
    }
}
