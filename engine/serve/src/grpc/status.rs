//! Faults as gRPC statuses. Their text reaches people as it is.

use corn_core::message::RequestId;
use corn_core::{Blame, Fault};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::keys::Over;
use crate::shortened;

/// Names the request, in the headers of every answer and of every status of a request that was taken.
pub(super) const REQUEST_ID: &str = "corn-request-id";

/// When to ask again, in milliseconds, as clients of gRPC that try again by themselves read it.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status that says `fault`.
pub(super) fn of(fault: &Fault) -> Status {
    let code = match fault.blame {
        Blame::Request => Code::InvalidArgument,
        Blame::Setup => Code::FailedPrecondition,
        Blame::Component => Code::Internal,
        Blame::Busy => Code::ResourceExhausted,
        Blame::Unavailable | Blame::Lost => Code::Unavailable,
        Blame::Deadline => Code::DeadlineExceeded,
        Blame::Cancelled => Code::Cancelled,
    };
    // It travels as a header, and clients take only so much of those.
    let mut status = Status::new(code, shortened(&fault.to_string()));
    let metadata = status.metadata_mut();
    metadata.insert("corn-blame", MetadataValue::from_static(blame_word(fault.blame)));
    metadata.insert(
        "corn-retry",
        MetadataValue::from_static(if fault.is_retryable() { "true" } else { "false" }),
    );
    // A component's name is a word of the program, so it can be a header.
    if let Some(component) = fault.component.as_deref().and_then(|name| MetadataValue::try_from(name).ok()) {
        metadata.insert("corn-component", component);
    }
    status
}

/// Whose fault it can be.
pub(crate) const BLAMES: [Blame; 8] = [
    Blame::Request,
    Blame::Setup,
    Blame::Component,
    Blame::Busy,
    Blame::Unavailable,
    Blame::Lost,
    Blame::Deadline,
    Blame::Cancelled,
];

/// The client's key allows no more.
pub(super) fn over(over: &Over) -> Status {
    let mut status = of(&Fault::new(Blame::Busy, &over.message));
    let pushback = over.again.as_millis().max(1).to_string();
    if let Ok(pushback) = MetadataValue::try_from(pushback) {
        status.metadata_mut().insert(PUSHBACK, pushback);
    }
    status
}

/// The word for whose fault it is.
pub(crate) const fn blame_word(blame: Blame) -> &'static str {
    match blame {
        Blame::Request => "request",
        Blame::Setup => "setup",
        Blame::Component => "component",
        Blame::Busy => "busy",
        Blame::Unavailable => "unavailable",
        Blame::Lost => "lost",
        Blame::Deadline => "deadline",
        Blame::Cancelled => "cancelled",
    }
}

/// The fault that a status says, whose words are the status's.
pub(crate) fn fault(status: &Status) -> Fault {
    let said = status.metadata().get("corn-blame").and_then(|word| word.to_str().ok());
    let blame = said.and_then(|said| BLAMES.into_iter().find(|blame| blame_word(*blame) == said));
    Fault::new(blame.unwrap_or(Blame::Component), status.message())
}

/// The request is at fault.
pub(super) fn refused(message: impl Into<String>) -> Status {
    of(&Fault::request(message))
}

/// The request names something that is not there.
pub(super) fn not_found(message: impl Into<String>) -> Status {
    let status = refused(message);
    Status::with_metadata(Code::NotFound, status.message().to_owned(), status.metadata().clone())
}

/// A request's id as clients see it.
pub(crate) fn id(request: RequestId) -> String {
    format!("r{}", request.number)
}

/// Says in `metadata` which request this is about.
pub(super) fn name_request(metadata: &mut MetadataMap, request: RequestId) {
    if let Ok(id) = MetadataValue::try_from(id(request)) {
        metadata.insert(REQUEST_ID, id);
    }
}
