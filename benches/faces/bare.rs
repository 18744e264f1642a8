//! The least that a server made with tonic or axum does: it reads a request as its type and answers with what it got.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{DefaultBodyLimit, Multipart};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use corn_serve::proto::corn::{InferRequest, InferResponse, Output};
use corn_serve::proto::inference::model_infer_response::InferOutputTensor;
use corn_serve::proto::inference::{ModelInferRequest, ModelInferResponse};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, UnaryService};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::Outcome;

/// Serves both, says where, and goes on until it is killed.
pub(crate) async fn serve() -> Outcome<()> {
    let http = TcpListener::bind("127.0.0.1:0").await?;
    let grpc = TcpListener::bind("127.0.0.1:0").await?;
    println!("bare over HTTP at http://{}/v1", http.local_addr()?);
    println!("bare over gRPC at {}", grpc.local_addr()?);
    let calls = Router::new()
        .route_service("/corn.v1.Corn/Infer", Bare { answer: native })
        .route_service("/inference.GRPCInferenceService/ModelInfer", Bare { answer: kserve });
    let incoming = TcpIncoming::from(grpc).with_nodelay(Some(true));
    let calls =
        tonic::transport::Server::builder().add_routes(Routes::from(calls)).serve_with_incoming(incoming);
    let pages = Router::new()
        .route("/v1/completions", post(completions))
        .route("/v1/audio/transcriptions", post(transcriptions))
        .layer(DefaultBodyLimit::disable());
    let pages =
        axum::serve(axum::serve::ListenerExt::tap_io(http, |stream| drop(stream.set_nodelay(true))), pages);
    tokio::select! {
        outcome = calls => outcome?,
        outcome = pages => outcome?,
    }
    Ok(())
}

async fn completions(Json(asked): Json<Value>) -> Json<Value> {
    let prompt = asked["prompt"].as_str().unwrap_or_default();
    let choice = json!({ "index": 0, "text": prompt, "finish_reason": "stop", "logprobs": null });
    Json(json!({
        "id": "cmpl-0", "object": "text_completion", "created": 0, "model": asked["model"], "choices": [choice],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    }))
}

async fn transcriptions(mut form: Multipart) -> Result<Json<Value>, StatusCode> {
    let mut bytes = 0;
    while let Some(field) = form.next_field().await.map_err(|_| StatusCode::BAD_REQUEST)? {
        bytes += field.bytes().await.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(Json(json!({ "text": "heard", "usage": { "type": "duration", "seconds": bytes / 32_000 } })))
}

fn native(request: InferRequest) -> InferResponse {
    let outputs = request.inputs.into_iter().map(|(name, value)| Output { name, value: Some(value) });
    InferResponse {
        request_id: "r0".to_owned(),
        route: request.route,
        outputs: outputs.collect(),
        used: None,
    }
}

fn kserve(request: ModelInferRequest) -> ModelInferResponse {
    let outputs = request.inputs.into_iter().map(|input| InferOutputTensor {
        name: input.name,
        datatype: input.datatype,
        shape: input.shape,
        ..InferOutputTensor::default()
    });
    ModelInferResponse {
        model_name: request.model_name,
        model_version: "1".to_owned(),
        id: request.id,
        outputs: outputs.collect(),
        raw_output_contents: request.raw_input_contents,
        ..ModelInferResponse::default()
    }
}

/// One unary call that answers a request at once.
struct Bare<Q, A> {
    answer: fn(Q) -> A,
}

impl<Q, A> Clone for Bare<Q, A> {
    fn clone(&self) -> Self {
        Self { answer: self.answer }
    }
}

impl<Q, A> UnaryService<Q> for Bare<Q, A> {
    type Response = A;
    type Future = Ready<Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        ready(Ok(Response::new((self.answer)(request.into_inner()))))
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<Q, A> Service<http::Request<axum::body::Body>> for Bare<Q, A>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Default + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Answering {
        let bare = self.clone();
        Box::pin(async move {
            let mut calls = Grpc::new(ProstCodec::<A, Q>::default());
            calls = calls.apply_max_message_size_config(Some(usize::MAX), Some(usize::MAX));
            Ok(calls.unary(bare, request).await)
        })
    }
}
