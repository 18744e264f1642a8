//! The interface between the engine and what runs models.
//!
//! An executor is driven, never driving: it owns no thread, reads no clock and blocks on nothing
//! but its own arithmetic. One thread of the engine hands it calls, items and credits, and asks
//! it again and again for one bounded turn of work. So a cancel is seen between two turns, many
//! calls are interleaved fairly, and an executor decides alone which calls share a batch. If it
//! waits for others to share one, it says until when, and is asked again at that time.
//!
//! Most components are easier written as a [`Model`], whose calls each have a session of their
//! own, or as a [`BatchModel`](crate::batched::BatchModel), which works on several calls at once;
//! [`Interleaved`](crate::interleaved::Interleaved) and [`Batched`](crate::batched::Batched) make
//! executors of them.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use corn_plan::Component;

use crate::datum::Datum;
use crate::fault::Fault;

/// A call of a component, unique on its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a call starts with.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// One entry for each input port of the component, in order.
    pub inputs: Vec<CallInput>,
    /// One entry for each output port: the items that may be emitted before more is granted, or
    /// `None` where the recording does not use the port and nothing must be emitted.
    pub outputs: Vec<Option<u32>>,
}

/// How an input port is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum CallInput {
    /// The caller left it out.
    Absent,
    /// A whole value; lists come as [`Datum::List`].
    Value(Datum),
    /// Items follow by [`Executor::feed`], then [`Executor::end`].
    Stream,
}

/// What an executor says about its calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A call emitted an item on output port `port`.
    Emitted {
        /// The call.
        call: CallId,
        /// Index into the component's outputs.
        port: u32,
        /// The item.
        item: Datum,
    },
    /// A call has taken `count` items of input stream `port`; as many may be fed again.
    Took {
        /// The call.
        call: CallId,
        /// Index into the component's inputs.
        port: u32,
        /// How many items.
        count: u32,
    },
    /// What a call has used; if it says so several times, all of it together. It comes before the end of the call, and
    /// before the last of what a call makes that is whole.
    Used {
        /// The call.
        call: CallId,
        /// What.
        usage: Usage,
    },
    /// A call has ended; every output stream of it ends.
    Done {
        /// The call.
        call: CallId,
    },
    /// A call has failed and is gone.
    Failed {
        /// The call.
        call: CallId,
        /// Why.
        fault: Fault,
    },
    /// This turn worked on so many calls at once. It is for whoever watches, and changes no call.
    Batch {
        /// How many calls.
        calls: u32,
    },
}

impl Report {
    /// The call that it is about, if it is about one.
    pub const fn call(&self) -> Option<CallId> {
        match self {
            Self::Emitted { call, .. }
            | Self::Took { call, .. }
            | Self::Used { call, .. }
            | Self::Done { call }
            | Self::Failed { call, .. } => Some(*call),
            Self::Batch { .. } => None,
        }
    }
}

/// What a call has used, as a model counts that reads and writes tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of what it was given.
    pub prompt_tokens: u64,
    /// Those of them that did not have to be read, because the model still knew them.
    pub cached_tokens: u64,
    /// Tokens that it has made.
    pub completion_tokens: u64,
    /// It ended because it had made as many as it may, and not by itself.
    pub is_cut: bool,
}

impl Usage {
    /// This and the usage of another call.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            is_cut: self.is_cut || other.is_cut,
        }
    }
}

/// Whether an executor has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ask again at once.
    Busy,
    /// Nothing to do until a call, an item, an end, a credit or a cancel comes.
    Idle,
    /// Nothing to do until something of that comes, or until it is so many µs.
    Until(u64),
}

