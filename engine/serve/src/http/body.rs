//! Bodies of requests, read within their limit.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tokio_stream::StreamExt;

use super::refusal::Refusal;

/// Most fields of a form; none of the endpoints has as many.
const MAX_FIELDS: usize = 64;

/// A form: texts by name, and files in order.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) texts: BTreeMap<String, Value>,
    pub(super) files: Vec<(String, Bytes)>,
}

/// The whole body, if it has at most `max_bytes`. Whoever says in advance that it has more is refused before any of it
/// is read.
pub(super) async fn whole(request: Request<Body>, max_bytes: u64) -> Result<Bytes, Refusal> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut pieces = request.into_body().into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            Refusal::request(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
        })?;
        if whole.len() as u64 + piece.len() as u64 > max_bytes {
            return Err(too_large(max_bytes));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// A body that is a form, and its bytes.
pub(super) async fn form(request: Request<Body>, max_bytes: u64) -> Result<(Form, usize), Refusal> {
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let body = whole(request, max_bytes).await?;
    let bytes = body.len();
    let mut again = Request::new(Body::from(body));
    again.headers_mut().extend(content_type.map(|value| (header::CONTENT_TYPE, value)));
    // The limit has been held above, and may be higher than that of the reader of forms.
    DefaultBodyLimit::disable().apply(&mut again);
    let broken = |what: String| {
        Refusal::request(
            StatusCode::BAD_REQUEST,
            format!("the body is no form (multipart/form-data): {what}"),
        )
    };
    let mut parts = Multipart::from_request(again, &()).await.map_err(|error| broken(error.body_text()))?;
    let mut form = Form::default();
    for _ in 0..=MAX_FIELDS {
        let Some(part) = parts.next_field().await.map_err(|error| broken(error.body_text()))? else {
            return Ok((form, bytes));
        };
        let Some(name) = part.name().map(str::to_owned) else {
            return Err(broken("a field has no name".to_owned()));
        };
        let is_file = part.file_name().is_some();
        let content = part.bytes().await.map_err(|error| broken(error.body_text()))?;
        if is_file {
            form.files.push((name, content));
        } else {
            let text = String::from_utf8(content.to_vec()).map_err(|_| {
                Refusal::param(&name, format!("'{name}' is neither a file nor text in UTF-8"))
            })?;
            if form.texts.insert(name.clone(), Value::String(text)).is_some() {
                return Err(Refusal::param(&name, format!("'{name}' is said twice")));
            }
        }
    }
    Err(broken(format!("it has more than {MAX_FIELDS} fields")))
}

/// The body is over its limit.
pub(super) fn too_large(max_bytes: u64) -> Refusal {
    let message = format!("the body is over the limit of {max_bytes} bytes");
    Refusal::request(StatusCode::PAYLOAD_TOO_LARGE, message).code("body_too_large")
}
