//! What honouring warm caches is worth, measured on simulated time. The executor always remembers; whether the
//! coordinator knows it, the plan says.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;

use corn_core::Datum;
use corn_plan::{ComponentId, Plan, RecordingId, Verified, WorkerId};
use corn_sim::scenario::spread;
use corn_sim::{Cost, Loaded, Request, Settings, Simulation, models};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CHAT: RecordingId = RecordingId(1);
const THINK: ComponentId = ComponentId(0);
const BEGIN_US: u64 = 1_000_000;
const WORKERS: u32 = 4;

/// What reading 256 bytes takes, and writing a word.
const STEP_US: u64 = 2_000;
const WORD_US: u64 = 1_000;

/// A model that remembers, with `workers`; `is_said` in the plan.
fn plan(is_said: bool, workers: u32) -> Arc<Verified> {
    let longer = [
        ("text max 4KiB in 4KiB", "text max 20KiB in 20KiB"),
        ("in prompt: text max 4KiB", "in prompt: text max 20KiB"),
    ];
    let text = longer.iter().fold(models::ASSISTANT.to_owned(), |text, (from, to)| text.replace(from, to));
    let mut plan = Plan::parse(&text).unwrap();
    let think = &mut plan.components[THINK];
    "reads".clone_into(&mut think.entry);
    think.remembers = if is_said { vec!["prompt".to_owned()] } else { Vec::new() };
    spread(plan, 1_000, workers, |_| (0..workers).map(WorkerId).collect())
}

/// A text of `bytes` that no other number gives.
fn words(number: u64, bytes: u64) -> String {
    format!("{number} ").repeat(bytes as usize).chars().take(bytes as usize).collect()
}

/// When each request comes and what it says, in order.
type Asked = Vec<(u64, String)>;

/// What a request takes that brings so much that is not remembered.
fn work_us(bytes: u64) -> u64 {
    bytes.div_ceil(256) * STEP_US + 8 * WORD_US
}

/// As many times as it is called, one after the other so that each comes at `load` of what the workers could do if each
/// took `work_us`.
fn arrivals(work_us: u64, load: f64, mut rng: ChaCha8Rng) -> impl FnMut() -> u64 {
    let between_us = work_us as f64 / (f64::from(WORKERS) * load);
    let mut at_us = BEGIN_US as f64;
    move || {
        at_us -= between_us * rng.random_range(f64::EPSILON..1.0).ln();
        at_us as u64
    }
}

/// Conversations, each turn with all that was said before, at `load` of what the workers could do if they remembered nothing.
fn conversations(count: u64, turn_bytes: u64, load: f64, seed: u64) -> Asked {
    const TURNS: u64 = 6;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let each_us = (1..=TURNS).map(|turn| work_us(turn * turn_bytes)).sum();
    let mut begin = arrivals(each_us, load, rng.clone());
    let mut asked = Asked::new();
    for number in 0..count {
        let mut at_us = begin();
        let mut said = String::new();
        for turn in 0..TURNS {
            said.push_str(&words(number * TURNS + turn, turn_bytes));
            asked.push((at_us, said.clone()));
            at_us += rng.random_range(500_000..1_500_000);
        }
    }
    asked.sort();
    asked
}

/// Questions that all begin with the same instructions, at `load` of what the workers can do once all of them know those.
fn alike(count: u64, same_bytes: u64, load: f64, seed: u64) -> Asked {
    let mut next = arrivals(work_us(600), load, ChaCha8Rng::seed_from_u64(seed));
    let same = words(0, same_bytes);
    (1..=count).map(|number| (next(), same.clone() + &words(number, 600))).collect()
}

/// How long requests take from asking to the answer's end.
fn took_us<'a>(
    is_said: bool,
    workers: u32,
    asked: impl Iterator<Item = &'a (u64, String)>,
    seed: u64,
) -> Vec<u64> {
    let cost = Cost { call_us: 0, item_us: WORD_US, step_us: STEP_US };
    let load = Arc::new(move |component: &_| Loaded { executor: models::load(component), cost });
    let mut simulation = Simulation::new(&plan(is_said, workers), Settings::default(), load, seed);
    for (at_us, said) in asked {
        let inputs = vec![("prompt".to_owned(), Datum::text(said.as_str()))];
        simulation.ask_at(*at_us, Request::new(CHAT, inputs));
    }
    assert!(simulation.run_to_rest(100_000_000_000));
    assert!(simulation.answers().all(|answer| answer.failure.is_none()));
    simulation.answers().map(|answer| answer.ended_us.unwrap() - answer.asked_us).collect()
}

fn p99(mut took_us: Vec<u64>) -> u64 {
    took_us.sort_unstable();
    took_us[took_us.len() * 99 / 100]
}

/// B7: conversations wait less where their next turns go to who has read them, than if replicas are chosen by load
/// alone, or are taken in turn, which is the same as a cluster of one worker for each, and every n-th request for it.
#[test]
fn conversations_wait_less_where_they_are_known() {
    for seed in 0..2 {
        let asked = conversations(150, 2_400, 0.8, seed);
        let known = p99(took_us(true, WORKERS, asked.iter(), seed));
        let by_load = p99(took_us(false, WORKERS, asked.iter(), seed));
        let every = |worker| asked.iter().skip(worker).step_by(WORKERS as usize);
        let in_turn = (0..WORKERS as usize).flat_map(|worker| took_us(false, 1, every(worker), seed));
        let in_turn = p99(in_turn.collect());
        println!("seed {seed}: p99 {known} µs where known, {by_load} µs by load, {in_turn} µs in turn");
        assert!(known * 3 < by_load * 2, "seed {seed}: {known} µs where known, {by_load} µs by load");
        assert!(by_load < in_turn, "seed {seed}: {by_load} µs by load, {in_turn} µs in turn");
    }
}

/// Instructions that everyone brings are soon known to every replica, and until then herd nobody.
#[test]
fn what_everyone_brings_costs_nobody_time() {
    for (load, same_bytes) in [(0.3, 2_048), (0.7, 2_048), (0.3, 12_288), (0.7, 12_288)] {
        let asked = alike(1_000, same_bytes, load, 1);
        let known = p99(took_us(true, WORKERS, asked.iter(), 1));
        let by_load = p99(took_us(false, WORKERS, asked.iter(), 1));
        println!("{same_bytes} bytes at {load}: p99 {known} µs where known, {by_load} µs by load");
        let message = format!("{same_bytes} bytes at {load}: {known} µs where known, {by_load} µs by load");
        assert!(known * 20 <= by_load * 21, "{message}");
    }
}

/// Where nothing begins alike, nothing is other than without.
#[test]
fn what_nobody_has_read_goes_by_load() {
    let mut next = arrivals(work_us(2_000), 0.8, ChaCha8Rng::seed_from_u64(1));
    let asked: Asked = (0..300).map(|number| (next(), words(number, 2_000))).collect();
    assert_eq!(took_us(true, WORKERS, asked.iter(), 1), took_us(false, WORKERS, asked.iter(), 1));
}
