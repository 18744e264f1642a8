//! Each call over gRPC, seen from its head to the end of its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::Served;
use crate::seen::{Call, Counted, within};

/// Answers a call, and sees it.
pub(super) async fn watch(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let call = Call::begin(&served.told(), "grpc", &request);
    let request = request.map(|body| Body::new(Counted::brought(body, Arc::clone(&call))));
    let response = within(Arc::clone(&call), next.run(request)).await;
    call.answered(response.status());
    call.ended(response.headers());
    response.map(|body| Body::new(Counted::answer(body, call)))
}
