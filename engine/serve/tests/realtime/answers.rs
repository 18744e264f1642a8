//! Answers in writing and by voice, conversations, items.

use serde_json::{Value, json};

use crate::harness::{Talk, course, joined, kinds, response, silence, spoken_ms};
use crate::support::{PROGRAM, Server};

const IN_WRITING: &str = "response.output_text.delta";
const SPOKEN: &str = "response.output_audio_transcript.delta";

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_spoken_while_they_are_made() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open_with(&server, "model=companion", &[]).await.unwrap();
    let created = talk.hear().await;
    assert_eq!(created["type"], "session.created");
    let session = &created["session"];
    assert_eq!((&session["type"], &session["model"]), (&json!("realtime"), &json!("companion")));
    assert_eq!(session["output_modalities"], json!(["audio"]));
    assert_eq!(session["audio"]["input"]["turn_detection"]["type"], "server_vad");

    let asked = talk.write("hello there.").await;
    let events = talk.answer().await;
    let mut seen = course(&events);
    // Words and sounds come as they are made, in an order that differs.
    let all = seen.len();
    let deltas: Vec<&str> = seen.drain(4..all - 6).collect();
    assert!(deltas.iter().all(|it| [SPOKEN, "response.output_audio.delta"].contains(it)), "{deltas:?}");
    assert_eq!(
        seen,
        [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
    );
    assert_eq!(events[2]["previous_item_id"], json!(asked));
    assert_eq!(joined(&events, SPOKEN), "user: hello there.\n");
    assert!(spoken_ms(&events) > 100, "{} ms", spoken_ms(&events));
    let done = response(&events);
    assert_eq!((&done["status"], &done["output"][0]["status"]), (&json!("completed"), &json!("completed")));
    assert_eq!(done["output"][0]["content"][0]["transcript"], "user: hello there.\n");
    assert_eq!(
        (&done["usage"]["input_tokens"], &done["usage"]["counted"]["in"]["text_bytes"]),
        (&json!(2), &json!(12))
    );

    // The conversation is kept, with what was answered.
    talk.write("and now?").await;
    let events = talk.answer().await;
    let heard = "user: hello there.\nassistant: user: hello there.\n\nuser: and now?\n";
    assert_eq!(joined(&events, SPOKEN), heard);
    server.idle().await;
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_what_is_answered() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    let session = talk
        .set(json!({ "type": "realtime", "output_modalities": ["text"], "instructions": "Be kind.",
            "audio": { "input": { "turn_detection": null, "format": { "type": "audio/pcm", "rate": 24000 } } } }))
        .await;
    assert_eq!(session["audio"]["input"]["turn_detection"], Value::Null);
    assert_eq!(session["output_modalities"], json!(["text"]));
    talk.write("hi").await;
    let events = talk.answer().await;
    assert_eq!(joined(&events, IN_WRITING), "system: Be kind.\nuser: hi\n");
    assert_eq!(
        kinds(&events[events.len() - 5..]),
        [
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
    );

    // For one answer only, from other items, and not kept.
    let input = json!([{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "aside" }] }]);
    let asked = json!({ "type": "response.create", "response": { "output_modalities": ["audio"], "instructions": "Whisper.",
        "conversation": "none", "input": input, "metadata": { "topic": "aside" } } });
    talk.say(&asked).await;
    let events = talk.until("response.done").await;
    assert_eq!(joined(&events, SPOKEN), "system: Whisper.\nuser: aside\n");
    assert!(!kinds(&events).contains(&"conversation.item.added"));
    let done = response(&events);
    assert_eq!((&done["metadata"]["topic"], &done["conversation_id"]), (&json!("aside"), &Value::Null));
    talk.write("go on").await;
    let events = talk.answer().await;
    let heard = "system: Be kind.\nuser: hi\nassistant: system: Be kind.\nuser: hi\n\nuser: go on\n";
    assert_eq!(joined(&events, IN_WRITING), heard);
    drop(talk);

    // Inputs of the graph that have a default.
    let mut talk = Talk::open(&server, "adjustable").await;
    talk.set(json!({ "instructions": "Be brief.", "max_output_tokens": 7, "temperature": 0.25,
        "audio": { "output": { "voice": "alloy" } } }))
        .await;
    talk.write("hi").await;
    let said = joined(&talk.answer().await, IN_WRITING);
    for part in ["7", "0.25", "alloy", "Be brief."] {
        assert!(said.contains(part), "{part} in {said}");
    }
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_as_many_tokens_as_may_be_is_incomplete() {
    let program = r#"
component Counts() {
    in  text: text
    out words: stream<text max 1KiB>
    run python "test:Counts"
    batch 4
}
let counts = Counts()
graph says(prompt: text) -> { reply: stream<text> } { { reply: counts(prompt) } }
route write = says(prompt) -> reply
serve says { openai realtime -> write }
"#;
    let server = Server::start(program, 4, None).await;
    let mut talk = Talk::open(&server, "says").await;
    for (said, status, details) in [
        ("one two", "completed", json!({ "type": "completed" })),
        ("one cut", "incomplete", json!({ "type": "incomplete", "reason": "max_output_tokens" })),
    ] {
        talk.write(said).await;
        let events = talk.answer().await;
        let done = response(&events);
        assert_eq!(
            (&done["status"], &done["output"][0]["status"]),
            (&json!(status), &json!(status)),
            "{done}"
        );
        assert_eq!(done["status_details"], details);
        let usage = &done["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(20), &json!(14)), "{done}");
        assert_eq!(usage["input_token_details"]["cached_tokens"], 2, "{done}");
    }
    drop(talk);
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_put_got_cut_and_deleted() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    let last = talk.write("last").await;
    let item = json!({ "type": "message", "role": "user", "id": "first",
        "content": [{ "type": "input_text", "text": "first" }, { "type": "input_audio", "audio": "AAAAAAAA" }] });
    talk.say(&json!({ "type": "conversation.item.create", "previous_item_id": "root", "item": item })).await;
    let events = talk.until("conversation.item.done").await;
    assert_eq!(events[0]["previous_item_id"], Value::Null);
    assert_eq!(events[0]["item"]["content"][1], json!({ "type": "input_audio", "transcript": null }));
    talk.say(&json!({ "type": "conversation.item.retrieve", "item_id": "first" })).await;
    let got = talk.hear().await;
    assert_eq!(got["type"], "conversation.item.retrieved");
    assert_eq!(got["item"]["content"][1]["audio"], "AAAAAAAA");

    let events = talk.answer().await;
    assert_eq!(joined(&events, SPOKEN), "user: first <1 ms>\nuser: last\n");
    let (spoken, half) = (response(&events)["output"][0]["id"].clone(), spoken_ms(&events).div_ceil(2));
    let cut = json!({ "type": "conversation.item.truncate", "item_id": spoken, "content_index": 0, "audio_end_ms": half });
    talk.say(&cut).await;
    let event = talk.hear().await;
    assert_eq!(
        (&event["type"], &event["audio_end_ms"]),
        (&json!("conversation.item.truncated"), &json!(half))
    );
    talk.say(&json!({ "type": "conversation.item.delete", "item_id": last })).await;
    assert_eq!(talk.hear().await["type"], "conversation.item.deleted");

    talk.write("so?").await;
    let heard = joined(&talk.answer().await, SPOKEN);
    assert_eq!(heard, "user: first <1 ms>\nassistant: user: first <1 \nuser: so?\n");
    drop(talk);
    server.stop().await;
}

/// More than the model takes at once, and more than is kept.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_items_are_left_out() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    talk.set(json!({ "output_modalities": ["text"], "instructions": "Count." })).await;
    for n in 0..20 {
        talk.write(&n.to_string()).await;
    }
    let said = joined(&talk.answer().await, IN_WRITING);
    // The graph takes 16 parts.
    let kept: Vec<String> = (5..20).map(|n| format!("user: {n}\n")).collect();
    assert_eq!(said, format!("system: Count.\n{}", kept.concat()));
    drop(talk);

    let mut talk = Talk::open(&server, "companion").await;
    let item = |id: &str| {
        let content = json!([{ "type": "input_text", "text": "x".repeat(400 << 10) }]);
        let item = json!({ "type": "message", "role": "user", "id": id, "content": content });
        json!({ "type": "conversation.item.create", "item": item })
    };
    for id in ["a", "b"] {
        talk.say(&item(id)).await;
        talk.until("conversation.item.done").await;
    }
    talk.say(&item("c")).await;
    let events = talk.until("conversation.item.done").await;
    assert_eq!(
        (&events[0]["type"], &events[0]["item_id"]),
        (&json!("conversation.item.deleted"), &json!("a"))
    );
    for id in ["b", "c"] {
        talk.say(&json!({ "type": "conversation.item.delete", "item_id": id })).await;
        talk.until("conversation.item.deleted").await;
    }
    // Longer than a part of a conversation may be, as an answer can be too: it is told in several.
    let long = "a word and ".repeat(3000);
    talk.write(long.trim_end()).await;
    talk.set(json!({ "output_modalities": ["text"] })).await;
    let events = talk.answer().await;
    let heard = joined(&events, IN_WRITING);
    assert_eq!(heard.split_whitespace().count(), 9001, "{}", response(&events));
    talk.set(json!({ "instructions": long.trim_end() })).await;
    let heard = joined(&talk.answer().await, IN_WRITING);
    assert_eq!(heard.split_whitespace().count(), 3 * 9001 + 1);
    drop(talk);
    server.stop().await;
}