/// What runs one component on one worker.
pub trait Executor: Send {
    /// Takes a new call.
    fn start(&mut self, call: Call);
    /// An item arrives on input stream `port` of `call`.
    fn feed(&mut self, call: CallId, port: u32, item: Datum);
    /// Input stream `port` of `call` has ended.
    fn end(&mut self, call: CallId, port: u32);
    /// `count` more items may be emitted on output `port` of `call`.
    fn grant(&mut self, call: CallId, port: u32, count: u32);
    /// `call` is not wanted any more: forget it and report nothing of it again.
    fn cancel(&mut self, call: CallId);
    /// One bounded turn of work: a token, a window, a batch. Reports go to `reports`. It is `now_us` of a clock that
    /// only the driver reads, and that never goes back.
    fn advance(&mut self, now_us: u64, reports: &mut dyn FnMut(Report)) -> Turn;
    /// Memory held now by weights and sessions, in bytes, as far as it is known.
    fn memory_bytes(&self) -> u64;
    /// Whether a turn is over sooner than another thread could be woken for it, some ten µs. Such an executor is
    /// driven by its worker's own thread.
    fn is_light(&self) -> bool {
        false
    }
    /// Where large contents are best made: what lies there is handed to other processes of this host without
    /// being copied. What lies elsewhere is copied there once.
    fn make_in(&mut self, memory: Arc<dyn Memory>) {
        let _ = memory;
    }
}

/// Something that works on memory of its own, such as a GPU. Whoever drives it knows what it is; nobody else asks.
pub trait Device: Any + Send + Sync {}

/// Memory that other processes of this host can read.
pub trait Memory: Send + Sync {
    /// Room for `bytes`; `None` if there is none now, and then it is made elsewhere.
    fn allocate(&self, bytes: usize) -> Option<Box<dyn Room>>;
}

/// Room for contents, which nobody sees before it is frozen.
pub trait Room: Send {
    /// To be filled.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Never to be written again.
    fn freeze(self: Box<Self>) -> Bytes;
}

/// What tells a waiting person how far a load is.
pub trait Progress: Send + Sync {
    /// `done` of `total` bytes (or of 0 where unknown) of `what`.
    fn advance(&self, what: &str, done: u64, total: u64);
}

/// No one is waiting.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn advance(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Makes executors: finds the weights of a component and loads it.
pub trait Loader: Send + Sync {
    /// Loads `component` so that it can be called. May take long; runs on a thread of its own.
    ///
    /// `device` is what it works on, and given to those only that need one: they take tensors also where those lie
    /// on it, and nobody else is given such.
    fn load(
        &self,
        component: &Component,
        device: Option<Arc<dyn Device>>,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault>;
}

/// A model whose calls each have a session of their own, worked on one step at a time.
pub trait Model: Send {
    /// The state of one call.
    type Session: Send;
    /// Begins a call: `inputs` holds one entry for each input port.
    fn open(&mut self, inputs: &[CallInput]) -> Result<Self::Session, Fault>;
    /// Does one bounded piece of work for a call: one token, one sentence, one picture.
    fn step(&mut self, session: &mut Self::Session, io: &mut dyn Io) -> Result<Step, Fault>;
    /// Memory held by the weights, in bytes.
    fn memory_bytes(&self) -> u64;
    /// Whether each step is light, as [`Executor::is_light`] says of a turn.
    fn is_light(&self) -> bool {
        false
    }
    /// As [`Executor::make_in`].
    fn make_in(&mut self, memory: Arc<dyn Memory>) {
        let _ = memory;
    }
}

/// What a session needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More work can be done at once.
    More,
    /// Nothing can be done until an item or an end arrives or an output has room.
    Wait,
    /// The call has ended.
    Done,
}

/// What an input stream holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// The next item.
    Item(Datum),
    /// Nothing yet.
    Nothing,
    /// It has ended.
    Ended,
}

/// A session's streams.
pub trait Io {
    /// Takes the next item of input stream `port`.
    fn take(&mut self, port: u32) -> Taken;
    /// Whether output `port` may be emitted on now. A port that is not wanted always has room.
    fn has_room(&self, port: u32) -> bool;
    /// Whether the recording uses output `port`; emitting on another is a no-op.
    fn is_wanted(&self, port: u32) -> bool;
    /// Emits an item. Emitting without room is a bug of the model.
    fn emit(&mut self, port: u32, item: Datum);
    /// Says what the call has used, as [`Report::Used`] does.
    fn used(&mut self, usage: Usage);
}
