//! `corn call`: a request to a deployment that is up or to a server anywhere, or many for a look at its latency.

mod histogram;
mod load;
mod measured;
mod server;
mod whom;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use corn_core::message::Priority;
use corn_core::{Blame, Fault};
use corn_engine::Ask;
use corn_plan::RecordingId;
use corn_plan::ids::Id;
use serde_json::json;

use crate::commands::call::load::load;
use crate::commands::call::measured::Measured;
use crate::commands::call::server::Reach;
use crate::commands::call::whom::{Deployment, Whom};
use crate::commands::ps::local;
use crate::commands::{print, say, told_to_stop};
use crate::failure::Failure;
use crate::request::answer::take;
use crate::request::outputs::Outputs;
use crate::request::way::{Way, Ways};
use crate::request::{Binding, bindings, inputs};
use crate::state::State;
use crate::timings::Report;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").args(["name", "at"]).required(true))]
#[command(after_help = "\
Examples:
  corn call assistant --in speech=@question.wav --out voice=answer.wav --timings
  corn call hello --in prompt=\"Name three colours\"
  corn call shout --in text=hello --repeat 10000 --concurrency 64
  corn call --at http://localhost:8001 --in prompt=\"Name three colours\"
  CORN_API_KEY=sk-2f9c81d6 corn call --at https://models.example.org:8001 --in text=hello

With --repeat nothing of the answers is kept: how long they took is printed, and what failed. Ctrl-C prints what
was measured until then.")]
pub(crate) struct Call {
    /// The deployment of this host [or --at a server].
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
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
    /// Print what each component took, and each hand-over between stages, to standard error.
    #[arg(long, conflicts_with_all = ["repeat", "at"])]
    timings: bool,
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
    let measured = Rc::new(RefCell::new(Measured::default()));
    let given = bindings("in", &args.inputs)?;
    let asked = bindings("out", &args.outputs)?;
    local(async {
        let work = async {
            match &args.name {
                Some(name) => deployed(args, &State::of(name)?, &given, &asked, &measured).await,
                None => server::served(args, &given, &asked, &measured).await,
            }
        };
        tokio::select! {
            biased;
            () = told_to_stop() => Err(interrupted(args, &measured.borrow())?),
            outcome = work => outcome,
        }
    })
}

/// Asks a deployment of this host.
async fn deployed(
    args: &Call,
    state: &State,
    given: &[Binding],
    asked: &[Binding],
    measured: &Rc<RefCell<Measured>>,
) -> Result<(), Failure> {
    let plan = state.connected().await?.plan().await?;
    let ways = Ways::of_plan(plan.plan());
    let (recording, way) = ways.choose(args.route.as_deref(), given, asked)?;
    let ask = Ask {
        recording: RecordingId::from_index(recording),
        inputs: inputs::read(way, given)?,
        deadline: args.deadline,
        priority: args.priority,
        is_traced: args.timings,
    };
    let deployment = Deployment { state: state.clone(), plan: plan.hash(), ask };
    if args.timings {
        return timed(args, &deployment, way, asked).await;
    }
    answered(args, &deployment, way, asked, measured).await
}

/// Asks once, and says what it took.
async fn timed(args: &Call, whom: &Deployment, way: &Way, asked: &[Binding]) -> Result<(), Failure> {
    let mut outputs = Outputs::open(way, asked, args.json)?;
    let line = whom.connect().await?;
    let began = Instant::now();
    let mut took = Duration::ZERO;
    let mut answer = whom.ask(line).await;
    take(&mut answer, &mut outputs, || took = began.elapsed()).await?;
    let times = answer.times().await;
    let report = outputs.finish()?;
    let timings = match times {
        Ok(times) => Some(Report::of_deployed(times, u64::try_from(took.as_micros()).unwrap_or(u64::MAX))),
        Err(fault) => {
            say(&format!("the answer is whole, and what it took is not known: {}", fault.message));
            None
        }
    };
    if args.json {
        let timings = timings.map(|timings| timings.to_json());
        return print(&format!("{}\n", json!({ "route": way.route, "outputs": report, "timings": timings })));
    }
    if let Some(timings) = timings {
        say(timings.to_text().trim_end());
    }
    Ok(())
}

/// Asks, once or as often as is wanted.
async fn answered(
    args: &Call,
    whom: &impl Whom,
    way: &Way,
    asked: &[Binding],
    measured: &Rc<RefCell<Measured>>,
) -> Result<(), Failure> {
    match args.repeat {
        None => once(args, whom, way, asked).await,
        Some(repeat) => many(args, whom, repeat, measured).await,
    }
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

async fn once(args: &Call, whom: &impl Whom, way: &Way, asked: &[Binding]) -> Result<(), Failure> {
    let mut outputs = Outputs::open(way, asked, args.json)?;
    let line = whom.connect().await?;
    let mut answer = whom.ask(line).await;
    take(&mut answer, &mut outputs, || ()).await?;
    let report = outputs.finish()?;
    if args.json {
        print(&format!("{}\n", json!({ "route": way.route, "outputs": report })))?;
    }
    Ok(())
}

async fn many(
    args: &Call,
    whom: &impl Whom,
    repeat: u32,
    measured: &Rc<RefCell<Measured>>,
) -> Result<(), Failure> {
    let outcome = load(whom, repeat, args.concurrency, measured).await;
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
