//! Connections: who may open one, and how each ends.

use std::time::{Duration, Instant};

use corn_serve::Keys;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Talk, response};
use crate::support::{PROGRAM, Server, may_open};

const SERVICE_RESTART: u16 = 1001;
const TOO_LARGE: u16 = 1009;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_refused_before_they_are_opened() {
    let server = Server::start(PROGRAM, 4, None).await;
    for (query, status, param, code) in [
        ("model=nobody", 404, "model", "model_not_found"),
        ("model=reader", 404, "model", "model_not_found"),
        ("", 400, "model", ""),
        ("model=companion&intent=transcription", 400, "intent", ""),
    ] {
        let Err(refused) = Talk::open_with(&server, query, &[]).await else { panic!("{query}") };
        assert_eq!(refused.status, status, "{query}: {refused:?}");
        let named = |name: &str| refused.error[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((named("param"), named("code")), (param.to_owned(), code.to_owned()));
    }
    let reply = server.get("/v1/realtime?model=companion").await;
    assert_eq!((reply.status, reply.error().3.as_str()), (426, "no_websocket"));
    let evil = [("origin", "https://evil.example")];
    let Err(refused) = Talk::open_with(&server, "model=companion", &evil).await else { panic!("let in") };
    assert_eq!((refused.status, &refused.error["code"]), (403, &json!("wrong_origin")));
    Talk::open_with(&server, "model=companion", &[("origin", "http://127.0.0.1:3000")]).await.unwrap();
    let refused = "corn_http_requests_total{endpoint=\"realtime.sessions\",status=\"404\"} 2";
    server.metrics_with(&[refused]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_headers_or_subprotocols() {
    let server = Server::start(PROGRAM, 4, Some(Keys::parse("secret").unwrap())).await;
    let (header, protocols) = ("authorization", "sec-websocket-protocol");
    for (name, value, is_known) in [
        (header, "Bearer secret", true),
        (header, "Bearer wrong", false),
        (protocols, "realtime, openai-insecure-api-key.secret", true),
        (protocols, "realtime, openai-insecure-api-key.wrong", false),
        (protocols, "realtime", false),
    ] {
        let opened = Talk::open_with(&server, "model=companion", &[(name, value)]).await;
        match opened {
            Ok(mut talk) => {
                assert!(is_known, "{value}");
                assert_eq!(talk.hear().await["type"], "session.created");
            }
            Err(refused) => assert_eq!((refused.status, is_known), (401, false), "{value}: {refused:?}"),
        }
    }
    server.stop().await;
}

/// A session takes nothing of what its key allows; each answer is a request.
#[tokio::test(flavor = "multi_thread")]
async fn answers_count_for_their_key() {
    let keys = Keys::parse("secret name=lab concurrency=1 rate=2/h").unwrap();
    let server = Server::start(PROGRAM, 4, Some(keys)).await;
    let key = [("authorization", "Bearer secret")];
    let mut talks = Vec::new();
    for _ in 0..3 {
        let mut talk = Talk::open_with(&server, "model=companion", &key).await.unwrap();
        assert_eq!(talk.hear().await["type"], "session.created");
        talk.write("hello").await;
        talks.push(talk);
    }
    let mut statuses = Vec::new();
    for talk in &mut talks {
        let events = talk.answer().await;
        let response = response(&events);
        let error = &response["status_details"]["error"];
        statuses.push((response["status"].clone(), error["code"].clone()));
    }
    let done = (json!("completed"), Value::Null);
    assert_eq!(statuses, [done.clone(), done, (json!("failed"), json!("rate_limit_exceeded"))]);
    server.stop().await;
}

/// F3: a client that vanishes takes its work with it.
#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_is_worked_for_no_longer() {
    let server = Server::start(PROGRAM, 4, None).await;
    for says_goodbye in [false, true] {
        let mut talk = Talk::open(&server, "chatterbox").await;
        talk.write("talk to me").await;
        talk.say(&json!({ "type": "response.create" })).await;
        talk.until("response.output_audio.delta").await;
        assert!(!server.engine().ledgers().iter().all(corn_core::Ledger::is_empty));
        if says_goodbye {
            talk.socket.send(Message::Close(None)).await.unwrap();
            while !matches!(talk.frame().await.expect("the closing is answered"), Message::Close(_)) {}
        }
        drop(talk);
        server.idle().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_ends_its_session() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    // The model is served with bodies of 1 MiB.
    let audio = "A".repeat(2 << 20);
    talk.socket
        .feed(Message::text(json!({ "type": "input_audio_buffer.append", "audio": audio }).to_string()))
        .await
        .unwrap();
    // The server may hang up before it has heard everything.
    let _ = talk.socket.flush().await;
    let refused = talk.hear().await;
    assert_eq!(refused["error"]["code"], "event_too_large", "{refused}");
    assert_eq!(talk.closed().await, TOO_LARGE);
    assert_eq!(server.get("/health").await.status, 200);
    server.stop().await;
}

/// What is made for a client that does not read waits where it is made.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_holds_back_its_own_answer() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut slow = Talk::open(&server, "chatterbox").await;
    slow.write("talk to me").await;
    slow.say(&json!({ "type": "response.create" })).await;
    slow.until("response.output_audio.delta").await;
    // Others are served meanwhile, again and again.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        let mut other = Talk::open(&server, "companion").await;
        other.write("hi").await;
        assert_eq!(response(&other.answer().await)["status"], "completed");
    }
    slow.say(&json!({ "type": "response.cancel" })).await;
    let events = slow.until("response.done").await;
    let bytes: usize = events.iter().map(|event| event.to_string().len()).sum();
    // Its own bound, and what the sockets of this machine hold.
    assert!(bytes < 8 << 20, "{bytes}");
    drop(slow);
    server.idle().await;
    server.stop().await;
}

/// Resident memory of this process, in bytes.
fn memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_sessions_cost_little_and_end_together() {
    if !may_open(3000) {
        return;
    }
    let server = Server::start(PROGRAM, 4, None).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let tasks_before = tasks();
    let mut idle = Vec::new();
    let mut each = u64::MAX;
    for _ in 0..4 {
        let memory = memory_bytes();
        for _ in 0..250 {
            idle.push(Talk::open(&server, "companion").await);
        }
        // Other tests of this process take some as well, now and then.
        each = each.min(memory_bytes().saturating_sub(memory) / 250);
    }
    // The clients' part is in here too: both ends are in this process.
    assert!(each < 100 << 10, "{each} bytes for a session");
    let tasks = tasks() - tasks_before;
    assert!(tasks <= 1010, "{tasks} tasks");
    let mut busy = Talk::open(&server, "companion").await;
    busy.write("hi").await;
    assert_eq!(response(&busy.answer().await)["status"], "completed");
    server.metrics_with(&["corn_http_requests_in_flight{endpoint=\"realtime.sessions\"} 1001"]).await;
    idle.push(busy);
    let stop = tokio::spawn(server.stop());
    for talk in &mut idle {
        assert_eq!(talk.closed().await, SERVICE_RESTART);
    }
    drop(idle);
    stop.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_way_ends_before_the_server_does() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "endless").await;
    talk.write("count").await;
    talk.say(&json!({ "type": "response.create" })).await;
    talk.until("response.output_text.delta").await;
    let stop = tokio::spawn(server.stop());
    // Its graph is served with a deadline.
    let events = talk.until("response.done").await;
    let done = response(&events);
    assert_eq!(
        (&done["status"], &done["status_details"]["error"]["code"]),
        (&json!("failed"), &json!("deadline"))
    );
    assert_eq!(talk.closed().await, SERVICE_RESTART);
    stop.await.unwrap();
}
