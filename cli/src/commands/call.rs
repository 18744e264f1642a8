//! `corn call`: a request to a deployment that is up, or many for a look at its latency.

mod figures;
mod load;

use std::time::Duration;

use clap::Args;
use corn_core::message::Priority;
use corn_core::{Blame, Datum, Fault};
use corn_engine::Ask;
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

With --repeat nothing of the answers is kept: how long they took is printed. Ctrl-C ends it, and prints
what was measured so far.")]
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
                None => once(args, &state, &plan, recording, inputs).await.map(|()| None),
                Some(repeat) => Ok(Some((repeat, ask(args, recording, inputs)))),
            }
        };
        let many = tokio::select! {
            biased;
            () = told_to_stop() => return Err(interrupted()),
            outcome = work => outcome?,
        };
        // A load ends in another way: what was measured is said.
        match many {
            Some((repeat, ask)) => load::many(args, &state, &ask, repeat).await,
            None => Ok(()),
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
