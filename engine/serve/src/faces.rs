//! The faces, listening: what comes is answered by what is served now, which may be replaced while they serve.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use corn_core::Fault;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic_health::server::HealthReporter;

use crate::accept::{Answering, Entrance, Speaks, Tls};
use crate::intake::Intake;
use crate::keys::Keys;
use crate::{Bound, Listening, Notices, Served, grpc, http};

/// How long requests under way may take to end after the faces have been told to stop.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// How often files are looked at that may be replaced while the faces serve.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// The sockets of the faces. They listen already, so that an address that cannot be had is known before anything is
/// loaded; who connects is answered once they are [served](Self::serve).
pub struct Sockets {
    http: Option<TcpListener>,
    grpc: Option<TcpListener>,
    listening: Listening,
}

/// What answers what is asked of one thing that is served.
struct Opened {
    http: Answering,
    grpc: Answering,
    /// Of both.
    in_use: mpsc::Receiver<Infallible>,
}

impl Sockets {
    /// # Errors
    /// Of the set-up, if an address cannot be listened at.
    pub async fn bind(listening: &Listening) -> Result<Self, Fault> {
        let http = bind(listening.http.as_deref()).await?;
        let grpc = bind(listening.grpc.as_deref()).await?;
        Ok(Self { http, grpc, listening: listening.clone() })
    }

    /// Where they listen.
    pub fn bound(&self) -> Bound {
        let address = |listener: &Option<TcpListener>| listener.as_ref().and_then(|it| it.local_addr().ok());
        Bound { http: address(&self.http), grpc: address(&self.grpc) }
    }

    /// Serves until `stop` ends; then takes no new requests and lets those under way end.
    ///
    /// What is `served` may be replaced meanwhile: requests that come from then on are answered by that, over the
    /// connections that are there, and those under way end where they began.
    pub async fn serve(
        self,
        mut served: watch::Receiver<Arc<Served>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Fault> {
        let Self { http, grpc, listening } = self;
        let Listening { keys, tls, bounds, notices, .. } = listening.clone();
        let (stopping, stopped) = watch::channel(false);
        let health = HealthReporter::new();
        let intake = Intake::new(bounds.request_bytes);
        let mut now = Arc::clone(&served.borrow_and_update());
        let Opened { http: by_http, grpc: by_grpc, mut in_use } = open(&now, &listening, &health, &intake)?;
        let ((say_http, by_http), (say_grpc, by_grpc)) = (watch::channel(by_http), watch::channel(by_grpc));
        let entrance = |speaks| Entrance { speaks, tls: tls.clone(), bounds, notices };
        let taken = |speaks, listener, answering| {
            let (entrance, stopped) = (entrance(speaks), stopped.clone());
            async move {
                if let Some(listener) = listener {
                    entrance.serve(listener, answering, stopped).await;
                }
            }
        };
        let mut faces = Box::pin(futures_util::future::join(
            taken(Speaks::Http, http, by_http),
            taken(Speaks::Grpc, grpc, by_grpc),
        ));
        let watched = served.clone();
        let mut others = Box::pin(async {
            tokio::join!(
                look_again(tls.as_ref(), keys.as_ref(), notices),
                grpc::report(&watched, &health, stopped.clone())
            );
        });
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                _ = &mut faces => return Ok(()),
                () = &mut others => unreachable!("they go on for as long as there is a server"),
                () = &mut stop => break,
                Ok(()) = served.changed() => {
                    let next = Arc::clone(&served.borrow_and_update());
                    let opened = open(&next, &listening, &health, &intake)?;
                    let _ = now.next.set(Arc::clone(&next));
                    say_http.send_replace(opened.http);
                    say_grpc.send_replace(opened.grpc);
                    let before = std::mem::replace(&mut now, next);
                    tokio::spawn(all_ended(std::mem::replace(&mut in_use, opened.in_use), before));
                }
            }
        }
        let _ = stopping.send(true);
        now.retire();
        let ended = async {
            tokio::select! {
                _ = faces => {}
                () = others => {}
            }
            drop((say_http, say_grpc));
            all_ended(in_use, now).await;
        };
        let _ = tokio::time::timeout(ENDS_WITHIN, ended).await;
        Ok(())
    }
}

/// Ends when nothing of `served` is under way any more, and tells whoever waits for that.
async fn all_ended(mut in_use: mpsc::Receiver<Infallible>, served: Arc<Served>) {
    while in_use.recv().await.is_some() {}
    served.left.send_replace(true);
}

fn open(
    served: &Arc<Served>,
    listening: &Listening,
    health: &HealthReporter,
    intake: &Intake,
) -> Result<Opened, Fault> {
    let keys = listening.keys.clone();
    let (held, in_use) = mpsc::channel(1);
    let sessions_end = served.retired.subscribe();
    let http =
        http::router(Arc::clone(served), listening.clone(), intake.clone(), sessions_end, held.clone())?;
    let grpc = grpc::router(served, keys, intake, health.clone())?;
    let http = Answering { router: http, in_use: held.clone() };
    Ok(Opened { http, grpc: Answering { router: grpc, in_use: held }, in_use })
}

/// Serves until `stop` ends; then takes no new requests and lets those under way end. `bound` is told where the faces
/// listen, once all of them do.
pub async fn serve(
    served: Arc<Served>,
    listening: &Listening,
    bound: impl FnOnce(Bound),
    stop: impl Future<Output = ()>,
) -> Result<(), Fault> {
    let sockets = Sockets::bind(listening).await?;
    bound(sockets.bound());
    let (_served, is_served) = watch::channel(served);
    sockets.serve(is_served, stop).await
}

/// Looks at the files that the faces were told of, for as long as they serve: what was replaced is used from then on.
async fn look_again(tls: Option<&Tls>, keys: Option<&Keys>, notices: Notices) {
    loop {
        tokio::time::sleep(LOOKS_EVERY).await;
        let (tls, keys) = (tls.cloned(), keys.cloned());
        let looked = tokio::task::spawn_blocking(move || {
            [tls.and_then(|tls| tls.look_again()), keys.and_then(|keys| keys.look_again())]
        });
        for found in looked.await.into_iter().flatten().flatten() {
            match found {
                Ok(what) => notices.say(&what),
                Err(fault) => notices.say(&format!("what was there before is used: {fault}")),
            }
        }
    }
}

async fn bind(address: Option<&str>) -> Result<Option<TcpListener>, Fault> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|error| Fault::setup(format!("cannot listen at {address}: {error}")))
}
