//! What clients set of sessions: all of what is refused is named at once, and what says nothing is taken.

use serde_json::{Value, json};

use crate::harness::{Talk, joined, silence, speech};
use crate::support::{PROGRAM, Server};

const TURNS: &str = "turn_detection";

/// What a client is told that sets this.
async fn told(talk: &mut Talk, session: &Value) -> Value {
    talk.say(&json!({ "type": "session.update", "session": session })).await;
    talk.hear().await
}

/// The settings that clients send which were made for another server, as they send them by default.
fn by_default() -> Vec<(&'static str, Value)> {
    let format = json!({ "type": "audio/pcm", "rate": 24_000 });
    let whisper = json!({ "model": "gpt-4o-mini-transcribe" });
    vec![
        (
            "@openai/agents",
            json!({ "type": "realtime", "instructions": "Be kind.", "model": "companion", "output_modalities": ["audio"],
                "audio": {
                    "input": { "format": format, "noise_reduction": null, "transcription": whisper,
                        TURNS: { "type": "semantic_vad" } },
                    "output": { "format": format, "speed": 1 },
                } }),
        ),
        (
            "openai-agents",
            json!({ "type": "realtime", "model": "companion", "output_modalities": ["audio"], "tools": [],
                "instructions": "Be kind.",
                "audio": {
                    "input": { "format": format, "transcription": whisper,
                        TURNS: { "type": "semantic_vad", "interrupt_response": true } },
                    "output": { "format": format, "voice": "ash" },
                } }),
        ),
        (
            "LiveKit",
            json!({ "type": "realtime", "model": "companion", "output_modalities": ["audio"], "instructions": "Be kind.",
                "max_output_tokens": "inf", "tool_choice": "auto", "tracing": null,
                "audio": {
                    "input": { "format": format, "noise_reduction": null, "transcription": whisper,
                        TURNS: { "type": "semantic_vad", "create_response": true, "eagerness": "medium", "interrupt_response": true } },
                    "output": { "format": format, "speed": 1.0, "voice": "marin" },
                } }),
        ),
        (
            "Pipecat",
            json!({ "type": "realtime", "instructions": "Be kind.", "tools": [],
                "audio": { "input": { "transcription": { "model": "gpt-realtime-whisper" }, TURNS: { "type": "semantic_vad" } } } }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_set_by_default_is_taken_and_what_is_in_force_is_said() {
    let server = Server::start(PROGRAM, 4, None).await;
    for (client, session) in by_default() {
        let mut talk = Talk::open(&server, "companion").await;
        let updated = told(&mut talk, &session).await;
        assert_eq!(updated["type"], "session.updated", "{client}: {updated}");
        let shown = &updated["session"];
        assert_eq!(shown["instructions"], "Be kind.", "{client}");
        assert_eq!(shown["audio"]["input"]["transcription"], json!({ "model": "ear" }), "{client}");
        assert_eq!(shown["audio"]["output"]["voice"], "default", "{client}");
        let turns = &shown["audio"]["input"][TURNS];
        assert_eq!(
            (&turns["type"], &turns["silence_duration_ms"]),
            (&json!("server_vad"), &json!(500)),
            "{client}"
        );
        // What a session says of itself can be said to it.
        assert_eq!(&talk.set(shown.clone()).await, shown, "{client}");
        drop(talk);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_eager_a_turn_ends_is_how_long_the_silence_is() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    for (eagerness, ms) in [("low", 1000), ("medium", 500), ("auto", 500), ("high", 300)] {
        let turns = json!({ "type": "semantic_vad", "eagerness": eagerness, "create_response": false });
        let shown = talk.set(json!({ "audio": { "input": { TURNS: turns } } })).await;
        assert_eq!(
            shown["audio"]["input"][TURNS],
            json!({ "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": ms,
                "create_response": false, "interrupt_response": true })
        );
    }
    for (turns, name) in [
        (json!({ "type": "semantic_vad", "eagerness": "huge" }), "eagerness"),
        (json!({ "type": "semantic_vad", "eagerness": 1 }), "eagerness"),
        (json!({ "type": "server_vad", "eagerness": "low" }), "eagerness"),
        (json!({ "type": "semantic_vad", "threshold": 0.4 }), "threshold"),
        (json!({ "type": "psychic_vad" }), "type"),
    ] {
        let refused = told(&mut talk, &json!({ "audio": { "input": { TURNS: turns } } })).await;
        let param = format!("session.audio.input.{TURNS}.{name}");
        assert_eq!(refused["error"]["param"], param, "{refused}");
    }
    // As Pipecat says that it finds turns itself.
    let shown = talk.set(json!({ "audio": { "input": { TURNS: false } } })).await;
    assert_eq!(shown["audio"]["input"][TURNS], Value::Null);

    // Turns are found so.
    talk.set(json!({ "audio": { "input": { TURNS: { "type": "semantic_vad", "eagerness": "high" } } } }))
        .await;
    talk.sound(&speech()).await;
    talk.sound(&silence(700)).await;
    talk.until("response.done").await;
    server.idle().await;
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_refused_is_named_at_once_and_nothing_of_it_applies() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    let session = json!({
        "instructions": "Be kind.",
        "output_modalities": ["text"],
        "tools": [{ "type": "function", "name": "f" }],
        "reasoning": { "effort": "low" },
        "tracing": 7,
        "audio": {
            "input": {
                "noise_reduction": { "type": "near_field" },
                TURNS: { "type": "server_vad", "threshold": 2, "silence_duration_ms": -1, "idle_timeout_ms": 9000 },
                "transcription": { "model": "whisper-1", "language": "en", "prompt": "corn" },
            },
            "output": { "format": { "type": "audio/pcmu" }, "voice": 7 },
        },
    });
    talk.say(&json!({ "type": "session.update", "event_id": "mine", "session": session })).await;
    let refused = talk.hear().await;
    let error = &refused["error"];
    assert_eq!((&refused["type"], &error["event_id"]), (&json!("error"), &json!("mine")));
    let message = error["message"].as_str().unwrap();
    let input = "session.audio.input";
    let places = [
        "session.tracing".to_owned(),
        format!("{input}.noise_reduction"),
        format!("{input}.{TURNS}.threshold"),
        format!("{input}.{TURNS}.silence_duration_ms"),
        format!("{input}.{TURNS}.idle_timeout_ms"),
        format!("{input}.transcription.language"),
        format!("{input}.transcription.prompt"),
        "session.audio.output.format.type".to_owned(),
        "session.audio.output.voice".to_owned(),
        "session.reasoning".to_owned(),
        "session.tools".to_owned(),
    ];
    for place in &places {
        assert_eq!(message.matches(&format!("'{place}'")).count(), 1, "{place}: {message}");
    }
    assert_eq!(error["param"], places[0]);
    assert!(message.ends_with("nothing of this update is applied"), "{message}");

    // So it is said of one thing as well, and all is as it was.
    let refused = told(&mut talk, &json!({ "instructions": "Be kind.", "top_p": 0.5 })).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("nothing of this update is applied"), "{message}");
    let shown = talk.set(json!({})).await;
    assert_eq!((&shown["instructions"], &shown["output_modalities"]), (&json!(""), &json!(["audio"])));

    // Of an answer that is asked for, as well; and what is named has an end.
    let asked = json!({ "instructions": 1, "top_p": 1, "audio": { "output": { "format": { "rate": 1 } } } });
    talk.say(&json!({ "type": "response.create", "response": asked })).await;
    let refused = talk.hear().await;
    let message = refused["error"]["message"].as_str().unwrap();
    for place in ["instructions", "audio.output.format.rate", "top_p"] {
        assert!(message.contains(&format!("'response.{place}'")), "{place}: {message}");
    }
    let many: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("field{n}"), json!(n))).collect();
    let refused = told(&mut talk, &many.into()).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.len() < 10_000 && message.contains("and others"), "{message}");
    drop(talk);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_is_taken_and_what_asks_is_refused() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    let before = talk.set(json!({})).await;
    let tracing = json!({ "workflow_name": "w", "group_id": "g", "metadata": { "a": "b" } });
    for session in [
        json!({ "tracing": null }),
        json!({ "tracing": "auto" }),
        json!({ "tracing": tracing }),
        json!({ "include": [] }),
        json!({ "include": null, "prompt": null, "reasoning": null }),
        json!({ "truncation": "auto", "tool_choice": "auto", "parallel_tool_calls": true }),
        json!({ "object": "realtime.session", "id": "sess_of_mine" }),
        json!({ "audio": { "output": { "speed": 1 } } }),
        json!({ "audio": { "output": { "speed": 1.0, "voice": "marin" } } }),
        json!({ "audio": { "output": { "voice": { "id": "voice_7" } } } }),
        json!({ "audio": { "input": { "noise_reduction": null } } }),
    ] {
        let after = talk.set(session.clone()).await;
        let places = [
            "instructions",
            "id",
            "object",
            "truncation",
            "tool_choice",
            "audio/input",
            "audio/output/voice",
        ];
        for place in places.map(|place| format!("/{place}")) {
            assert_eq!(after.pointer(&place), before.pointer(&place), "{session}");
        }
        assert!(after.get("tracing").is_none(), "{after}");
    }
    for (session, param) in [
        (json!({ "tracing": "always" }), "session.tracing"),
        (json!({ "include": ["item.input_audio_transcription.logprobs"] }), "session.include"),
        (json!({ "prompt": { "id": "pmpt_1" } }), "session.prompt"),
        (json!({ "audio": { "output": { "speed": 1.5 } } }), "session.audio.output.speed"),
        (json!({ "audio": { "output": { "voice": ["marin"] } } }), "session.audio.output.voice"),
        (
            json!({ "audio": { "input": { "noise_reduction": { "type": "far_field" } } } }),
            "session.audio.input.noise_reduction",
        ),
    ] {
        let refused = told(&mut talk, &session).await;
        assert_eq!(refused["error"]["param"], param, "{refused}");
    }
    // An answer may name a voice as well.
    talk.write("hello.").await;
    talk.say(
        &json!({ "type": "response.create", "response": { "audio": { "output": { "voice": "marin" } } } }),
    )
    .await;
    let events = talk.until("response.done").await;
    assert_eq!(events.last().unwrap()["response"]["audio"]["output"]["voice"], "default");
    assert_eq!(joined(&events, "response.output_audio_transcript.delta"), "user: hello.\n");
    drop(talk);
    server.stop().await;
}

/// Where there is a choice of voices, one that is not there is refused with those that are.
#[tokio::test(flavor = "multi_thread")]
async fn a_voice_is_one_of_those_that_there_are() {
    let server = Server::start(PROGRAM, 4, None).await;
    let mut talk = Talk::open(&server, "adjustable").await;
    let voice = |name: &str| json!({ "audio": { "output": { "voice": name } } });
    let shown = talk.set(voice("alloy")).await;
    assert_eq!(shown["audio"]["output"]["voice"], "alloy");
    let refused = told(&mut talk, &voice("marin")).await;
    let error = &refused["error"];
    assert_eq!(error["param"], "session.audio.output.voice", "{refused}");
    assert!(error["message"].as_str().unwrap().contains("joe"), "{refused}");
    drop(talk);
    server.stop().await;
}

/// With several graphs that transcribe, which of them is meant must be said.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_transcribes_is_one_of_those_that_there_are() {
    let several = format!(
        "{PROGRAM}\ngraph scribe(speech: audio max 5s) -> {{ text: stream<text> }} {{ {{ text: hear(speech) }} }}\n\
         route jot = scribe(speech) -> text\nserve scribe {{ openai audio.transcriptions -> jot }}\n"
    );
    let server = Server::start(&several, 4, None).await;
    let mut talk = Talk::open(&server, "companion").await;
    let input = |how: Value| json!({ "audio": { "input": { "transcription": how } } });
    let shown = talk.set(input(json!({ "model": "scribe" }))).await;
    assert_eq!(shown["audio"]["input"]["transcription"]["model"], "scribe");
    for how in [json!({ "model": "whisper-1" }), json!({})] {
        let refused = told(&mut talk, &input(how)).await;
        let error = &refused["error"];
        assert_eq!(error["param"], "session.audio.input.transcription.model", "{refused}");
        assert!(error["message"].as_str().unwrap().contains("ear, scribe"), "{refused}");
    }
    drop(talk);
    server.stop().await;
}
