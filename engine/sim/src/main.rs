//! Runs seeds of the simulator, or one of them again with its log.
//!
//! ```text
//! corn-sim seeds 10000 [FIRST]    runs ten thousand seeds; exit code 1 if one breaks a promise, with its log
//! corn-sim replay SEED            runs one seed and prints what happens
//! corn-sim admission              measures look-up and admission with many requests in flight
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that prints")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use corn_core::message::{CoordinatorEvent, Priority, RequestId, Seat, Submission};
use corn_core::{Coordinator, Datum};
use corn_plan::{Plan, RecordingId, WorkerId};
use corn_sim::models;
use corn_sim::scenario::{Scenario, spread};
use corn_sim::verdict::{Expectations, Verdict, judge};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    match arguments[..] {
        ["seeds", count] => number(count).map(|count| seeds(0, count)),
        ["seeds", count, first] => number(count).zip(number(first)).map(|(count, first)| seeds(first, count)),
        ["replay", seed] => number(seed).map(replay),
        ["admission"] => Some(admission()),
        _ => None,
    }
    .unwrap_or_else(|| {
        eprintln!("usage: corn-sim seeds COUNT [FIRST] | corn-sim replay SEED | corn-sim admission");
        ExitCode::from(2)
    })
}

/// What came of all seeds so far.
#[derive(Default)]
struct Sum {
    done: u64,
    verdict: Verdict,
    broken: Option<u64>,
}

fn seeds(first: u64, count: u64) -> ExitCode {
    let begin = Instant::now();
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    // A seed's panic is told with its log, below.
    std::panic::set_hook(Box::new(|_| {}));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut expectations = Expectations::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let verdict = judge(seed, false, &mut expectations);
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    add(&mut sum, seed, &verdict);
                    if sum.broken.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if sum.done.is_multiple_of(1_000) {
                        report(&sum, begin);
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report(&sum, begin);
    match sum.broken {
        None => ExitCode::SUCCESS,
        Some(seed) => replay(seed),
    }
}

fn add(sum: &mut Sum, seed: u64, verdict: &Verdict) {
    sum.done += 1;
    sum.verdict.answered += verdict.answered;
    sum.verdict.answered_again += verdict.answered_again;
    sum.verdict.events += verdict.events;
    for (blame, count) in &verdict.failed {
        *sum.verdict.failed.entry(blame.clone()).or_default() += count;
    }
    if !verdict.violations.is_empty() {
        sum.broken = Some(sum.broken.unwrap_or(seed).min(seed));
    }
}

fn report(sum: &Sum, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    let Verdict { answered, answered_again, failed, events, .. } = &sum.verdict;
    let failed: BTreeMap<&String, &u64> = failed.iter().collect();
    println!(
        "{} seeds in {seconds:.1} s, {:.0} a second; {events} events; {answered} answered, {answered_again} of them \
         after a loss; failed {failed:?}",
        sum.done,
        sum.done as f64 / seconds,
    );
}

fn replay(seed: u64) -> ExitCode {
    let verdict = judge(seed, true, &mut Expectations::default());
    let scenario = Scenario::random(seed);
    println!("seed {seed}: {:?}", scenario.settings);
    for (id, stage) in scenario.plan.plan().stages.enumerate() {
        println!("stage {id} on {:?}", stage.replicas);
    }
    for line in &verdict.log {
        println!("{line}");
    }
    for violation in &verdict.violations {
        println!("seed {seed} breaks a promise: {violation}");
    }
    if verdict.violations.is_empty() {
        println!("seed {seed} breaks no promise");
        return ExitCode::SUCCESS;
    }
    println!("again: cargo run --release -p corn-sim -- replay {seed}");
    ExitCode::from(1)
}

/// Q5: with so many requests in flight, looks up and admits one more, and ends it: short ones that nobody remembers, and
/// such that are as long as any that are looked at and begin alike.
fn admission() -> ExitCode {
    const REMEMBERED: [(&str, &str); 3] = [
        ("text max 4KiB in 4KiB", "text max 20KiB in 20KiB"),
        ("in prompt: text max 4KiB", "in prompt: text max 20KiB"),
        ("text max 64B> window 4\n  needs", "text max 64B> window 4\n  remembers prompt\n  needs"),
    ];
    let remembered =
        REMEMBERED.iter().fold(models::ASSISTANT.to_owned(), |plan, (from, to)| plan.replace(from, to));
    let long = "You are an assistant who has much to heed. ".repeat(360);
    for (what, plan, prompt) in
        [("short", models::ASSISTANT, "Hello there."), ("long and known", &remembered, &long)]
    {
        let plan = Plan::parse(plan).expect("the plans of this crate are in order");
        for in_flight in [100, 1_000, 10_000] {
            let (admitting_us, ending_us) = admit(&plan, in_flight, prompt);
            println!(
                "{what}, {in_flight} in flight: {admitting_us:.2} µs to look up and admit, {ending_us:.2} µs to end"
            );
        }
    }
    ExitCode::SUCCESS
}

/// What one more of `in_flight` requests takes to look up and admit, and then to be answered, cancelled and closed, in µs.
fn admit(plan: &Plan, in_flight: u32, prompt: &str) -> (f64, f64) {
    const ROUNDS: u64 = 20_000;
    const REPLICAS: u32 = 8;
    let plan = spread(plan.clone(), in_flight + 1, REPLICAS, |_| (0..REPLICAS).map(WorkerId).collect());
    let signature = plan.plan().recordings[RecordingId(0)].signature();
    let mut coordinator = Coordinator::new(std::sync::Arc::clone(&plan), None);
    let mut actions = Vec::new();
    for worker in (0..REPLICAS).map(WorkerId) {
        coordinator.handle(0, CoordinatorEvent::Joined(Seat { worker, epoch: 0 }), &mut actions);
    }
    let mut submit = |coordinator: &mut Coordinator, number: u64| {
        let prompt = Datum::text(format!("{prompt}{number}"));
        let begin = Instant::now();
        let recording = coordinator.look_up(&signature).unwrap_or(RecordingId(0));
        let inputs = vec![("prompt".to_owned(), prompt)];
        let (deadline_us, priority) = (Some(1_000_000 + number), Priority::Normal);
        let request = RequestId::first(number);
        let submission = Submission { request, recording, inputs, deadline_us, priority, is_traced: false };
        coordinator.handle(number, CoordinatorEvent::Submit(submission), &mut actions);
        actions.clear();
        begin.elapsed()
    };
    for number in 0..u64::from(in_flight) {
        submit(&mut coordinator, number);
    }
    let mut admitting = std::time::Duration::ZERO;
    let mut ending = std::time::Duration::ZERO;
    let mut ignored = Vec::new();
    for number in (u64::from(in_flight)..).take(ROUNDS as usize) {
        admitting += submit(&mut coordinator, number);
        let begin = Instant::now();
        let request = RequestId::first(number);
        coordinator.handle(number, CoordinatorEvent::Answered(request), &mut ignored);
        coordinator.handle(number, CoordinatorEvent::Cancel(request), &mut ignored);
        for stage in plan.plan().stages.ids() {
            let closed = CoordinatorEvent::Closed { request, stage, outcome: Ok(()) };
            coordinator.handle(number, closed, &mut ignored);
        }
        ending += begin.elapsed();
        ignored.clear();
    }
    let each_us = |total: std::time::Duration| total.as_secs_f64() * 1e6 / ROUNDS as f64;
    (each_us(admitting), each_us(ending))
}
