//! Corn's own gRPC service, KServe v2, health and reflection.

mod arriving;
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
mod unread;
pub(crate) mod value;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use corn_core::Fault;
use corn_plan::Plan;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Extensions, Request, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::Served;
use crate::grpc::kserve::Kserve;
use crate::grpc::native::Native;
use crate::grpc::proto::DESCRIPTORS;
use crate::grpc::proto::corn::corn_server::CornServer;
use crate::grpc::proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use crate::intake::Intake;
use crate::keys::{Keys, Pass};
use crate::seen;

/// Bytes of a request as it comes, where the plan sets no limit.
const BODY_BYTES: u64 = 64 << 20;

/// How much later than the engine a call is ended that has passed its deadline: what the engine says of it says more.
const LATE: Duration = Duration::from_millis(500);

/// How often it is looked whether every component is ready.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// What answers calls; those for health by what `health` is told.
pub(crate) fn router(
    served: &Arc<Served>,
    keys: Option<Keys>,
    intake: &Intake,
    health: HealthReporter,
) -> Result<Router, Fault> {
    let body_bytes = usize::try_from(body_bytes(served.plan())).unwrap_or(usize::MAX);
    let native = CornServer::new(Native::new(Arc::clone(served), intake.clone()))
        .max_decoding_message_size(body_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip);
    let kserve = GrpcInferenceServiceServer::new(Kserve::new(Arc::clone(served), intake.clone()))
        .max_decoding_message_size(body_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(Gzip);
    let native = InterceptedService::new(native, door(keys.clone()));
    let kserve = InterceptedService::new(kserve, door(keys));
    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let no_reflection = |error| Fault::setup(format!("the services cannot be described: {error}"));
    let routes = Routes::new(native)
        .add_service(kserve)
        .add_service(HealthServer::new(HealthService::from_health_reporter(health)))
        .add_service(descriptors().build_v1().map_err(no_reflection)?)
        .add_service(descriptors().build_v1alpha().map_err(no_reflection)?);
    let router = routes
        .into_axum_router()
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(intake.clone(), arriving::within_reason))
        .layer(from_fn(unread::explained))
        .layer(from_fn_with_state(Arc::clone(served), call::watch));
    Ok(router)
}

/// Ends a call whose deadline passes before its request has come whole; later the engine holds it.
async fn in_time(request: axum::extract::Request, next: Next) -> Response {
    let Some(timeout) = request.headers().get(ask::TIMEOUT) else { return next.run(request).await };
    match ask::timeout_of(timeout.as_bytes()) {
        Ok(timeout) => match tokio::time::timeout(timeout + LATE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Status::deadline_exceeded("the deadline passed").into_http(),
        },
        Err(status) => status.into_http(),
    }
}

/// Lets only those in who bring a key, if there are keys; what they ask for counts by it. Health and reflection are for
/// everybody.
fn door(keys: Option<Keys>) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |mut request| {
        let Some(keys) = &keys else { return Ok(request) };
        let brought = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let wanted = || Status::unauthenticated("a key is needed: metadata `authorization: Bearer KEY`");
        let pass = keys.pass(brought).ok_or_else(wanted)?;
        if let Some(call) = seen::current() {
            call.known_by(&pass);
        }
        request.extensions_mut().insert(pass);
        Ok(request)
    }
}

/// What the client of a call has shown.
fn pass_of(extensions: &Extensions) -> Pass {
    extensions.get().cloned().unwrap_or_default()
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

/// Tells those who ask for health whether every component of what is served is ready.
pub(crate) async fn report(
    served: &watch::Receiver<Arc<Served>>,
    reporter: &HealthReporter,
    stop: watch::Receiver<bool>,
) {
    let names = ["", CornServer::<Native>::NAME, GrpcInferenceServiceServer::<Kserve>::NAME];
    let mut said = None;
    loop {
        let is_ready = served.borrow().is_ready() && !*stop.borrow();
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
