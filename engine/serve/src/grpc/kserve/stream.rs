//! `ModelStreamInfer`: requests that come one after the other, answered side by side in one stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use corn_core::Datum;
use futures_util::Stream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tonic::{Status, Streaming};

use crate::grpc::ask::Event;
use crate::grpc::kserve::{Called, Kserve, filled, models, output};
use crate::grpc::proto::inference::infer_parameter::ParameterChoice;
use crate::grpc::proto::inference::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use crate::grpc::unread;
use crate::keys::Pass;

/// Requests of one stream that are answered at once. More are not read until some have ended.
const AT_ONCE: usize = 64;

type Response = Result<ModelStreamInferResponse, Status>;

/// The responses of a stream. When it is dropped, so is everything that is under way for it.
pub(super) type Responses = Pin<Box<dyn Stream<Item = Response> + Send>>;

struct Answers {
    responses: Receiver<Response>,
    _answering: JoinSet<()>,
}

impl Stream for Answers {
    type Item = Response;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        self.responses.poll_recv(context)
    }
}

/// Answers the requests of `requests`, which has until `deadline`.
pub(super) fn answer(
    kserve: Kserve,
    pass: Pass,
    requests: Streaming<ModelInferRequest>,
    deadline: Option<Duration>,
) -> Responses {
    // One that waits to be sent: whoever makes more waits until the client has taken it.
    let (sender, responses) = mpsc::channel(1);
    let mut answering = JoinSet::new();
    let until = deadline.map(|deadline| Instant::now() + deadline);
    answering.spawn(answer_all(kserve, pass, requests, until, sender));
    Box::pin(Answers { responses, _answering: answering })
}

async fn answer_all(
    mut kserve: Kserve,
    pass: Pass,
    mut requests: Streaming<ModelInferRequest>,
    until: Option<Instant>,
    responses: Sender<Response>,
) {
    // Those that are under way end with this set, and so with the stream.
    let mut under_way = JoinSet::new();
    loop {
        let request = tokio::select! {
            request = requests.message(), if under_way.len() < AT_ONCE => request,
            Some(_) = under_way.join_next() => continue,
        };
        match request {
            Ok(Some(request)) => {
                kserve = kserve.newest();
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                under_way.spawn(answer_one(kserve.clone(), pass.clone(), request, left, responses.clone()));
            }
            Ok(None) => break,
            // What could not be read may be a message that is too large: the client is told.
            Err(status) => {
                let _ = responses.send(Err(unread::said(status))).await;
                return;
            }
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Answers one request. Whatever goes wrong is said in a response: the stream goes on for others.
async fn answer_one(
    kserve: Kserve,
    pass: Pass,
    request: ModelInferRequest,
    left: Option<Duration>,
    responses: Sender<Response>,
) {
    let (model, id) = (request.model_name.clone(), request.id.clone());
    let mut called = match kserve.submit(request, left, &pass).await {
        Ok(called) => called,
        Err(status) => {
            let _ = responses.send(Ok(failed(model, id, &status))).await;
            return;
        }
    };
    while let Some(event) = called.asking.next().await {
        let response = match event {
            Ok(Event::End { .. }) => continue,
            Ok(Event::Item { output, datum }) => piece(&called, output, datum).await,
            Err(status) => Err(status),
        };
        let (is_over, response) = match response {
            Ok(response) => (false, said(response)),
            Err(status) => (true, failed(model.clone(), id.clone(), &status)),
        };
        if responses.send(Ok(response)).await.is_err() || is_over {
            return;
        }
    }
    if called.wants_final {
        let last = called.response([is_final(true)]);
        let _ = responses.send(Ok(said(last))).await;
    }
}

async fn piece(called: &Called, output: usize, datum: Datum) -> Result<ModelInferResponse, Status> {
    let wanted = called.asking.outputs[output].clone();
    filled(called.response([is_final(false)]), vec![(wanted, datum)], &called.asking.intake).await
}

const fn is_final(is_final: bool) -> (&'static str, ParameterChoice) {
    ("triton_final_response", ParameterChoice::BoolParam(is_final))
}

const fn said(response: ModelInferResponse) -> ModelStreamInferResponse {
    ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
}

/// The failure of a request, which is the last that is said of it.
fn failed(model: String, id: String, status: &Status) -> ModelStreamInferResponse {
    let response = ModelInferResponse {
        model_name: model,
        model_version: models::VERSION.to_owned(),
        id,
        parameters: output::parameters([is_final(true)]),
        ..ModelInferResponse::default()
    };
    // Clients take a message that is empty for success.
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    ModelStreamInferResponse { error_message: message.to_owned(), infer_response: Some(response) }
}
