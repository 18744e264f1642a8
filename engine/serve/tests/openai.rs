//! The OpenAI-compatible face by plain HTTP requests: what is refused and how, limits, clients that go away and
//! clients that read slowly.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::{Audio, Image};
use corn_media::{Format, write_image, write_wav};
use corn_serve::Keys;
use serde_json::{Value, json};
use support::{PROGRAM, Server, without_deadline};
use tokio::io::AsyncReadExt;

const CHAT: &str = "/v1/chat/completions";
const HEVC: &[u8] = include_bytes!("../../media/tests/data/film/hevc.mp4");

fn chat(model: &str, content: impl Into<Value>) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": content.into() }] })
}

/// `chat` with one more field.
fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn picture() -> Value {
    let image = Image { width: 3, height: 2, rgb: vec![9; 18].into() };
    let png = BASE64.encode(write_image(&image, Format::Png).unwrap());
    json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{png}") } })
}

fn video(kind: &str, content: &str) -> Value {
    json!({ "type": "video_url", "video_url": { "url": format!("data:video/{kind};base64,{content}") } })
}

fn sound(ms: usize) -> Value {
    let audio = Audio { rate_hz: 8000, samples: vec![0.1; ms * 8].into() };
    let wav = BASE64.encode(write_wav(&audio).unwrap());
    json!({ "type": "input_audio", "input_audio": { "data": wav, "format": "wav" } })
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_answered_whole_and_in_pieces() {
    let server = Server::start(PROGRAM, 4, None).await;
    let reply = server.post(CHAT, &chat("parrot", "One two three.")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    let said = reply.json();
    assert_eq!(said["object"], "chat.completion");
    assert_eq!(said["choices"][0]["message"]["content"], "One two three. ");
    assert_eq!(said["choices"][0]["finish_reason"], "stop");
    let usage = &said["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(3), &json!(3)));
    assert_eq!(usage["counted"], json!({ "in": { "text_bytes": 14 }, "out": { "text_bytes": 15 } }));

    let body = with(chat("parrot", "One two."), "stream", json!(true));
    let reply = server.post(CHAT, &with(body, "stream_options", json!({ "include_usage": true }))).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = reply.events();
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    let deltas: Vec<&Value> = chunks.iter().map(|it| &it["choices"][0]["delta"]).collect();
    assert_eq!(*deltas[0], json!({ "role": "assistant", "content": "" }));
    assert_eq!(*deltas[1], json!({ "content": "One " }));
    assert_eq!(*deltas[3], json!({}));
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[4]["choices"], json!([]));
    assert_eq!(chunks[4]["usage"]["completion_tokens"], 2);
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_keep_their_roles_and_their_media_in_order() {
    let server = Server::start(PROGRAM, 4, None).await;
    let messages = json!([
        { "role": "developer", "content": "Be kind." },
        { "role": "user", "content": [text("what"), picture(), text("and"), sound(250)] },
        { "role": "assistant", "content": "a tone", "refusal": null, "tool_calls": null },
        { "role": "user", "content": "thanks" },
    ]);
    let reply = server.post(CHAT, &json!({ "model": "assistant", "messages": messages })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    let expected = "system: Be kind.\nuser: what <3x2> and <250 ms>\nassistant: a tone\nuser: thanks\n";
    assert_eq!(said["choices"][0]["message"]["content"], expected);
    assert_eq!(said["usage"]["counted"]["in"], json!({ "text_bytes": 27, "images": 1, "audio_ms": 250 }));
    server.idle().await;
    server.stop().await;
}

/// Films, what moves, and frames that come one by one as vLLM's clients send them.
#[tokio::test(flavor = "multi_thread")]
async fn videos_come_as_films_as_animations_and_as_frames() {
    let server = Server::start(PROGRAM, 4, None).await;
    let film = BASE64.encode(include_bytes!("../../media/tests/data/film/high.mp4"));
    let moving = BASE64.encode(include_bytes!("../../media/tests/data/moving.gif"));
    let chart = BASE64.encode(include_bytes!("../../media/tests/data/chart.jpg"));
    let frames = format!("{chart},{chart},{chart}");
    let parts = json!([video("mp4", &film), video("gif", &moving), text("then"), video("jpeg", &frames)]);
    let reply = server.post(CHAT, &chat("assistant", parts)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    let expected = "user: <12 frames to 440 ms> <4 frames to 750 ms> then <3 frames to 2000 ms>\n";
    assert_eq!(said["choices"][0]["message"]["content"], expected);
    assert_eq!(said["usage"]["counted"]["in"], json!({ "text_bytes": 4, "video_frames": 19 }));
    server.idle().await;
    server.stop().await;
}

/// The sound of files that may have pictures too: as parts of a chat, and as browsers record it for transcripts.
#[tokio::test(flavor = "multi_thread")]
async fn sound_comes_out_of_containers() {
    const RECORDED: &[u8] = include_bytes!("../../media/tests/data/film/tone.webm");
    const SPOKEN: &[u8] = include_bytes!("../../media/tests/data/film/tone.m4a");
    const FILM: &[u8] = include_bytes!("../../media/tests/data/film/high.mp4");
    let server = Server::start(PROGRAM, 4, None).await;
    let parts = json!([
        { "type": "input_audio", "input_audio": { "data": BASE64.encode(SPOKEN), "format": "m4a" } },
        { "type": "audio_url", "audio_url": { "url": format!("data:video/mp4;base64,{}", BASE64.encode(FILM)) } },
    ]);
    let reply = server.post(CHAT, &chat("assistant", parts)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said["choices"][0]["message"]["content"], "user: <480 ms> <480 ms>\n");
    for (name, file) in [("said.webm", RECORDED), ("said.m4a", SPOKEN), ("said.mp4", FILM)] {
        let mut form = b"--XX\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\near\r\n".to_vec();
        let head =
            format!("--XX\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        form.extend([head.as_bytes(), file, b"\r\n--XX--\r\n"].concat());
        let kind = [("content-type", "multipart/form-data; boundary=XX")];
        let reply = server.ask("POST", "/v1/audio/transcriptions", &kind, &form).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert!(reply.json()["text"].as_str().unwrap().starts_with("480 ms at "), "{name}: {}", reply.text());
    }
    server.idle().await;
    server.stop().await;
}

/// Fields of the request are inputs of the graph that have their names and a default.
#[tokio::test(flavor = "multi_thread")]
async fn fields_set_inputs_of_their_names() {
    let server = Server::start(PROGRAM, 4, None).await;
    let said = async |body: Value| {
        let reply = server.post(CHAT, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let plain = said(chat("adjustable", "x")).await;
    assert!(plain.contains("Int(16)") && plain.contains("Float(0.5)") && plain.contains("joe"), "{plain}");
    let mut body = chat("adjustable", "x");
    body["max_completion_tokens"] = json!(7);
    body["temperature"] = json!(1);
    body["voice"] = json!("alloy");
    body["messages"].as_array_mut().unwrap().insert(0, json!({ "role": "system", "content": "Rhyme." }));
    let set = said(body).await;
    for part in ["Int(7)", "Float(1.0)", "alloy", "Rhyme."] {
        assert!(set.contains(part), "{part}: {set}");
    }
    server.stop().await;
}

/// Where something is asked, with what, and the status, the place and a part of the message that come of it.
type Wrong = (&'static str, Value, u16, &'static str, &'static str);

async fn refused(server: &Server, (path, body, status, param, part): Wrong) {
    let reply = server.post(path, &body).await;
    let (message, kind, named, _) = reply.error();
    assert_eq!((reply.status, named.as_str()), (status, param), "{body}: {message}");
    assert!(message.contains(part), "{body}: {message}");
    assert_eq!(kind, "invalid_request_error");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert!(reply.header("x-request-id").is_some());
}

/// W4: what chats elsewhere may hold and none here is refused by its name.
#[tokio::test(flavor = "multi_thread")]
async fn what_chats_do_not_take_is_named() {
    let server = Server::start(PROGRAM, 4, None).await;
    let hello = || chat("parrot", "hello");
    let cases = [
        (
            CHAT,
            chat("assistant", json!([{ "type": "file", "file": { "file_id": "a" } }])),
            400,
            "messages[0].content[0].type",
            "there is text, image_url",
        ),
        (
            CHAT,
            chat("assistant", json!([video("mp4", &BASE64.encode(HEVC))])),
            400,
            "messages[0].content[0].video_url",
            "this MP4 file uses HEVC (H.265), which is not supported; of films, H.264 is read",
        ),
        (
            CHAT,
            chat("assistant", json!([video("jpeg", "AAAA,AAAA")])),
            400,
            "messages[0].content[0].video_url",
            "frame 0: this is content of an unknown format",
        ),
        (
            CHAT,
            with(hello(), "tools", json!([{ "type": "function", "function": { "name": "f" } }])),
            400,
            "tools",
            "cannot be set",
        ),
        (
            CHAT,
            with(hello(), "mm_processor_kwargs", json!({ "fps": 2 })),
            400,
            "mm_processor_kwargs",
            "cannot be set",
        ),
    ];
    for case in cases {
        refused(&server, case).await;
    }
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_has_to_be_goes_to_the_input_of_that_name() {
    let server = Server::start(PROGRAM, 4, None).await;
    let asked = |format: Value| with(chat("shaped", "x"), "response_format", format);
    let schema = r#"{"type":"object","properties":{"b":{"type":"null"},"a":true},"default":null}"#;
    let named = |more: Value| {
        let mut named = json!({ "name": "it", "schema": serde_json::from_str::<Value>(schema).unwrap() });
        named.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "type": "json_schema", "json_schema": named })
    };
    for (format, expected) in [
        (json!(null), "x "),
        (json!({ "type": "text" }), "x "),
        (json!({ "type": "text", "json_schema": null }), "x "),
        (json!({ "type": "json_object" }), r#"x {"type":"object"} "#),
        // In the order in which it was written.
        (named(json!({})), &format!("x {schema} ")),
        (named(json!({ "strict": true, "description": "What it is." })), &format!("x {schema} ")),
        (named(json!({ "strict": false })), &format!("x {schema} ")),
    ] {
        let answer = server.post(CHAT, &asked(format.clone())).await;
        assert_eq!(answer.status, 200, "{format}: {}", answer.text());
        assert_eq!(answer.json()["choices"][0]["message"]["content"], *expected, "{format}");
        let events = server.post(CHAT, &with(asked(format.clone()), "stream", json!(true))).await.events();
        let said = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
        let said =
            said.filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()));
        assert_eq!(said.collect::<String>(), *expected, "{format}");
    }
    let at = "response_format";
    let large = json!({ "type": "object", "title": "x".repeat(300) });
    let cases = [
        (json!("json_object"), at, "an object"),
        (json!({}), "response_format.type", "missing"),
        (json!({ "type": 1 }), "response_format.type", "a string"),
        (json!({ "type": "grammar" }), "response_format.type", "there is text, json_object, json_schema"),
        (json!({ "type": "json_object", "schema": {} }), "response_format.schema", "not taken"),
        (json!({ "type": "json_schema" }), "response_format.json_schema", "missing"),
        (
            json!({ "type": "json_schema", "json_schema": { "schema": {} } }),
            "response_format.json_schema.name",
            "missing",
        ),
        (named(json!({ "name": 3 })), "response_format.json_schema.name", "a string"),
        (named(json!({ "schema": [] })), "response_format.json_schema.schema", "an object"),
        (named(json!({ "schema": null })), "response_format.json_schema.schema", "missing"),
        (named(json!({ "strict": "yes" })), "response_format.json_schema.strict", "true or false"),
        (named(json!({ "depth": 3 })), "response_format.json_schema.depth", "not taken"),
        (named(json!({ "schema": large })), at, "256 bytes"),
    ];
    for (format, param, why) in cases {
        refused(&server, (CHAT, asked(format), 400, param, why)).await;
    }
    // A graph without such an input answers in text only.
    let text = with(chat("parrot", "x"), at, json!({ "type": "text" }));
    assert_eq!(server.post(CHAT, &text).await.status, 200);
    let object = with(chat("parrot", "x"), at, json!({ "type": "json_object" }));
    refused(&server, (CHAT, object, 400, at, "no input of that name")).await;
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named() {
    let server = Server::start(PROGRAM, 4, None).await;
    let hello = || chat("parrot", "hello");
    let far = json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
    let torn = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } });
    let mut lying = sound(10);
    lying["input_audio"]["format"] = json!("mp3");
    let cases: Vec<(&str, Value, u16, &str, &str)> = vec![
        (CHAT, chat("nobody", "x"), 404, "model", "there is no model 'nobody'"),
        (CHAT, chat("reader", "x"), 404, "model", "answers audio.speech"),
        (CHAT, json!({ "messages": [] }), 400, "model", "missing"),
        (CHAT, json!({ "model": "parrot" }), 400, "messages", "missing"),
        (CHAT, json!({ "model": "parrot", "messages": [] }), 400, "messages", "empty"),
        (CHAT, with(hello(), "temperature", json!(0.2)), 400, "temperature", "cannot be set"),
        (CHAT, with(hello(), "tools", json!([{ "type": "function" }])), 400, "tools", "cannot be set"),
        (CHAT, with(hello(), "n", json!(2)), 400, "n", "cannot be set"),
        (CHAT, with(hello(), "flavour", json!("x")), 400, "flavour", "cannot be set"),
        (CHAT, with(hello(), "stream", json!("yes")), 400, "stream", "must be true or false"),
        (CHAT, with(hello(), "modalities", json!(["image"])), 400, "modalities", "image"),
        (CHAT, with(hello(), "audio", json!({ "format": "wav" })), 400, "audio", "modalities"),
        (CHAT, with(chat("broken", "x"), "modalities", json!(["audio"])), 400, "modalities", "text only"),
        (CHAT, chat("assistant", json!([far])), 400, "messages[0].content[0].image_url", "no host"),
        (CHAT, chat("assistant", json!([text("a"), torn])), 400, "messages[0].content[1].image_url", "PNG"),
        (
            CHAT,
            chat("assistant", json!([lying])),
            400,
            "messages[0].content[0].input_audio",
            "said to be mp3",
        ),
        (CHAT, chat("parrot", json!([text("a"), picture()])), 400, "messages", "1 text + 1 image"),
        (
            CHAT,
            with(chat("adjustable", "x"), "max_tokens", json!("many")),
            400,
            "max_tokens",
            "int is declared",
        ),
        (CHAT, with(chat("adjustable", "x"), "voice", json!("ann")), 400, "voice", "alloy"),
        (
            "/v1/audio/speech",
            json!({ "model": "reader", "input": "x", "response_format": "aac" }),
            400,
            "response_format",
            "there is mp3, opus, flac, wav, pcm",
        ),
        (
            "/v1/audio/speech",
            json!({ "model": "reader", "input": "x", "voice": 3 }),
            400,
            "voice",
            "no name of a voice",
        ),
        (
            "/v1/images/generations",
            json!({ "model": "painter", "prompt": "x", "response_format": "url" }),
            400,
            "response_format",
            "b64_json",
        ),
        (
            "/v1/images/generations",
            json!({ "model": "painter", "prompt": "x", "size": "1x1" }),
            400,
            "size",
            "n",
        ),
        (
            "/v1/images/generations",
            json!({ "model": "painter", "prompt": "x", "stream": true, "partial_images": 2 }),
            400,
            "partial_images",
            "no picture before it is whole: 0 is taken",
        ),
        ("/v1/embeddings", json!({ "model": "vector", "input": [1, 2] }), 400, "input[0]", "tokens"),
        ("/v1/embeddings", json!({ "model": "vector", "input": [] }), 400, "input", "1 to 2048"),
        ("/v1/nothing", json!({}), 404, "", "/v1/nothing"),
    ];
    for (path, body, status, param, part) in cases {
        refused(&server, (path, body, status, param, part)).await;
    }
    assert_eq!(server.ask("POST", CHAT, &[], b"{").await.status, 400);
    assert_eq!(server.get(CHAT).await.status, 405);
    assert_eq!(server.get("/v1/models/nobody").await.status, 404);
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_held_before_anything_is_decoded() {
    let server = Server::start(PROGRAM, 4, None).await;
    // A megabyte is allowed for this graph, more for others: known once the model is.
    let long = chat("assistant", "x".repeat(1 << 20));
    let reply = server.post(CHAT, &long).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    // What says that it is too long for any graph is not even read.
    let headers = [("content-type", "application/json"), ("content-length", "999999999999")];
    let reply = server.ask("POST", CHAT, &headers, b"").await;
    assert_eq!(reply.status, 413);
    let three = chat("assistant", json!([picture(), picture(), picture()]));
    let reply = server.post(CHAT, &three).await;
    assert_eq!((reply.status, reply.error().2.as_str()), (400, "messages[0].content[2].image_url"));
    let long = chat("assistant", json!([sound(2000), sound(2000)]));
    let reply = server.post(CHAT, &long).await;
    assert_eq!((reply.status, reply.error().2.as_str()), (400, "messages[0].content[1].input_audio"));
    assert!(reply.error().0.contains("at most 1.0 s"), "{}", reply.text());
    server.idle().await;
    server.stop().await;
}

/// Reads until something of the answer's body is there.
async fn read_some(stream: &mut tokio::net::TcpStream) -> String {
    let mut seen = String::new();
    let mut bytes = [0; 4096];
    while !seen.contains("data: ") {
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "it ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    seen
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_gives_everything_back() {
    let server = Server::start(&without_deadline(), 4, None).await;
    let streamed = with(chat("endless", "go"), "stream", json!(true)).to_string();
    let mut stream = server.send("POST", CHAT, &JSON, streamed.as_bytes()).await;
    read_some(&mut stream).await;
    drop(stream);
    server.idle().await;
    // One who waits for the whole answer goes away as well.
    let whole = chat("endless", "go").to_string();
    let stream = server.send("POST", CHAT, &JSON, whole.as_bytes()).await;
    while server.engine().ledgers().iter().all(corn_core::Ledger::is_empty) {
        tokio::task::yield_now().await;
    }
    drop(stream);
    server.idle().await;
    server.metrics_with(&["corn_http_requests_total{endpoint=\"chat\",status=\"499\"} 2"]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_holds_nobody_else_back() {
    let server = Server::start(PROGRAM, 4, None).await;
    let streamed = with(chat("endless", "go"), "stream", json!(true)).to_string();
    let mut slow = server.send("POST", CHAT, &JSON, streamed.as_bytes()).await;
    read_some(&mut slow).await;
    for _ in 0..20 {
        let reply = server.post(CHAT, &chat("parrot", "quick as ever")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    // What is ready for the slow one stays within the windows of its streams.
    for ledger in server.engine().ledgers() {
        assert!(ledger.bytes < 1 << 20, "{ledger:?}");
    }
    // Its deadline comes in the middle of the stream, and is told there.
    let mut rest = String::new();
    slow.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("event: error") && rest.contains("\"code\":\"deadline\""), "{rest}");
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_have_their_status_or_their_event() {
    let server = Server::start(PROGRAM, 4, None).await;
    for body in [chat("broken", "fail at once"), with(chat("broken", "fail at once"), "stream", json!(true))]
    {
        let reply = server.post(CHAT, &body).await;
        let (message, kind, _, code) = reply.error();
        assert_eq!((reply.status, kind.as_str(), code.as_str()), (500, "server_error", "component_failed"));
        assert!(message.contains("component 'breaks'"), "{message}");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    let reply = server.post(CHAT, &with(chat("broken", "later"), "stream", json!(true))).await;
    assert_eq!(reply.status, 200);
    let last: Value = serde_json::from_str(reply.events().last().unwrap()).unwrap();
    assert!(last["error"]["message"].as_str().unwrap().contains("component 'breaks'"), "{last}");
    let reply = server.post(CHAT, &chat("endless", "go")).await;
    assert_eq!((reply.status, reply.header("x-should-retry")), (504, Some("false")));
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_are_told_to_come_back() {
    let server = Server::start(PROGRAM, 1, None).await;
    let body = with(chat("endless", "go"), "stream", json!(true)).to_string();
    let mut under_way = Vec::new();
    let refused = async {
        loop {
            under_way.push(server.send("POST", CHAT, &JSON, body.as_bytes()).await);
            // Waits behind the others while there is room, and then leaves its place to the next of them.
            let ask = chat("parrot", "me too");
            let asked = tokio::time::timeout(Duration::from_millis(200), server.post(CHAT, &ask)).await;
            if let Some(reply) = asked.ok().filter(|reply| reply.status == 429) {
                return reply;
            }
        }
    };
    let reply = tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("x-should-retry"), None);
    assert_eq!(reply.error().1, "rate_limit_error");
    drop(under_way);
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_needs_a_key_where_there_are_some() {
    let keys = Keys::parse("alpha\nbeta").unwrap();
    let server = Server::start(PROGRAM, 4, Some(keys)).await;
    assert_eq!(server.get("/health").await.status, 200);
    for header in ["", "Bearer gamma", "Basic alpha", "Bearer"] {
        let reply = server.ask("GET", "/v1/models", &[("authorization", header)], b"").await;
        assert_eq!((reply.status, reply.error().3.as_str()), (401, "invalid_api_key"));
    }
    let reply = server.ask("GET", "/v1/models", &[("authorization", "Bearer beta")], b"").await;
    assert_eq!(reply.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted() {
    let server = Server::start(PROGRAM, 4, None).await;
    server.post(CHAT, &chat("parrot", "hello")).await;
    server.post(CHAT, &chat("nobody", "hello")).await;
    let lines = [
        "corn_http_requests_total{endpoint=\"chat\",status=\"200\"} 1",
        "corn_http_requests_total{endpoint=\"chat\",status=\"404\"} 1",
        "corn_http_requests_in_flight{endpoint=\"chat\"} 0",
        "corn_http_first_piece_seconds_count{endpoint=\"chat\"} 1",
        "corn_http_answer_seconds_count{endpoint=\"chat\"} 1",
    ];
    server.metrics_with(&lines).await;
    server.stop().await;
}
