//! One GPU that this process works on.
//!
//! All its work goes through one stream, in order; so what is made of contents may be enqueued before they are made,
//! and nobody waits. A second stream does nothing but tell the host when something is done, so that telling never
//! holds work up.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use corn_core::executor::{Device, Memory};
use corn_core::{Datum, DeviceTensor, Fault, OnDevice};

use crate::arena::{Arena, Block};
use crate::driver::{Context, Event, Given, Kernel, Pinned, Refused, Span, Stream};
use crate::found::Found;
use crate::held::Held;

/// The kernels, which the driver compiles when the first is needed.
const KERNELS: &str = concat!(include_str!("kernels.ptx"), "\0");

/// Threads of a block of a kernel.
const BLOCK_THREADS: u64 = 256;
/// Most blocks of a kernel: each thread goes on with more elements.
const MAX_BLOCKS: u64 = 4096;

/// What the driver takes for itself, such as for kernels, and what is lost where memory is given in whole pages.
const HEADROOM_BYTES: u64 = 256 << 20;

/// How long what is made waits for room in the arena. Whoever makes it stands still meanwhile.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// What is done when a GPU is lost, with what the driver said.
pub type Lost = Box<dyn Fn(&str) + Send + Sync>;

/// A GPU.
pub struct Gpu {
    found: Found,
    context: Arc<Context>,
    work: Arc<Stream>,
    tell: Stream,
    arena: Arc<Arena>,
    kernels: OnceLock<Result<Kernels, String>>,
    /// Where copies for the host are made.
    host: Mutex<Option<Host>>,
    /// What is called when this process can do nothing on it any more.
    lost: OnceLock<Lost>,
}

struct Kernels {
    invert: Kernel,
    sum: Kernel,
}

struct Host {
    memory: Arc<dyn Memory>,
    /// `None` where the driver does not want it: copies go through memory of the driver's own then.
    _pinned: Option<Pinned>,
}

impl Device for Gpu {}

impl Gpu {
    /// Begins to work on `found`, with an arena of `least_bytes`, or of up to `most_bytes` if as much is free besides the
    /// `spared_bytes` that others here need.
    pub fn open(
        found: &Found,
        least_bytes: u64,
        most_bytes: u64,
        spared_bytes: u64,
    ) -> Result<Arc<Self>, String> {
        let context = Context::retain(found.ordinal);
        let context = context.map_err(|refused| format!("GPU {} cannot be used: {refused}", found.index))?;
        let opened = || {
            let work = Arc::new(Stream::new(&context)?);
            let spare = context.free_bytes()?.saturating_sub(spared_bytes.saturating_add(HEADROOM_BYTES));
            let arena = Arena::new(&context, &work, most_bytes.min(spare).max(least_bytes))?;
            let tell = Stream::new(&context)?;
            Ok::<_, Refused>((work, tell, arena))
        };
        let opened = opened();
        let (work, tell, arena) = opened.map_err(|refused| {
            format!("GPU {} has no room for an arena of {least_bytes} bytes: {refused}", found.index)
        })?;
        let (found, kernels, host, lost) =
            (found.clone(), OnceLock::new(), Mutex::new(None), OnceLock::new());
        Ok(Arc::new(Self { found, context, work, tell, arena, kernels, host, lost }))
    }

    /// The GPU, as the plan numbers it.
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// Bytes of its memory that nobody uses now; `None` if it does not say.
    pub fn free_bytes(&self) -> Option<u64> {
        self.context.free_bytes().ok()
    }

    /// What it is called in messages.
    pub fn called(&self) -> String {
        format!("GPU {} ({})", self.found.index, self.found.name)
    }

    /// Bytes of its arena, and how many of them are in use.
    pub fn arena_bytes(&self) -> (u64, u64) {
        (self.arena.bytes(), self.arena.used_bytes())
    }

    /// What other processes map its arena by.
    pub fn export(&self) -> Result<std::os::fd::OwnedFd, String> {
        self.arena.export().map_err(|refused| format!("{} shares no memory: {refused}", self.called()))
    }

