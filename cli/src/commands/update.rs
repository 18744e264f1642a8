//! `corn update`: another plan for a deployment that serves.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use corn_core::{Blame, Fault};
use corn_engine::{Remote, Standing};

use crate::args::Placement;
use crate::commands::ps::local;
use crate::commands::up::{LOAD_WITHIN, planned};
use crate::commands::{print, told_to_stop};
use crate::failure::Failure;
use crate::progress::Bars;
use crate::state::State;

#[derive(Debug, Args)]
#[command(after_help = "\
The new plan's workers load beside those that serve, so the host needs memory for both. When all of them are ready,
requests that come go to them; those under way end where they began. As many are admitted at once as before, unless
--inflight says otherwise. If a worker cannot load or ends before that, or not all are ready within
--load-within, nothing changes, and the command fails and says why. Ctrl-C before that takes the
update back.

Examples:
  corn update assistant assistant.corn
  corn update assistant next.plan --load-within 120 --drain-within 30

A coordinator that dies is brought back with `corn up` and the file of the last update.")]
pub(crate) struct Update {
    /// The deployment.
    name: String,
    /// The `.corn` file, or a plan.
    file: PathBuf,
    /// How long the workers of the new plan may take to be ready, in seconds; then it is taken back.
    #[arg(long, value_name = "SECONDS", default_value_t = LOAD_WITHIN)]
    load_within: u64,
    /// How long requests under way may take to end, in seconds; what is left then fails.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    drain_within: u64,
    /// Where workers of other hosts join: another place than that of the workers that are there.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    placement: Placement,
}

pub(crate) fn update(args: &Update) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    local(async {
        let (mut remote, mut watched) = (state.connected().await?, state.connected().await?);
        // As many as before, if nobody says how many.
        let before = remote.plan().await?.plan().inflight;
        let inflight = Some(args.placement.inflight.unwrap_or(before));
        let plan = planned(&args.file, &Placement { inflight, ..args.placement.clone() })?;
        let bars = Bars::new(false);
        let (load_within, drain_within) =
            (Duration::from_secs(args.load_within), Duration::from_secs(args.drain_within));
        let interrupted = || {
            let message = format!("interrupted: '{}' goes on as it was", args.name);
            Fault::new(Blame::Cancelled, message)
        };
        // Listened for before anything is asked.
        let mut stop = pin!(told_to_stop());
        if poll_fn(|context| Poll::Ready(stop.as_mut().poll(context))).await.is_ready() {
            return Err(Failure::Fault(interrupted()));
        }
        let outcome = tokio::select! {
            biased;
            outcome = remote.update(plan.plan(), args.listen.as_deref(), load_within, drain_within) => outcome,
            fault = show(&mut watched, &bars) => Err(fault),
            () = stop => Err(interrupted()),
        };
        bars.clear();
        outcome?;
        print(&format!("{} replays plan {} from now on\n", args.name, plan.hash()))
    })
}

/// Shows how far the workers are that load, until the deployment is gone.
async fn show(remote: &mut Remote, bars: &Bars) -> Fault {
    let mut status = remote.status().await;
    loop {
        let version = match status {
            Ok(status) => {
                for worker in status.coming.iter().flat_map(|coming| &coming.workers) {
                    if let Standing::Loading { what, done, total } = &worker.standing
                        && !what.is_empty()
                    {
                        corn_core::executor::Progress::advance(bars, what, *done, *total);
                    }
                }
                status.version
            }
            Err(fault) => return fault,
        };
        status = remote.changed(version).await;
    }
}
