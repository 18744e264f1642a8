//! Replays on a simulated cluster: order, overlap, credits, cancels, deadlines, faults, bounds.

mod cluster;

use cluster::{Cluster, plan};
use corn_core::message::RequestId;
use corn_core::{Blame, Datum};
use corn_plan::{Signature, ValueId};

const TALK: u32 = 0;
const CHAT: u32 = 1;
const REPLY: ValueId = ValueId(1);
const VOICE: ValueId = ValueId(3);

fn texts(items: &[Datum]) -> String {
    items.iter().map(|item| if let Datum::Text(text) = item { &**text } else { "?" }).collect()
}

fn samples(items: &[Datum]) -> Vec<usize> {
    items.iter().map(|item| if let Datum::Audio(audio) = item { audio.samples.len() } else { 0 }).collect()
}

/// T1, T6: for many orders of events, the answer is the same and everything is given back.
#[test]
fn answers_do_not_depend_on_the_order_of_events() {
    let plan = plan("assistant");
    for seed in 0..300 {
        let mut cluster = Cluster::new(&plan, seed);
        for request in 0..6 {
            let prompt = format!("Question {request} is this. It has two sentences.");
            cluster.submit(request, TALK, &[("prompt", Datum::text(prompt))], None);
        }
        cluster.run();
        cluster.assert_at_rest();
        for request in 0..6 {
            let seen = &cluster.clients[&RequestId::first(request)];
            assert_eq!(seen.failed, None, "seed {seed}");
            assert_eq!(
                texts(&seen.items[&REPLY]),
                format!("Question {request} is this. It has two sentences. "),
                "seed {seed}: R14, requests never mix"
            );
            assert_eq!(samples(&seen.items[&VOICE]), [19, 21], "seed {seed}: a sound for each sentence");
            assert_eq!(seen.ended.len(), 2);
        }
    }
}

/// T1: the first sentence is spoken while the second is still being written.
#[test]
fn the_voice_begins_before_the_text_has_ended() {
    let plan = plan("assistant");
    let mut early = 0;
    for seed in 0..50 {
        let mut cluster = Cluster::new(&plan, seed);
        let prompt = format!("One. {}", "word ".repeat(200));
        cluster.submit(0, TALK, &[("prompt", Datum::text(prompt))], None);
        cluster.run();
        let voice = cluster.log.iter().position(|line| line == "q0 gets v3").unwrap();
        let text = cluster.log.iter().rposition(|line| line == "q0 gets v1").unwrap();
        early += usize::from(voice < text);
    }
    assert_eq!(early, 50, "in every order of events");
}

/// R3, R6: what a route does not need is never touched.
#[test]
fn a_text_only_request_never_touches_the_voice() {
    let mut cluster = Cluster::new(&plan("assistant"), 7);
    cluster.submit(0, CHAT, &[("prompt", Datum::text("Hi there."))], None);
    cluster.run();
    cluster.assert_at_rest();
    assert_eq!(cluster.log.iter().filter(|line| line.ends_with("starts")).count(), 1);
    assert_eq!(cluster.messages.get("hand over"), None);
    assert_eq!(cluster.messages["open"], 1, "one message admits it");
}

/// T6: a client that takes nothing holds the producer back, and others go on.
#[test]
fn a_slow_client_holds_back_only_its_own_request() {
    let plan = plan("assistant");
    for seed in 0..50 {
        let mut cluster = Cluster::new(&plan, seed);
        cluster.paused.push(RequestId::first(0));
        let long = "word ".repeat(500);
        cluster.submit(0, CHAT, &[("prompt", Datum::text(long.as_str()))], None);
        cluster.submit(1, CHAT, &[("prompt", Datum::text("Quick one."))], None);
        cluster.run();
        assert!(cluster.clients[&RequestId::first(1)].finished);
        assert!(!cluster.clients[&RequestId::first(0)].finished);
        let row = plan.plan().memory[corn_plan::WorkerId(0)];
        assert!(cluster.workers[0].ledger().bytes <= row.request_bytes, "within the plan's figure");
        cluster.paused.clear();
        cluster.run();
        cluster.assert_at_rest();
        assert_eq!(texts(&cluster.clients[&RequestId::first(0)].items[&REPLY]), long);
    }
}

