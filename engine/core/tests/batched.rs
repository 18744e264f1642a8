//! Which calls share a batch, when it begins, and whose its rows are.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use corn_core::batched::{BatchModel, Batched, Limits, Ran};
use corn_core::executor::{Call, CallId, CallInput, Executor, Report, Turn, Usage};
use corn_core::{Datum, Fault};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The numbers of the calls of each batch.
type Batches = Arc<Mutex<Vec<Vec<i64>>>>;

/// What a call brings: `number`, which it is told by; `key`; `cost`; and how many batches it needs (0: one that fails).
#[derive(Clone, Copy)]
struct Ask {
    number: i64,
    key: i64,
    cost: i64,
    steps: i64,
}

impl Ask {
    const fn of(number: i64) -> Self {
        Self { number, key: 0, cost: 1, steps: 1 }
    }

    fn inputs(self) -> Vec<CallInput> {
        [self.number, self.key, self.cost, self.steps]
            .map(|field| CallInput::Value(Datum::Int(field)))
            .to_vec()
    }
}

/// Answers each call with its number, once for each batch that it takes part in.
struct Model(Batches);

impl BatchModel for Model {
    type Item = Ask;

    fn prepare(&mut self, inputs: &[CallInput]) -> Result<Ask, Fault> {
        let field = |port: usize| match inputs[port] {
            CallInput::Value(Datum::Int(field)) if field >= 0 => Ok(field),
            _ => Err(Fault::request("no number")),
        };
        Ok(Ask { number: field(0)?, key: field(1)?, cost: field(2)?, steps: field(3)? })
    }

    fn key(&self, ask: &Ask) -> u64 {
        ask.key as u64
    }

    fn cost(&self, ask: &Ask) -> u64 {
        ask.cost as u64
    }

