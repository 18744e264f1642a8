//! What a worker has done so far: its components, its edges and what it has said, counted where it happens.
//!
//! Nobody waits for a count: each component's counts are written by the thread that drives its executor and by
//! nobody else, so counting is a load and a store. Whoever reads sees each count as it is by then, and not all of
//! them at one moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::Datum;
use corn_core::executor::Usage;
use corn_plan::{ComponentId, StageId, Transport};
use serde::{Deserialize, Serialize};

use crate::wire::Frame;

/// What a worker has done since its process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// What its components have done, in the plan's order.
    pub components: Vec<ComponentWork>,
    /// What it has handed over, by edge and transport.
    pub edges: Vec<EdgeWork>,
    /// Messages that it has sent to other processes, by kind.
    pub sent: BTreeMap<String, u64>,
}

/// What a component has done on one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentWork {
    /// Its id in the plan.
    pub component: u32,
    /// Calls that it has not ended yet, waiting or worked on.
    pub open: u64,
    /// Calls that ended well.
    pub ended: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that were given up.
    pub cancelled: u64,
    /// Items made, over all outputs; a whole value is one.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How long the sound in them lasts, in µs.
    pub audio_us: u64,
    /// Tokens of what calls were given, as the component counts them.
    pub prompt_tokens: u64,
    /// Those of them that did not have to be read.
    pub cached_tokens: u64,
    /// Tokens that calls have made.
    pub completion_tokens: u64,
    /// Turns of work.
    pub turns: u64,
    /// How long they took, in µs.
    pub busy_us: u64,
    /// Turns that could take several calls at once.
    pub batches: u64,
    /// Calls in those, one counted as often as it took part.
    pub batched_calls: u64,
    /// From a call's start to its end, of those that ended well.
    pub call: Times,
    /// From a call's start to its first item.
    pub first: Times,
}

/// What was handed over from one stage to another, by one transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeWork {
    /// The stage that hands over, by its id in the plan.
    pub from: u32,
    /// The stage that takes.
    pub to: u32,
    /// How it gets there, by the plan's word for it.
    pub transport: String,
    /// Values and items handed over.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// How often it took at most as long as the bound of the same place in [`Self::BOUNDS_US`], and longer than the
    /// one before; the last is for what took longer than any.
    pub counts: Vec<u64>,
    /// All of it together, in µs.
    pub sum_us: u64,
}

impl Times {
    /// The bounds, in µs: three for each power of ten, from what a hand-over takes to what a long answer does.
    pub const BOUNDS_US: [u64; 19] = [
        50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
        2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000,
    ];
}

/// A count with one writer.
#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct TimesCount {
    counts: [Count; Times::BOUNDS_US.len() + 1],
    sum_us: Count,
}

impl TimesCount {
    fn add(&self, us: u64) {
        self.counts[Times::BOUNDS_US.partition_point(|bound| *bound < us)].add(1);
        self.sum_us.add(us);
    }

    fn read(&self) -> Times {
        Times { counts: self.counts.iter().map(Count::get).collect(), sum_us: self.sum_us.get() }
    }
}

/// The counts of one component on one worker; the thread that drives its executor writes them.
pub(crate) struct ComponentCounts {
    component: ComponentId,
    open: Count,
    ended: Count,
    failed: Count,
    cancelled: Count,
    items: Count,
    bytes: Count,
    audio_us: Count,
    prompt_tokens: Count,
    cached_tokens: Count,
    completion_tokens: Count,
    turns: Count,
    busy_us: Count,
    batches: Count,
    batched_calls: Count,
    call: TimesCount,
    first: TimesCount,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallEnd {
    /// It took so many µs.
    Well(u64),
    Failed,
    Cancelled,
}

impl ComponentCounts {
    fn new(component: ComponentId) -> Self {
        Self {
            component,
            open: Count::default(),
            ended: Count::default(),
            failed: Count::default(),
            cancelled: Count::default(),
            items: Count::default(),
            bytes: Count::default(),
            audio_us: Count::default(),
            prompt_tokens: Count::default(),
            cached_tokens: Count::default(),
            completion_tokens: Count::default(),
            turns: Count::default(),
            busy_us: Count::default(),
            batches: Count::default(),
            batched_calls: Count::default(),
            call: TimesCount::default(),
            first: TimesCount::default(),
        }
    }

    /// So many calls are open now.
    pub(crate) fn open(&self, calls: usize) {
        self.open.set(calls as u64);
    }

