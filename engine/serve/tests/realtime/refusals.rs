//! What is refused: by name, with the event that is meant, and the session goes on.

use futures_util::SinkExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Talk, joined};
use crate::support::changes::{any_value, places};
use crate::support::{PROGRAM, Server};

/// Events, and the place and code of what is wrong in each.
fn wrong() -> Vec<(Value, &'static str, &'static str)> {
    let update = |session: Value| json!({ "type": "session.update", "session": session });
    let input = |input: Value| update(json!({ "audio": { "input": input } }));
    let create = |content: Value| {
        let item = json!({ "type": "message", "role": "user", "content": [content] });
        json!({ "type": "conversation.item.create", "item": item })
    };
    let turns = "session.audio.input.turn_detection";
    let turns = |name: &str| -> &'static str { Box::leak(format!("{turns}{name}").into_boxed_str()) };
    vec![
        (json!({ "type": "session.destroy" }), "type", "unknown_event"),
        (json!({ "type": "output_audio_buffer.clear" }), "", "nothing_answered"),
        (json!({ "type": 7 }), "type", ""),
        (json!({}), "type", ""),
        (json!({ "type": "session.update" }), "session", ""),
        (update(json!([])), "session", ""),
        (update(json!({ "type": "transcription" })), "session.type", ""),
        (update(json!({ "model": "parrot" })), "session.model", ""),
        (update(json!({ "output_modalities": ["text", "audio"] })), "session.output_modalities", ""),
        (update(json!({ "output_modalities": ["video"] })), "session.output_modalities", ""),
        (update(json!({ "instructions": 1 })), "session.instructions", ""),
        (update(json!({ "top_p": 0.5 })), "session.top_p", ""),
        (update(json!({ "tools": [{ "type": "function", "name": "f" }] })), "session.tools", ""),
        (update(json!({ "audio": { "output": { "voice": 7 } } })), "session.audio.output.voice", ""),
        (
            update(json!({ "audio": { "output": { "format": { "type": "audio/pcmu" } } } })),
            "session.audio.output.format.type",
            "",
        ),
        (
            input(json!({ "format": { "type": "audio/pcm", "rate": 16_000 } })),
            "session.audio.input.format.rate",
            "",
        ),
        (
            input(json!({ "transcription": { "model": ["whisper-1"] } })),
            "session.audio.input.transcription.model",
            "",
        ),
        (input(json!({ "turn_detection": { "type": "client_vad" } })), turns(".type"), ""),
        (
            input(json!({ "turn_detection": { "type": "server_vad", "threshold": 2 } })),
            turns(".threshold"),
            "",
        ),
        (
            input(json!({ "turn_detection": { "type": "server_vad", "silence_duration_ms": -1 } })),
            turns(".silence_duration_ms"),
            "",
        ),
        (
            input(json!({ "turn_detection": { "type": "server_vad", "idle_timeout_ms": 9000 } })),
            turns(".idle_timeout_ms"),
            "",
        ),
        (json!({ "type": "input_audio_buffer.append" }), "audio", ""),
        (json!({ "type": "input_audio_buffer.append", "audio": "?!" }), "audio", ""),
        (json!({ "type": "input_audio_buffer.append", "audio": "AAAA" }), "audio", ""),
        (
            json!({ "type": "input_audio_buffer.commit", "final": true }),
            "input_audio_buffer.commit.final",
            "",
        ),
        (create(json!({ "type": "input_text" })), "item.content[0].text", ""),
        (create(json!({ "type": "output_text", "text": "a" })), "item.content[0].type", ""),
        (create(json!({ "type": "input_audio", "audio": "A" })), "item.content[0].audio", ""),
        (
            create(json!({ "type": "input_image", "image_url": "http://localhost/" })),
            "item.content[0].image_url",
            "url_not_allowed",
        ),
        (json!({ "type": "conversation.item.create", "item": { "type": "function_call" } }), "item.type", ""),
        (json!({ "type": "conversation.item.retrieve", "item_id": "nobody" }), "item_id", "item_not_found"),
        (json!({ "type": "conversation.item.delete", "item_id": "nobody" }), "item_id", "item_not_found"),
        (
            json!({ "type": "conversation.item.truncate", "item_id": "nobody", "content_index": 0, "audio_end_ms": 0 }),
            "item_id",
            "item_not_found",
        ),
        (
            json!({ "type": "response.create", "response": { "conversation": "other" } }),
            "response.conversation",
            "",
        ),
        (json!({ "type": "response.create", "response": { "top_p": 1 } }), "response.top_p", ""),
        (
            json!({ "type": "response.create", "response": { "input": [{ "type": "item_reference", "id": "x" }] } }),
            "response.input[0].item_id",
            "item_not_found",
        ),
        (json!({ "type": "response.create" }), "", "nothing_said"),
        (json!({ "type": "response.cancel" }), "response_id", "response_cancel_not_active"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_the_session_goes_on() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    for (n, (mut event, param, code)) in wrong().into_iter().enumerate() {
        let id = format!("mine-{n}");
        event["event_id"] = id.as_str().into();
        talk.say(&event).await;
        let refused = talk.hear().await;
        let error = &refused["error"];
        assert_eq!(refused["type"], "error", "{event}");
        let named = |name: &str| error[name].as_str().unwrap_or_default();
        assert_eq!(
            (named("param"), named("code"), named("event_id")),
            (param, code, &*id),
            "{event}: {refused}"
        );
        assert!(!named("message").is_empty() && named("type") == "invalid_request_error", "{refused}");
    }
    for text in ["", "{", "[]", "null", "\"session.update\"", "{\"type\":\"response.create\"} x"] {
        talk.socket.send(Message::text(text)).await.unwrap();
        let refused = talk.hear().await;
        assert_eq!(refused["error"]["code"], "invalid_json", "{text}: {refused}");
    }
    talk.socket.send(Message::text("[".repeat(100_000))).await.unwrap();
    assert_eq!(talk.hear().await["error"]["code"], "invalid_json");
    talk.say(&json!({ "event_id": 7, "type": "response.create" })).await;
    assert_eq!(talk.hear().await["error"]["param"], "event_id");
    talk.socket.send(Message::binary(vec![0; 64])).await.unwrap();
    assert_eq!(talk.hear().await["error"]["code"], "binary_frame");

    talk.set(json!({ "output_modalities": ["text"] })).await;
    talk.write("still there?").await;
    assert_eq!(joined(&talk.answer().await, "response.output_text.delta"), "user: still there?\n");
    server.idle().await;
    drop(talk);
    server.stop().await;
}

/// Good events, of which others are made.
fn good() -> Vec<Value> {
    let text = json!({ "type": "input_text", "text": "hi" });
    let sound = json!({ "type": "input_audio", "audio": "AAAAAAAA" });
    let picture =
        json!({ "type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto" });
    let user = json!({ "type": "message", "role": "user", "id": "one", "content": [text, sound, picture] });
    let spoken = json!({ "type": "output_audio", "transcript": "one two" });
    let assistant = json!({ "type": "message", "role": "assistant", "id": "two", "content": [spoken] });
    let turns = json!({ "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 1, "silence_duration_ms": 1,
        "create_response": true, "interrupt_response": true });
    let format = json!({ "type": "audio/pcm", "rate": 24_000 });
    let session = json!({ "type": "realtime", "output_modalities": ["text"], "instructions": "a", "tools": [],
        "audio": { "input": { "format": format, "turn_detection": turns }, "output": { "voice": "default", "speed": 1 } } });
    vec![
        json!({ "type": "session.update", "session": session }),
        json!({ "type": "input_audio_buffer.append", "audio": "AAAAAAAA" }),
        json!({ "type": "input_audio_buffer.commit" }),
        json!({ "type": "input_audio_buffer.clear" }),
        json!({ "type": "conversation.item.create", "previous_item_id": "root", "item": user }),
        json!({ "type": "conversation.item.create", "item": assistant }),
        json!({ "type": "conversation.item.retrieve", "item_id": "one" }),
        json!({ "type": "conversation.item.truncate", "item_id": "two", "content_index": 0, "audio_end_ms": 0 }),
        json!({ "type": "conversation.item.delete", "item_id": "one" }),
        json!({ "type": "response.create", "response": { "conversation": "none", "metadata": {}, "input": [user],
            "instructions": "a", "output_modalities": ["audio"], "audio": { "output": { "voice": "default" } } } }),
        json!({ "type": "response.cancel", "response_id": "x" }),
    ]
}

/// F6: any value at any place of good events, several of them in one session.
#[test]
fn changed_events_end_no_session() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start(PROGRAM, 4, None));
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let change = (0..good().len(), any::<prop::sample::Index>(), any_value());
    let outcome = TestRunner::new(config).run(&prop::collection::vec(change, 1..12), |changes| {
        runtime.block_on(async {
            let mut talk = Talk::open(&server, "companion").await;
            for (which, place, value) in changes {
                let mut event = good().swap_remove(which);
                let mut found = Vec::new();
                places(&event, "", &mut found);
                *event.pointer_mut(place.get(found.as_slice()).as_str()).unwrap() = value;
                talk.say(&event).await;
            }
            talk.say(&json!({ "type": "last words", "event_id": "last" })).await;
            loop {
                let event = talk.hear().await;
                if event["error"]["event_id"] == "last" {
                    break;
                }
                let error = [&event["error"], &event["response"]["status_details"]["error"]];
                assert!(error.iter().all(|it| it["type"] != "server_error"), "{event}");
            }
        });
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(async {
        server.idle().await;
        server.stop().await;
    });
}

/// A graph is told nothing that it has no input for.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_cannot_take_is_refused() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "broken").await;
    talk.say(&json!({ "type": "input_audio_buffer.append", "audio": "AAAA" })).await;
    assert_eq!(talk.hear().await["error"]["param"], "audio");
    talk.say(&json!({ "type": "input_audio_buffer.append", "audio": "AAAAAAAA" })).await;
    assert_eq!(talk.hear().await["error"]["code"], "no_audio_input");
    for (session, param) in [
        (json!({ "instructions": "Be kind." }), "session.instructions"),
        (json!({ "output_modalities": ["audio"] }), "session.output_modalities"),
        (
            json!({ "audio": { "input": { "turn_detection": { "type": "server_vad" } } } }),
            "session.audio.input.turn_detection",
        ),
    ] {
        talk.say(&json!({ "type": "session.update", "session": session })).await;
        assert_eq!(talk.hear().await["error"]["param"], param);
    }
    drop(talk);
    let mut talk = Talk::open(&server, "interpreter").await;
    talk.write("only written").await;
    talk.say(&json!({ "type": "response.create", "event_id": "e" })).await;
    let refused = talk.hear().await;
    assert_eq!((&refused["type"], &refused["error"]["event_id"]), (&json!("error"), &json!("e")));
    assert_eq!(refused["error"]["param"], "conversation");
    assert!(refused["error"]["message"].as_str().unwrap().contains("takes audio"), "{refused}");
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_is_under_way_at_a_time() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "chatterbox").await;
    talk.write("talk to me").await;
    talk.say(&json!({ "type": "response.create" })).await;
    talk.until("response.output_audio.delta").await;
    talk.say(&json!({ "type": "response.create", "event_id": "again" })).await;
    let refused = loop {
        let event = talk.hear().await;
        if event["type"] == "error" {
            break event;
        }
    };
    assert_eq!(refused["error"]["code"], "conversation_already_has_active_response");
    assert_eq!(refused["error"]["event_id"], "again");
    drop(talk);
    server.idle().await;
    server.stop().await;
}
