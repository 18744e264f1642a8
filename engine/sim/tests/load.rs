//! What the choice of replicas and the bounds of admission are worth, measured on simulated time.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;

use corn_core::message::Priority;
use corn_core::{Blame, Datum};
use corn_plan::{ComponentId, Plan, RecordingId, StageId, Verified, WorkerId};
use corn_sim::scenario::spread;
use corn_sim::{Mishap, Party, Request, Settings, Simulation, models};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TALK: RecordingId = RecordingId(0);
const CHAT: RecordingId = RecordingId(1);
const ITEM_US: u64 = 1_000;
const BEGIN_US: u64 = 1_000_000;

fn plan(inflight: u32, workers: u32, replicas: impl Fn(StageId) -> Vec<WorkerId>) -> Arc<Verified> {
    spread(Plan::parse(models::ASSISTANT).unwrap(), inflight, workers, replicas)
}

/// `workers` workers, each with both stages.
fn wide(inflight: u32, workers: u32) -> Arc<Verified> {
    plan(inflight, workers, |_| (0..workers).map(WorkerId).collect())
}

fn simulation(plan: &Arc<Verified>, seed: u64) -> Simulation {
    Simulation::new(plan, Settings::default(), models::loader(ITEM_US), seed)
}

fn chat(words: u64) -> Request {
    Request::new(CHAT, vec![("prompt".to_owned(), Datum::text("word ".repeat(words as usize)))])
}

/// Arrival and words of requests of which one in ten is long, at `load` of what `workers` workers can do.
fn skewed(count: usize, workers: u64, load: f64, seed: u64) -> Vec<(u64, u64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let words_each = 0.9 * 5.0 + 0.1 * 200.0;
    let between_us = words_each * ITEM_US as f64 / (workers as f64 * load);
    let mut at_us = BEGIN_US as f64;
    let mut one = || {
        at_us -= between_us * rng.random_range(f64::EPSILON..1.0).ln();
        (at_us as u64, if rng.random_bool(0.1) { 200 } else { 5 })
    };
    (0..count).map(|_| one()).collect()
}

/// From asking to the answer's end, in order of length.
fn latencies(mut simulation: Simulation, requests: impl Iterator<Item = (u64, u64)>) -> Vec<u64> {
    for (at_us, words) in requests {
        simulation.ask_at(at_us, chat(words));
    }
    assert!(simulation.run_to_rest(1_000_000_000));
    let mut latencies: Vec<u64> =
        simulation.answers().map(|answer| answer.ended_us.unwrap() - answer.asked_us).collect();
    assert!(simulation.answers().all(|answer| answer.failure.is_none()));
    latencies.sort_unstable();
    latencies
}

/// B7: work that is skewed waits less than if replicas were taken round robin, which is the same as a cluster of
/// one worker for each, and every n-th request for it.
#[test]
fn choosing_by_load_beats_round_robin() {
    const WORKERS: usize = 4;
    for seed in 0..3 {
        let requests = skewed(2_000, WORKERS as u64, 0.7, seed);
        let chosen = latencies(simulation(&wide(400, WORKERS as u32), seed), requests.iter().copied());
        let mut in_turn = Vec::new();
        for worker in 0..WORKERS {
            let every = requests.iter().skip(worker).step_by(WORKERS).copied();
            in_turn.extend(latencies(simulation(&wide(400, 1), seed), every));
        }
        in_turn.sort_unstable();
        let p99 = |latencies: &[u64]| latencies[latencies.len() * 99 / 100];
        let (chosen, in_turn) = (p99(&chosen), p99(&in_turn));
        println!("seed {seed}: p99 {chosen} µs by load, {in_turn} µs in turn");
        assert!(chosen * 10 < in_turn * 9, "seed {seed}: p99 {chosen} µs by load, {in_turn} µs in turn");
    }
}