    pub(crate) fn end(&self, end: CallEnd) {
        match end {
            CallEnd::Well(us) => {
                self.ended.add(1);
                self.call.add(us);
            }
            CallEnd::Failed => self.failed.add(1),
            CallEnd::Cancelled => self.cancelled.add(1),
        }
    }

    pub(crate) fn item(&self, item: &Datum) {
        self.items.add(1);
        self.bytes.add(item.bytes());
        if let Datum::Audio(audio) = item {
            let samples = audio.samples.len() as u64;
            self.audio_us.add(samples.saturating_mul(1_000_000) / u64::from(audio.rate_hz.max(1)));
        }
    }

    /// A call's first item has come, so many µs after its start.
    pub(crate) fn first(&self, us: u64) {
        self.first.add(us);
    }

    pub(crate) fn used(&self, usage: &Usage) {
        self.prompt_tokens.add(usage.prompt_tokens);
        self.cached_tokens.add(usage.cached_tokens);
        self.completion_tokens.add(usage.completion_tokens);
    }

    pub(crate) fn turn(&self, us: u64) {
        self.turns.add(1);
        self.busy_us.add(us);
    }

    pub(crate) fn batch(&self, calls: u32) {
        self.batches.add(1);
        self.batched_calls.add(u64::from(calls));
    }

    fn read(&self) -> ComponentWork {
        ComponentWork {
            component: self.component.0,
            open: self.open.get(),
            ended: self.ended.get(),
            failed: self.failed.get(),
            cancelled: self.cancelled.get(),
            items: self.items.get(),
            bytes: self.bytes.get(),
            audio_us: self.audio_us.get(),
            prompt_tokens: self.prompt_tokens.get(),
            cached_tokens: self.cached_tokens.get(),
            completion_tokens: self.completion_tokens.get(),
            turns: self.turns.get(),
            busy_us: self.busy_us.get(),
            batches: self.batches.get(),
            batched_calls: self.batched_calls.get(),
            call: self.call.read(),
            first: self.first.read(),
        }
    }
}

/// Messages by kind; one thread sends them.
#[derive(Default)]
pub(crate) struct Sent([Count; Frame::KINDS.len()]);

impl Sent {
    pub(crate) fn count(&self, frame: &Frame) {
        self.0[frame.kind()].add(1);
    }

    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        let counts = Frame::KINDS.iter().zip(&self.0).filter(|(_, count)| count.get() > 0);
        counts.map(|(kind, count)| ((*kind).to_owned(), count.get())).collect()
    }
}

/// Items and bytes.
type Carried = (u64, u64);

/// Everything that is counted on one worker.
#[derive(Default)]
pub(crate) struct Counts {
    components: Mutex<Vec<Arc<ComponentCounts>>>,
    edges: Mutex<BTreeMap<(StageId, StageId, &'static str), Carried>>,
    pub(crate) sent: Sent,
}

impl Counts {
    /// The counts of a component that is loaded now.
    pub(crate) fn component(&self, component: ComponentId) -> Arc<ComponentCounts> {
        let counts = Arc::new(ComponentCounts::new(component));
        lock(&self.components).push(Arc::clone(&counts));
        counts
    }

    /// Something was handed over.
    pub(crate) fn edge(&self, from: StageId, to: StageId, transport: Transport, bytes: u64) {
        let mut edges = lock(&self.edges);
        let (items, carried) = edges.entry((from, to, transport.name())).or_default();
        *items += 1;
        *carried += bytes;
    }

    /// All of it.
    pub(crate) fn read(&self) -> Work {
        let components = lock(&self.components).iter().map(|counts| counts.read()).collect();
        let edges = lock(&self.edges);
        let edges = edges.iter().map(|((from, to, transport), (items, bytes))| EdgeWork {
            from: from.0,
            to: to.0,
            transport: (*transport).to_owned(),
            items: *items,
            bytes: *bytes,
        });
        Work { components, edges: edges.collect(), sent: self.sent.read() }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Times, TimesCount};

    #[test]
    fn a_time_is_counted_under_the_first_bound_that_it_does_not_exceed() {
        let times = TimesCount::default();
        for us in [0, 50, 51, 50_000_000, 50_000_001] {
            times.add(us);
        }
        let Times { counts, sum_us } = times.read();
        let counted: Vec<(usize, u64)> =
            counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(0, 2), (1, 1), (18, 1), (19, 1)]);
        assert_eq!(sum_us, 100_000_102);
    }
}
