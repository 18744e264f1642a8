//! Corn's own gRPC service, KServe v2, health and reflection.

use std::sync::Arc;

use corn_core::Fault;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::{Served, stopped};

/// Serves until told to stop, and until what is under way has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    _served: Arc<Served>,
    stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let served = Server::builder()
        .add_service(health)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped(stop))
        .await;
    served.map_err(|error| Fault::setup(format!("gRPC ended: {error}")))
}
