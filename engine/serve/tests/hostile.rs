//! Bodies that nobody means well: whatever comes, it is answered or refused, with a message, and the server lives.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_serve::{Bounds, Listening};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use support::changes::{any_value, places};
use support::{PROGRAM, Reply, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHART: &[u8] = include_bytes!("../../media/tests/data/chart.png");
const TONE: &[u8] = include_bytes!("../../media/tests/data/tone.ogg");
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=XX");

/// Good bodies, of which others are made.
fn good() -> Vec<(&'static str, Value)> {
    let picture = format!("data:image/png;base64,{}", BASE64.encode(CHART));
    let parts = json!([
        { "type": "text", "text": "at" },
        { "type": "image_url", "image_url": { "url": picture, "detail": "auto" } },
        { "type": "input_audio", "input_audio": { "data": BASE64.encode(TONE), "format": "ogg" } },
    ]);
    let chat = json!({ "model": "assistant", "stream": false, "n": 1, "service_tier": "flex",
        "messages": [{ "role": "system", "content": "Look." }, { "role": "user", "content": parts }] });
    let sound = json!({ "model": "parrot", "messages": [{ "role": "user", "content": "hello" }],
        "modalities": ["text", "audio"], "audio": { "voice": "default", "format": "opus" },
        "stream": true, "stream_options": { "include_usage": true } });
    vec![
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", sound),
        ("/v1/completions", json!({ "model": "parrot", "prompt": ["a", "b"], "stream": false })),
        (
            "/v1/audio/speech",
            json!({ "model": "reader", "input": "a b", "response_format": "flac", "speed": 1 }),
        ),
        (
            "/v1/images/generations",
            json!({ "model": "painter", "prompt": "red", "n": 2, "output_format": "jpeg",
            "output_compression": 50, "size": "auto", "stream": true }),
        ),
        ("/v1/embeddings", json!({ "model": "vector", "input": ["a", "b"], "encoding_format": "base64" })),
    ]
}

fn check(reply: &Reply, asked: &dyn std::fmt::Debug) {
    match reply.status {
        200 => {}
        400 | 404 | 413 | 429 => {
            let (message, kind, ..) = reply.error();
            assert!(!message.is_empty() && !kind.is_empty(), "{asked:?} got {reply:?}");
        }
        _ => panic!("{asked:?} got {reply:?}"),
    }
}

/// F6: any value at any place of a good body.
#[test]
fn changed_bodies_are_answered_or_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start(PROGRAM, 4, None));
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let change = (any::<prop::sample::Index>(), any_value());
    let changes = (0..good().len(), prop::collection::vec(change, 1..3));
    let outcome = TestRunner::new(config).run(&changes, |(which, changes)| {
        let (path, mut body) = good().swap_remove(which);
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&body, "", &mut found);
            *body.pointer_mut(place.get(found.as_slice()).as_str()).unwrap() = value;
        }
        check(&runtime.block_on(server.post(path, &body)), &body);
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(async {
        server.idle().await;
        server.stop().await;
    });
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend(format!("--XX\r\ncontent-disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

/// F6: forms that are cut off, garbled, or have damaged files in them.
#[test]
fn changed_forms_are_answered_or_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start(PROGRAM, 4, None));
    let hear = form(&[("name=\"model\"", b"ear"), ("name=\"file\"; filename=\"a\"", TONE)]);
    let edit = form(&[
        ("name=\"model\"", b"editor"),
        ("name=\"prompt\"", b"negative"),
        ("name=\"image[]\"; filename=\"a\"", CHART),
        ("name=\"image[]\"; filename=\"b\"", CHART),
    ]);
    let bodies = [("/v1/audio/transcriptions", hear), ("/v1/images/edits", edit)];
    for (path, body) in &bodies {
        let whole = runtime.block_on(server.ask("POST", path, &[FORM], body));
        assert_eq!(whole.status, 200, "{}", whole.text());
    }
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let changes = (0..bodies.len(), flips, any::<prop::sample::Index>(), any::<bool>());
    let outcome = TestRunner::new(config).run(&changes, |(which, flips, end, is_cut)| {
        let (path, mut body) = bodies[which].clone();
        for (place, byte) in flips {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if is_cut {
            body.truncate(end.index(body.len()));
        }
        check(&runtime.block_on(server.ask("POST", path, &[FORM], &body)), &String::from_utf8_lossy(&body));
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(async {
        server.idle().await;
        server.stop().await;
    });
}

/// What is no HTTP, or ends in its middle, ends its own connection and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_harm_nobody() {
    let server = Server::start(PROGRAM, 4, None).await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(5000));
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{deep}",
        deep.len()
    );
    let chunk =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nhello\r\n";
    let short = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
    let both = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    for bytes in ["\0\0\0\0", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", &long, &many, &deep, chunk, short, both] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // It may hang up before it has heard everything.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        let is_refused =
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || !answer.starts_with("HTTP/1.1");
        assert!(is_refused, "{:?} got {answer}", &bytes[..bytes.len().min(60)]);
        assert_eq!(server.get("/health").await.status, 200);
    }
    server.idle().await;
    server.stop().await;
}

