//! `corn update`, as the coordinator does it: the next generation loads beside the one that serves, takes its place at
//! once, and the one before ends what it has under way.

use std::sync::Arc;
use std::time::Duration;

use corn_core::{Blame, Fault};
use corn_engine::{Generations, Update};
use corn_plan::{Plan, Verified, verify};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::generation::{Common, Generation};
use super::{late, refuse_threads, say_awaited};
use crate::commands::say;
use crate::failure::Failure;
use crate::program;

/// What is on its way.
pub(super) enum Change {
    None,
    /// The next generation loads. Whoever ordered it waits for the outcome.
    Coming {
        next: Box<Generation>,
        load_within: Duration,
        until: Instant,
        drain_within: Duration,
        outcome: oneshot::Sender<Result<(), String>>,
    },
    /// The one before has so long for what it has under way.
    Leaving {
        before: Box<Generation>,
        until: Instant,
    },
    /// It is over, and its processes end.
    Ending(JoinHandle<()>),
}

/// What has come to pass.
pub(super) enum Step {
    Ready,
    /// It does not come: this is why.
    Failed(String),
    Left,
    Ended,
}

impl Change {
    /// Begins what is ordered, or says that it cannot be.
    pub(super) fn begin(
        &mut self,
        common: &Common,
        now: &Generation,
        generations: &Generations,
        update: Update,
    ) {
        let Update { plan, listen, load_within, drain_within, outcome } = update;
        let begun = match self {
            Self::None => prepared(common, &plan, listen.is_some()).and_then(|plan| {
                say(&format!("{}: an update to plan {} loads", now.state.name, plan.hash()));
                say_awaited(listen.as_deref(), &now.state, &common.host, plan.plan());
                // Kept until now for whoever asks why one that came before did not, or what it did at last.
                now.state.forget_logs_of_others();
                Generation::start(common, now.state.next(), &plan, listen)
            }),
            _ => Err(Failure::Usage("an update is under way; `corn ps` shows how far it is".to_owned())),
        };
        match begun {
            Ok(next) => {
                generations.begin(Arc::clone(&next.deployment));
                let (next, until) = (Box::new(next), Instant::now() + load_within);
                *self = Self::Coming { next, load_within, until, drain_within, outcome };
            }
            Err(failure) => {
                if matches!(self, Self::None) {
                    now.state.next().forget();
                }
                let _ = outcome.send(Err(failure.to_string()));
            }
        }
    }

    /// Ends with the next thing that comes to pass. Cancel safe.
    pub(super) async fn step(&mut self, is_served: bool) -> Step {
        match self {
            Self::None => std::future::pending().await,
            Self::Coming { next, load_within, until, outcome, .. } => {
                let deployment = Arc::clone(&next.deployment);
                let state = next.state.clone();
                tokio::select! {
                    // What a worker says that could not load says more than that it ended.
                    biased;
                    ready = deployment.ready() => match ready {
                        Ok(()) => Step::Ready,
                        Err(fault) => Step::Failed(fault.to_string()),
                    },
                    failure = next.failed() => Step::Failed(failure.to_string()),
                    () = tokio::time::sleep_until(*until) => Step::Failed(late(&state, &deployment, *load_within)),
                    () = outcome.closed() => Step::Failed("it was taken back".to_owned()),
                }
            }
            Self::Leaving { before, until } => {
                tokio::select! {
                    () = before.over(is_served) => {}
                    () = tokio::time::sleep_until(*until) => {}
                }
                Step::Left
            }
            Self::Ending(ending) => {
                let _ = ending.await;
                Step::Ended
            }
        }
    }

    /// Goes on from `step`. `now` is what serves, before and after.
    pub(super) fn go_on(&mut self, step: Step, now: &mut Generation, generations: &Generations) {
        let name = now.state.name.clone();
        // What a coordinator that comes back would not find does not serve.
        let step = match (&*self, step) {
            (Self::Coming { next, .. }, Step::Ready) => match next.state.make_present() {
                Ok(()) => Step::Ready,
                Err(failure) => Step::Failed(failure.to_string()),
            },
            (_, step) => step,
        };
        *self = match (std::mem::replace(self, Self::None), step) {
            (Self::Coming { next, drain_within, outcome, .. }, Step::Ready) => {
                next.trust();
                let before = Box::new(std::mem::replace(now, *next));
                generations.switch();
                say(&format!("{name}: updated; what came before ends within {} s", drain_within.as_secs()));
                let _ = outcome.send(Ok(()));
                Self::Leaving { before, until: Instant::now() + drain_within }
            }
            (Self::Coming { next, outcome, .. }, Step::Failed(why)) => {
                generations.give_up();
                say(&format!("{name}: not updated: {why}"));
                let _ = outcome.send(Err(why));
                Self::Ending(tokio::task::spawn_local(next.end(false)))
            }
            (Self::Leaving { before, .. }, Step::Left) => {
                before.served.retire();
                let message = "the plan was replaced, and there was no more time for what was under way";
                before.deployment.close(&Fault::new(Blame::Unavailable, message));
                Self::Ending(tokio::task::spawn_local(before.end(false)))
            }
            (Self::Ending(_), Step::Ended) => {
                generations.end();
                Self::None
            }
            (change, _) => change,
        };
    }

    /// Everything ends.
    pub(super) async fn end(self) {
        match self {
            Self::None => {}
            Self::Coming { next, outcome, .. } => {
                let _ = outcome.send(Err("the deployment ends".to_owned()));
                next.end(false).await;
            }
            Self::Leaving { before, .. } => before.end(false).await,
            Self::Ending(ending) => drop(ending.await),
        }
    }
}

/// The plan of an update, if this coordinator can replay it.
fn prepared(common: &Common, text: &str, is_listening: bool) -> Result<Arc<Verified>, Failure> {
    let plan = Plan::parse(text).map_err(|error| Failure::setup(format!("the plan is broken: {error}")))?;
    let plan = verify(plan).map_err(|violations| {
        let first = violations.first().map_or("", |violation| violation.message.as_str());
        Failure::setup(format!("the plan does not hold: {first}"))
    })?;
    program::refuse_foreign(plan.plan())?;
    refuse_threads(plan.plan())?;
    let host = &common.host;
    let hosts = || plan.plan().workers.iter().map(|worker| worker.host.as_str());
    if !hosts().any(|other| other == host) {
        return Err(Failure::Usage(format!(
            "the plan has no worker on host '{host}', where this deployment is"
        )));
    }
    if let Some(other) = hosts().find(|other| other != host)
        && !is_listening
    {
        return Err(Failure::Usage(format!(
            "the plan has workers on host '{other}', which cannot join: give `corn update` --listen HOST:PORT, another \
             than that of the workers that are there"
        )));
    }
    Ok(Arc::new(plan))
}
