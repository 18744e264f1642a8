//! Corn's own gRPC service, KServe v2, health and reflection.

pub(crate) mod ask;
mod call;
mod describe;
mod inputs;
mod kserve;
pub(crate) mod native;
mod nearest;
pub mod proto;
pub(crate) mod routes;
pub(crate) mod status;
mod value;

use std::sync::Arc;
use std::time::Duration;

use corn_core::Fault;
use corn_plan::Plan;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::server::NamedService;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_layer::layer_fn;

use crate::grpc::call::Watching;
use crate::grpc::kserve::Kserve;
use crate::grpc::native::Native;
use crate::grpc::proto::DESCRIPTORS;
use crate::grpc::proto::corn::corn_server::CornServer;
use crate::grpc::proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use crate::keys::Keys;
use crate::{Served, stopped};

/// Bytes of a request as it comes, where the plan sets no limit.
const BODY_BYTES: u64 = 64 << 20;

/// A client that does not answer for so long has gone: its requests are given up.
const GONE_AFTER: Duration = Duration::from_secs(20);

/// How often it is looked whether every component is ready.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// Serves until told to stop, and until what is under way has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    served: Arc<Served>,
    keys: Option<Keys>,
    stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let body_bytes = usize::try_from(body_bytes(served.plan())).unwrap_or(usize::MAX);
    let native = CornServer::new(Native::new(Arc::clone(&served)))
        .max_decoding_message_size(body_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let kserve = GrpcInferenceServiceServer::new(Kserve::new(Arc::clone(&served)))
        .max_decoding_message_size(body_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let native = InterceptedService::new(native, door(keys.clone()));
    let kserve = InterceptedService::new(kserve, door(keys));
    let (reporter, health) = tonic_health::server::health_reporter();
    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let no_reflection = |error| Fault::setup(format!("the services cannot be described: {error}"));
    // Small pieces of an answer go out at once, each for itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let seen = Arc::clone(&served);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(GONE_AFTER / 2))
        .http2_keepalive_timeout(Some(GONE_AFTER / 2))
        .layer(layer_fn(move |inner| Watching::new(inner, Arc::clone(&seen))))
        .add_service(native)
        .add_service(kserve)
        .add_service(health)
        .add_service(descriptors().build_v1().map_err(no_reflection)?)
        .add_service(descriptors().build_v1alpha().map_err(no_reflection)?)
        .serve_with_incoming_shutdown(incoming, stopped(stop.clone()));
    tokio::select! {
        outcome = serving => outcome.map_err(|error| Fault::setup(format!("gRPC ended: {error}"))),
        () = report(&served, &reporter, stop) => unreachable!("health is reported for as long as there is a server"),
    }
}

/// Lets only those in who bring a key, if there are keys. Health and reflection are for everybody.
fn door(keys: Option<Keys>) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |request| {
        let Some(keys) = &keys else { return Ok(request) };
        let brought = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let key = brought.and_then(|brought| brought.split_once(' '));
        match key {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") && keys.knows(key.trim()) => {
                Ok(request)
            }
            _ => Err(Status::unauthenticated("a key is needed: metadata `authorization: Bearer KEY`")),
        }
    }
}

/// The most that a request may hold as it comes: the largest limit of a graph.
pub(crate) fn body_bytes(plan: &Plan) -> u64 {
    let unlimited = plan.recordings.iter().any(|recording| {
        let serve = plan.serves.iter().find(|serve| serve.graph == recording.graph);
        serve.is_none_or(|serve| serve.limits.body_bytes.is_none())
    });
    let limits = plan.serves.iter().filter_map(|serve| serve.limits.body_bytes);
    limits.chain(unlimited.then_some(BODY_BYTES)).max().unwrap_or(BODY_BYTES)
}

/// Tells those who ask for health whether every component is ready.
async fn report(served: &Served, reporter: &HealthReporter, stop: watch::Receiver<bool>) {
    let names = ["", CornServer::<Native>::NAME, GrpcInferenceServiceServer::<Kserve>::NAME];
    let mut said = None;
    loop {
        let is_ready = served.is_ready() && !*stop.borrow();
        if said != Some(is_ready) {
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for name in names {
                reporter.set_service_status(name, status).await;
            }
            said = Some(is_ready);
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

/// Work that takes long, such as decoding a picture, done where it keeps no call waiting.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::internal("the request could not be read; this is a bug of corn"))
}
