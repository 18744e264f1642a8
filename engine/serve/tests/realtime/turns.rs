//! Sound that comes: turns that are found in it, interruptions, and sound that a client commits itself.

use serde_json::{Value, json};

use crate::harness::{Talk, joined, kinds, response, silence, speech};
use crate::support::{PROGRAM, Server};

const SPOKEN: &str = "response.output_audio_transcript.delta";

/// What the model heard, in ms.
fn heard_ms(events: &[Value]) -> u64 {
    let said = joined(events, SPOKEN);
    let ms = said.strip_prefix("user: <").and_then(|rest| rest.strip_suffix(" ms>\n"));
    ms.and_then(|ms| ms.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_found_and_answered() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    let speech = speech();
    let ms = speech.len() as u64 / 24;
    talk.sound(&silence(2000)).await;
    talk.sound(&speech).await;
    talk.sound(&silence(1000)).await;
    let events = talk.until("response.done").await;
    assert_eq!(
        kinds(&events)[..6],
        [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ]
    );
    let (begin, end) =
        (events[0]["audio_start_ms"].as_u64().unwrap(), events[1]["audio_end_ms"].as_u64().unwrap());
    assert!((1700..2300).contains(&begin), "{begin}");
    assert!((2000 + ms..3000 + ms).contains(&end), "{end} of {ms}");
    assert!(
        events[..5]
            .iter()
            .all(|event| event["item_id"] == events[0]["item_id"]
                || event["item"]["id"] == events[0]["item_id"])
    );
    let heard = heard_ms(&events);
    assert!((end - begin).abs_diff(heard) < 150, "{heard} of {begin} to {end}");
    server.idle().await;
    drop(talk);
    server.stop().await;
}

/// Who is spoken to while it speaks falls silent, and nothing goes on anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn speech_interrupts_an_answer() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "chatterbox").await;
    talk.write("talk to me").await;
    talk.say(&json!({ "type": "response.create" })).await;
    talk.until("response.output_audio.delta").await;
    let turns = json!({ "type": "server_vad", "create_response": false });
    talk.say(&json!({ "type": "session.update", "session": { "audio": { "input": { "turn_detection": turns } } } })).await;
    talk.sound(&speech()).await;
    let events = talk.until("response.done").await;
    let started = kinds(&events).iter().position(|kind| *kind == "input_audio_buffer.speech_started");
    let done = response(&events);
    assert!(started.is_some());
    assert_eq!(done["status"], "cancelled");
    assert_eq!(done["status_details"], json!({ "type": "cancelled", "reason": "turn_detected" }));
    assert_eq!(done["output"][0]["status"], "incomplete");
    server.idle().await;
    talk.sound(&silence(1000)).await;
    let events = talk.until("conversation.item.done").await;
    assert_eq!(events[0]["type"], "input_audio_buffer.speech_stopped");

    // Not where the client says that it is not to.
    let turns = json!({ "type": "server_vad", "create_response": false, "interrupt_response": false });
    talk.set(json!({ "audio": { "input": { "turn_detection": turns } } })).await;
    talk.say(&json!({ "type": "response.create" })).await;
    talk.until("response.created").await;
    talk.sound(&speech()).await;
    talk.sound(&silence(1000)).await;
    let events = talk.until("input_audio_buffer.committed").await;
    assert!(!kinds(&events).contains(&"response.done"));
    talk.say(&json!({ "type": "response.cancel" })).await;
    talk.say(&json!({ "type": "output_audio_buffer.clear" })).await;
    let events = talk.until("response.done").await;
    assert_eq!(response(&events)["status_details"]["reason"], "client_cancelled");
    assert_eq!(talk.hear().await["response_id"], response(&events)["id"]);
    server.idle().await;
    drop(talk);
    server.metrics_with(&["corn_http_requests_total{endpoint=\"realtime\",status=\"499\"} 2"]).await;
    server.stop().await;
}

/// Who does not stop speaking has several turns: none is longer than the model takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_turn_is_cut() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    let turns = json!({ "type": "server_vad", "create_response": false, "silence_duration_ms": 2000 });
    talk.set(json!({ "audio": { "input": { "turn_detection": turns } } })).await;
    for _ in 0..6 {
        talk.sound(&speech()).await;
    }
    let events = talk.until("conversation.item.done").await;
    assert_eq!(events[1]["type"], "input_audio_buffer.speech_stopped");
    let ms = events[1]["audio_end_ms"].as_u64().unwrap() - events[0]["audio_start_ms"].as_u64().unwrap();
    assert!((7500..=8000).contains(&ms), "{ms}");
    let again = talk.until("input_audio_buffer.speech_started").await;
    assert_ne!(again[0]["item_id"], events[0]["item_id"]);
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_commits_and_clears_its_sound() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    talk.set(json!({ "audio": { "input": { "turn_detection": null } } })).await;
    talk.sound(&silence(500)).await;
    talk.say(&json!({ "type": "input_audio_buffer.clear" })).await;
    assert_eq!(talk.hear().await["type"], "input_audio_buffer.cleared");
    talk.say(&json!({ "type": "input_audio_buffer.commit" })).await;
    assert_eq!(talk.hear().await["error"]["code"], "input_audio_buffer_commit_empty");
    // The model is served with sounds of 8 s together.
    talk.sound(&silence(8000)).await;
    talk.sound(&silence(100)).await;
    let refused = talk.hear().await;
    assert_eq!(refused["error"]["code"], "input_audio_buffer_full");
    assert!(refused["error"]["message"].as_str().unwrap().contains("8000 ms"), "{refused}");
    talk.say(&json!({ "type": "input_audio_buffer.commit" })).await;
    let events = talk.until("conversation.item.done").await;
    assert_eq!(kinds(&events)[0], "input_audio_buffer.committed");
    assert_eq!(heard_ms(&talk.answer().await), 8000);
    server.idle().await;
    drop(talk);
    server.stop().await;
}
