//! Streams, each a thread that does one thing after the other, events between them, and the kernels, known by name.

use std::ffi::{CStr, c_char, c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::memory::host;
use crate::{
    CAPTURES, ILLEGAL_ADDRESS, INVALID_HANDLE, INVALID_PTX, INVALID_VALUE, NOT_FOUND, NOT_READY,
    OUT_OF_MEMORY, SUCCESS, Status, is_refused, machine, put, transformer,
};

type Work = Box<dyn FnOnce() + Send>;

/// A kernel with what it was given, to be run as often as it is enqueued.
pub(crate) type Kernel = Arc<dyn Fn() + Send + Sync>;

/// A stream's way to its thread. The thread ends when it is destroyed and nothing is left to do.
pub struct Stream {
    work: Sender<Work>,
    /// What was enqueued since capturing began, if it has.
    captured: Mutex<Option<Vec<Kernel>>>,
}

impl Stream {
    fn captured(&self) -> MutexGuard<'_, Option<Vec<Kernel>>> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kernels that were captured.
pub struct Graph(Vec<Kernel>);

/// How often an event was recorded, and how often such a record was reached.
#[derive(Default)]
pub struct Event {
    counts: Mutex<(u64, u64)>,
    reached: Condvar,
}

impl Event {
    fn lock(&self) -> MutexGuard<'_, (u64, u64)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, record: u64) {
        let mut counts = self.lock();
        while counts.1 < record {
            counts = self.reached.wait(counts).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Kernels that were launched.
static LAUNCHED: AtomicU64 = AtomicU64::new(0);

/// Whether a kernel has failed: nothing is done from then on.
fn is_lost() -> bool {
    let most = machine().lost_after;
    most > 0 && LAUNCHED.load(Ordering::Relaxed) > most
}

fn enqueue(stream: *mut Stream, work: impl FnOnce() + Send + 'static) -> Status {
    if is_lost() {
        return ILLEGAL_ADDRESS;
    }
    // SAFETY: a handle that `cuStreamCreate` gave, and that was not destroyed.
    let Some(stream) = (unsafe { stream.as_ref() }) else { return INVALID_HANDLE };
    if stream.captured().is_some() {
        return CAPTURES;
    }
    stream.work.send(Box::new(work)).map_or(INVALID_HANDLE, |()| SUCCESS)
}

/// The event behind a handle, kept while it is used.
fn held(event: *const Event) -> Arc<Event> {
    // SAFETY: a handle that `cuEventCreate` gave, and that was not destroyed.
    unsafe {
        Arc::increment_strong_count(event);
        Arc::from_raw(event)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreate(stream: *mut *mut Stream, _flags: c_uint) -> Status {
    let (work, queue) = channel::<Work>();
    std::thread::spawn(move || {
        let slow = Duration::from_micros(machine().slow_us);
        for work in queue {
            #[allow(clippy::disallowed_methods, reason = "a device takes its time")]
            std::thread::sleep(slow);
            work();
        }
    });
    put(stream, Box::into_raw(Box::new(Stream { work, captured: Mutex::default() })))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(stream: *mut Stream) -> Status {
    // SAFETY: a handle that `cuStreamCreate` gave, and that is used no more.
    drop(unsafe { Box::from_raw(stream) });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(stream: *mut Stream) -> Status {
    let (done, is_done) = channel();
    let status = enqueue(stream, move || {
        let _ = done.send(());
    });
    if status == SUCCESS {
        let _ = is_done.recv();
    }
    status
}

/// That it is done is not said: nobody here asks for that.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(_stream: *mut Stream) -> Status {
    if is_lost() { ILLEGAL_ADDRESS } else { NOT_READY }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(stream: *mut Stream, _mode: c_uint) -> Status {
    if is_refused("cuStreamBeginCapture_v2") {
        return OUT_OF_MEMORY;
    }
    // SAFETY: a handle that `cuStreamCreate` gave, and that was not destroyed.
    let Some(stream) = (unsafe { stream.as_ref() }) else { return INVALID_HANDLE };
    let began = stream.captured().replace(Vec::new());
    if began.is_none() { SUCCESS } else { CAPTURES }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamEndCapture(stream: *mut Stream, graph: *mut *mut Graph) -> Status {
    // SAFETY: as above.
    let Some(stream) = (unsafe { stream.as_ref() }) else { return INVALID_HANDLE };
    let Some(kernels) = stream.captured().take() else { return INVALID_VALUE };
    put(graph, Box::into_raw(Box::new(Graph(kernels))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithFlags(
    executable: *mut *mut Graph,
    graph: *const Graph,
    _flags: u64,
) -> Status {
    if is_refused("cuGraphInstantiateWithFlags") {
        return OUT_OF_MEMORY;
    }
    // SAFETY: a handle that `cuStreamEndCapture` gave, and that was not destroyed.
    let Some(graph) = (unsafe { graph.as_ref() }) else { return INVALID_HANDLE };
    put(executable, Box::into_raw(Box::new(Graph(graph.0.clone()))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphLaunch(executable: *const Graph, stream: *mut Stream) -> Status {
    // SAFETY: a handle that `cuGraphInstantiateWithFlags` gave, and that was not destroyed.
    let Some(graph) = (unsafe { executable.as_ref() }) else { return INVALID_HANDLE };
    let kernels = graph.0.clone();
    LAUNCHED.fetch_add(kernels.len() as u64, Ordering::Relaxed);
    if is_lost() {
        return SUCCESS;
    }
    enqueue(stream, move || kernels.iter().for_each(|kernel| kernel()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroy(graph: *mut Graph) -> Status {
    // SAFETY: a handle that `cuStreamEndCapture` gave, and that is used no more.
    drop(unsafe { Box::from_raw(graph) });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecDestroy(executable: *mut Graph) -> Status {
    // SAFETY: a handle that `cuGraphInstantiateWithFlags` gave, and that is used no more.
    drop(unsafe { Box::from_raw(executable) });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventCreate(event: *mut *const Event, _flags: c_uint) -> Status {
    put(event, Arc::into_raw(Arc::default()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(event: *const Event) -> Status {
    // SAFETY: a handle that `cuEventCreate` gave, and that is used no more.
    drop(unsafe { Arc::from_raw(event) });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: *const Event, stream: *mut Stream) -> Status {
    let event = held(event);
    let record = {
        let mut counts = event.lock();
        counts.0 += 1;
        counts.0
    };
    enqueue(stream, move || {
        let mut counts = event.lock();
        counts.1 = counts.1.max(record);
        drop(counts);
        event.reached.notify_all();
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(stream: *mut Stream, event: *const Event, _flags: c_uint) -> Status {
    let event = held(event);
    let record = event.lock().0;
    enqueue(stream, move || event.wait(record))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventQuery(event: *const Event) -> Status {
    if is_lost() {
        return ILLEGAL_ADDRESS;
    }
    let counts = *held(event).lock();
    if counts.1 >= counts.0 { SUCCESS } else { NOT_READY }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(event: *const Event) -> Status {
    let event = held(event);
    let record = event.lock().0;
    event.wait(record);
    SUCCESS
}

/// A pointer that crosses to a stream's thread.
#[derive(Clone, Copy)]
struct At(*mut u8);

// SAFETY: whoever enqueues work keeps the memory until it is done, and orders who reads and writes.
unsafe impl Send for At {}

impl At {
    /// As a method, so that a closure takes all of it.
    const fn get(self) -> *mut u8 {
        self.0
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchHostFunc(
    stream: *mut Stream,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    given: *mut c_void,
) -> Status {
    let Some(function) = function else { return INVALID_VALUE };
    let given = At(given.cast());
    // SAFETY: the caller gives what its function takes.
    enqueue(stream, move || unsafe { function(given.get().cast()) })
}

fn copy(to: *mut u8, from: *const u8, bytes: usize, stream: *mut Stream) -> Status {
    let (to, from) = (At(to), At(from.cast_mut()));
    // SAFETY: the caller keeps both until the work is done; they do not overlap.
    enqueue(stream, move || unsafe { std::ptr::copy_nonoverlapping(from.get(), to.get(), bytes) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const u8,
    bytes: usize,
    stream: *mut Stream,
) -> Status {
    copy(host(to), from, bytes, stream)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, stream: *mut Stream) -> Status {
    copy(to, host(from), bytes, stream)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: *mut Stream) -> Status {
    copy(host(to), host(from), bytes, stream)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(at: u64, byte: u8, bytes: usize, stream: *mut Stream) -> Status {
    let at = At(host(at));
    // SAFETY: the caller keeps it until the work is done.
    enqueue(stream, move || unsafe { at.get().write_bytes(byte, bytes) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadDataEx(
    module: *mut *const c_char,
    text: *const c_char,
    _options_count: c_uint,
    _options: *mut c_uint,
    _values: *mut *mut c_void,
) -> Status {
    // SAFETY: a C string.
    if is_refused("cuModuleLoadDataEx") || !unsafe { CStr::from_ptr(text) }.to_bytes().is_ascii() {
        return INVALID_PTX;
    }
    // Kernels are known by name: what the text says beyond that is not looked at.
    put(module, text)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(_module: *const c_char) -> Status {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetFunction(
    function: *mut *const c_char,
    module: *const c_char,
    name: *const c_char,
) -> Status {
    // SAFETY: both are C strings: the text that was loaded, and a name.
    let (text, name) = unsafe { (CStr::from_ptr(module), CStr::from_ptr(name)) };
    let entry = format!(".entry {}(", name.to_string_lossy());
    if !text.to_string_lossy().contains(&entry) {
        return NOT_FOUND;
    }
    // As long as the process: there are a few.
    put(function, name.to_owned().into_raw())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernel(
    function: *const c_char,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    _block_x: c_uint,
    _block_y: c_uint,
    _block_z: c_uint,
    _shared_bytes: c_uint,
    stream: *mut Stream,
    parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> Status {
    // SAFETY: `cuModuleGetFunction` gave it.
    let name = unsafe { CStr::from_ptr(function) };
    let blocks = [grid_x, grid_y, grid_z].map(|blocks| blocks as usize);
    if blocks.contains(&0) {
        return INVALID_VALUE;
    }
    let kernel = transformer::work(name.to_bytes(), blocks, parameters);
    // SAFETY: a handle that `cuStreamCreate` gave, and that was not destroyed.
    let Some(live) = (unsafe { stream.as_ref() }) else { return INVALID_HANDLE };
    if let Some(captured) = live.captured().as_mut() {
        let Some(kernel) = kernel else { return NOT_FOUND };
        captured.push(kernel);
        return SUCCESS;
    }
    LAUNCHED.fetch_add(1, Ordering::Relaxed);
    if is_lost() {
        // As a driver does: who launches it hears nothing, and whoever calls next.
        return SUCCESS;
    }
    if let Some(kernel) = kernel {
        return enqueue(stream, move || kernel());
    }
    // SAFETY: the other kernels take three parameters of 64 bits each: where they read, where they write, and how
    // many elements.
    let [from, to, count] = [0, 1, 2].map(|index| unsafe { **parameters.add(index).cast::<*const u64>() });
    let (from, to, count) = (At(host(from)), At(host(to)), count as usize);
    #[allow(clippy::cast_ptr_alignment, reason = "contents begin where every dtype can")]
    match name.to_bytes() {
        b"corn_invert" => enqueue(stream, move || {
            for index in 0..count {
                // SAFETY: the caller keeps both until the work is done.
                unsafe { to.get().add(index).write(!from.get().add(index).read()) };
            }
        }),
        b"corn_sum" => enqueue(stream, move || {
            // SAFETY: as above; contents are aligned for every dtype.
            let values = unsafe { std::slice::from_raw_parts(from.get().cast::<f32>(), count) };
            // SAFETY: as above.
            unsafe { to.get().cast::<f32>().write(values.iter().sum()) };
        }),
        _ => NOT_FOUND,
    }
}
