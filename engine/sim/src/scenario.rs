//! Scenarios made up from a seed: a plan with replicas here and there, a network, clients of all manners, and
//! mishaps among them.

use std::sync::Arc;

use corn_core::message::Priority;
use corn_core::{Datum, Patience};
use corn_plan::{Batch, Plan, RecordingId, StageId, Step, Transport, Verified, WorkerId, verify};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::client::Request;
use crate::models;
use crate::network::{Line, Network, Party};
use crate::world::{Mishap, Settings, Simulation};

/// What is replayed, some more often than others.
const PLANS: [&str; 9] = [
    models::ASSISTANT,
    models::ASSISTANT,
    models::ASSISTANT,
    models::EACH,
    models::CONTROL,
    models::BLOCKS_APART,
    models::BLOCKS_APART,
    models::DECIDED_APART,
    models::MEDIA,
];

/// Requests that differ in what they say.
const TEXTS: u64 = 64;

/// When the first request comes: most workers are ready.
const BEGIN_US: u64 = 100_000;

/// How long requests and mishaps come, at most.
const BUSY_US: u64 = 2_000_000;

/// One in so many seeds has a large cluster.
const LARGE_EVERY: u64 = 64;

/// Everything that a run needs.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What decides the rest of chance.
    pub seed: u64,
    /// What is replayed.
    pub plan: Arc<Verified>,
    /// How the cluster is set up.
    pub settings: Settings,
    /// What an item takes a model.
    pub item_us: u64,
    /// Who asks what, and when.
    pub requests: Vec<(u64, Request)>,
    /// What goes wrong, and when.
    pub mishaps: Vec<(u64, Mishap)>,
}

impl Scenario {
    /// The scenario of `seed`.
    ///
    /// # Panics
    /// If the plans of [`models`] are not in order.
    pub fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let is_large = seed % LARGE_EVERY == LARGE_EVERY - 1;
        let workers = if is_large { rng.random_range(100..=300) } else { rng.random_range(2..=8) };
        let remembers = seed % 2 == 1;
        let plan = random_plan(PLANS[rng.random_range(0..PLANS.len())], workers, remembers, &mut rng);
        let item_us = rng.random_range(50..10_000);
        let settings = random_settings(&mut rng);
        let mut requests = Vec::new();
        let offset = rng.random_range(0..TEXTS);
        let busy_us = rng.random_range(10_000..BUSY_US);
        for number in 0..rng.random_range(5..40) {
            let recording = RecordingId(rng.random_range(0..plan.plan().recordings.len() as u32));
            let inputs = inputs(plan.plan(), recording, (offset + number) % TEXTS);
            requests.push(random_request(recording, inputs, busy_us, &mut rng));
        }
        let mut mishaps = Vec::new();
        let most = if is_large { 60 } else { 8 };
        for _ in 0..rng.random_range(0..=most) {
            let at_us = rng.random_range(0..BEGIN_US + busy_us);
            mishaps.push((at_us, random_mishap(workers, &mut rng)));
        }
        Self { seed, plan, settings, item_us, requests, mishaps }
    }

    /// The simulation of this scenario, at its beginning.
    pub fn simulation(&self) -> Simulation {
        let load = models::loader(self.item_us);
        let mut simulation = Simulation::new(&self.plan, self.settings, load, self.seed);
        for (at_us, request) in &self.requests {
            simulation.ask_at(*at_us, request.clone());
        }
        for (at_us, mishap) in &self.mishaps {
            simulation.inject_at(*at_us, *mishap);
        }
        simulation
    }
}

/// `plan` with each of its stages on the workers that `replicas` names, out of `workers` on two hosts, with memory
/// for `inflight` requests.
///
/// # Panics
/// If that is no plan.
pub fn spread(
    mut plan: Plan,
    inflight: u32,
    workers: u32,
    mut replicas: impl FnMut(StageId) -> Vec<WorkerId>,
) -> Arc<Verified> {
    plan.inflight = inflight;
    let mut worker = plan.workers[WorkerId(0)].clone();
    worker.memory_bytes = 1 << 50;
    plan.workers = (0..workers)
        .map(|number| {
            let host = if number % 2 == 0 { "even" } else { "odd" };
            corn_plan::Worker { host: host.to_owned(), ..worker.clone() }
        })
        .collect();
    for stage in plan.stages.ids() {
        plan.stages[stage].replicas = replicas(stage);
    }
    for recording in &mut plan.recordings {
        recording.programs.iter_mut().for_each(|program| by_tcp(&mut program.steps));
    }
    plan.lay_out();
    Arc::new(verify(plan).expect("the plan holds with other workers"))
}