/// What is wrong in a small way is named, in JSON, and what is long is not said again.
#[tokio::test(flavor = "multi_thread")]
async fn small_mistakes_are_named() {
    let server = Server::start(PROGRAM, 4, None).await;
    let chat = "/v1/chat/completions";
    let reply = server.get("/v1/models/%00%ff").await;
    assert_eq!((reply.status, reply.error().3.as_str()), (404, "model_not_found"));
    let reply = server.ask("POST", chat, &[("content-encoding", "gzip")], b"\x1f\x8b").await;
    assert_eq!((reply.status, reply.error().3.as_str()), (415, "body_encoded"));
    assert!(reply.error().0.contains("'gzip'"), "{}", reply.text());
    let reply = server.ask("CONNECT", "x:1", &[], b"").await;
    assert_eq!((reply.status, reply.error().0.as_str()), (404, "there is no x:1 here"));
    let reply = server.post("/corn/v1/infer", &json!({ "route": "any", "deadline_ms": 0 })).await;
    assert_eq!((reply.status, reply.error().2.as_str()), (400, "deadline_ms"));
    let reply = server.post(chat, &json!({ "model": "m".repeat(1 << 20), "messages": [] })).await;
    assert_eq!(reply.status, 404);
    let (message, ..) = reply.error();
    assert!(message.starts_with("there is no model 'mmm") && message.contains("mm'; there is "), "{message}");
    assert!(reply.body.len() < 4096, "{} bytes", reply.body.len());
    let field = json!({ "model": "assistant", "messages": [], "f".repeat(1 << 20): 1 });
    assert!(server.post(chat, &field).await.body.len() < 8192);
    server.stop().await;
}

/// JSON of few bytes and many values would take many times as much memory.
#[tokio::test(flavor = "multi_thread")]
async fn json_of_very_many_values_is_not_read() {
    let server = Server::start(PROGRAM, 4, None).await;
    let zeros = format!("[{}0]", "0,".repeat(1 << 20));
    for (path, body) in [
        ("/v1/chat/completions", format!("{{\"x\":{zeros}}}")),
        ("/v1/embeddings", format!("{{\"model\":\"vector\",\"input\":{zeros}}}")),
        ("/corn/v1/infer", format!("{{\"inputs\":{{\"x\":{zeros}}}}}")),
    ] {
        let reply = server.ask("POST", path, &[], body.as_bytes()).await;
        assert_eq!((reply.status, reply.error().3.as_str()), (413, "body_too_large"), "{path}");
        assert!(reply.error().0.contains("more than 524288 values"), "{}", reply.text());
    }
    // What stands in a text is no value.
    let text = json!({ "model": "parrot", "prompt": "\\\",[{".repeat(1 << 18) });
    let reply = server.post("/v1/completions", &text).await;
    assert!(!reply.text().contains("values"), "{}", reply.text());
    server.stop().await;
}

/// Bodies that are coming in have room together, and not without end.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_under_way_have_a_bound_together() {
    let bounds = Bounds { request_bytes: 1 << 20, ..Bounds::default() };
    let server = Server::start_at(PROGRAM, 4, Listening { bounds, ..Listening::default() }).await;
    let (path, part) = ("/v1/completions", vec![b' '; 600 << 10]);
    let within = std::time::Duration::from_secs(30);
    // Of two that come at once either may be the one that is refused.
    let refused = async {
        loop {
            let held = server.send("POST", path, &[("content-length", "1000000")], &part).await;
            let reply = server.ask("POST", path, &[], &part).await;
            if reply.status == 429 {
                return (held, reply);
            }
        }
    };
    let (held, reply) = tokio::time::timeout(within, refused).await.expect("there is no room in the end");
    assert_eq!((reply.error().3.as_str(), reply.header("retry-after")), ("busy", Some("1")));
    assert!(reply.error().0.contains("1048576 bytes: try again later"), "{}", reply.text());
    drop(held);
    let taken = async { while server.ask("POST", path, &[], &part).await.status != 400 {} };
    tokio::time::timeout(within, taken).await.expect("what was held is given back");
    server.stop().await;
}