    fn run(&mut self, batch: Vec<Ask>) -> Vec<Result<Ran<Ask>, Fault>> {
        assert!(!batch.is_empty(), "nothing makes no batch");
        assert!(batch.iter().all(|ask| ask.key == batch[0].key), "keys are mixed");
        self.0.lock().unwrap().push(batch.iter().map(|ask| ask.number).collect());
        let run = |ask: Ask| {
            let rest = (ask.steps > 1).then_some(Ask { steps: ask.steps - 1, ..ask });
            let prompt_tokens = ask.number as u64;
            let used = rest.is_none().then_some(Usage { prompt_tokens, ..Usage::default() });
            let ran = Ran { made: vec![(0, Datum::Int(ask.number))], rest, used };
            if ask.steps > 0 { Ok(ran) } else { Err(Fault::component("told to fail")) }
        };
        batch.into_iter().map(run).collect()
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

struct Bench {
    executor: Batched<Model>,
    batches: Batches,
    made: BTreeMap<i64, Vec<Datum>>,
    used: BTreeSet<i64>,
    done: Vec<i64>,
    failed: Vec<i64>,
}

impl Bench {
    fn new(items: u32, cost: u64, within_us: u64) -> Self {
        let batches = Batches::default();
        let executor = Batched::new(Model(Arc::clone(&batches)), Limits { items, cost, within_us });
        Self {
            executor,
            batches,
            made: BTreeMap::new(),
            used: BTreeSet::new(),
            done: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// A call with room for `room` items.
    fn start_with(&mut self, ask: Ask, room: u32) {
        let id = CallId(ask.number.unsigned_abs());
        self.executor.start(Call { id, inputs: ask.inputs(), outputs: vec![Some(room)] });
    }

    fn start(&mut self, ask: Ask) {
        self.start_with(ask, 1000);
    }

    fn turn(&mut self, now_us: u64) -> Turn {
        let Self { executor, made, used, done, failed, .. } = self;
        executor.advance(now_us, &mut |report| match report {
            Report::Emitted { call, item, .. } => made.entry(call.0 as i64).or_default().push(item),
            Report::Used { call, usage } => {
                assert_eq!(usage.prompt_tokens, call.0);
                assert!(used.insert(call.0 as i64), "once, with the last batch");
            }
            Report::Done { call } => {
                assert!(used.contains(&(call.0 as i64)), "what was used is told before the end");
                done.push(call.0 as i64);
            }
            Report::Failed { call, .. } => failed.push(call.0 as i64),
            Report::Batch { calls } => assert!(calls > 0),
            Report::Took { .. } => panic!("there are no streams to take from"),
        })
    }

    /// Turns until there is nothing to do, all of them now; the batches since the last time.
    fn all(&mut self, now_us: u64) -> Vec<Vec<i64>> {
        while self.turn(now_us) == Turn::Busy {}
        std::mem::take(&mut self.batches.lock().unwrap())
    }
}

#[test]
fn nothing_makes_no_batch() {
    let mut bench = Bench::new(4, 100, 1000);
    assert_eq!(bench.turn(0), Turn::Idle);
    bench.start(Ask::of(1));
    bench.executor.cancel(CallId(1));
    assert_eq!(bench.turn(0), Turn::Idle);
    assert!(bench.batches.lock().unwrap().is_empty());
}

#[test]
fn a_batch_is_of_the_oldest_and_those_of_its_key_in_order() {
    let mut bench = Bench::new(3, 100, 0);
    for (number, key) in [(1, 7), (2, 8), (3, 7), (4, 8), (5, 7), (6, 7), (7, 8)] {
        bench.start(Ask { key, ..Ask::of(number) });
    }
    assert_eq!(bench.all(0), [vec![1, 3, 5], vec![2, 4, 7], vec![6]]);
    assert_eq!(bench.done, [1, 3, 5, 2, 4, 7, 6]);
}

#[test]
fn a_batch_has_no_more_items_and_costs_no_more_than_it_may() {
    let mut bench = Bench::new(4, 10, 0);
    // The third would make it 11, and the fourth does not overtake it; the fifth is more than a batch may cost.
    for (number, cost) in [(1, 4), (2, 4), (3, 3), (4, 0), (5, 99), (6, 5), (7, 6), (8, 1)] {
        bench.start(Ask { cost, ..Ask::of(number) });
    }
    assert_eq!(bench.all(0), [vec![1, 2], vec![3, 4], vec![5], vec![6], vec![7, 8]]);
}

#[test]
fn a_call_waits_for_company_no_longer_than_it_may() {
    let mut bench = Bench::new(3, 100, 500);
    bench.start(Ask::of(1));
    assert_eq!(bench.turn(1000), Turn::Until(1500));
    bench.start(Ask::of(2));
    // The second does not let the first wait longer.
    assert_eq!(bench.turn(1400), Turn::Until(1500));
    assert_eq!(bench.all(1500), [vec![1, 2]]);
    // A full batch waits for nobody, and neither does one that may cost no more.
    bench.start(Ask::of(3));
    assert_eq!(bench.turn(2000), Turn::Until(2500));
    bench.start(Ask::of(4));
    bench.start(Ask::of(5));
    assert_eq!(bench.all(2001), [vec![3, 4, 5]]);
    bench.start(Ask { cost: 100, ..Ask::of(6) });
    assert_eq!(bench.all(3000), [vec![6]]);
}

#[test]
fn a_call_that_may_have_come_while_another_was_worked_on_has_waited_since_then() {
    let mut bench = Bench::new(2, 100, 500);
    bench.start(Ask::of(1));
    bench.start(Ask::of(2));
    assert_eq!(bench.turn(1000), Turn::Busy);
    bench.start(Ask::of(3));
    // That turn took 300 µs, so it may have waited for as long.
    assert_eq!(bench.turn(1300), Turn::Until(1500));
    assert_eq!(bench.all(1500), [vec![1, 2], vec![3]]);
    // One that took longer than a call may wait leaves nothing to wait for.
    bench.start(Ask::of(4));
    bench.start(Ask::of(5));
    assert_eq!(bench.turn(2000), Turn::Busy);
    bench.start(Ask::of(6));
    assert_eq!(bench.all(9000), [vec![4, 5], vec![6]]);
}

#[test]
fn without_a_time_to_wait_nobody_waits() {
    let mut bench = Bench::new(16, 100, 0);
    for number in 1..20 {
        bench.start(Ask::of(number));
        assert_eq!(bench.turn(0), Turn::Busy);
    }
    assert_eq!(bench.done.len(), 19);
}

#[test]
fn a_cancelled_call_leaves_the_queue_and_nobody_hears_of_it() {
    let mut bench = Bench::new(3, 100, 500);
    for number in 1..5 {
        bench.start(Ask { steps: 2, ..Ask::of(number) });
    }
    bench.executor.cancel(CallId(2));
    assert_eq!(bench.turn(0), Turn::Busy);
    // The first is in the middle of its steps.
    bench.executor.cancel(CallId(1));
    assert_eq!(bench.all(0), [vec![1, 3, 4], vec![3, 4]]);
    assert_eq!(bench.done, [3, 4]);
    assert!(!bench.made.contains_key(&2) && bench.made[&1].len() == 1);
    // Who was waited for may go away too.
    bench.start(Ask::of(5));
    assert_eq!(bench.turn(1000), Turn::Until(1500));
    bench.executor.cancel(CallId(5));
    assert_eq!(bench.turn(1001), Turn::Idle);
}

#[test]
fn an_item_that_fails_and_a_call_that_cannot_be_prepared_fail_alone() {
    let mut bench = Bench::new(8, 100, 0);
    for (number, steps) in [(1, 1), (2, 0), (3, -1), (4, 2), (5, 1)] {
        bench.start(Ask { steps, ..Ask::of(number) });
    }
    assert_eq!(bench.all(0), [vec![1, 2, 4, 5], vec![4]]);
    assert_eq!((&bench.failed[..], &bench.done[..]), (&[3, 2][..], &[1, 5, 4][..]));
}

#[test]
fn batches_are_joined_and_left_at_each_step() {
    let mut bench = Bench::new(2, 100, 500);
    for (number, steps) in [(1, 3), (2, 1), (3, 2)] {
        bench.start(Ask { steps, ..Ask::of(number) });
    }
    // Once it has begun it does not wait again, though the last batch is not full.
    assert_eq!(bench.all(0), [vec![1, 2], vec![1, 3], vec![1, 3]]);
    assert_eq!(bench.done, [2, 1, 3]);
}

#[test]
fn a_call_without_room_is_passed_over_and_keeps_its_place() {
    let mut bench = Bench::new(2, 100, 0);
    bench.start_with(Ask { steps: 2, ..Ask::of(1) }, 1);
    bench.start_with(Ask::of(2), 0);
    for number in 3..5 {
        bench.start(Ask::of(number));
    }
    assert_eq!(bench.all(0), [vec![1, 3], vec![4]]);
    bench.start(Ask::of(5));
    bench.executor.grant(CallId(2), 0, 1);
    bench.executor.grant(CallId(1), 0, 1);
    assert_eq!(bench.all(0), [vec![1, 2], vec![5]]);
    assert_eq!(bench.done, [3, 4, 1, 2, 5]);
}

/// R10: what is made for an output that the recording does not use is dropped, and the call ends as any other.
#[test]
fn an_output_that_nobody_wants_is_not_emitted() {
    let mut bench = Bench::new(2, 100, 0);
    bench.executor.start(Call { id: CallId(1), inputs: Ask::of(1).inputs(), outputs: vec![None] });
    bench.all(0);
    assert!(bench.made.is_empty() && bench.done == [1]);
}

/// B1, B2, B3, B8: whatever comes in whatever order, each call gets its own rows and ends once; limits, keys and the
/// order within a key are kept; and no call waits longer than it may while nothing is worked on.
#[test]
fn whatever_comes_each_call_gets_its_own_rows() {
    const WITHIN_US: u64 = 50;
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let items = rng.random_range(1..=5);
        let mut bench = Bench::new(items, 10, WITHIN_US);
        let mut asks = BTreeMap::new();
        let (mut now_us, mut turn) = (0, Turn::Idle);
        let mut cancelled = Vec::new();
        while asks.len() < 60 || turn != Turn::Idle {
            let known = cancelled.len();
            match turn {
                _ if asks.len() < 60 && rng.random_bool(0.4) => {
                    let number = asks.len() as i64 + 1;
                    let (key, cost, steps) =
                        (rng.random_range(0..3), rng.random_range(0..=12), rng.random_range(0..4));
                    asks.insert(number, Ask { number, key, cost, steps });
                    bench.start(asks[&number]);
                    if rng.random_bool(0.1) {
                        cancelled.push(rng.random_range(1..=number));
                        bench.executor.cancel(CallId(cancelled[known] as u64));
                    }
                }
                Turn::Until(us) => now_us = us.min(now_us + rng.random_range(1..100)),
                Turn::Busy | Turn::Idle => now_us += rng.random_range(0..100),
            }
            let before = std::mem::replace(&mut turn, bench.turn(now_us));
            if let Turn::Until(us) = turn {
                assert!(us > now_us && us <= now_us + WITHIN_US, "seed {seed}");
                let is_later = matches!(before, Turn::Until(before_us) if us > before_us);
                assert!(!is_later || cancelled.len() > known, "seed {seed}: it waits again");
            }
        }
        for batch in std::mem::take(&mut *bench.batches.lock().unwrap()) {
            assert!(batch.len() <= items as usize);
            let cost: i64 = batch.iter().map(|number| asks[number].cost).sum();
            assert!(batch.len() == 1 || cost <= 10, "seed {seed}: {batch:?}");
            assert!(batch.is_sorted(), "seed {seed}: {batch:?}");
        }
        for (number, ask) in &asks {
            let made = bench.made.get(number).map_or(&[][..], Vec::as_slice);
            assert!(
                made.iter().all(|item| *item == Datum::Int(*number)),
                "seed {seed}: rows of another call"
            );
            let count = |ends: &[i64]| ends.iter().filter(|end| *end == number).count();
            let ends = (count(&bench.done), count(&bench.failed));
            if cancelled.contains(number) {
                assert!(ends.0 + ends.1 <= 1, "seed {seed}: {number} ends twice");
            } else {
                assert_eq!(ends, if ask.steps > 0 { (1, 0) } else { (0, 1) }, "seed {seed}: {number}");
                assert_eq!(made.len() as i64, ask.steps, "seed {seed}: {number}");
            }
        }
    }
}
