//! The OpenAI-compatible HTTP API.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use corn_core::Fault;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::{Served, stopped};

/// Serves until told to stop, and until what is under way has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    served: Arc<Served>,
    stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let app = Router::new().route("/health", get(|| async { "ok" })).with_state(served);
    let served = axum::serve(listener, app).with_graceful_shutdown(stopped(stop)).await;
    served.map_err(|error| Fault::setup(format!("HTTP ended: {error}")))
}
