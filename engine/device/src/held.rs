//! Contents in a GPU's memory: made here, or lent by another process.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use corn_core::{Fault, OnDevice};

use crate::arena::Block;
use crate::driver::{Event, Span};
use crate::gpu::Gpu;

/// What is done when contents are needed no more.
pub(crate) type Released = Box<dyn FnOnce() + Send>;

/// Contents that lie in memory that a GPU of this process reads.
pub struct Held {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) span: Span,
    lies: Lies,
}

enum Lies {
    /// In a block of the GPU's own arena.
    Here {
        /// Reached when they are made.
        made: Event,
        _block: Block,
    },
    /// In the arena of another process, which lends only what is made.
    Lent {
        released: Mutex<Option<Released>>,
        /// Whether the GPU may be reading them.
        is_read: AtomicBool,
    },
}

impl Held {
    pub(crate) fn here(gpu: &Arc<Gpu>, block: Block, made: Event) -> Arc<Self> {
        let span = block.span().clone();
        Arc::new(Self { gpu: Arc::clone(gpu), span, lies: Lies::Here { made, _block: block } })
    }

    pub(crate) fn lent(gpu: &Arc<Gpu>, span: Span, released: Released) -> Arc<Self> {
        let lies = Lies::Lent { released: Mutex::new(Some(released)), is_read: AtomicBool::new(false) };
        Arc::new(Self { gpu: Arc::clone(gpu), span, lies })
    }

    /// Those of `contents` that a GPU of this process reads.
    pub fn of(contents: &Arc<dyn OnDevice>) -> Option<Arc<Self>> {
        let any: Arc<dyn Any + Send + Sync> = Arc::clone(contents) as _;
        any.downcast::<Self>().ok()
    }

    /// Whether they are made, and nobody has to wait for them. Where that cannot be found out, it is waited for.
    pub fn is_made(&self) -> bool {
        match &self.lies {
            Lies::Here { made, .. } => made.is_reached().unwrap_or_else(|refused| {
                self.gpu.failed(&refused);
                let _ = self.gpu.work().wait();
                true
            }),
            Lies::Lent { .. } => true,
        }
    }

    /// Calls `then` when they are made, on a thread that must not be held up. The GPU goes on meanwhile.
    pub fn when_made(&self, then: Box<dyn FnOnce() + Send>) {
        match &self.lies {
            Lies::Here { made, .. } => self.gpu.tell_after(made, then),
            Lies::Lent { .. } => then(),
        }
    }

    /// Where they lie, for work that is enqueued now.
    pub(crate) fn read(&self) -> &Span {
        if let Lies::Lent { is_read, .. } = &self.lies {
            is_read.store(true, Ordering::Relaxed);
        }
        &self.span
    }
}

impl Drop for Held {
    /// What was lent is given back when the GPU has read it.
    fn drop(&mut self) {
        let Lies::Lent { released, is_read } = &mut self.lies else { return };
        let released = released.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(released) = released else { return };
        if *is_read.get_mut() { self.gpu.tell_after_work(released) } else { released() }
    }
}

impl OnDevice for Held {
    fn bytes(&self) -> u64 {
        self.span.bytes()
    }

    fn to_host(&self) -> Result<Bytes, Fault> {
        self.gpu.copy_out(self.read())
    }
}

/// Contents that another process lends and that this one cannot read; whoever needs them is told why.
pub(crate) struct Unreadable {
    bytes: u64,
    reason: String,
    released: Mutex<Option<Released>>,
}

impl Unreadable {
    pub(crate) fn new(bytes: u64, reason: &str, released: Released) -> Arc<Self> {
        Arc::new(Self { bytes, reason: reason.to_owned(), released: Mutex::new(Some(released)) })
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        if let Some(released) = self.released.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            released();
        }
    }
}

impl OnDevice for Unreadable {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn to_host(&self) -> Result<Bytes, Fault> {
        Err(Fault::setup(self.reason.clone()))
    }
}
