//! What is said of health while components load, and after.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::sync::Arc;

use corn_serve::{Listening, Served, Sockets};
use serde_json::json;
use support::{PROGRAM, Server};

/// F: an address that cannot be had is known before anything is loaded.
#[tokio::test]
async fn an_address_that_cannot_be_had_is_said_at_once() {
    for (http, grpc) in
        [(Some("nonsense"), None), (None, Some("127.0.0.1:99999")), (Some("203.0.113.1:1"), None)]
    {
        let address = http.or(grpc).unwrap();
        let listening = Listening {
            http: http.map(str::to_owned),
            grpc: grpc.map(str::to_owned),
            ..Listening::default()
        };
        let fault = Sockets::bind(&listening).await.err().unwrap();
        assert!(fault.message.contains(&format!("cannot listen at {address}")), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loads_says_so_and_then_answers() {
    let plan = support::plan(PROGRAM, 4);
    let served = Served::awaiting(Arc::clone(&plan));
    let server = Server::serve(Arc::clone(&served), Listening::default()).await;
    assert_eq!(server.get("/health/live").await.status, 200);
    assert_eq!(server.get("/v1/models").await.status, 200);
    assert_eq!(server.get("/version").await.json()["version"], env!("CARGO_PKG_VERSION"));
    let body = json!({ "model": "parrot", "messages": [{ "role": "user", "content": "one two" }] });
    let asked = server.post("/v1/chat/completions", &body).await;
    for reply in [server.get("/health").await, asked] {
        let (message, _, _, code) = reply.error();
        assert_eq!((reply.status, code.as_str(), reply.header("retry-after")), (503, "loading", Some("5")));
        assert!(message.contains("still loading") && message.contains("tone"), "{message}");
    }
    // What is not read is not refused for what is in it either.
    assert_eq!(server.post("/v1/chat/completions", &json!({})).await.status, 503);

    served.begin(Arc::new(support::engine(plan).await));
    let health = server.get("/health").await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok"));
    assert_eq!(server.post("/v1/chat/completions", &body).await.status, 200);
    server.stop().await;
}