    /// Copies for the host are made in `memory` from now on, which lies in `bytes` from `at` for as long as `owner` is
    /// there, and which the GPU copies to directly.
    pub fn copy_to(&self, memory: Arc<dyn Memory>, at: *const u8, bytes: usize, owner: Arc<dyn Send + Sync>) {
        let pinned = Pinned::new(&self.context, at, bytes, owner).ok();
        let host = Host { memory, _pinned: pinned };
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = Some(host);
    }

    /// Calls `then` with what the driver said, on whatever thread hears it, when this process can do nothing on the GPU
    /// any more: after an error in its memory, or of a kernel. What was under way is not made then, and nobody is told
    /// that it was before `then` returns. Only the first `then` counts.
    pub fn when_lost(&self, then: Lost) {
        let _ = self.lost.set(then);
    }

    /// Looks whether this process can still do something on it: of what failed while it ran, nobody is told before
    /// somebody asks.
    pub fn look(&self) {
        if let Err(mut refused) = self.work.is_done() {
            // Whatever it says: only what went wrong before is said of a stream that nothing is asked of.
            refused.is_final = true;
            self.failed(&refused);
        }
    }

    pub(crate) const fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) const fn work(&self) -> &Arc<Stream> {
        &self.work
    }

    /// Where `held` begins, if it lies in this GPU's own arena.
    pub fn offset_of(&self, held: &Held) -> Option<u64> {
        self.arena.offset_of(&held.span)
    }

    /// `bytes`, each of them `byte`.
    pub fn filled(self: &Arc<Self>, bytes: u64, byte: u8) -> Result<Arc<Held>, Fault> {
        self.make(bytes, |gpu, to| gpu.work.fill(to, byte))
    }

    /// The same contents in this GPU's own arena; `None` if there is no room now.
    pub fn adopted(self: &Arc<Self>, held: &Held) -> Option<Result<Arc<Held>, Fault>> {
        let block = self.arena.allocate(held.bytes())?;
        Some(self.make_in(block, |gpu, to| gpu.work.copy(held.read(), to)))
    }

    /// Each byte of `held` inverted.
    pub fn inverted(self: &Arc<Self>, held: &Held) -> Result<Arc<Held>, Fault> {
        let (kernels, count) = (self.kernels()?, held.bytes());
        self.make(count, |gpu, to| gpu.launch(&kernels.invert, held.read(), to, count, count))
    }

    /// The sum of the 32-bit floats in `held`, as one.
    pub fn summed(self: &Arc<Self>, held: &Held) -> Result<Arc<Held>, Fault> {
        let (kernels, count) = (self.kernels()?, held.bytes() / size_of::<f32>() as u64);
        let bytes = size_of::<f32>() as u64;
        self.make(bytes, |gpu, to| gpu.launch(&kernels.sum, held.read(), to, count, 1))
    }

    /// Waits until `held` is made.
    pub fn wait_for(&self, held: &Held) -> Result<(), Fault> {
        if held.is_made() {
            return Ok(());
        }
        self.work.wait().map_err(|refused| self.failed(&refused))
    }

    /// A tensor, where this GPU reads it: as it lies if it can, otherwise copied here.
    pub fn brought(self: &Arc<Self>, datum: &Datum) -> Result<(DeviceTensor, Arc<Held>), Fault> {
        let (dtype, shape, held) = match datum {
            Datum::OnDevice(tensor) => {
                let held = Held::of(&tensor.contents).filter(|held| Arc::ptr_eq(&held.gpu, self));
                let held = held.map_or_else(|| self.uploaded(&tensor.contents.to_host()?), Ok)?;
                (tensor.dtype, tensor.shape.clone(), held)
            }
            Datum::Tensor(tensor) => (tensor.dtype, tensor.shape.clone(), self.uploaded(&tensor.bytes)?),
            other => return Err(Fault::component(format!("{} where a tensor is declared", other.word()))),
        };
        let contents: Arc<dyn OnDevice> = Arc::clone(&held) as _;
        Ok((DeviceTensor { dtype, shape, contents }, held))
    }

    /// A copy of the host's `bytes`. Waits for the copy, and so for what the GPU does before.
    pub fn uploaded(self: &Arc<Self>, bytes: &Bytes) -> Result<Arc<Held>, Fault> {
        self.make(bytes.len() as u64, |gpu, to| gpu.work.copy_in(bytes, to))
    }

    /// Copies `from` to the host, where it is handed on from without another copy if there is room.
    pub(crate) fn copy_out(&self, from: &Span) -> Result<Bytes, Fault> {
        let bytes = from.bytes() as usize;
        if bytes == 0 {
            return Ok(Bytes::new());
        }
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let room = host.as_ref().and_then(|host| host.memory.allocate(bytes));
        drop(host);
        let copied =
            |copy: &mut [u8]| self.work.copy_out(from, copy).map_err(|refused| self.failed(&refused));
        if let Some(mut room) = room {
            copied(room.bytes_mut())?;
            return Ok(room.freeze());
        }
        let mut copy = vec![0; bytes];
        copied(&mut copy)?;
        Ok(copy.into())
    }

    /// Calls `then` when `event` is reached, and holds nothing up.
    pub(crate) fn tell_after(&self, event: &Event, then: Box<dyn FnOnce() + Send>) {
        // It is called once, whatever becomes of it: by the driver, or here if the driver takes no work any more.
        let then = Arc::new(Mutex::new(Some(then)));
        let once = {
            let then = Arc::clone(&then);
            move || {
                let then = then.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(then) = then {
                    then();
                }
            }
        };
        let told = self.tell.wait_for(event).and_then(|()| self.tell.then(Box::new(once.clone())));
        if let Err(refused) = told {
            self.failed(&refused);
            let _ = self.work.wait();
            once();
        }
    }

    /// Calls `then` when everything so far is done, and holds nothing up.
    pub(crate) fn tell_after_work(&self, then: Box<dyn FnOnce() + Send>) {
        match self.work.record() {
            Ok(event) => self.tell_after(&event, then),
            Err(refused) => {
                self.failed(&refused);
                let _ = self.work.wait();
                then();
            }
        }
    }

    fn make(
        self: &Arc<Self>,
        bytes: u64,
        work: impl FnOnce(&Self, &Span) -> Result<(), Refused>,
    ) -> Result<Arc<Held>, Fault> {
        let Some(block) = self.arena.allocate_within(bytes, ROOM_WITHIN) else {
            let (all, used) = self.arena_bytes();
            let gpu = self.called();
            let message =
                format!("{bytes} bytes do not fit: the arena of {gpu} has {all}, of which {used} are in use");
            return Err(Fault::new(corn_core::Blame::Busy, message));
        };
        self.make_in(block, work)
    }

    fn make_in(
        self: &Arc<Self>,
        block: Block,
        work: impl FnOnce(&Self, &Span) -> Result<(), Refused>,
    ) -> Result<Arc<Held>, Fault> {
        let enqueue = || {
            // Work on nothing is refused by some drivers.
            if block.span().bytes() > 0 {
                work(self, block.span())?;
            }
            self.work.record()
        };
        let made = enqueue().map_err(|refused| self.failed(&refused))?;
        Ok(Held::here(self, block, made))
    }

    /// Runs `kernel` over `count` elements that it reads from `from`, with `threads` threads at most; it writes to `to`.
    fn launch(
        &self,
        kernel: &Kernel,
        from: &Span,
        to: &Span,
        count: u64,
        threads: u64,
    ) -> Result<(), Refused> {
        let block = threads.clamp(1, BLOCK_THREADS);
        let blocks = threads.div_ceil(block).clamp(1, MAX_BLOCKS) as u32;
        let given = [Given::At(from), Given::At(to), Given::Count(count)];
        self.work.launch(kernel, [blocks, 1, 1], block as u32, &given)
    }

    fn kernels(&self) -> Result<&Kernels, Fault> {
        let load = || {
            let text =
                std::ffi::CStr::from_bytes_with_nul(KERNELS.as_bytes()).expect("it ends with its only zero");
            let [invert, sum] = Kernel::load(&self.context, text, [c"corn_invert", c"corn_sum"])
                .map_err(|refused| format!("{} takes no kernels: {refused}", self.called()))?;
            Ok(Kernels { invert, sum })
        };
        self.kernels.get_or_init(load).as_ref().map_err(|reason| Fault::setup(reason.clone()))
    }

    pub(crate) fn failed(&self, refused: &Refused) -> Fault {
        let message = format!("{} failed: {refused}", self.called());
        if refused.is_final
            && let Some(then) = self.lost.get()
        {
            then(&message);
        }
        Fault::component(message)
    }
}
