//! The OpenAI-compatible face by plain HTTP requests: what is refused and how, limits, clients that go away and
//! clients that read slowly.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use serde_json::{Value, json};
use support::{PROGRAM, Server};

fn chat(model: &str, content: impl Into<Value>) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": content.into() }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_answered() {
    let server = Server::start(PROGRAM, 4, None).await;
    let reply = server.post("/v1/chat/completions", &chat("parrot", "One two three.")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    let said = reply.json();
    assert_eq!(said["object"], "chat.completion");
    assert_eq!(said["choices"][0]["message"]["content"], "One two three. ");
    assert_eq!(said["usage"]["prompt_tokens"], 3);
    assert_eq!(said["usage"]["completion_tokens"], 3);
    server.idle().await;
    server.stop().await;
}
