//! Bodies of requests, read within their limit.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tokio_stream::StreamExt;

use super::refusal::Refusal;

/// Who sends nothing for so long has gone, or holds a place for nothing.
const PIECE_WITHIN: Duration = Duration::from_secs(30);
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
    loop {
        let piece = tokio::time::timeout(PIECE_WITHIN, pieces.next()).await.map_err(|_| too_slow())?;
        let Some(piece) = piece else { break };
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

fn too_slow() -> Refusal {
    let seconds = PIECE_WITHIN.as_secs();
    let message = format!("nothing of the body came for {seconds} s");
    Refusal::request(StatusCode::REQUEST_TIMEOUT, message).code("body_too_slow")
}

/// The body is over its limit.
pub(super) fn too_large(max_bytes: u64) -> Refusal {
    let message = format!("the body is over the limit of {max_bytes} bytes");
    Refusal::request(StatusCode::PAYLOAD_TOO_LARGE, message).code("body_too_large")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn bodies(pieces: usize, pause: Duration) -> Request<Body> {
        let pieces = stream::unfold(0, move |n| async move {
            tokio::time::sleep(pause).await;
            (n < pieces).then_some((Ok::<_, std::io::Error>("ab"), n + 1))
        });
        Request::new(Body::from_stream(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_and_may_not_stop() {
        let slow = whole(bodies(4, PIECE_WITHIN / 2), 100).await;
        assert_eq!(&slow.unwrap()[..], b"abababab");
        let stopped = whole(bodies(4, PIECE_WITHIN * 2), 100).await.unwrap_err();
        assert_eq!(stopped.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_its_limit_is_not_read_to_its_end() {
        let endless = whole(bodies(usize::MAX, Duration::from_millis(1)), 7).await.unwrap_err();
        assert_eq!(endless.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
