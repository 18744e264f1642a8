//! A generation of a deployment: a plan, its coordinator, and the workers of this host that replay it.

use std::sync::Arc;
use std::time::Duration;

use corn_engine::{Deployment, Listening, Order, Switchboard, Token};
use corn_plan::Verified;
use corn_serve::{Served, Traces};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::supervise::Supervisor;
use crate::commands::serve::{Faces, observer};
use crate::failure::Failure;
use crate::state::State;

/// What all generations of a deployment have in common.
#[derive(Clone)]
pub(super) struct Common {
    /// The host of their plans that this is.
    pub(super) host: String,
    pub(super) token: Token,
    /// Of all connections.
    pub(super) switchboard: Switchboard,
    /// How long requests wait for a worker to come back.
    pub(super) waits: Duration,
    pub(super) offline: bool,
    pub(super) faces: Faces,
}

/// One of them, under way.
pub(super) struct Generation {
    pub(super) state: State,
    pub(super) deployment: Arc<Deployment>,
    /// What the faces serve of it.
    pub(super) served: Arc<Served>,
    traces: Option<Arc<Traces>>,
    orders: UnboundedSender<Order>,
    is_patient: watch::Sender<bool>,
    supervising: Supervising,
}

/// Who looks after the workers.
enum Supervising {
    Goes(JoinHandle<(Supervisor, Result<(), Failure>)>),
    Failed(Option<Box<Supervisor>>),
}

impl Generation {
    /// Starts the workers of this host, or takes over those that are there; those of others join at `listen`. Until it
    /// is [trusted](Self::trust), a worker's end is its end.
    pub(super) fn start(
        common: &Common,
        state: State,
        plan: &Arc<Verified>,
        listen: Option<String>,
    ) -> Result<Self, Failure> {
        state.still_there()?;
        crate::commands::write(&state.plan(), &plan.plan().to_text())?;
        let traces = common.faces.traces(plan.plan())?;
        let Common { host, token, switchboard, waits, offline, .. } = common.clone();
        let listening = Listening { unix: state.workers_socket(), tcp: listen, token, waits };
        let deployment = Deployment::start(plan, &listening, observer(traces.as_ref()), &switchboard)?;
        let deployment = Arc::new(deployment);
        // Until its components are ready, a request is told to come again.
        let served = Served::new(Arc::clone(deployment.engine()));
        served.tell(common.faces.log(), traces.clone());
        let (orders, obeyed) = unbounded_channel();
        let (is_patient, patience) = watch::channel(false);
        let mut supervisor =
            Supervisor::new(state.clone(), Arc::clone(&deployment), plan.plan(), &host, offline, patience);
        let supervising = tokio::task::spawn_local(async move {
            let outcome = supervisor.supervise(obeyed).await;
            (supervisor, outcome)
        });
        let supervising = Supervising::Goes(supervising);
        Ok(Self { state, deployment, served, traces, orders, is_patient, supervising })
    }

    /// A worker that ends is started again from now on.
    pub(super) fn trust(&self) {
        self.is_patient.send_replace(true);
    }

    pub(super) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Ends when it cannot go on, with the reason, once. Cancel safe.
    pub(super) async fn failed(&mut self) -> Failure {
        let Supervising::Goes(supervising) = &mut self.supervising else {
            return std::future::pending().await;
        };
        let (supervisor, outcome) = match supervising.await {
            Ok((supervisor, outcome)) => (Some(Box::new(supervisor)), outcome),
            Err(panicked) => (None, Err(Failure::setup(format!("{panicked}, which is a bug of corn")))),
        };
        self.supervising = Supervising::Failed(supervisor);
        outcome.err().unwrap_or_else(|| Failure::setup("nobody looks after the workers any more"))
    }

    /// Ends when no request is under way, nor anything that clients have of it over the faces.
    pub(super) async fn over(&self, is_served: bool) {
        if is_served {
            self.served.left().await;
        }
        self.deployment.idle().await;
    }

    /// Ends its workers, waits for them, and forgets it unless it is the one that `is_kept` for a coordinator that
    /// comes back.
    pub(super) async fn end(self, is_kept: bool) {
        let Self { state, deployment, traces, orders, supervising, .. } = self;
        drop(orders);
        let mut supervisor = match supervising {
            Supervising::Goes(supervising) => {
                supervising.await.ok().map(|(supervisor, _)| Box::new(supervisor))
            }
            Supervising::Failed(supervisor) => supervisor,
        };
        if let Some(supervisor) = &mut supervisor {
            supervisor.end_unready();
        }
        let _ = tokio::task::spawn_blocking(move || deployment.stop()).await;
        if let Some(mut supervisor) = supervisor {
            supervisor.end().await;
        }
        let _ = tokio::task::spawn_blocking(move || traces.map(|traces| traces.flush())).await;
        if !is_kept {
            state.forget();
        }
    }
}
