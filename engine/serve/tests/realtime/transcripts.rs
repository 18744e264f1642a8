//! What users say in writing: transcripts of their sound, and turns that were typed where a voice answers.

use corn_serve::Keys;
use serde_json::{Value, json};

use crate::harness::{Talk, joined, kinds, response, silence, speech, spoken_ms};
use crate::support::{PROGRAM, Server};

const DELTA: &str = "conversation.item.input_audio_transcription.delta";
const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const FAILED: &str = "conversation.item.input_audio_transcription.failed";

fn input(transcription: &Value) -> Value {
    json!({ "audio": { "input": { "turn_detection": null, "transcription": transcription } } })
}

/// Commits so much silence, and returns what is said up to an event of this type.
async fn commit(talk: &mut Talk, ms: usize, until: &str) -> Vec<Value> {
    talk.sound(&silence(ms)).await;
    talk.say(&json!({ "type": "input_audio_buffer.commit" })).await;
    talk.until(until).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_written_down_if_the_client_wants_that() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    // The only graph that transcribes need not be named.
    let shown = talk.set(input(&json!({}))).await;
    assert_eq!(shown["audio"]["input"]["transcription"], json!({ "model": "ear" }));
    let events = commit(&mut talk, 1200, COMPLETED).await;
    let id = &events[0]["item_id"];
    assert_eq!(
        kinds(&events)[..4],
        ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done", DELTA]
    );
    let done = events.last().unwrap();
    assert_eq!((&done["item_id"], &done["content_index"]), (id, &json!(0)));
    assert_eq!(done["transcript"], joined(&events, DELTA));
    assert_eq!(done["transcript"], "1200 ms at 16000 Hz");
    assert_eq!(done["usage"], json!({ "type": "duration", "seconds": 2 }));
    talk.say(&json!({ "type": "conversation.item.retrieve", "item_id": id })).await;
    assert_eq!(talk.hear().await["item"]["content"][0]["transcript"], done["transcript"]);

    // Turns that the server finds are answered beside it.
    let session = json!({ "audio": { "input": {
        "turn_detection": { "type": "server_vad" }, "transcription": { "model": "ear" },
    } } });
    talk.set(session).await;
    talk.sound(&speech()).await;
    talk.sound(&silence(1000)).await;
    let (mut is_done, mut is_written, mut events) = (false, false, Vec::new());
    while !(is_done && is_written) {
        let event = talk.hear().await;
        is_done |= event["type"] == "response.done";
        is_written |= event["type"] == COMPLETED;
        events.push(event);
    }
    let done = events.iter().find(|event| event["type"] == "response.done").unwrap();
    assert_eq!(done["response"]["status"], "completed", "{done}");

    talk.set(input(&Value::Null)).await;
    let events = commit(&mut talk, 500, "conversation.item.done").await;
    talk.say(&json!({ "type": "input_audio_buffer.clear" })).await;
    assert_eq!(kinds(&talk.until("input_audio_buffer.cleared").await).len(), 1, "{events:?}");
    server.idle().await;
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_down_is_said() {
    let keys = Keys::parse("one rate=2/h").unwrap();
    let server = Server::start(PROGRAM, 4, Some(keys)).await;
    let mut talk =
        Talk::open_with(&server, "model=companion", &[("authorization", "Bearer one")]).await.unwrap();
    talk.hear().await;
    for (how, param, why) in [
        (json!({ "model": 1 }), "model", "must be a string"),
        (json!({ "model": "ear", "language": "en" }), "language", "cannot be set"),
        (json!({ "prompt": "corn" }), "prompt", "cannot be set"),
    ] {
        talk.say(&json!({ "type": "session.update", "session": input(&how) })).await;
        let error = talk.hear().await["error"].clone();
        assert_eq!(error["param"], format!("session.audio.input.transcription.{param}"), "{error}");
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    }
    talk.set(input(&json!({ "model": "ear" }))).await;
    // The ear takes less than the model that answers.
    let failed = commit(&mut talk, 6000, FAILED).await;
    let error = &failed.last().unwrap()["error"];
    assert!(error["message"].as_str().unwrap().contains("at most 5000 ms"), "{error}");
    assert_eq!(failed.last().unwrap()["item_id"], failed[0]["item_id"]);
    // It counts as a request of the key, and so does this one, and there is no third.
    commit(&mut talk, 100, COMPLETED).await;
    let failed = commit(&mut talk, 100, FAILED).await;
    assert_eq!(failed.last().unwrap()["error"]["code"], "rate_limit_exceeded");
    drop(talk);
    server.stop().await;
}

/// An endpoint with a route for sound and one for text, in which both can stand.
const CLERK: &str = r#"
component Words() {
    in  text: text
    out words: stream<text max 1KiB>
    run reference "text.words"
    batch 4
}
component Tone() {
    in  text: stream<text>
    out voice: stream<audio<16kHz> max 2min>
    run reference "tone.speak"
    batch 4
}
component Hear() {
    in  speech: audio<16kHz> max 5s
    out words: stream<text max 1KiB>
    run python "test:Hear"
}
let words = Words()
let tone  = Tone()
let hear  = Hear()
graph clerk(prompt: text?, speech: audio<16kHz> max 5s?) -> { reply: stream<text>, voice: stream<audio> } {
    let heard = when speech { hear(speech).collect() }
    let reply = words(join(prompt, heard))
    { reply, voice: tone(reply.sentences()) }
}
route hark = clerk(speech)          -> reply + voice
route read = clerk(prompt, speech?) -> reply + voice
serve clerk { openai realtime[audio] -> hark, realtime[audio] -> read }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_answers_what_was_typed_if_a_route_takes_it() {
    let server = Server::start(CLERK, 4, None).await;
    let mut talk = Talk::open(&server, "clerk").await;
    talk.set(input(&Value::Null)).await;
    let said = |events: &[Value]| joined(events, "response.output_audio_transcript.delta");

    talk.write("good day").await;
    let events = talk.answer().await;
    assert_eq!(response(&events)["status"], "completed", "{}", response(&events));
    assert_eq!(said(&events).trim(), "good day");
    assert!(spoken_ms(&events) > 0);

    commit(&mut talk, 400, "conversation.item.done").await;
    assert_eq!(said(&talk.answer().await).trim(), "400 ms at 16000 Hz");

    talk.write("good night").await;
    commit(&mut talk, 300, "conversation.item.done").await;
    let both = said(&talk.answer().await);
    assert!(both.starts_with("good night") && both.contains("300 ms"), "{both}");
    server.idle().await;
    drop(talk);
    server.stop().await;
}
