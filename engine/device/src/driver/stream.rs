//! Work that a device does in order, and points in it.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys;

use super::{Context, Did, Span, check, is_over};

/// Work that a device does in order.
pub(crate) struct Stream {
    pub(super) raw: sys::CUstream,
    pub(super) context: Arc<Context>,
}

// SAFETY: the driver takes work for a stream from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    pub(crate) fn new(context: &Arc<Context>) -> Did<Self> {
        context.bind()?;
        let mut raw = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes the stream where it is told to.
        check("cuStreamCreate", unsafe { sys::cuStreamCreate(&raw mut raw, flags) })?;
        Ok(Self { raw, context: Arc::clone(context) })
    }

    /// Sets every byte of `to`.
    pub(crate) fn fill(&self, to: &Span, byte: u8) -> Did {
        self.context.bind()?;
        // SAFETY: inside a mapping, which outlives what was enqueued for it.
        check("cuMemsetD8Async", unsafe { sys::cuMemsetD8Async(to.at(), byte, to.len(), self.raw) })
    }

    /// Copies within devices.
    pub(crate) fn copy(&self, from: &Span, to: &Span) -> Did {
        assert_eq!(from.len(), to.len(), "what is copied fits");
        self.context.bind()?;
        // SAFETY: both inside mappings, which outlive what was enqueued for them.
        let copied = unsafe { sys::cuMemcpyDtoDAsync_v2(to.at(), from.at(), to.len(), self.raw) };
        check("cuMemcpyDtoDAsync", copied)
    }

    /// Copies from the host, and waits for it: `from` may be gone afterwards.
    pub(crate) fn copy_in(&self, from: &[u8], to: &Span) -> Did {
        assert_eq!(from.len(), to.len(), "what is copied fits");
        self.context.bind()?;
        // SAFETY: inside a mapping; `from` is there until the stream has been waited for.
        let copied = unsafe { sys::cuMemcpyHtoDAsync_v2(to.at(), from.as_ptr().cast(), to.len(), self.raw) };
        check("cuMemcpyHtoDAsync", copied)?;
        self.wait()
    }

    /// Copies to the host, and waits for it.
    pub(crate) fn copy_out(&self, from: &Span, to: &mut [u8]) -> Did {
        assert_eq!(from.len(), to.len(), "what is copied fits");
        self.context.bind()?;
        // SAFETY: inside a mapping; `to` is there, and nobody else's, until the stream has been waited for.
        let copied =
            unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from.at(), to.len(), self.raw) };
        check("cuMemcpyDtoHAsync", copied)?;
        self.wait()
    }

    /// An event that is reached when everything so far is done.
    pub(crate) fn record(&self) -> Did<Event> {
        self.context.bind()?;
        let mut raw = std::ptr::null_mut();
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        // SAFETY: writes the event where it is told to.
        check("cuEventCreate", unsafe { sys::cuEventCreate(&raw mut raw, flags) })?;
        let event = Event { raw, context: Arc::clone(&self.context) };
        // SAFETY: both were made in this context.
        check("cuEventRecord", unsafe { sys::cuEventRecord(event.raw, self.raw) })?;
        Ok(event)
    }

    /// What comes later waits until `event` is reached. Nobody else does.
    pub(crate) fn wait_for(&self, event: &Event) -> Did {
        self.context.bind()?;
        // SAFETY: both are there; an event may be given up as soon as this has returned.
        check("cuStreamWaitEvent", unsafe { sys::cuStreamWaitEvent(self.raw, event.raw, 0) })
    }

    /// Calls `then` when everything so far is done, on a thread of the driver's: it must return at once, and must not
    /// call the driver. What comes later in this stream waits for it.
    pub(crate) fn then(&self, then: Box<dyn FnOnce() + Send>) -> Did {
        unsafe extern "C" fn call(then: *mut c_void) {
            // SAFETY: what `then` was made of below, once.
            let then = unsafe { Box::from_raw(then.cast::<Box<dyn FnOnce() + Send>>()) };
            // The driver cannot take a panic.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(then));
        }
        self.context.bind()?;
        let given = Box::into_raw(Box::new(then));
        // SAFETY: the function takes what it is given here, and is called at most once.
        let launched = unsafe { sys::cuLaunchHostFunc(self.raw, Some(call), given.cast()) };
        check("cuLaunchHostFunc", launched).inspect_err(|_| {
            // SAFETY: the driver has not taken it.
            drop(unsafe { Box::from_raw(given) });
        })
    }

    /// Whether everything so far is done.
    pub(crate) fn is_done(&self) -> Did<bool> {
        self.context.bind()?;
        // SAFETY: the stream is there.
        is_over("cuStreamQuery", unsafe { sys::cuStreamQuery(self.raw) })
    }

    /// Waits until everything so far is done.
    pub(crate) fn wait(&self) -> Did {
        self.context.bind()?;
        // SAFETY: the stream is there.
        check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.raw) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made once and used no more; the driver does what was enqueued before it is gone.
        let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
    }
}

/// A point in a stream.
pub(crate) struct Event {
    raw: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: the driver may be asked from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Whether it is reached.
    pub(crate) fn is_reached(&self) -> Did<bool> {
        self.context.bind()?;
        // SAFETY: the event is there.
        is_over("cuEventQuery", unsafe { sys::cuEventQuery(self.raw) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made once; the driver keeps it for those that wait for it.
        let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
    }
}
