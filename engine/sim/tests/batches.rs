//! Batches across requests, on simulated time.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;

use corn_core::Datum;
use corn_plan::{Batch, ComponentId, Plan, RecordingId, ValueId, Verified, WorkerId};
use corn_sim::scenario::spread;
use corn_sim::{Cost, Loaded, Request, Settings, Simulation, models};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TELL: RecordingId = RecordingId(0);
const TOLD: ValueId = ValueId(3);
/// Makes texts upper case, in batches; on worker 0 alone.
const UPPER: ComponentId = ComponentId(0);
const BEGIN_US: u64 = 1_000_000;

fn plan(batch: Batch) -> Arc<Verified> {
    let mut plan = Plan::parse(models::EACH).unwrap();
    plan.components[UPPER].batch = batch;
    spread(plan, 200, 2, |stage| vec![WorkerId(stage.0)])
}

/// Worker and component as above; a batch takes `batch_us` however many calls it has.
fn simulation(batch: Batch, batch_us: u64, seed: u64) -> Simulation {
    let load = move |component: &corn_plan::Component| Loaded {
        executor: models::load(component),
        cost: Cost { call_us: if component.entry == "upper" { batch_us } else { 0 }, item_us: 0, step_us: 0 },
    };
    Simulation::new(&plan(batch), Settings::default(), Arc::new(load), seed)
}

fn tell(texts: &[String]) -> Request {
    let parts = texts.iter().map(|text| Datum::text(text.as_str())).collect();
    Request::new(TELL, vec![("parts".to_owned(), Datum::List(parts))])
}

/// B1, B8: requests that share batches each get their own rows, also if others leave or fail in the middle of it.
#[test]
fn each_request_gets_its_own_rows() {
    let mut shared = 0;
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let batch = Batch { max: rng.random_range(2..=8), within_ms: rng.random_range(0..=3) };
        let mut simulation = simulation(batch, rng.random_range(100..2_000), seed);
        let mut asked = Vec::new();
        for number in 0..40 {
            let mut texts: Vec<String> =
                (0..rng.random_range(0..=4)).map(|part| format!("r{number}p{part}")).collect();
            if rng.random_bool(0.1) {
                texts.push("FAIL".to_owned());
            }
            let at_us = BEGIN_US + rng.random_range(0..20_000);
            let mut request = tell(&texts);
            let leaves = rng.random_bool(0.2);
            request.leave_us = leaves.then(|| at_us + rng.random_range(0..5_000));
            asked.push((simulation.ask_at(at_us, request), texts, leaves));
        }
        assert!(simulation.run_to_rest(10 * BEGIN_US));
        for (number, texts, leaves) in asked {
            let answer = simulation.answer(number);
            if texts.iter().any(|text| text == "FAIL") {
                assert!(leaves || answer.failure.as_ref().unwrap().message.contains("told to fail"));
                continue;
            }
            let expected =
                std::iter::once("hello".to_owned()).chain(texts.iter().map(|text| text.to_uppercase()));
            let expected = Datum::text(expected.collect::<Vec<_>>().join(","));
            match &answer.items(TOLD)[..] {
                [told] => assert_eq!(*told, expected, "seed {seed}: rows of another request"),
                items => assert!(leaves && items.is_empty(), "seed {seed}: {items:?}, {:?}", answer.failure),
            }
        }
        let batches = simulation.batches(WorkerId(0), UPPER);
        assert!(batches.iter().all(|calls| (1..=batch.max).contains(calls)));
        shared += batches.iter().filter(|calls| **calls > 1).count();
    }
    assert!(shared > 1_000, "only {shared} batches had company");
}

/// From asking to the end, of a request with `parts` parts that nobody is there to keep company.
fn alone_us(batch: Batch, parts: usize, seed: u64) -> u64 {
    let mut simulation = simulation(batch, 1_000, seed);
    let texts: Vec<String> = (0..parts).map(|part| format!("p{part}")).collect();
    let number = simulation.ask_at(BEGIN_US, tell(&texts));
    assert!(simulation.run_to_rest(2 * BEGIN_US));
    simulation.answer(number).ended_us.unwrap() - BEGIN_US
}

#[test]
fn a_call_waits_as_long_as_it_may_and_a_full_batch_not_at_all() {
    // Connections take at most so much of it.
    const WAYS_US: u64 = 500;
    for seed in 0..20 {
        for (within_ms, parts, waits_us) in [(0, 1, 0), (7, 1, 7_000), (7, 3, 7_000), (7, 4, 0), (0, 4, 0)] {
            let took_us = alone_us(Batch { max: 4, within_ms }, parts, seed);
            let expected_us = 1_000 + waits_us;
            assert!(
                (expected_us..expected_us + WAYS_US).contains(&took_us),
                "seed {seed}: {parts} parts within {within_ms} ms took {took_us} µs, not {expected_us}"
            );
        }
    }
}

/// Others may come while a call waits: they have its company, and it waits no longer for theirs.
#[test]
fn company_that_comes_in_time_shares_the_batch() {
    for seed in 0..20 {
        let mut simulation = simulation(Batch { max: 8, within_ms: 5 }, 1_000, seed);
        let request = |number: usize| tell(&[format!("r{number}")]);
        let numbers: Vec<u64> = (0..4)
            .map(|number| simulation.ask_at(BEGIN_US + 1_000 * number as u64, request(number)))
            .collect();
        let late = simulation.ask_at(BEGIN_US + 5_500, request(9));
        assert!(simulation.run_to_rest(2 * BEGIN_US));
        assert_eq!(simulation.batches(WorkerId(0), UPPER), [4, 1]);
        let ended_us = |number| simulation.answer(number).ended_us.unwrap() - BEGIN_US;
        assert!(numbers.iter().all(|number| (6_000..6_500).contains(&ended_us(*number))));
        // It came while those were worked on, so by then it may have waited since their batch began.
        assert!((11_000..11_700).contains(&ended_us(late)), "{}", ended_us(late));
        assert!(simulation.violations().is_empty());
    }
}

/// Batches are what a model makes its throughput with.
#[test]
fn many_requests_are_done_sooner_together() {
    let took_us = |max| {
        let mut simulation = simulation(Batch { max, within_ms: 0 }, 1_000, 1);
        for number in 0..160 {
            simulation.ask_at(BEGIN_US, tell(&[format!("r{number}")]));
        }
        assert!(simulation.run_to_rest(10 * BEGIN_US));
        simulation.answers().map(|answer| answer.ended_us.unwrap()).max().unwrap() - BEGIN_US
    };
    let (alone, together) = (took_us(1), took_us(16));
    assert!(alone > 12 * together, "{alone} µs one by one, {together} µs in batches of 16");
}
