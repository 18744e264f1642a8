//! Errors as clients of the OpenAI API read them: `{"error": {message, type, param, code}}`, a status, and whether to
//! try again.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use corn_core::{Blame, Fault};
use serde_json::{Value, json};

use crate::keys::Over;
use crate::seen::Why;
use crate::shortened;

/// Clients try some statuses again by themselves, unless this header says that it cannot help.
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// When to ask again whoever came when everything was in use, in seconds.
const BUSY_RETRY_S: u16 = 1;
/// The same where a worker is being started again.
const AWAY_RETRY_S: u16 = 5;

/// Why a request is not answered, or not to its end.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after_s: Option<u16>,
}

impl Refusal {
    /// The request is wrong where `param` says.
    pub(super) fn param(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::request(StatusCode::BAD_REQUEST, message) }
    }

    /// The request is wrong.
    pub(super) fn request(status: StatusCode, message: impl Into<String>) -> Self {
        let (message, kind) = (message.into(), "invalid_request_error");
        Self { status, message, kind, param: None, code: None, retry_after_s: None }
    }

    /// There is no such model, or it does not answer this endpoint.
    pub(super) fn model(message: impl Into<String>) -> Self {
        let code = Some("model_not_found");
        Self { param: Some("model".to_owned()), code, ..Self::request(StatusCode::NOT_FOUND, message) }
    }

    /// The key is missing or unknown.
    pub(super) fn key() -> Self {
        let message = "this server wants a key that it knows, as `Authorization: Bearer KEY`";
        Self { code: Some("invalid_api_key"), ..Self::request(StatusCode::UNAUTHORIZED, message) }
    }

    /// More than the key allows.
    pub(super) fn over(over: &Over) -> Self {
        let (code, kind) = (Some("rate_limit_exceeded"), "rate_limit_error");
        let seconds = over.again.as_secs_f64().ceil().clamp(1.0, f64::from(u16::MAX));
        let retry_after_s = Some(seconds as u16);
        Self { kind, code, retry_after_s, ..Self::request(StatusCode::TOO_MANY_REQUESTS, &over.message) }
    }

    /// What was made is not what the plan promised, which is a mistake of ours.
    pub(super) fn ours(message: impl Into<String>) -> Self {
        let (status, kind) = (StatusCode::INTERNAL_SERVER_ERROR, "server_error");
        Self { status, kind, ..Self::request(status, message) }
    }

    /// With a word for programs.
    pub(super) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The same, and what is wrong stands in `place`.
    pub(super) fn within(self, place: &str) -> Self {
        let param = self.param.map_or_else(|| place.to_owned(), |param| format!("{place}.{param}"));
        Self { param: Some(param), ..self }
    }

    /// The same, and a place called `name` is called `other`.
    pub(super) fn called(self, name: &str, other: &str) -> Self {
        let param = self.param.map(|param| if param == name { other.to_owned() } else { param });
        Self { param, ..self }
    }

    /// Several as one: it is the first of them, and its message says where each is and why.
    pub(super) fn together(all: Vec<Self>) -> Option<Self> {
        let is_alone = all.len() == 1;
        let said = all.iter().map(|it| match &it.param {
            Some(param) if !is_alone && !it.message.contains(&format!("'{param}'")) => {
                format!("'{param}': {}", it.message)
            }
            _ => it.message.clone(),
        });
        let message = said.collect::<Vec<_>>().join("; ");
        Some(Self { message, ..all.into_iter().next()? })
    }

    /// The same, and its message goes on.
    pub(super) fn and(self, what: &str) -> Self {
        Self { message: format!("{}; {what}", self.message), ..self }
    }

    /// What a client finds under `error`, in an answer or in the middle of a stream.
    pub(super) fn body(&self) -> Value {
        let Self { message, kind, param, code, .. } = self;
        let (message, param) = (shortened(message), param.as_deref().map(shortened));
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }

    /// What is told of it in the log.
    pub(super) fn why(&self) -> Why {
        Why::new(self.param.as_deref(), self.code)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let (status, kind, code, retry_after_s) = match fault.blame {
            Blame::Request => (StatusCode::BAD_REQUEST, "invalid_request_error", None, None),
            Blame::Setup => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some("setup"), None),
            Blame::Component => {
                (StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some("component_failed"), None)
            }
            Blame::Busy => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("busy"), Some(BUSY_RETRY_S))
            }
            Blame::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("unavailable"), Some(AWAY_RETRY_S))
            }
            Blame::Lost => {
                (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("worker_lost"), Some(AWAY_RETRY_S))
            }
            Blame::Deadline => (StatusCode::GATEWAY_TIMEOUT, "timeout_error", Some("deadline"), None),
            Blame::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("cancelled"), None),
        };
        Self { status, message: fault.to_string(), kind, param: None, code, retry_after_s }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        response.extensions_mut().insert(self.why());
        let headers = response.headers_mut();
        match self.retry_after_s {
            Some(seconds) => headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds)),
            None => headers.insert(SHOULD_RETRY, HeaderValue::from_static("false")),
        };
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
