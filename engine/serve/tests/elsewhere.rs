//! What is asked where it is not answered, and pages in browsers: what they are told, and which may ask.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use corn_serve::{Listening, Origins};
use serde_json::{Value, json};
use support::{PROGRAM, Reply, Server};

const CHAT: &str = "/v1/chat/completions";
const PAGE: &str = "https://app.example";

fn question() -> Vec<u8> {
    let asked = json!({ "model": "parrot", "messages": [{ "role": "user", "content": "One." }] });
    asked.to_string().into_bytes()
}

async fn from_page(server: &Server, page: &str) -> Reply {
    let body = question();
    server.ask("POST", CHAT, &[("origin", page), ("content-type", "text/plain")], &body).await
}

async fn preflight(server: &Server, page: &str) -> Reply {
    let headers = [
        ("origin", page),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, content-type, x-stainless-lang"),
    ];
    server.ask("OPTIONS", CHAT, &headers, b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_other_apis_say_what_to_ask() {
    let server = Server::start(PROGRAM, 4, None).await;
    for (path, hint) in [
        ("/v1/responses", "/v1/chat/completions"),
        ("/v1/messages", "/v1/chat/completions"),
        ("/api/chat", "/v1/chat/completions"),
        ("/chat/completions", "did you mean /v1/chat/completions?"),
        ("/v1/v1/chat/completions", "did you mean /v1/chat/completions?"),
        ("/v1/audio/translations", "/v1/audio/transcriptions"),
    ] {
        let reply = server.ask("POST", path, &[], &question()).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["code"]), (404, &json!("unknown_url")), "{path}");
        assert!(error["message"].as_str().unwrap().contains(hint), "{path}: {error}");
    }
    // Clients of KServe read a text there.
    for path in ["/v2", "/v2/health/ready", "/v2/models/parrot/infer"] {
        let reply = server.ask("POST", path, &[], b"{}").await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.json()["error"].as_str().unwrap().contains("over gRPC"), "{path}: {}", reply.text());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_models_says_so() {
    let program = "component Upper() {\n    in  text: text max 1KiB\n    out text: text max 2KiB\n    run reference \"text.upper\"\n}\n\
        let upper = Upper()\ngraph loud(text: text max 1KiB) -> text max 2KiB { upper(text) }\n";
    let server = Server::start(program, 4, None).await;
    let reply = server.ask("GET", "/v1/models/loud", &[], b"").await;
    let said: Value = reply.json();
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("there is none: no `openai` stands in a `serve`"), "{message}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_hosts_ask_only_where_they_may() {
    let server = Server::start(PROGRAM, 4, None).await;
    let refused = from_page(&server, PAGE).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!("wrong_origin")));
    assert!(refused.text().contains(&format!("--origins {PAGE}")), "{}", refused.text());
    assert_eq!(refused.header("access-control-allow-origin"), None);
    assert_eq!(from_page(&server, "http://corn:3000").await.status, 200, "a page of the same host");
    // Where nothing can be made to work, pages may look, and browsers do not show them the answer.
    assert_eq!(server.ask("GET", "/health", &[("origin", PAGE)], b"").await.status, 200);
    server.stop().await;

    let origins = Origins::new(&[PAGE.to_owned()]).unwrap();
    let server = Server::start_at(PROGRAM, 4, Listening { origins, ..Listening::default() }).await;
    let before = preflight(&server, PAGE).await;
    assert_eq!((before.status, before.header("access-control-allow-origin")), (200, Some(PAGE)));
    assert!(before.header("access-control-allow-headers").unwrap().contains("x-stainless-lang"));
    let answered = from_page(&server, PAGE).await;
    assert_eq!((answered.status, answered.header("access-control-allow-origin")), (200, Some(PAGE)));
    assert!(answered.header("access-control-expose-headers").unwrap().contains("x-request-id"));
    assert_eq!(from_page(&server, "https://evil.example").await.status, 403);
    assert_eq!(preflight(&server, "https://evil.example").await.header("access-control-allow-origin"), None);
    server.idle().await;
    server.stop().await;
}
