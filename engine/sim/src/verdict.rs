//! Whether a run kept what the engine promises.
//!
//! - F1: every request ends, with its whole answer or with a fault of a known kind; nothing comes after that.
//! - F2: no request is lost that had sent nothing, unless three attempts were; none goes to the end of time.
//! - R14, H3: an answer is exactly that of the same request alone on a cluster where nothing goes wrong, or, if it
//!   ended with a fault, the beginning of it; and all of it was made by one attempt.
//! - H4, H5: at the end no worker holds anything, and the coordinator has nothing in flight and nothing waiting.
//! - T6, F4: at no moment does a worker hold more than the plan says, or the coordinator admit more.
//! - B6: who is refused for want of a worker names the component, and no worker was surely ready.
//! - F3: every worker whose process runs is ready at the end, and whatever can be served then is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corn_core::{Blame, Datum};
use corn_plan::{Adaptor, Plan, Recording, RecordingId, Step, ValueId, all_steps};

use crate::client::{Answer, Request};
use crate::models;
use crate::scenario::{Scenario, inputs};
use crate::world::{Settings, Simulation};

/// When every request must be over, on simulated time: long after the last of them came and the last mishap passed.
const LIMIT_US: u64 = 60_000_000;

/// How long it takes until what was broken is ready again.
const SETTLING_US: u64 = 5_000_000;

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Promises that were broken.
    pub violations: Vec<String>,
    /// Requests with a whole answer.
    pub answered: u64,
    /// Of these, replayed after a loss.
    pub answered_again: u64,
    /// Requests that ended with a fault, by blame.
    pub failed: BTreeMap<String, u64>,
    /// Events that happened.
    pub events: u64,
    /// Every event, if it was asked for.
    pub log: Vec<String>,
}

/// Whole answers, by output.
type Whole = BTreeMap<ValueId, Vec<Datum>>;

/// What each request is answered when nothing goes wrong.
#[derive(Debug, Default)]
pub struct Expectations {
    known: BTreeMap<(String, RecordingId), Vec<(Inputs, Whole)>>,
}

type Inputs = Vec<(String, Datum)>;

impl Expectations {
    /// The answer of `request` alone.
    fn of(&mut self, scenario: &Scenario, request: &Request) -> &Whole {
        let plan = scenario.plan.plan();
        let known = self.known.entry((plan.name.clone(), request.recording)).or_default();
        let place = known.iter().position(|(inputs, _)| *inputs == request.inputs).unwrap_or_else(|| {
            known.push((request.inputs.clone(), alone(scenario, request)));
            known.len() - 1
        });
        &known[place].1
    }
}

/// The answer of `request` on a cluster that has nothing else to do.
fn alone(scenario: &Scenario, request: &Request) -> Whole {
    let mut simulation = Simulation::new(&scenario.plan, Settings::default(), models::loader(1), 0);
    simulation.ask_at(SETTLING_US, Request::new(request.recording, request.inputs.clone()));
    simulation.run_to_rest(LIMIT_US);
    let answer = simulation.answer(0);
    let outputs = &scenario.plan.plan().recordings[request.recording].outputs;
    outputs.iter().map(|output| (output.value, answer.items(output.value))).collect()
}

/// Runs the scenario of `seed` and judges it. A panic of the engine is a broken promise.
pub fn judge(seed: u64, keeps_log: bool, expectations: &mut Expectations) -> Verdict {
    let scenario = Scenario::random(seed);
    let mut simulation = scenario.simulation();
    if keeps_log {
        simulation.keep_log();
    }
    let mut verdict = Verdict::default();
    let run = AssertUnwindSafe(|| run(&scenario, &mut simulation, expectations, &mut verdict));
    if let Err(panic) = catch_unwind(run) {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        verdict.violations.push(format!("at {} µs: panic: {message}", simulation.now_us()));
    }
    verdict.events = simulation.handled();
    verdict.log = simulation.take_log();
    verdict
}

