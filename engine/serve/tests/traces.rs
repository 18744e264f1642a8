//! Traces as a collector gets them: spans over OTLP, decoded by the generated code of OpenTelemetry's own package for Python.
//!
//! Where that cannot be installed, the test says so; that a collector which is not there slows nobody is seen in any case.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code: what is wrong here fails the test")]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use corn_serve::{Listening, Served, Traces};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::certificates::{Authority, Identity};
use support::python::python;
use support::{PROGRAM, Server, observed, plan};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const CLIENT: &str = "opentelemetry-proto==1.39.1";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

const READ: &str = "
import json, sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
request = ExportTraceServiceRequest()
request.ParseFromString(sys.stdin.buffer.read())
for of in request.resource_spans:
    service = {it.key: it.value.string_value for it in of.resource.attributes}
    for scope in of.scope_spans:
        for span in scope.spans:
            print(json.dumps({'service': service['service.name'], 'trace': span.trace_id.hex(), 'id': span.span_id.hex(),
                'parent': span.parent_span_id.hex(), 'name': span.name, 'kind': span.kind, 'us': (span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
                'from': span.start_time_unix_nano, 'said': {it.key: it.value.string_value for it in span.attributes}}))
";

/// The spans in `message`.
async fn decoded(message: &[u8]) -> Result<Vec<Value>, String> {
    let mut reader = Command::new(python("opentelemetry-proto", &[CLIENT]).await?);
    let reader =
        reader.args(["-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = reader.spawn().unwrap();
    let mut stdin = reader.stdin.take().unwrap();
    stdin.write_all(message).await.unwrap();
    drop(stdin);
    let output = reader.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Takes one message as a collector does: its head and its body.
async fn taken(listener: &TcpListener) -> (String, Vec<u8>) {
    let (stream, _) = listener.accept().await.unwrap();
    taken_over(stream).await
}

async fn taken_over(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                stream.flush().await.unwrap();
                return (head, bytes[end + 4..].to_vec());
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the message broke off");
    }
}

/// A server that tells traces to `endpoint`.
async fn traced(endpoint: &str, authorities: Option<&Path>) -> (Server, Arc<Traces>) {
    let plan = plan(PROGRAM, 4);
    let traces = Arc::new(Traces::new(endpoint, authorities, plan.plan()).unwrap());
    let engine = Arc::new(observed(plan, Arc::clone(&traces) as _).await);
    let served = Served::new(engine);
    served.tell(None, Some(Arc::clone(&traces)));
    (Server::serve(served, Listening::default()).await, traces)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_its_steps_and_its_hand_overs_are_spans_of_the_trace_of_its_client() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, _traces) = traced(&format!("http://{}", collector.local_addr().unwrap()), None).await;
    let body =
        json!({ "graph": "parrot", "route": "talk", "inputs": { "prompt": "hello there" } }).to_string();
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let answer = server.ask("POST", "/corn/v1/infer", &[("traceparent", &parent)], body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let Some(spans) = spans_named(&collector, &["POST /corn/v1/infer"]).await else { return };
    let all = format!("{spans:#?}");
    assert!(spans.iter().all(|span| span["trace"] == TRACE && span["service"] == "corn"), "{all}");
    let root = spans.iter().find(|span| span["name"] == "POST /corn/v1/infer").unwrap();
    assert_eq!(root["parent"], PARENT, "{all}");
    assert_eq!(root["kind"], 2, "{all}");
    assert_eq!(root["said"]["corn.route"], "talk", "{all}");
    assert_eq!(Some(root["said"]["corn.id"].as_str().unwrap()), answer.header("x-request-id"), "{all}");
    let below: Vec<&Value> = spans.iter().filter(|span| span["parent"] == root["id"]).collect();
    assert_eq!(below.len(), spans.len() - 1, "{all}");
    for component in ["words", "tone"] {
        assert_eq!(
            below.iter().filter(|span| span["said"]["corn.component"] == component).count(),
            1,
            "{all}"
        );
    }
    assert!(below.iter().any(|span| span["said"]["corn.transport"] == "pointer"), "{all}");
    let from = root["from"].as_u64().unwrap();
    // Clocks are read in µs.
    assert!(below.iter().all(|span| span["from"].as_u64().unwrap() + 5_000_000 >= from), "{all}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_no_trace_gets_none_and_a_collector_that_is_away_slows_nobody() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    // Held to be sure that nobody else listens there, and never answered.
    let (server, _traces) = traced(&format!("http://{address}"), None).await;
    let body = json!({ "graph": "parrot", "route": "ask", "inputs": { "prompt": "hi" } }).to_string();
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    let headers = [("traceparent", unsampled.as_str())];
    for _ in 0..20 {
        let quick = server.ask("POST", "/corn/v1/infer", &headers, body.as_bytes());
        let answer = tokio::time::timeout(Duration::from_secs(5), quick).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert!(server.get("/metrics").await.text().contains("corn_trace_spans_total{outcome=\"sent\"} 0\n"));
    let connected = tokio::time::timeout(Duration::from_millis(1500), nobody.accept()).await;
    assert!(connected.is_err(), "something was told of a call whose client wants no trace");
    for _ in 0..20 {
        let quick = server.ask("POST", "/corn/v1/infer", &[], body.as_bytes());
        let answer = tokio::time::timeout(Duration::from_secs(5), quick).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    server.stop().await;
}

/// What takes TLS as `identity`.
fn acceptor(identity: &Identity) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(&identity.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_speaks_tls_is_told_if_it_is_trusted() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let acceptor = acceptor(&ours.vouch_for("collector"));
    for (authority, is_trusted) in [(&ours, true), (&theirs, false)] {
        let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", collector.local_addr().unwrap().port());
        let (server, traces) = traced(&url, Some(&authority.certificate)).await;
        let body = json!({ "graph": "parrot", "route": "ask", "inputs": { "prompt": "hi" } }).to_string();
        assert_eq!(server.ask("POST", "/corn/v1/infer", &[], body.as_bytes()).await.status, 200);
        let told = async {
            let (stream, _) = collector.accept().await.unwrap();
            let stream = acceptor.accept(stream).await.ok()?;
            Some(taken_over(stream).await.0)
        };
        let told = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
        let expected = is_trusted.then_some("post /v1/traces http/1.1");
        assert_eq!(told.as_deref().and_then(|head| head.lines().next()), expected);
        tokio::task::spawn_blocking(move || traces.flush()).await.unwrap();
        let outcome = if is_trusted { "dropped" } else { "sent" };
        let none = format!("corn_trace_spans_total{{outcome=\"{outcome}\"}} 0\n");
        assert!(server.get("/metrics").await.text().contains(&none), "{outcome}");
        server.stop().await;
    }
}

/// What comes until each of `names` has; `None`, and says why, where no span can be decoded.
async fn spans_named(collector: &TcpListener, names: &[&str]) -> Option<Vec<Value>> {
    let mut spans = Vec::new();
    while names.iter().any(|name| !spans.iter().any(|span: &Value| span["name"] == *name)) {
        let taken = tokio::time::timeout(Duration::from_secs(20), taken(collector));
        let (head, message) = taken.await.unwrap();
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        assert!(!message.windows(5).any(|it| it == b"hello"), "a span has something of the payload");
        match decoded(&message).await {
            Ok(more) => spans.extend(more),
            Err(why) => {
                eprintln!("SKIPPED: {CLIENT} cannot be installed here, so no span was decoded: {why}");
                return None;
            }
        }
    }
    Some(spans)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_of_a_session_is_a_span_below_that_of_the_session() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, _traces) = traced(&format!("http://{}", collector.local_addr().unwrap()), None).await;
    let mut request =
        format!("ws://{}/v1/realtime?model=companion", server.address).into_client_request().unwrap();
    let parent = format!("00-{TRACE}-{PARENT}-01");
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let item = json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hello there" }] });
    for event in [
        json!({ "type": "session.update", "session": { "output_modalities": ["text"] } }),
        json!({ "type": "conversation.item.create", "item": item }),
        json!({ "type": "response.create" }),
    ] {
        socket.send(Message::text(event.to_string())).await.unwrap();
    }
    let answer = loop {
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
        let event: Value = serde_json::from_str(&text).unwrap();
        assert!(event["type"] != "error", "{event}");
        if event["type"] == "response.done" {
            break event["response"].clone();
        }
    };
    let Some(spans) = spans_named(&collector, &["response.create /v1/realtime"]).await else { return };
    let all = format!("{spans:#?}");
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let (session, made) = (named("GET /v1/realtime"), named("response.create /v1/realtime"));
    assert_eq!((&session["parent"], &made["parent"]), (&PARENT.into(), &session["id"]), "{all}");
    let said = &made["said"];
    assert_eq!((&said["corn.id"], &said["corn.status"]), (&answer["id"], &"200".into()), "{all}");
    assert_eq!((&said["corn.outcome"], &said["corn.cut"]), (&"ok".into(), &"false".into()), "{all}");
    assert_eq!(said["corn.face"], "session", "{all}");
    let spoken = answer["output"][0]["content"][0]["text"].as_str().unwrap().len().to_string();
    assert_eq!(said["corn.bytes_out"], spoken, "{all}");
    assert!(said["corn.bytes_in"].as_str().unwrap().parse::<u64>().unwrap() > 100, "{all}");
    assert!(spans.iter().any(|span| span["parent"] == made["id"]), "{all}");
    server.stop().await;
}

/// What the log and spans say of calls are the same fields.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_call_is_refused_is_told_by_its_place_and_code() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, _traces) = traced(&format!("http://{}", collector.local_addr().unwrap()), None).await;
    let messages = json!([{ "role": "user", "content": "a secret" }]);
    for (path, body) in [
        (
            "/v1/chat/completions",
            json!({ "model": "parrot", "messages": messages, "logit_\u{1b}[31mbias": 1 }),
        ),
        ("/v1/completions", json!({ "model": "nobody", "prompt": "a secret" })),
        ("/corn/v1/infer", json!({ "graph": "parrot", "inputs": { "prompt": { "a secret": 7 } } })),
        ("/v1/embeddings", json!({ "model": "vector", "input": "well" })),
    ] {
        server.post(path, &body).await;
    }
    let (mut socket, _) =
        connect_async(format!("ws://{}/v1/realtime?model=companion", server.address)).await.unwrap();
    for event in [
        json!({ "type": "session.update", "session": { "instructions": "a secret", "top_p": 1 } }),
        json!({ "type": "input_audio_buffer.append", "audio": "a secret" }),
        json!({ "type": "response.create" }),
    ] {
        socket.send(Message::text(event.to_string())).await.unwrap();
    }
    let why = [
        ("POST /v1/chat/completions", "400", Some("logit_[31mbias"), None),
        ("POST /v1/completions", "404", Some("model"), Some("model_not_found")),
        ("POST /corn/v1/infer", "400", Some("inputs.prompt"), None),
        ("POST /v1/embeddings", "200", None, None),
        ("session.update /v1/realtime", "400", Some("session.top_p"), None),
        ("response.create /v1/realtime", "400", None, Some("nothing_said")),
    ];
    let Some(spans) = spans_named(&collector, &why.map(|(name, ..)| name)).await else { return };
    for (name, status, param, code) in why {
        let said = &spans.iter().find(|span| span["name"] == name).unwrap()["said"];
        let said = |field: &str| said.get(field).and_then(Value::as_str);
        assert_eq!(
            (said("corn.status"), said("corn.param"), said("corn.code")),
            (Some(status), param, code),
            "{name}"
        );
    }
    let all = format!("{spans:#?}");
    assert!(!all.contains("secret") && !all.contains("input_audio_buffer.append"), "{all}");
    drop(socket);
    server.stop().await;
}

#[test]
fn a_collector_is_named_by_a_url_of_http() {
    let plan = plan(PROGRAM, 4);
    for wrong in ["localhost:4318", "ftp://localhost:4318", "nonsense"] {
        let fault = Traces::new(wrong, None, plan.plan()).err().unwrap();
        assert!(fault.message.contains("say it as http://localhost:4318"), "{fault}");
    }
    let file = Path::new("/no/such/file");
    let fault = Traces::new("https://localhost:4318", Some(file), plan.plan()).err().unwrap();
    assert!(fault.message.contains("/no/such/file cannot be read"), "{fault}");
    let fault = Traces::new("http://localhost:4318", Some(file), plan.plan()).err().unwrap();
    assert!(fault.message.contains("of https only"), "{fault}");
}
