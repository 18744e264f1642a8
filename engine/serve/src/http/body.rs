//! Bodies of requests, read within their limit.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tokio_stream::StreamExt;

use super::refusal::Refusal;
use crate::intake::{Intake, Pace, Taken};

/// Most fields of a form; none of the endpoints has as many.
const MAX_FIELDS: usize = 64;

/// Most values in the JSON of a body. Two bytes are enough to say one, and in memory it takes many times as much.
const MAX_VALUES: usize = 1 << 19;

/// A form: texts by name, and files in order.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) texts: BTreeMap<String, Value>,
    pub(super) files: Vec<(String, Bytes)>,
}

/// The whole body, if it has at most `max_bytes`. Whoever says in advance that it has more is refused before any of it
/// is read. The room that it has taken is held for as long as what was in it waits to be read.
pub(super) async fn whole(
    request: Request<Body>,
    max_bytes: u64,
    intake: &Intake,
) -> Result<(Bytes, Taken), Refusal> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if let Some(encoding) = encoding.filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        let message =
            format!("the body is encoded as '{encoding}' (content-encoding), and is only taken as it is");
        return Err(Refusal::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).code("body_encoded"));
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut pieces = request.into_body().into_data_stream();
    let (mut whole, mut taken, mut pace) = (Vec::new(), intake.begin(), Pace::begin());
    loop {
        let piece = tokio::time::timeout_at(pace.until, pieces.next()).await.map_err(|_| too_slow())?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|error| {
            Refusal::request(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
        })?;
        if whole.len() as u64 + piece.len() as u64 > max_bytes {
            return Err(too_large(max_bytes));
        }
        taken.take(piece.len() as u64)?;
        pace.came(piece.len());
        whole.extend_from_slice(&piece);
    }
    Ok((whole.into(), taken))
}

/// A body that is a form, its bytes, and the room that it has taken.
pub(super) async fn form(
    request: Request<Body>,
    max_bytes: u64,
    intake: &Intake,
) -> Result<(Form, usize, Taken), Refusal> {
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let (body, taken) = whole(request, max_bytes, intake).await?;
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
            return Ok((form, bytes, taken));
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

/// Refuses JSON of more values than a request has use for, before any of them takes memory.
pub(super) fn check_values(body: &[u8]) -> Result<(), Refusal> {
    // Before each but the outermost is a bracket or a comma.
    let (mut values, mut is_text, mut is_escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' if !is_text => values += 1,
            _ => {}
        }
    }
    if values <= MAX_VALUES {
        return Ok(());
    }
    let message = format!(
        "the body is JSON of more than {MAX_VALUES} values; numbers in bulk go as a tensor or a file"
    );
    Err(Refusal::request(StatusCode::PAYLOAD_TOO_LARGE, message).code("body_too_large"))
}

fn too_slow() -> Refusal {
    Refusal::request(StatusCode::REQUEST_TIMEOUT, Pace::missed("the body")).code("body_too_slow")
}

/// The body is over its limit.
pub(super) fn too_large(max_bytes: u64) -> Refusal {
    let message = format!("the body is over the limit of {max_bytes} bytes");
    Refusal::request(StatusCode::PAYLOAD_TOO_LARGE, message).code("body_too_large")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    fn bodies(pieces: usize, pause: Duration) -> Request<Body> {
        let pieces = stream::unfold(0, move |n| async move {
            tokio::time::sleep(pause).await;
            (n < pieces).then_some((Ok::<_, std::io::Error>("ab"), n + 1))
        });
        Request::new(Body::from_stream(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_and_may_not_crawl() {
        let (slow, taken) = whole(bodies(4, PAUSE / 2), 100, &Intake::new(8)).await.unwrap();
        assert_eq!(&slow[..], b"abababab");
        drop(taken);
        for pause in [PAUSE, PAUSE * 4] {
            let stopped = whole(bodies(4, pause), 100, &Intake::new(8)).await.unwrap_err();
            assert_eq!(stopped.status, StatusCode::REQUEST_TIMEOUT);
            assert!(stopped.message.contains("16 KiB/s in the long run"), "{}", stopped.message);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_have_so_much_room_together() {
        let intake = Intake::new(10);
        let first = whole(bodies(4, Duration::ZERO), 100, &intake).await.unwrap();
        let refused = whole(bodies(4, Duration::ZERO), 100, &intake).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        drop(first);
        whole(bodies(4, Duration::ZERO), 100, &intake).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_its_limit_is_not_read_to_its_end() {
        let endless =
            whole(bodies(usize::MAX, Duration::from_millis(1)), 7, &Intake::new(100)).await.unwrap_err();
        assert_eq!(endless.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