/// Hands over in a way that any two workers have.
fn by_tcp(steps: &mut [Step]) {
    for step in steps {
        match step {
            Step::Send { transport, .. } | Step::Recv { transport, .. } => *transport = Transport::Tcp,
            Step::Branch(branch) => branch.arms.iter_mut().for_each(|arm| by_tcp(&mut arm.steps)),
            Step::Loop(looped) => by_tcp(&mut looped.steps),
            _ => {}
        }
    }
}

/// `text`'s plan with each stage on some of `workers` workers, and other batches; its components may be said to remember
/// what they read first.
fn random_plan(text: &str, workers: u32, remembers: bool, rng: &mut ChaCha8Rng) -> Arc<Verified> {
    let mut plan = Plan::parse(text).expect("the plans of this crate are in order");
    let inflight = rng.random_range(2..=12);
    let share = rng.random_range(0.2..0.9);
    for component in &mut plan.components {
        component.batch = Batch { max: rng.random_range(1..=4), within_ms: rng.random_range(0..=2) };
        if remembers {
            component.remembers.extend(component.inputs.first().map(|port| port.name.clone()));
        }
    }
    spread(plan, inflight, workers, |_| {
        let mut replicas: Vec<WorkerId> =
            (0..workers).map(WorkerId).filter(|_| rng.random_bool(share)).collect();
        if replicas.is_empty() {
            replicas.push(WorkerId(rng.random_range(0..workers)));
        }
        replicas
    })
}

fn random_settings(rng: &mut ChaCha8Rng) -> Settings {
    let line = |rng: &mut ChaCha8Rng, most_us: u64| Line {
        latency_us: rng.random_range(1..most_us),
        jitter_us: rng.random_range(0..most_us),
        bytes_per_us: rng.random_range(10..5_000),
    };
    Settings {
        patience: Some(Patience {
            suspect_us: 200_000,
            eject_us: rng.random_range(300_000..1_000_000),
            wait_us: rng.random_range(0..3_000_000),
        }),
        heartbeat_us: 40_000,
        network: Network { near: line(rng, 50), far: line(rng, 5_000) },
        notice_us: rng.random_range(1..150_000),
        answered_us: rng.random_range(1..50_000),
        load_us: rng.random_range(1..BEGIN_US),
        back_off_us: rng.random_range(1_000..100_000),
    }
}

fn random_request(
    recording: RecordingId,
    inputs: Vec<(String, Datum)>,
    busy_us: u64,
    rng: &mut ChaCha8Rng,
) -> (u64, Request) {
    let at_us = BEGIN_US / 2 + rng.random_range(0..busy_us);
    let mut request = Request::new(recording, inputs);
    request.priority = [Priority::Low, Priority::Normal, Priority::High][rng.random_range(0..3)];
    if rng.random_bool(0.3) {
        request.deadline_us = Some(at_us + rng.random_range(1_000..2_000_000));
    }
    if rng.random_bool(0.3) {
        request.take_us = rng.random_range(0..40_000);
    }
    if rng.random_bool(0.2) {
        request.leave_us = Some(at_us + rng.random_range(0..500_000));
    }
    (at_us, request)
}

fn random_mishap(workers: u32, rng: &mut ChaCha8Rng) -> Mishap {
    let worker = WorkerId(rng.random_range(0..workers));
    let other = Party::Worker(WorkerId((worker.0 + rng.random_range(1..workers)) % workers));
    let one = Party::Worker(worker);
    let for_us = rng.random_range(1_000..1_500_000);
    match rng.random_range(0..11) {
        0 => Mishap::Vanish { worker, back_us: for_us },
        1 => Mishap::Kill { worker, back_us: rng.random_bool(0.9).then_some(for_us) },
        2 => Mishap::Pause { worker, for_us },
        3 => Mishap::Break(Party::Coordinator, one),
        4 => Mishap::Break(one, other),
        5 => Mishap::Cut { one: Party::Coordinator, other: one, for_us },
        6 => Mishap::Cut { one, other, for_us },
        9 => Mishap::PauseCoordinator { for_us },
        7 | 8 => Mishap::Slow { worker, times: rng.random_range(2..50), for_us },
        _ => Mishap::Drain(worker),
    }
}

/// Inputs of a recording of `plan` that say something else for every `number`.
pub fn inputs(plan: &Plan, recording: RecordingId, number: u64) -> Vec<(String, Datum)> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let mut words: Vec<String> = vec![format!("Number{number}")];
    for _ in 0..rng.random_range(1..40) {
        let end = if rng.random_bool(0.2) { "." } else { "" };
        words.push(format!("word{}{end}", rng.random_range(0..1_000)));
    }
    match plan.name.as_str() {
        "assistant" => vec![("prompt".to_owned(), Datum::text(words.join(" ")))],
        "each" => {
            words.truncate(8);
            let parts: Vec<Datum> = words.into_iter().map(Datum::text).collect();
            vec![("parts".to_owned(), Datum::List(parts.into()))]
        }
        _ => models::inputs(&plan.recordings[recording], number),
    }
}
