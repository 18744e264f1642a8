//! `corn call`: a request to a deployment that is up, or many for a look at its latency.

use std::time::{Duration, Instant};

use clap::Args;
use corn_core::message::Priority;
use corn_core::{Blame, Datum, Fault};
use corn_engine::{Ask, Piece};
use corn_plan::{RecordingId, Verified};
use serde_json::json;

use crate::commands::ps::local;
use crate::commands::{print, told_to_stop};
use crate::failure::Failure;
use crate::request::answer::take;
use crate::request::outputs::Outputs;
use crate::request::{bindings, choose, inputs};
use crate::state::State;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  corn call assistant --in speech=@question.wav --out voice=answer.wav
  corn call hello --in prompt=\"Name three colours\"
  corn call shout --in text=hello --repeat 10000 --concurrency 64

With --repeat nothing of the answers is kept: how long they took is printed.")]
pub(crate) struct Call {
    /// The deployment.
    name: String,
    /// The route [default: the one that takes what is brought and makes what is asked].
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// An input: name=value, name=@file, or name=- for standard input. Repeat it for a list.
    #[arg(long = "in", value_name = "NAME=VALUE|@FILE|-")]
    inputs: Vec<String>,
    /// Where an output goes: name=file, or name=- for standard output.
    #[arg(long = "out", value_name = "NAME=FILE|-")]
    outputs: Vec<String>,
    /// Print one JSON object when it is over.
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up when it takes longer than this, such as 30s or 2min.
    #[arg(long, value_name = "DURATION", value_parser = crate::args::duration)]
    deadline: Option<Duration>,
    /// How urgent it is: low, normal or high.
    #[arg(long, default_value = "normal", value_parser = priority)]
    priority: Priority,
    /// Ask so often, and say how long it took.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,
    /// So many at the same time.
    #[arg(long, value_name = "N", requires = "repeat", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: u32,
}

fn priority(text: &str) -> Result<Priority, String> {
    match text {
        "low" => Ok(Priority::Low),
        "normal" => Ok(Priority::Normal),
        "high" => Ok(Priority::High),
        _ => Err("a priority is low, normal or high".to_owned()),
    }
}

pub(crate) fn call(args: &Call) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    let interrupted = || Failure::Fault(Fault::new(Blame::Cancelled, "interrupted; no file was written"));
    local(async {
        let work = async {
            let plan = state.connected().await?.plan().await?;
            let given = bindings("in", &args.inputs)?;
            let asked = bindings("out", &args.outputs)?;
            let recording = choose(plan.plan(), args.route.as_deref(), &given, &asked)?;
            let inputs = inputs::read(&plan.plan().recordings[recording], &given)?;
            match args.repeat {
                None => once(args, &state, &plan, recording, inputs).await,
                Some(repeat) => many(args, &state, recording, &inputs, repeat).await,
            }
        };
        tokio::select! {
            biased;
            () = told_to_stop() => Err(interrupted()),
            outcome = work => outcome,
        }
    })
}

fn ask(args: &Call, recording: RecordingId, inputs: Vec<(String, Datum)>) -> Ask {
    Ask { recording, inputs, deadline: args.deadline, priority: args.priority, is_traced: false }
}

async fn once(
    args: &Call,
    state: &State,
    plan: &Verified,
    recording: RecordingId,
    inputs: Vec<(String, Datum)>,
) -> Result<(), Failure> {
    let asked = bindings("out", &args.outputs)?;
    let mut outputs = Outputs::open(&plan.plan().recordings[recording], &asked, args.json)?;
    let mut answer = state.connected().await?.call(ask(args, recording, inputs));
    take(&mut answer, &mut outputs, || ()).await?;
    let report = outputs.finish()?;
    if args.json {
        let route = &plan.plan().recordings[recording].route;
        print(&format!("{}\n", json!({ "route": route, "outputs": report })))?;
    }
    Ok(())
}

/// What many requests took.
#[derive(Default)]
struct Taken {
    /// To the end of each answer.
    whole: Vec<Duration>,
    /// To the first piece of each.
    first: Vec<Duration>,
    failed: Vec<Fault>,
}

async fn many(
    args: &Call,
    state: &State,
    recording: RecordingId,
    inputs: &[(String, Datum)],
    repeat: u32,
) -> Result<(), Failure> {
    let left = std::rc::Rc::new(std::cell::Cell::new(repeat));
    let mut clients = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for _ in 0..args.concurrency.min(repeat) {
        let mut remote = state.connected().await?;
        let (left, inputs) = (std::rc::Rc::clone(&left), inputs.to_vec());
        let ask = ask(args, recording, inputs);
        clients.spawn_local(async move {
            let mut taken = Taken::default();
            while left.get() > 0 {
                left.set(left.get() - 1);
                let from = Instant::now();
                let mut answer = remote.call(ask.clone());
                let mut first = None;
                let mut failed = None;
                while let Some(piece) = answer.next().await {
                    match piece {
                        Piece::Failed(fault) => failed = Some(fault),
                        Piece::Item { .. } | Piece::End { .. } => {
                            first.get_or_insert_with(|| from.elapsed());
                        }
                    }
                }
                if let Some(fault) = failed {
                    taken.failed.push(fault);
                } else {
                    taken.whole.push(from.elapsed());
                    taken.first.extend(first);
                }
                match answer.into_remote() {
                    Some(connected) => remote = connected,
                    None => break,
                }
            }
            taken
        });
    }
    let mut all = Taken::default();
    while let Some(taken) = clients.join_next().await {
        let taken = taken.map_err(|error| Failure::setup(error.to_string()))?;
        all.whole.extend(taken.whole);
        all.first.extend(taken.first);
        all.failed.extend(taken.failed);
    }
    report(args, all, begun.elapsed())
}

fn report(args: &Call, mut taken: Taken, elapsed: Duration) -> Result<(), Failure> {
    taken.whole.sort();
    taken.first.sort();
    let done = taken.whole.len();
    let per_second = done as f64 / elapsed.as_secs_f64();
    let micros = |sorted: &[Duration], share: f64| {
        let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(0, |duration| duration.as_micros() as u64)
    };
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
    if args.json {
        let figures = |sorted: &[Duration]| {
            let each = shares.iter().map(|(name, share)| ((*name).to_owned(), json!(micros(sorted, *share))));
            serde_json::Value::Object(each.collect())
        };
        let object = json!({
            "done": done, "failed": taken.failed.len(), "seconds": elapsed.as_secs_f64(),
            "per_second": per_second, "whole_us": figures(&taken.whole), "first_us": figures(&taken.first),
        });
        print(&format!("{object}\n"))?;
    } else {
        let failed = taken.failed.len();
        let seconds = elapsed.as_secs_f64();
        print(&format!("{done} answered, {failed} failed in {seconds:.2} s: {per_second:.0} a second\n"))?;
        for (what, sorted) in [("first piece", &taken.first), ("whole answer", &taken.whole)] {
            let each = shares.iter().map(|(name, share)| format!("{name} {} µs", micros(sorted, *share)));
            print(&format!("  {what:<12}  {}\n", each.collect::<Vec<_>>().join("  ")))?;
        }
    }
    match taken.failed.into_iter().next() {
        Some(fault) => Err(Failure::Fault(fault)),
        None => Ok(()),
    }
}