fn run(
    scenario: &Scenario,
    simulation: &mut Simulation,
    expectations: &mut Expectations,
    verdict: &mut Verdict,
) {
    simulation.run_to_rest(LIMIT_US);
    let is_over = simulation.now_us().max(last_us(scenario)) + SETTLING_US;
    simulation.run_until(is_over);
    let asked = scenario.requests.len();
    probe(scenario, simulation);
    verdict.violations.extend_from_slice(simulation.violations());
    for (number, answer) in simulation.answers().enumerate() {
        let id = answer.attempt;
        let expected = expectations.of(scenario, &answer.request);
        let is_merged = merges(&scenario.plan.plan().recordings[answer.request.recording]);
        if let Some(broken) =
            broken_by_answer(answer, expected, is_merged, simulation.coordinator_paused_us())
        {
            verdict.violations.push(format!("{id}: {broken}"));
        }
        match &answer.failure {
            None => {
                verdict.answered += 1;
                verdict.answered_again += u64::from(id.attempt > 0);
            }
            Some(fault) => {
                *verdict.failed.entry(format!("{:?}", fault.blame)).or_default() += 1;
                if number >= asked {
                    verdict.violations.push(format!("{id}, asked when all was well again, fails: {fault}"));
                }
            }
        }
    }
    let coordinator = simulation.coordinator();
    let (inflight, waiting) = (coordinator.in_flight(), coordinator.waiting());
    if inflight + waiting > 0 {
        verdict.violations.push(format!("at the end {inflight} are in flight and {waiting} wait"));
    }
    for id in scenario.plan.plan().workers.ids() {
        if let Some(worker) = simulation.worker(id)
            && !worker.ledger().is_empty()
        {
            verdict.violations.push(format!("at the end {id} holds {:?}", worker.ledger()));
        }
        if simulation.is_running(id) && !simulation.is_ready(id) {
            verdict.violations.push(format!("at the end {id} runs and is not ready"));
        }
    }
}

/// When the last mishap has passed.
fn last_us(scenario: &Scenario) -> u64 {
    const LONGEST_US: u64 = 2_000_000;
    scenario.mishaps.iter().map(|(at_us, _)| at_us + LONGEST_US).max().unwrap_or(0)
}

/// F3: asks once for each recording that can be served.
fn probe(scenario: &Scenario, simulation: &mut Simulation) {
    let plan: &Plan = scenario.plan.plan();
    for (id, recording) in plan.recordings.enumerate() {
        let stages = recording.programs.iter().map(|program| &plan.stages[program.stage]);
        let mut stages = stages.map(|stage| stage.replicas.iter().any(|id| simulation.is_ready(*id)));
        if stages.all(|is_ready| is_ready) {
            simulation.ask_at(simulation.now_us(), Request::new(id, inputs(plan, id, 1_000)));
            simulation.run_to_rest(simulation.now_us() + LIMIT_US);
        }
    }
}

/// Whether a recording puts items together in the order in which they come.
fn merges(recording: &Recording) -> bool {
    let steps = recording.programs.iter().flat_map(|program| all_steps(&program.steps));
    steps.into_iter().any(|step| matches!(step, Step::Adapt { adaptor: Adaptor::Merge { .. }, .. }))
}

/// Whether `got` is the beginning of `items`, or if they were merged, some of them.
fn begins_with(items: &[Datum], got: &[Datum], is_merged: bool) -> bool {
    if !is_merged {
        return items.starts_with(got);
    }
    let mut left: Vec<&Datum> = items.iter().collect();
    got.iter()
        .all(|item| left.iter().position(|known| *known == item).map(|at| left.swap_remove(at)).is_some())
}

fn broken_by_answer(answer: &Answer, expected: &Whole, is_merged: bool, paused_us: u64) -> Option<String> {
    if answer.finished_us.is_none() {
        return Some("never ends".to_owned());
    }
    let mut attempts = answer.pieces.values().flatten().map(|piece| piece.attempt);
    if let Some(first) = attempts.next()
        && attempts.any(|attempt| attempt != first)
    {
        return Some("is answered by two attempts".to_owned());
    }
    for (value, items) in expected {
        let got = answer.items(*value);
        if !begins_with(items, &got, is_merged) {
            return Some(format!("{value} is not what was asked for: {got:?} instead of {items:?}"));
        }
        let is_whole = answer.ended.contains(value) && got.len() == items.len();
        if answer.failure.is_none() && !is_whole {
            return Some(format!("ends without a fault and without all of {value}"));
        }
    }
    let is_late = |at_us: u64| answer.ended_us.is_some_and(|ended_us| ended_us > at_us + 1);
    if let Some(deadline_us) = answer.request.deadline_us
        && answer.failure.as_ref().is_some_and(|fault| fault.blame == Blame::Deadline)
        && is_late(deadline_us.max(answer.asked_us).max(paused_us))
    {
        return Some(format!("has the deadline {deadline_us}, and hears of it at {:?}", answer.ended_us));
    }
    None
}
