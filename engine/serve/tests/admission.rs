//! Who is let in, and how much of whom: keys with what they allow, and what each graph admits, over both faces.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::time::Duration;

use corn_serve::proto::corn::corn_client::CornClient;
use corn_serve::proto::corn::value::Kind;
use corn_serve::proto::corn::{InferRequest, InferResponse, Value};
use corn_serve::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use corn_serve::proto::inference::{InferParameter, ModelInferRequest, infer_parameter::ParameterChoice};
use corn_serve::{Bounds, Keys, Listening};
use serde_json::{Value as Json, json};
use support::{Reply, Server};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

const PROGRAM: &str = r#"
component Words() {
    in  text: text
    out words: stream<text max 1KiB>
    run reference "text.words"
    batch 4
}
component Forever() {
    in  text: text
    out words: stream<text max 1KiB>
    run python "test:Forever"
    batch 4
}
let words   = Words()
let forever = Forever()
graph parrot(prompt: text) -> { reply: stream<text> } { { reply: words(prompt) } }
graph endless(prompt: text) -> { reply: stream<text> } { { reply: forever(prompt) } }
route ask   = parrot(prompt)  -> reply
route count = endless(prompt) -> reply
serve parrot {
    openai chat -> ask
    grpc
    kserve
    limit inflight 2
}
serve endless {
    openai chat -> count
    grpc
    limit inflight 1
}
"#;
const CHAT: &str = "/v1/chat/completions";

async fn serve(keys: Option<&str>) -> Server {
    let keys = keys.map(|keys| Keys::parse(keys).unwrap());
    let listening = Listening { grpc: Some("127.0.0.1:0".to_owned()), keys, ..Listening::default() };
    Server::start_at(PROGRAM, 1, listening).await
}

fn chat(model: &str) -> Json {
    json!({ "model": model, "messages": [{ "role": "user", "content": "one two" }], "stream": true })
}

fn bearer(key: &str) -> [(&'static str, String); 2] {
    [("authorization", format!("Bearer {key}")), ("content-type", "application/json".to_owned())]
}

async fn send(server: &Server, key: &str, model: &str) -> TcpStream {
    let headers = bearer(key);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.send("POST", CHAT, &headers, chat(model).to_string().as_bytes()).await
}

async fn ask(server: &Server, key: &str, model: &str) -> Reply {
    let mut bytes = Vec::new();
    send(server, key, model).await.read_to_end(&mut bytes).await.unwrap();
    Reply::parse(&bytes)
}

/// A request that is under way for as long as this is held.
async fn hold(server: &Server, key: &str) -> TcpStream {
    let mut stream = send(server, key, "endless").await;
    let mut read = Vec::new();
    while !read.windows(6).any(|it| it == b"data: ") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
    stream
}

async fn channel(server: &Server) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", server.grpc.unwrap())).unwrap();
    endpoint.connect().await.unwrap()
}

async fn infer(server: &Server, key: Option<&str>, graph: &str) -> Result<InferResponse, Status> {
    let text = Value { kind: Some(Kind::Text("one two".to_owned())) };
    let inputs = [("prompt".to_owned(), text)].into();
    let mut request =
        Request::new(InferRequest { graph: graph.to_owned(), inputs, ..InferRequest::default() });
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    CornClient::new(channel(server).await).infer(request).await.map(tonic::Response::into_inner)
}

fn said<'m>(metadata: &'m MetadataMap, name: &str) -> &'m str {
    metadata.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

/// Asks until it is answered: what was given up needs a moment to be given back.
async fn answered(server: &Server, key: &str, model: &str) {
    let answered = async { while ask(server, key, model).await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), answered).await.expect("it is answered in the end");
}

/// W1, W3, W6: a graph that has as many as it may is busy, and another is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_graph_admits_as_many_as_its_limit_says() {
    let server = serve(None).await;
    let held = hold(&server, "any").await;
    // Of five more, four wait.
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let mut stream = send(&server, "any", "endless").await;
        waiting.spawn(async move {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            Reply::parse(&bytes)
        });
    }
    let reply = tokio::time::timeout(Duration::from_secs(10), waiting.join_next()).await;
    let reply = reply.expect("one is refused").unwrap().unwrap();
    let (message, kind, _, code) = reply.error();
    assert_eq!((reply.status, kind.as_str(), code.as_str()), (429, "rate_limit_error", "busy"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(message.starts_with("1 requests of graph 'endless' are in flight and 4 wait"), "{message}");
    let status = infer(&server, None, "endless").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, message.as_str()));
    assert_eq!(said(status.metadata(), "corn-retry"), "true");

    assert_eq!(ask(&server, "any", "parrot").await.status, 200);
    assert_eq!(infer(&server, None, "parrot").await.unwrap().route, "ask");
    drop((held, waiting));
    server.idle().await;
    drop(hold(&server, "any").await);
    server.idle().await;
    server.stop().await;
}

