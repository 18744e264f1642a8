//! What components say that they have used, and why they have ended, as clients of each face hear it (W5).

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use corn_serve::Listening;
use corn_serve::proto::corn::corn_client::CornClient;
use corn_serve::proto::corn::stream_response::Event;
use corn_serve::proto::corn::{InferRequest, Used, Value as Sent, value::Kind};
use serde_json::{Value, json};
use support::Server;

/// Of what it makes one part is spoken, so that the last of the answer is made by a component that counts nothing.
const PROGRAM: &str = r#"
component Counts() {
    in  text: text
    out words: stream<text max 1KiB>
    run python "test:Counts"
    batch 4
}
component Tone() {
    in  text: stream<text max 1KiB>
    out voice: stream<audio<16kHz> max 2min>
    run reference "tone.speak"
    batch 4
}
let counts = Counts()
let tone   = Tone()

graph says(prompt: text) -> { reply: stream<text>, voice: stream<audio>? } {
    let reply = counts(prompt)
    { reply: reply, voice: tone(reply) }
}
graph speaks(text: text) -> { voice: stream<audio> } { { voice: tone(counts(text)) } }

route write = says(prompt) -> reply
route talk  = says(prompt) -> reply + voice
route speak = speaks(text) -> voice

serve says {
    openai chat -> write, chat[audio] -> talk, completions -> write
    grpc
}
serve speaks {
    openai audio.speech -> speak
    grpc
}
"#;

async fn server() -> Server {
    let listening = Listening { grpc: Some("127.0.0.1:0".to_owned()), ..Listening::default() };
    Server::start_at(PROGRAM, 4, listening).await
}

fn chat(prompt: &str) -> Value {
    json!({ "model": "says", "messages": [{ "role": "user", "content": prompt }] })
}

/// Prompt, known of that, made, all, and why it ended.
fn told(said: &Value) -> [Value; 5] {
    let usage = &said["usage"];
    [
        usage["prompt_tokens"].clone(),
        usage["prompt_tokens_details"]["cached_tokens"].clone(),
        usage["completion_tokens"].clone(),
        usage["total_tokens"].clone(),
        said["choices"][0]["finish_reason"].clone(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_and_completions_say_what_components_count() {
    let server = server().await;
    let said = server.post("/v1/chat/completions", &chat("one two three")).await.json();
    assert_eq!(told(&said), [json!(30), json!(2), json!(21), json!(51), json!("stop")], "{said}");
    let said = server.post("/v1/chat/completions", &chat("this is cut")).await.json();
    assert_eq!(told(&said)[4], "length", "{said}");

    let mut spoken = chat("one two");
    spoken["modalities"] = json!(["text", "audio"]);
    let said = server.post("/v1/chat/completions", &spoken).await.json();
    assert_eq!(told(&said), [json!(20), json!(2), json!(14), json!(34), json!("stop")], "{said}");

    let asked = json!({ "model": "says", "prompt": ["one", "two cut"] });
    let said = server.post("/v1/completions", &asked).await.json();
    assert_eq!(told(&said), [json!(30), json!(4), json!(21), json!(51), json!("stop")], "{said}");
    assert_eq!(said["choices"][1]["finish_reason"], "length", "{said}");
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_say_it_at_their_end() {
    let server = server().await;
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let mut asked = chat("one cut");
        if path.ends_with("v1/completions") {
            asked = json!({ "model": "says", "prompt": "one cut" });
        }
        asked["stream"] = json!(true);
        asked["stream_options"] = json!({ "include_usage": true, "continuous_usage_stats": true });
        let events = server.post(path, &asked).await.events();
        let chunks: Vec<Value> =
            events[..events.len() - 1].iter().map(|it| serde_json::from_str(it).unwrap()).collect();
        let [.., ended, last] = chunks.as_slice() else { panic!("{chunks:?}") };
        assert_eq!(told(ended)[4], "length", "{path}: {ended}");
        assert_eq!(told(last)[..4], [json!(20), json!(2), json!(14), json!(34)], "{path}: {last}");
        // While it lasts, what is known of the prompt and the pieces that there are.
        let first = chunks.iter().find(|it| it["usage"]["completion_tokens"] == 1).unwrap();
        assert_eq!(told(first)[0], 20, "{path}: {first}");
    }
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corns_own_service_says_it_as_well() {
    let server = server().await;
    let said = server
        .post(
            "/corn/v1/infer",
            &json!({ "graph": "says", "inputs": { "prompt": "one cut" }, "outputs": ["reply"] }),
        )
        .await
        .json();
    let expected =
        json!({ "prompt_tokens": 20, "cached_tokens": 2, "completion_tokens": 14, "is_cut": true });
    assert_eq!(said["used"], expected, "{said}");

    let mut client = CornClient::connect(format!("http://{}", server.grpc.unwrap())).await.unwrap();
    let text = Sent { kind: Some(Kind::Text("one".to_owned())) };
    let request = InferRequest {
        graph: "speaks".to_owned(),
        inputs: [("text".to_owned(), text)].into(),
        ..InferRequest::default()
    };
    let expected = Used { prompt_tokens: 10, cached_tokens: 2, completion_tokens: 7, is_cut: false };
    let whole = client.infer(request.clone()).await.unwrap().into_inner();
    assert_eq!(whole.used, Some(expected));
    let mut stream = client.stream(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(said) = stream.message().await.unwrap() {
        last = said.event;
    }
    assert_eq!(last, Some(Event::Used(expected)));
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_by_component() {
    let server = server().await;
    server.post("/v1/chat/completions", &chat("one two three")).await;
    server.idle().await;
    let metrics = server.ask("GET", "/metrics", &[], b"").await;
    let metrics = metrics.text();
    for (name, count) in [("prompt", 30), ("cached", 2), ("completion", 21)] {
        let name = format!("corn_component_{name}_tokens_total{{component=\"counts\"");
        let line = metrics.lines().find(|line| line.starts_with(&name)).unwrap();
        assert!(line.ends_with(&format!(" {count}")), "{line}");
    }
    server.stop().await;
}
