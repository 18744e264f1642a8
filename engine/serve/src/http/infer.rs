//! `POST /corn/v1/infer`: any route, with any inputs and outputs, in JSON.
//!
//! It is Corn's own gRPC service for clients that have HTTP and JSON only, such as a page in a browser. A request is made into a
//! message of that service, so both read, refuse and write values alike.

mod value;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use super::metrics::Meter;
use super::refusal::Refusal;
use super::{Face, body, measured};
use crate::grpc::native;
use crate::grpc::native::{Answers, answers, formats, written};
use crate::grpc::proto::corn as pb;
use crate::grpc::proto::corn::stream_response::Event as Said;
use crate::grpc::{body_bytes, status};
use crate::keys::Slot;
use crate::seen;

/// What a body may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    graph: String,
    #[serde(default)]
    route: String,
    #[serde(default)]
    inputs: Map<String, Value>,
    #[serde(default)]
    outputs: Vec<String>,
    #[serde(default)]
    priority: Priority,
    deadline_ms: Option<u64>,
    /// How pictures come back.
    #[serde(default)]
    images: Images,
    /// Whether the answer is events, each as soon as something is made.
    #[serde(default)]
    stream: bool,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Priority {
    #[default]
    Normal,
    Low,
    High,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Images {
    #[default]
    Png,
    Jpeg,
    Webp,
}

impl Asked {
    /// The message of Corn's own service that asks the same.
    fn message(self) -> Result<pb::InferRequest, Refusal> {
        let read = |(name, given): (String, Value)| match value::read(given) {
            Ok(value) => Ok((name, value)),
            Err(problem) => {
                let message = format!("input '{name}': {problem}");
                Err(Refusal::param(format!("inputs.{name}"), message))
            }
        };
        let priority = match self.priority {
            Priority::Normal => pb::Priority::Normal,
            Priority::Low => pb::Priority::Low,
            Priority::High => pb::Priority::High,
        };
        let images = match self.images {
            Images::Png => pb::ImageFormat::ImagePng,
            Images::Jpeg => pb::ImageFormat::ImageJpeg,
            Images::Webp => pb::ImageFormat::ImageWebp,
        };
        Ok(pb::InferRequest {
            graph: self.graph,
            route: self.route,
            inputs: self.inputs.into_iter().map(read).collect::<Result<_, _>>()?,
            outputs: self.outputs,
            priority: priority.into(),
            images: images.into(),
            audio: pb::AudioFormat::AudioWav.into(),
        })
    }
}

pub(super) async fn answer(State(face): State<Arc<Face>>, request: Request<Body>) -> Response {
    measured(&face, "infer", async |meter| {
        let max_bytes = body_bytes(face.served.plan());
        let (body, taken) = body::whole(request, max_bytes, &face.intake).await?;
        let (message, deadline, is_streamed) = face
            .prepared(move |_| {
                body::check_values(&body)?;
                let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
                    Refusal::request(StatusCode::BAD_REQUEST, format!("the body: {error}"))
                })?;
                if asked.deadline_ms == Some(0) {
                    let message = "'deadline_ms' is 0, which has passed when it is read; it is at least 1";
                    return Err(Refusal::param("deadline_ms", message));
                }
                let (deadline, is_streamed) = (asked.deadline_ms.map(Duration::from_millis), asked.stream);
                Ok((asked.message()?, deadline, is_streamed))
            })
            .await?;
        let formats = formats(&message)?;
        // Whoever reads the message takes room for it.
        drop(taken);
        let mut asking = face.native.ask(deadline, Slot::default(), message).await?;
        if is_streamed {
            return events(answers(asking, formats, None), meter).await;
        }
        let mut outputs = Map::new();
        for (wanted, datum) in asking.whole().await? {
            let value = match datum {
                Some(datum) => value::write(&written(datum, formats, &asking.intake).await?),
                None => Value::Null,
            };
            outputs.insert(wanted.name, value);
        }
        meter.piece();
        meter.end(200);
        let id = status::id(asking.request());
        let mut whole = json!({ "request_id": id, "route": asking.route, "outputs": outputs });
        if let Some(usage) = asking.usage {
            whole["used"] = used(&native::used(usage));
        }
        Ok(Json(whole).into_response())
    })
    .await
}

/// The answer as events. What fails before anything was made is answered with a status of its own.
async fn events(mut answers: Answers, meter: Meter) -> Result<Response, Refusal> {
    let started = answers.next().await.transpose()?;
    let first = answers.next().await.transpose()?;
    let taken = stream::iter(started.into_iter().chain(first).map(Ok::<_, Status>));
    let answers = taken.chain(answers).boxed();
    let state = Some((answers, meter, seen::current()));
    let events = stream::unfold(state, |state| async move {
        let (mut answers, meter, call) = state?;
        let (event, is_over) = match answers.next().await {
            Some(Ok(said)) => (event(said, &meter), false),
            Some(Err(status)) => {
                let refusal = Refusal::from(status);
                meter.end(refusal.status.as_u16());
                if let Some(call) = &call {
                    call.refused(&refusal.why());
                }
                (Event::default().event("error").data(refusal.body().to_string()), true)
            }
            None => {
                meter.end(200);
                (Event::default().event("done").data("{}"), true)
            }
        };
        Some((Ok::<_, Infallible>(event), (!is_over).then_some((answers, meter, call))))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn event(said: pb::StreamResponse, meter: &Meter) -> Event {
    let (name, said) = match said.event {
        Some(Said::Started(started)) => {
            let pb::Started { request_id, route, outputs } = started;
            ("started", json!({ "request_id": request_id, "route": route, "outputs": outputs }))
        }
        Some(Said::Item(item)) => {
            meter.piece();
            let value = item.value.as_ref().map_or(Value::Null, value::write);
            ("item", json!({ "output": item.output, "value": value }))
        }
        Some(Said::End(end)) => ("end", json!({ "output": end.output })),
        Some(Said::Used(usage)) => ("used", used(&usage)),
        None => ("started", Value::Null),
    };
    Event::default().event(name).data(said.to_string())
}

fn used(usage: &pb::Used) -> Value {
    let pb::Used { prompt_tokens, cached_tokens, completion_tokens, is_cut } = usage;
    json!({ "prompt_tokens": prompt_tokens, "cached_tokens": cached_tokens,
            "completion_tokens": completion_tokens, "is_cut": is_cut })
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let mut refusal = Self::from(status::fault(&status));
        if status.code() == Code::NotFound {
            refusal.status = StatusCode::NOT_FOUND;
        }
        refusal
    }
}
