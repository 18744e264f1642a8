//! `corn call`: a request to a deployment that is up, or many for a look at its latency.

mod histogram;
mod load;
mod measured;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use corn_core::message::Priority;
use corn_core::{Blame, Datum, Fault};
use corn_engine::Ask;
use corn_plan::{PlanHash, RecordingId, Verified};
use serde_json::json;

use crate::commands::call::load::load;
use crate::commands::call::measured::Measured;
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

With --repeat nothing of the answers is kept: how long they took is printed, and what failed. Ctrl-C prints what
was measured until then.")]
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
    let measured = Rc::new(RefCell::new(Measured::default()));
    local(async {
        let work = async {
            let plan = state.connected().await?.plan().await?;
            let given = bindings("in", &args.inputs)?;
            let asked = bindings("out", &args.outputs)?;
            let recording = choose(plan.plan(), args.route.as_deref(), &given, &asked)?;
            let inputs = inputs::read(&plan.plan().recordings[recording], &given)?;
            match args.repeat {
                None => once(args, &state, &plan, recording, inputs).await,
                Some(repeat) => {
                    many(args, &state, plan.hash(), &ask(args, recording, inputs), repeat, &measured).await
                }
            }
        };
        tokio::select! {
            biased;
            () = told_to_stop() => Err(interrupted(args, &measured.borrow())?),
            outcome = work => outcome,
        }
    })
}

/// Says what was measured until somebody said stop.
fn interrupted(args: &Call, measured: &Measured) -> Result<Failure, Failure> {
    let message = match args.repeat {
        None => "interrupted; no file was written".to_owned(),
        Some(repeat) => {
            report(args, measured, true)?;
            format!("interrupted when {} of {repeat} requests had ended", measured.ended())
        }
    };
    Ok(Failure::Fault(Fault::new(Blame::Cancelled, message)))
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
    let mut answer = state.connected().await?.call(plan.hash(), ask(args, recording, inputs));
    take(&mut answer, &mut outputs, || ()).await?;
    let report = outputs.finish()?;
    if args.json {
        let route = &plan.plan().recordings[recording].route;
        print(&format!("{}\n", json!({ "route": route, "outputs": report })))?;
    }
    Ok(())
}

async fn many(
    args: &Call,
    state: &State,
    plan: PlanHash,
    ask: &Ask,
    repeat: u32,
    measured: &Rc<RefCell<Measured>>,
) -> Result<(), Failure> {
    let outcome = load(state, plan, ask, repeat, args.concurrency, measured).await;
    let measured = measured.borrow();
    report(args, &measured, false)?;
    outcome?;
    measured.fault().map_or(Ok(()), |fault| Err(Failure::Fault(fault.clone())))
}

fn report(args: &Call, measured: &Measured, interrupted: bool) -> Result<(), Failure> {
    let elapsed = measured.elapsed();
    if args.json {
        return print(&format!("{}\n", measured.json(elapsed, interrupted)));
    }
    print(&measured.text(elapsed))
}
