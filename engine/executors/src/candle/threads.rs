//! The threads of a model: as many as its component declares with `needs cpu n`, and no others.
//!
//! candle spreads work in two ways, and both look at the machine instead of at the model:
//!
//! - *rayon* (products of floats, softmax) uses the pool that the calling thread belongs to. So a model
//!   owns a pool of `n` threads and does each step inside it: one hop for a step, not one for each
//!   product. Our own loops use the same pool.
//! - its own *barrier pool* (quantised products, and element-wise work on 65 536 elements or more). There is
//!   one for the process; its size is read once, from the environment variable `CANDLE_NUM_THREADS` (else: all
//!   cores); all models take turns on one lock; and its threads spin while they wait. On a busy machine of
//!   two cores that made SmolLM2 ten times slower (2 tokens a second instead of 30).
//!
//! With `CANDLE_NUM_THREADS=1` the barrier pool has no thread and no lock: every product runs where
//! it is called, which is on the model's own threads. A process that runs these executors should
//! start with that setting (see [`CANDLE_THREADS_VARIABLE`]); without it all answers are the same,
//! only slower. Element-wise work is not left to candle at all (see [`dense`](super::dense)), so it
//! concerns `llama.chat` alone.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use corn_core::Fault;

/// The environment variable that sizes candle's own pool of threads, which spin and which all
/// models share.
///
/// It is read at the first product. Set to `1`, each model works on its own threads only: as many
/// as its component needs. A program that runs these executors should set it before it starts any
/// thread.
pub const CANDLE_THREADS_VARIABLE: &str = "CANDLE_NUM_THREADS";

/// The threads that one model works on.
pub(super) struct Threads {
    pool: ThreadPool,
}

impl Threads {
    /// Starts `cpus` threads, at least one.
    pub(super) fn start(cpus: u32) -> Result<Self, Fault> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(cpus.max(1) as usize)
            .thread_name(|index| format!("candle-{index}"))
            .build()
            .map_err(|error| Fault::setup(format!("cannot start {cpus} threads for a model: {error}")))?;
        Ok(Self { pool })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Does `work` on these threads and waits for it.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }
}

/// Does something with each, in their order or at once: on all threads of the pool that this is called in, or, outside
/// of one, on the caller's own.
pub(super) fn each<I: Send, O: Send>(these: Vec<I>, does: impl Fn(I) -> O + Sync + Send) -> Vec<O> {
    if rayon::current_thread_index().is_some() {
        these.into_par_iter().map(does).collect()
    } else {
        these.into_iter().map(does).collect()
    }
}