/// A slot of a key is held until the answer has ended or the client is gone, and counts over both faces.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_as_many_under_way_as_it_may() {
    let server = serve(Some("alpha name=lab concurrency=1\nbeta")).await;
    let held = hold(&server, "alpha").await;
    let reply = ask(&server, "alpha", "parrot").await;
    let (message, kind, _, code) = reply.error();
    assert_eq!(
        (reply.status, kind.as_str(), code.as_str()),
        (429, "rate_limit_error", "rate_limit_exceeded")
    );
    assert_eq!((reply.header("retry-after"), reply.header("x-should-retry")), (Some("1"), None));
    assert_eq!(
        message,
        "the key 'lab' has 1 requests under way, and may have no more at once; ask again in 1.0 s"
    );
    let status = infer(&server, Some("alpha"), "parrot").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, message.as_str()));
    assert_eq!(said(status.metadata(), "grpc-retry-pushback-ms"), "1000");
    assert_eq!(said(status.metadata(), "corn-blame"), "busy");

    // What there is can be looked at, and others are let in.
    let models = server.ask("GET", "/v1/models", &[("authorization", "Bearer alpha")], b"").await;
    assert_eq!(models.status, 200);
    assert_eq!(ask(&server, "beta", "parrot").await.status, 200);
    assert!(infer(&server, Some("beta"), "parrot").await.is_ok());

    drop(held);
    answered(&server, "alpha", "parrot").await;
    // One that was answered whole has given its slot back when its client knows.
    for _ in 0..3 {
        assert!(infer(&server, Some("alpha"), "parrot").await.is_ok());
    }
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_asks_as_often_as_it_may() {
    let server = serve(Some("alpha rate=3/h")).await;
    let reply = ask(&server, "alpha", "parrot").await;
    assert_eq!((reply.status, reply.header("x-ratelimit-limit-requests")), (200, Some("3")));
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("2"));
    assert!(reply.header("x-ratelimit-reset-requests").unwrap().ends_with("ms"));
    assert!(infer(&server, Some("alpha"), "parrot").await.is_ok());
    let mut kserve = GrpcInferenceServiceClient::new(channel(&server).await);
    let mut request = Request::new(ModelInferRequest {
        model_name: "parrot".to_owned(),
        parameters: [(
            "prompt".to_owned(),
            InferParameter { parameter_choice: Some(ParameterChoice::StringParam("one two".to_owned())) },
        )]
        .into(),
        ..ModelInferRequest::default()
    });
    request.metadata_mut().insert("authorization", "Bearer alpha".parse().unwrap());
    kserve.model_infer(request).await.unwrap();

    let reply = ask(&server, "alpha", "parrot").await;
    assert_eq!((reply.status, reply.error().3.as_str()), (429, "rate_limit_exceeded"));
    let again: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1100..=1200).contains(&again), "a third of an hour, not {again} s");
    let status = infer(&server, Some("alpha"), "parrot").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    server.stop().await;
}

/// A call that nobody reads is given up while its connection is well, and others on it go on.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_is_given_up() {
    let bounds = Bounds { taken_within: Duration::from_millis(300), ..Bounds::default() };
    let grpc = Some("127.0.0.1:0".to_owned());
    let server = Server::start_at(PROGRAM, 1, Listening { grpc, bounds, ..Listening::default() }).await;
    let endpoint = Channel::from_shared(format!("http://{}", server.grpc.unwrap())).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let mut client = CornClient::new(channel);
    let text = Value { kind: Some(Kind::Text("one two".to_owned())) };
    let inputs = [("prompt".to_owned(), text)].into();
    let asked = InferRequest { graph: "endless".to_owned(), inputs, ..InferRequest::default() };
    let mut unread = client.stream(asked.clone()).await.unwrap().into_inner();
    unread.message().await.unwrap().unwrap();
    // Meanwhile one that is read goes on for longer than that.
    let parrot = InferRequest { graph: "parrot".to_owned(), ..asked };
    let until = tokio::time::Instant::now() + bounds.taken_within * 3;
    while tokio::time::Instant::now() < until {
        client.infer(parrot.clone()).await.unwrap();
    }
    server.idle().await;
    let ended = async { while let Ok(Some(_)) = unread.message().await {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("what was made before is still there");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_wants_a_key_for_all_but_health_and_reflection() {
    let server = serve(Some("alpha")).await;
    for key in [None, Some("beta")] {
        let status = infer(&server, key, "parrot").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("authorization: Bearer KEY"), "{status}");
    }
    let mut kserve = GrpcInferenceServiceClient::new(channel(&server).await);
    let live = kserve.server_live(corn_serve::proto::inference::ServerLiveRequest {}).await;
    assert_eq!(live.unwrap_err().code(), Code::Unauthenticated);
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel(&server).await);
    let check = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(check.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    server.stop().await;
}
