//! `corn run`: one request, replayed in this process.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corn_core::message::Priority;
use corn_core::{Blame, Fault};
use corn_engine::{Ask, Engine, NoObserver, Observer};
use corn_executors::Executors;
use corn_plan::ids::Id;
use corn_plan::{RecordingId, Verified};
use serde_json::json;

use crate::args::Run;
use crate::commands::models::{open_store, pins};
use crate::commands::{print, say, told_to_stop};
use crate::failure::Failure;
use crate::program;
use crate::progress::Bars;
use crate::request::answer::take;
use crate::request::outputs::Outputs;
use crate::request::way::Ways;
use crate::request::{bindings, inputs};
use crate::timings::Timings;

/// How long an interrupted fetch may take to stop.
const FETCH_STOPS_WITHIN: Duration = Duration::from_millis(300);

pub(crate) fn run(args: &Run) -> Result<(), Failure> {
    let plan = program::load(&args.file, &args.placement)?;
    program::refuse_foreign(plan.plan())?;
    let given = bindings("in", &args.inputs)?;
    let asked = bindings("out", &args.outputs)?;
    let ways = Ways::of_plan(plan.plan());
    let (recording, way) = ways.choose(args.route.as_deref(), &given, &asked)?;
    // Wrong inputs and places that cannot be written are found before anything is fetched.
    let inputs = inputs::read(way, &given)?;
    let outputs = Outputs::open(way, &asked, args.json)?;
    let recording = RecordingId::from_index(recording);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::setup(format!("no event loop: {error}")))?;
    let ask = Ask {
        recording,
        inputs,
        deadline: args.deadline,
        priority: Priority::Normal,
        is_traced: args.timings,
    };
    let (store, interrupt) = open_store(&args.file, args.offline)?;
    let executors = Executors::new(store, pins(&args.file)?);
    let is_loading = AtomicBool::new(true);
    let outcome = runtime.block_on(async {
        let mut replay = pin!(replay(args, &plan, executors, ask, outputs, &is_loading));
        tokio::select! {
            biased;
            () = told_to_stop() => {
                interrupt.raise();
                if is_loading.swap(false, Ordering::Relaxed) {
                    // A fetch ends its child process and leaves what can be resumed.
                    let _ = tokio::time::timeout(FETCH_STOPS_WITHIN, &mut replay).await;
                }
                Err(Failure::Fault(interrupted()))
            }
            outcome = &mut replay => outcome,
        }
    });
    runtime.shutdown_background();
    outcome
}

fn interrupted() -> Fault {
    Fault::new(Blame::Cancelled, "interrupted; no file was written")
}

async fn replay(
    args: &Run,
    plan: &Arc<Verified>,
    executors: Executors,
    ask: Ask,
    mut outputs: Outputs,
    is_loading: &AtomicBool,
) -> Result<(), Failure> {
    let bars = Arc::new(Bars::new(args.json));
    let recording = ask.recording;
    let timings = Arc::new(Timings::default());
    let observer: Arc<dyn Observer> =
        if args.timings { Arc::clone(&timings) as Arc<dyn Observer> } else { Arc::new(NoObserver) };
    let loader = Arc::new(executors);
    let progress = Arc::clone(&bars) as Arc<dyn corn_core::executor::Progress>;
    let started = Engine::start(Arc::clone(plan), &[recording], loader, progress, observer).await;
    bars.clear();
    if !is_loading.swap(false, Ordering::Relaxed) {
        return Err(Failure::Fault(interrupted()));
    }
    let engine = started?;
    let from_us = engine.now_us();
    let mut answer = engine.submit(ask);
    let mut to_us = from_us;
    take(&mut answer, &mut outputs, || to_us = engine.now_us()).await?;
    let report = outputs.finish()?;
    let timings = args.timings.then(|| timings.report(plan.plan(), from_us, to_us));
    if args.json {
        let route = &plan.plan().recordings[recording].route;
        let mut object = json!({ "route": route, "outputs": report });
        if let (Some(timings), Some(object)) = (timings, object.as_object_mut()) {
            object.insert("timings".to_owned(), timings.to_json());
        }
        print(&format!("{object}\n"))?;
    } else if let Some(timings) = timings {
        say(timings.to_text().trim_end());
    }
    Ok(())
}
