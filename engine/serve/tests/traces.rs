//! Traces as a collector gets them: spans over OTLP, decoded by the generated code of OpenTelemetry's own package for Python.
//!
//! Where that cannot be installed, the test says so; that a collector which is not there slows nobody is seen in any case.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use corn_serve::{Listening, Served, Traces};
use serde_json::{Value, json};
use support::{PROGRAM, Server, observed, plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

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

async fn runs(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().await.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The spans in `message`.
async fn decoded(message: &[u8]) -> Result<Vec<Value>, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("opentelemetry-proto");
    let python = folder.join("bin/python");
    if runs(&python, &["-c", "import opentelemetry.proto"]).await.is_err() {
        runs(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()]).await?;
        runs(&python, &["-m", "pip", "install", "--quiet", CLIENT]).await?;
    }
    let mut reader = Command::new(&python);
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
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                return (head, bytes[end + 4..].to_vec());
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the message broke off");
    }
}

/// A server that tells traces to `endpoint`.
async fn traced(endpoint: &str) -> (Server, Arc<Traces>) {
    let plan = plan(PROGRAM, 4);
    let traces = Arc::new(Traces::new(endpoint, plan.plan()).unwrap());
    let engine = Arc::new(observed(plan, Arc::clone(&traces) as _).await);
    let served = Served::new(engine);
    served.tell(None, Some(Arc::clone(&traces)));
    (Server::serve(served, Listening::default()).await, traces)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_its_steps_and_its_hand_overs_are_spans_of_the_trace_of_its_client() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, _traces) = traced(&format!("http://{}", collector.local_addr().unwrap())).await;
    let body =
        json!({ "graph": "parrot", "route": "talk", "inputs": { "prompt": "hello there" } }).to_string();
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let answer = server.ask("POST", "/corn/v1/infer", &[("traceparent", &parent)], body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let patience = Duration::from_secs(20);
    let (head, message) = tokio::time::timeout(patience, taken(&collector)).await.unwrap();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let spans = match decoded(&message).await {
        Ok(spans) => spans,
        Err(why) => {
            eprintln!("SKIPPED: {CLIENT} cannot be installed here, so no span was decoded: {why}");
            return;
        }
    };
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
    assert!(!message.windows(5).any(|it| it == b"hello"), "a span has something of the payload");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_no_trace_gets_none_and_a_collector_that_is_away_slows_nobody() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    // Held to be sure that nobody else listens there, and never answered.
    let (server, _traces) = traced(&format!("http://{address}")).await;
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

#[test]
fn a_collector_is_named_by_a_url_of_http() {
    let plan = plan(PROGRAM, 4);
    for wrong in ["localhost:4318", "https://localhost:4318", "nonsense"] {
        let fault = Traces::new(wrong, plan.plan()).err().unwrap();
        assert!(fault.message.contains("say it as http://localhost:4318"), "{fault}");
    }
}