/// Equal replicas that are idle take turns, and the stages of one request stay together.
#[test]
fn idle_replicas_share_evenly_and_hand_over_at_home() {
    let plan = wide(8, 4);
    let mut simulation = simulation(&plan, 1);
    simulation.keep_log();
    for number in 0..40 {
        let inputs = vec![("prompt".to_owned(), Datum::text("One. Two."))];
        simulation.ask_at(BEGIN_US + number * 1_000_000, Request::new(TALK, inputs));
    }
    assert!(simulation.run_to_rest(1_000_000_000));
    let busy_us = |worker| simulation.busy_us(WorkerId(worker), ComponentId(0));
    assert!((0..4).all(|worker| busy_us(worker) == 10 * 3 * ITEM_US), "two words and the call, ten times");
    let log = simulation.take_log();
    for worker in 0..4 {
        let opens = log.iter().filter(|line| line.contains(&format!("w{worker} hears open"))).count();
        assert_eq!(opens, 10);
        let handed =
            |line: &&String| line.contains(&format!("w{worker} hears hand over")) && line.contains("v2 item");
        assert_eq!(log.iter().filter(handed).count(), 20);
    }
}

/// F4: three times as much as can be done is refused fast, and as much is done as ever.
#[test]
fn overload_costs_no_goodput() {
    let plan = wide(16, 2);
    let goodput = |load: f64| {
        let mut simulation = simulation(&plan, 3);
        let requests = skewed(3_000, 2, load, 9);
        let until_us = requests.last().unwrap().0;
        for (at_us, words) in requests {
            simulation.ask_at(at_us, chat(words));
        }
        assert!(simulation.run_to_rest(1_000_000_000));
        let words = |request: &Request| {
            if let Datum::Text(text) = &request.inputs[0].1 {
                text.matches("word").count() as f64
            } else {
                0.0
            }
        };
        let mut done = 0.0;
        for answer in simulation.answers() {
            match &answer.failure {
                None if answer.ended_us.unwrap() <= until_us => done += words(&answer.request),
                None => {}
                Some(fault) => {
                    assert_eq!(fault.blame, Blame::Busy);
                    assert_eq!(answer.ended_us.unwrap(), answer.asked_us, "refused at once");
                }
            }
        }
        done / (until_us - BEGIN_US) as f64
    };
    let (peak, over) = (goodput(1.0), goodput(3.0));
    println!("{over} words a µs at three times the load, {peak} at its peak");
    assert!(over > 0.9 * peak, "{over} words a µs at three times the load, {peak} at its peak");
}

/// However much that is urgent comes, what is not comes to its turn.
#[test]
fn low_priority_never_starves() {
    let mut simulation = simulation(&wide(2, 1), 4);
    for number in 0..400 {
        let mut request = chat(20);
        request.priority = if number == 10 { Priority::Low } else { Priority::High };
        simulation.ask_at(BEGIN_US + number * 21_000, request);
    }
    assert!(simulation.run_to_rest(1_000_000_000));
    let low = simulation.answer(10);
    assert!(low.failure.is_none());
    let later = simulation.answers().skip(11).filter(|answer| answer.ended_us > low.ended_us).count();
    assert!(later > 100, "it came before {later} of the urgent ones");
}

/// H5, F2: hundreds of workers, a tenth of them killed at once: what had sent nothing is answered by others.
#[test]
fn hundreds_of_workers_lose_a_tenth() {
    let half = |stage: StageId| (0..300).map(WorkerId).filter(|worker| worker.0 % 2 == stage.0).collect();
    let plan = plan(400, 300, half);
    let mut simulation = simulation(&plan, 5);
    for number in 0..300 {
        let inputs = vec![("prompt".to_owned(), Datum::text(format!("This is number {number}. And more.")))];
        simulation.ask_at(BEGIN_US + number, Request::new(TALK, inputs));
    }
    for worker in (0..300).step_by(10) {
        simulation.inject_at(BEGIN_US + 1_000, Mishap::Kill { worker: WorkerId(worker), back_us: None });
    }
    simulation
        .inject_at(BEGIN_US + 1_000, Mishap::Break(Party::Worker(WorkerId(1)), Party::Worker(WorkerId(2))));
    assert!(simulation.run_to_rest(60_000_000));
    assert_eq!(simulation.violations(), [""; 0]);
    for answer in simulation.answers() {
        assert!(answer.failure.is_none() || answer.has_begun(), "{:?}", answer.failure);
    }
    let again = simulation.answers().filter(|answer| answer.attempt.attempt > 0).count();
    assert!(again >= 20, "{again} were replayed");
}