/// F1, P10: cancelled at any moment, a request ends and gives everything back.
#[test]
fn cancel_at_every_moment_gives_everything_back() {
    let plan = plan("assistant");
    for seed in 0..5 {
        for moment in 0..200 {
            let mut cluster = Cluster::new(&plan, seed);
            let prompt = "First of all. Then the second. And the third one comes last of all.";
            cluster.submit(0, TALK, &[("prompt", Datum::text(prompt))], None);
            cluster.submit(1, TALK, &[("prompt", Datum::text(prompt))], None);
            for _ in 0..moment {
                cluster.step();
            }
            cluster.cancel(0);
            cluster.run();
            cluster.assert_at_rest();
            let seen = &cluster.clients[&RequestId::first(0)];
            let complete = seen.ended.len() == 2;
            let cancelled = seen.failed.as_ref().is_some_and(|fault| fault.blame == Blame::Cancelled);
            assert!(complete || cancelled, "seed {seed}, moment {moment}: {seen:?}");
            assert_eq!(cluster.clients[&RequestId::first(1)].ended.len(), 2, "the other is not touched");
        }
    }
}

/// F1: a deadline ends a request wherever it is, also while it waits for admission.
#[test]
fn a_deadline_ends_a_request_and_gives_everything_back() {
    let plan = plan("assistant");
    for moment in (0..300).step_by(7) {
        let mut cluster = Cluster::new(&plan, moment);
        for request in 0..6 {
            cluster.submit(request, TALK, &[("prompt", Datum::text("word ".repeat(300)))], Some(100_000));
        }
        for _ in 0..moment {
            cluster.step();
        }
        cluster.tick(100_000);
        cluster.run();
        // Submissions that were heard only after the tick end with the next one.
        cluster.tick(200_000);
        cluster.run();
        cluster.assert_at_rest();
        for (request, seen) in &cluster.clients {
            let blame = seen.failed.as_ref().map(|fault| fault.blame);
            assert!(blame == Some(Blame::Deadline) || seen.ended.len() == 2, "{request}: {seen:?}");
        }
    }
}

/// T4: an error after the first item names the component, and comes once.
#[test]
fn a_fault_in_mid_stream_names_the_component() {
    let plan = plan("assistant");
    for seed in 0..100 {
        let mut cluster = Cluster::new(&plan, seed);
        cluster.submit(0, TALK, &[("prompt", Datum::text("Some words first. Then FAIL now."))], None);
        cluster.submit(1, TALK, &[("prompt", Datum::text("Fine here."))], None);
        cluster.run();
        cluster.assert_at_rest();
        let fault = cluster.clients[&RequestId::first(0)].failed.clone().expect("it fails");
        assert_eq!((fault.component.as_deref(), fault.blame), (Some("think"), Blame::Component));
        assert_eq!(cluster.clients[&RequestId::first(1)].failed, None);
    }
}

/// T5: an empty stream ends at once.
#[test]
fn an_empty_stream_ends_at_once() {
    let mut cluster = Cluster::new(&plan("assistant"), 3);
    cluster.submit(0, TALK, &[("prompt", Datum::text("   "))], None);
    cluster.run();
    cluster.assert_at_rest();
    let seen = &cluster.clients[&RequestId::first(0)];
    assert!(seen.items.is_empty());
    assert_eq!(seen.ended.len(), 2);
}

/// R1, R2, R8: items of an `each` keep their order whatever order they are done in; none is fine.
#[test]
fn each_keeps_the_order_of_its_list() {
    let plan = plan("each");
    for seed in 0..100 {
        let mut cluster = Cluster::new(&plan, seed);
        let list = |words: &[&str]| Datum::List(words.iter().map(|word| Datum::text(*word)).collect());
        cluster.submit(0, 0, &[("parts", list(&["a", "b", "c", "d", "e"]))], None);
        cluster.submit(1, 0, &[("parts", list(&[])), ("greeting", Datum::text("bye"))], None);
        cluster.run();
        cluster.assert_at_rest();
        let answer = |request| texts(&cluster.clients[&RequestId::first(request)].items[&VOICE]);
        assert_eq!(answer(0), "hello,A,B,C,D,E", "the default fills what is left out");
        assert_eq!(answer(1), "bye");
    }
}