/// A graph that hears and speaks, and knows nothing of words.
#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_sounds_needs_no_words() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "interpreter").await;
    talk.set(json!({ "audio": { "input": { "turn_detection": null } } })).await;
    for _ in 0..2 {
        talk.sound(&silence(700)).await;
        talk.say(&json!({ "type": "input_audio_buffer.commit" })).await;
        let events = talk.until("conversation.item.done").await;
        assert_eq!(events[0]["type"], "input_audio_buffer.committed");
    }
    let events = talk.answer().await;
    let done = response(&events);
    assert_eq!(done["usage"]["counted"]["in"], json!({ "audio_ms": 1400 }));
    assert!(spoken_ms(&events) > 0);
    assert_eq!(done["output"][0]["content"][0], json!({ "type": "output_audio", "transcript": "" }));
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_ends_an_answer_and_no_session() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "broken").await;
    for (text, words) in [("soon", "word0 word1 "), ("at once", "")] {
        talk.write(text).await;
        let events = talk.answer().await;
        assert_eq!(joined(&events, IN_WRITING), words);
        let done = response(&events);
        assert_eq!((&done["status"], &done["status_details"]["type"]), (&json!("failed"), &json!("failed")));
        let error = &done["status_details"]["error"];
        assert_eq!(error["code"], "component_failed");
        assert!(error["message"].as_str().unwrap().contains("it broke, as it was told"), "{error}");
        assert_eq!(done["output"].as_array().unwrap().len(), usize::from(!words.is_empty()));
    }
    server.idle().await;
    drop(talk);
    server.metrics_with(&["corn_http_requests_total{endpoint=\"realtime\",status=\"500\"} 2"]).await;
    server.stop().await;
}

/// What never ends is ended, since a session keeps what was answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_as_long_as_may_be() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "babbler").await;
    talk.write("count").await;
    let events = talk.answer().await;
    let done = response(&events);
    assert_eq!(done["status_details"], json!({ "type": "incomplete", "reason": "max_output_tokens" }));
    let said = done["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!(said, joined(&events, IN_WRITING));
    assert!((4000..=4096).contains(&said.len()), "{}", said.len());
    server.idle().await;
    drop(talk);
    server.stop().await;
}
