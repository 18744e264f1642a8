//! What tonic says by itself of calls that never reach a service, in the words and with the codes of the services: a
//! message that cannot be read is a mistake of whoever sent it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use crate::grpc::status;
use crate::shortened;

/// How the library begins what it says of messages that it cannot decode or unpack.
const BROKEN: [&str; 2] = ["failed to decode Protobuf message", "Error decompressing"];
/// The services that are there.
const SERVICES: &str = "corn.v1.Corn, inference.GRPCInferenceService, grpc.health.v1.Health and \
    grpc.reflection.v1.ServerReflection, which describes them";

/// Answers a call, and says in other words what the library has said.
pub(super) async fn explained(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    // Only what failed at once has its status in the head.
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    match status.code() {
        Code::Internal if is_broken(&status) => said(status).into_http(),
        Code::Unimplemented if status.message().is_empty() => {
            let message = format!("there is no method '{path}'; the services are {SERVICES}");
            Status::unimplemented(shortened(&message)).into_http()
        }
        _ => response,
    }
}

/// The status that says why a message could not be read.
pub(super) fn said(status: Status) -> Status {
    if is_broken(&status) {
        return status::refused(format!("the message cannot be read: {}", status.message()));
    }
    status
}

fn is_broken(status: &Status) -> bool {
    status.code() == Code::Internal && BROKEN.iter().any(|start| status.message().starts_with(start))
}
