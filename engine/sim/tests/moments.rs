//! F2, H5: whatever goes wrong at whichever moment of a request, it is answered by others, or if its answer had begun
//! and what was lost was needed for the rest, ends with a fault that says so.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;

use corn_core::{Blame, Datum};
use corn_plan::{Plan, RecordingId, StageId, Verified, WorkerId};
use corn_sim::scenario::{inputs, spread};
use corn_sim::{Answer, Line, Mishap, Network, Party, Request, Settings, Simulation, models};

const BEGIN_US: u64 = 1_000_000;

/// Longer than suspicion and giving up together, and than three attempts.
const LIMIT_US: u64 = BEGIN_US + 10_000_000;

/// The first stage on w0 and w2, the second on w1 and w3.
fn plan(text: &str) -> Arc<Verified> {
    let replicas = |stage: StageId| vec![WorkerId(stage.0), WorkerId(stage.0 + 2)];
    spread(Plan::parse(text).unwrap(), 4, 4, replicas)
}

fn answer(plan: &Arc<Verified>, seed: u64, at_us: u64, mishap: Option<Mishap>) -> Answer {
    let far = Line { latency_us: 300, jitter_us: 3_000, bytes_per_us: 100 };
    let settings = Settings { network: Network { near: far, far }, ..Settings::default() };
    let mut simulation = Simulation::new(plan, settings, models::loader(100), seed);
    let recording = RecordingId(0);
    simulation.ask_at(BEGIN_US, Request::new(recording, inputs(plan.plan(), recording, 7)));
    if let Some(mishap) = mishap {
        simulation.inject_at(at_us, mishap);
    }
    assert!(simulation.run_to_rest(LIMIT_US), "seed {seed}: {mishap:?} at {at_us}: the request never ends");
    assert_eq!(simulation.violations(), [""; 0]);
    simulation.answer(0).clone()
}

#[test]
fn at_every_moment() {
    let worker = WorkerId(0);
    let (one, other, hub) = (Party::Worker(worker), Party::Worker(WorkerId(1)), Party::Coordinator);
    let mishaps = [
        Mishap::Kill { worker, back_us: None },
        Mishap::Kill { worker: WorkerId(1), back_us: None },
        Mishap::Vanish { worker, back_us: 100_000_000 },
        Mishap::Vanish { worker: WorkerId(1), back_us: 100_000_000 },
        Mishap::Pause { worker, for_us: 100_000_000 },
        Mishap::Break(one, other),
        Mishap::Break(hub, one),
        Mishap::Cut { one, other, for_us: 100_000_000 },
        Mishap::Cut { one: hub, other, for_us: 100_000_000 },
    ];
    let mut again = 0;
    for text in [models::EACH, models::ASSISTANT] {
        let plan = plan(text);
        for seed in 0..6 {
            let whole = answer(&plan, seed, 0, None);
            let took_us = whole.finished_us.unwrap() - BEGIN_US;
            let outputs: Vec<_> = plan.plan().recordings[RecordingId(0)].outputs.iter().collect();
            let items = |answer: &Answer| -> Vec<Vec<Datum>> {
                outputs.iter().map(|output| answer.items(output.value)).collect()
            };
            for mishap in mishaps {
                for moment_us in (0..took_us).step_by(took_us as usize / 40) {
                    let got = answer(&plan, seed, BEGIN_US + moment_us, Some(mishap));
                    match &got.failure {
                        None => assert_eq!(items(&got), items(&whole)),
                        Some(fault) => {
                            assert_eq!(fault.blame, Blame::Lost);
                            assert!(got.has_begun(), "{mishap:?} at {moment_us}: {fault}");
                        }
                    }
                    again += u64::from(got.attempt.attempt > 0 && got.failure.is_none());
                }
            }
        }
    }
    assert!(again > 500, "{again} were answered by others");
}