/// H6, F4: beyond what may be in flight and wait, a request is refused at once, with the figure.
#[test]
fn a_full_engine_refuses_at_once() {
    let mut cluster = Cluster::new(&plan("assistant"), 1);
    for request in 0..25 {
        cluster.submit(request, CHAT, &[("prompt", Datum::text("Hello there."))], None);
    }
    // Every submission is heard before anything is answered: the clients stay paused.
    cluster.paused = (0..25).map(RequestId::first).collect();
    cluster.run();
    cluster.paused.clear();
    cluster.run();
    cluster.assert_at_rest();
    let refused = cluster.clients.values().filter(|seen| seen.failed.is_some()).count();
    let busy = cluster.clients.values().filter_map(|seen| seen.failed.as_ref());
    assert!(busy.clone().all(|fault| fault.blame == Blame::Busy && fault.is_retryable()));
    assert!(busy.clone().all(|fault| fault.message.contains("4 requests are in flight")));
    assert!((1..=5).contains(&refused), "{refused} of 25 are refused; 4 are in flight and 16 wait");
}

/// R4, W4: what no route takes is refused before anything is dispatched, and the error helps.
#[test]
fn wrong_requests_are_refused_before_anything_is_dispatched() {
    let plan = plan("assistant");
    let cluster = Cluster::new(&plan, 0);
    let signature = |inputs: &[&str], outputs: &[&str]| Signature {
        choices: Vec::new(),
        graph: "assistant".to_owned(),
        inputs: inputs.iter().map(|name| (*name).to_owned()).collect(),
        outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
    };
    let fault = cluster.coordinator.look_up(&signature(&["photo", "prompt"], &["reply"])).unwrap_err();
    insta::assert_snapshot!(fault, @r"
    no route takes assistant(photo, prompt) -> reply; the nearest are
      assistant(prompt) -> reply
      assistant(prompt) -> reply + voice
    ");

    let cases: [(&[(&str, Datum)], &str); 5] = [
        (&[], "route 'chat' takes input 'prompt' once, not 0 times"),
        (&[("prompt", Datum::Int(3))], "input 'prompt': int where text is declared"),
        (&[("promt", Datum::text("x"))], "route 'chat' takes no input 'promt'; it takes prompt"),
        (
            &[("prompt", Datum::text("x".repeat(5000)))],
            "input 'prompt': a text of 5000 bytes is over the bound of 4096 bytes",
        ),
        (
            &[("prompt", Datum::text("a")), ("prompt", Datum::text("b"))],
            "route 'chat' takes input 'prompt' once, not 2 times",
        ),
    ];
    for (inputs, expected) in cases {
        let mut cluster = Cluster::new(&plan, 0);
        cluster.submit(0, CHAT, inputs, None);
        cluster.run();
        cluster.assert_at_rest();
        assert_eq!(cluster.messages.get("open"), None);
        let fault = cluster.clients[&RequestId::first(0)].failed.clone().unwrap();
        assert_eq!((fault.message.as_str(), fault.blame), (expected, Blame::Request));
    }
}

/// The trace that proves there is no conductor: no message to the coordinator but each stage's end.
#[test]
fn no_step_returns_to_the_coordinator() {
    let mut cluster = Cluster::new(&plan("assistant"), 11);
    cluster.submit(0, TALK, &[("prompt", Datum::text("One. Two. Three. Four. Five."))], None);
    cluster.run();
    assert_eq!(cluster.messages["open"], 1);
    assert_eq!(cluster.messages["closed"], 2);
    // Five sentences and an end one way; credits the other way, none after the end.
    assert!((6..=11).contains(&cluster.messages["hand over"]), "{:?}", cluster.messages);
    assert_eq!(cluster.traces.len(), 2, "a trace for each call");
}
