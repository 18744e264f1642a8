//! The embedded engine with real threads and the reference executors: whole programs from text to
//! answer.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use corn_core::executor::{CallInput, Device, Executor, Io, Loader, Model, NoProgress, Progress, Step};
use corn_core::interleaved::Interleaved;
use corn_core::message::Priority;
use corn_core::{Audio, Blame, Datum, Fault, Image};
use corn_engine::{Answer, Ask, Engine, NoObserver, Piece};
use corn_plan::{Component, RecordingId, Signature, Verified};
use corn_tests::{compile, engine, plan};

const SPEAK: &str = r#"
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
}
component Upper() {
    in  text: text max 1KiB
    out text: text max 2KiB
    run reference "text.upper"
}
component Mean() {
    in  image: image
    out colour: tensor<f32>[3]
    run reference "image.mean"
}

component Ticks() {
    in  count: int
    out ticks: stream<tensor<f32>[1]>
    run reference "stream.ticks"
}

let words = Words()
let ticks = Ticks()
let tone  = Tone()
let upper = Upper()
let mean  = Mean()

graph speak(prompt: text) -> { reply: stream<text>, voice: stream<audio>? } {
    let reply = words(prompt)
    { reply, voice: tone(reply.sentences()) }
}

graph shout(lines: list<text max 1KiB> max 8) -> list<text max 2KiB> max 8 {
    [upper(line) for line in lines]
}

graph count(upto: int) -> { ticks: stream<tensor<f32>[1]> } { { ticks: ticks(upto) } }

graph colour(photo: image) -> tensor<f32>[3] { mean(photo) }
"#;

/// Everything of an answer: the outputs in order of the recording, and how it failed.
struct Whole {
    outputs: Vec<Vec<Datum>>,
    ended: usize,
    failed: Option<Fault>,
}

async fn whole(mut answer: Answer) -> Whole {
    let mut whole = Whole { outputs: vec![Vec::new(); 4], ended: 0, failed: None };
    while let Some(piece) = answer.next().await {
        match piece {
            Piece::Item { output, datum } => whole.outputs[output].push(datum),
            Piece::End { .. } => whole.ended += 1,
            Piece::Used(_) => {}
            Piece::Failed(fault) => whole.failed = Some(fault),
        }
    }
    whole
}

fn ask(engine: &Engine, graph: &str, inputs: &[(&str, Datum)], outputs: &[&str]) -> Ask {
    let mut names: Vec<String> = inputs.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    let mut asked: Vec<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
    asked.sort();
    let signature = Signature { graph: graph.to_owned(), inputs: names, choices: Vec::new(), outputs: asked };
    Ask {
        recording: engine.look_up(&signature).unwrap(),
        inputs: inputs.iter().map(|(name, datum)| ((*name).to_owned(), datum.clone())).collect(),
        deadline: None,
        priority: Priority::Normal,
        is_traced: false,
    }
}

fn text(items: &[Datum]) -> String {
    items.iter().map(|item| if let Datum::Text(text) = item { &**text } else { "?" }).collect()
}

async fn started() -> (Arc<Verified>, Engine) {
    let plan = plan("speak.corn", SPEAK);
    let engine = engine(&plan).await;
    (plan, engine)
}

#[tokio::test]
async fn a_request_is_answered_in_text_and_sound() {
    let (_, engine) = started().await;
    let prompt = Datum::text("One is here. Two is there.");
    let answer = engine.submit(ask(&engine, "speak", &[("prompt", prompt)], &["reply", "voice"]));
    let whole = whole(answer).await;
    assert_eq!(whole.failed, None);
    assert_eq!(text(&whole.outputs[0]), "One is here. Two is there. ");
    let lengths = whole.outputs[1]
        .iter()
        .map(|item| if let Datum::Audio(audio) = item { audio.samples.len() } else { 0 });
    assert_eq!(lengths.collect::<Vec<_>>(), [12 * 160, 13 * 160]);
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

/// R1, R8: a list in, a list of the same order out; a picture in, a tensor out.
#[tokio::test]
async fn lists_and_pictures_pass() {
    let (_, engine) = started().await;
    let lines = Datum::List(["a", "b", "c"].map(Datum::text).into());
    let output =
        engine.plan().plan().recordings.iter().find(|r| r.graph == "shout").unwrap().outputs[0].name.clone();
    let answer = whole(engine.submit(ask(&engine, "shout", &[("lines", lines)], &[&output]))).await;
    assert_eq!(answer.outputs[0], [Datum::List(["A", "B", "C"].map(Datum::text).into())]);

    let image = Image { width: 2, height: 1, rgb: vec![255, 0, 0, 255, 0, 0].into() };
    let output =
        engine.plan().plan().recordings.iter().find(|r| r.graph == "colour").unwrap().outputs[0].name.clone();
    let answer =
        whole(engine.submit(ask(&engine, "colour", &[("photo", Datum::Image(image.into()))], &[&output])))
            .await;
    let Datum::Tensor(tensor) = &answer.outputs[0][0] else { panic!("a tensor") };
    assert_eq!(tensor.to_f32s().unwrap(), [1.0, 0.0, 0.0]);
    engine.stop();
}

/// R14: many at once, each gets its own.
#[tokio::test]
async fn concurrent_requests_never_mix() {
    let (_, engine) = started().await;
    let mut answers = Vec::new();
    for round in 0..20 {
        // Two are in flight and eight wait; what is beyond that is refused, so they come in rounds.
        for request in 0..5 {
            let prompt = Datum::text(format!("Request {round} {request} asks. It asks twice {request}."));
            answers.push((
                round,
                request,
                engine.submit(ask(&engine, "speak", &[("prompt", prompt)], &["reply"])),
            ));
        }
        for (round, request, answer) in answers.drain(..) {
            let whole = whole(answer).await;
            assert_eq!(whole.failed, None);
            assert_eq!(
                text(&whole.outputs[0]),
                format!("Request {round} {request} asks. It asks twice {request}. ")
            );
        }
    }
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

/// T6, F1: a client that stops reading holds its own request only; when it goes, all is given back.
#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let (_, engine) = started().await;
    let long = Datum::text("word ".repeat(2000));
    let mut idle = engine.submit(ask(&engine, "speak", &[("prompt", long)], &["reply"]));
    assert!(matches!(idle.next().await, Some(Piece::Item { .. })));
    let prompt = Datum::text("Quick.");
    let quick = whole(engine.submit(ask(&engine, "speak", &[("prompt", prompt.clone())], &["reply"]))).await;
    assert_eq!(text(&quick.outputs[0]), "Quick. ");
    drop(idle);
    // Two may be in flight: once this many have been served, the first was given back.
    for _ in 0..3 {
        let one = engine.submit(ask(&engine, "speak", &[("prompt", prompt.clone())], &["reply"]));
        let other = engine.submit(ask(&engine, "speak", &[("prompt", prompt.clone())], &["reply"]));
        assert_eq!(whole(one).await.failed, None);
        assert_eq!(whole(other).await.failed, None);
    }
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

#[tokio::test]
async fn a_deadline_ends_a_request_in_mid_stream() {
    let (_, engine) = started().await;
    let mut ask = ask(&engine, "count", &[("upto", Datum::Int(1_000_000))], &["ticks"]);
    ask.deadline = Some(Duration::from_millis(20));
    let whole = whole(engine.submit(ask)).await;
    assert_eq!(whole.failed.unwrap().blame, Blame::Deadline);
    assert!(whole.outputs[0].len() < 1_000_000, "it was cut off");
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

/// R4: what no route takes is refused before anything is dispatched, and the routes are named.
#[tokio::test]
async fn a_request_that_no_route_takes_is_refused() {
    let (_, engine) = started().await;
    let signature = Signature {
        choices: Vec::new(),
        graph: "speak".to_owned(),
        inputs: vec!["photo".to_owned(), "prompt".to_owned()],
        outputs: vec!["reply".to_owned()],
    };
    let fault = engine.look_up(&signature).unwrap_err();
    assert_eq!(fault.blame, Blame::Request);
    assert!(fault.message.contains("speak(prompt) -> reply"), "{fault}");

    let sound = Datum::Audio(Audio { rate_hz: 8000, samples: vec![0.0; 80].into() }.into());
    let mut wrong = ask(&engine, "speak", &[("prompt", Datum::text("x"))], &["reply"]);
    wrong.inputs[0].1 = sound;
    let whole = whole(engine.submit(wrong)).await;
    assert_eq!(whole.failed.unwrap().message, "input 'prompt': audio where text is declared");
    engine.stop();
}

/// Two calls of one component, of which one reads the other, with one slot between them.
#[tokio::test]
async fn a_component_may_read_itself() {
    let program = r#"
component Words() {
    in  text: text
    out words: stream<text max 1KiB>
    run reference "text.words"
}
component Shout() {
    in  text: stream<text>
    out text: stream<text max 4KiB>
    run reference "text.shout"
}
let words = Words()
let shout = Shout()
graph twice(text: text) -> { loud: stream<text> } { { loud: shout(shout(words(text))) } }
"#;
    let engine = engine(&plan("twice.corn", program)).await;
    let text_in = Datum::text("word ".repeat(100));
    let answers: Vec<Answer> = (0..4)
        .map(|_| engine.submit(ask(&engine, "twice", &[("text", text_in.clone())], &["loud"])))
        .collect();
    for answer in answers {
        let whole = whole(answer).await;
        assert_eq!(whole.failed, None);
        assert_eq!(whole.outputs[0].len(), 100);
    }
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

/// Stopping the engine fails what is under way; no answer just stops.
#[tokio::test]
async fn stopping_fails_what_is_under_way() {
    let (_, engine) = started().await;
    let long = Datum::text("word ".repeat(2000));
    let answer = engine.submit(ask(&engine, "speak", &[("prompt", long)], &["reply"]));
    engine.stop();
    assert_eq!(whole(answer).await.failed.unwrap().blame, Blame::Cancelled);
}

/// A component whose executor panics when it works.
struct Panics;

impl Model for Panics {
    type Session = ();

    fn open(&mut self, _inputs: &[CallInput]) -> Result<(), Fault> {
        Ok(())
    }

    fn step(&mut self, (): &mut (), _io: &mut dyn Io) -> Result<Step, Fault> {
        panic!("told to panic")
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

impl Loader for Panics {
    fn load(
        &self,
        _component: &Component,
        _device: Option<Arc<dyn Device>>,
        _progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault> {
        Ok(Box::new(Interleaved::new(Panics, 1)))
    }
}

/// A panic inside an executor ends its calls with a fault that names the component, now and from then on.
#[tokio::test]
async fn an_executor_that_panics_fails_its_requests() {
    let plan = plan("speak.corn", SPEAK);
    let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
    let started = Engine::start(
        Arc::clone(&plan),
        &recordings,
        Arc::new(Panics),
        Arc::new(NoProgress),
        Arc::new(NoObserver),
    );
    let engine = started.await.unwrap();
    for _ in 0..3 {
        let prompt = Datum::text("Hello there.");
        let whole = whole(engine.submit(ask(&engine, "speak", &[("prompt", prompt)], &["reply"]))).await;
        let fault = whole.failed.unwrap();
        assert_eq!((fault.component.as_deref(), fault.blame), (Some("words"), Blame::Component));
        assert!(fault.message.contains("panicked"), "{fault}");
    }
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

/// A component whose executor emits these items, each on its port, whatever it is given.
#[derive(Clone)]
struct Emits(Vec<(u32, Datum)>);

impl Model for Emits {
    /// How many are emitted.
    type Session = usize;

    fn open(&mut self, _inputs: &[CallInput]) -> Result<usize, Fault> {
        Ok(0)
    }

    fn step(&mut self, emitted: &mut usize, io: &mut dyn Io) -> Result<Step, Fault> {
        let Some((port, item)) = self.0.get(*emitted) else { return Ok(Step::Done) };
        if !io.has_room(*port) {
            return Ok(Step::Wait);
        }
        io.emit(*port, item.clone());
        *emitted += 1;
        Ok(Step::More)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

impl Loader for Emits {
    fn load(
        &self,
        _component: &Component,
        _device: Option<Arc<dyn Device>>,
        _progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault> {
        Ok(Box::new(Interleaved::new(self.clone(), 1)))
    }
}

/// An engine whose every component emits `items`.
async fn emitting(plan: &Arc<Verified>, items: Vec<(u32, Datum)>) -> Engine {
    let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
    let started = Engine::start(
        Arc::clone(plan),
        &recordings,
        Arc::new(Emits(items)),
        Arc::new(NoProgress),
        Arc::new(NoObserver),
    );
    started.await.unwrap()
}

/// T2: what a model makes is checked item by item, in a stream and in a call for each item of a list: one that is not
/// of the declared type fails the request, and names the component and its output.
#[tokio::test]
async fn an_item_of_another_type_than_declared_fails_its_request() {
    let plan = plan("speak.corn", SPEAK);
    let engine = emitting(&plan, vec![(0, Datum::text("Fine.")), (0, Datum::Int(3))]).await;
    let prompt = Datum::text("Hello there.");
    let answer = whole(engine.submit(ask(&engine, "speak", &[("prompt", prompt)], &["reply"]))).await;
    assert_eq!(answer.outputs[0], [Datum::text("Fine.")]);
    let fault = answer.failed.unwrap();
    assert_eq!((fault.component.as_deref(), fault.blame), (Some("words"), Blame::Component));
    assert_eq!(fault.message, "output 'words': int where text is declared");
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();

    let engine = emitting(&plan, vec![(0, Datum::Int(3))]).await;
    let lines = Datum::List(["a", "b"].map(Datum::text).into());
    let answer = whole(engine.submit(ask(&engine, "shout", &[("lines", lines)], &["result"]))).await;
    assert!(answer.outputs[0].is_empty());
    let fault = answer.failed.unwrap();
    assert_eq!((fault.component.as_deref(), fault.blame), (Some("upper"), Blame::Component));
    assert_eq!(fault.message, "output 'text': int where text is declared");
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

/// R10: an output that nothing uses is warned of, and what is made for it is dropped.
#[tokio::test]
async fn an_output_that_nothing_uses_is_dropped() {
    let program = r#"
component Two() {
    in  text: text
    out a: stream<text>
    out b: stream<text>
    run python "toy:Two"
}
let two = Two()
graph first(text: text) -> { a: stream<text> } { { a: two(text).a } }
"#;
    let compilation = compile("two.corn", program);
    let said = compilation.render(false);
    assert!(said.contains("warning[W0102]: output `b` of `Two` is never used"), "{said}");
    let plan = Arc::new(compilation.plan.unwrap());
    let items = [(0, "a0"), (1, "b0"), (0, "a1"), (1, "b1")];
    let engine = emitting(&plan, items.map(|(port, item)| (port, Datum::text(item))).into()).await;
    let answer = whole(engine.submit(ask(&engine, "first", &[("text", Datum::text("x"))], &["a"]))).await;
    assert_eq!(answer.failed, None);
    assert_eq!(answer.outputs.concat(), ["a0", "a1"].map(Datum::text));
    assert_eq!(answer.ended, 1);
    assert!(engine.ledgers().iter().all(corn_core::Ledger::is_empty));
    engine.stop();
}

const WAITING: &str = r#"
component Embed() {
    in  text: text
    out embedding: tensor<f32>[8]
    run reference "text.embed"
    batch 2 within 1s
}

component Mean() {
    in  image: image
    out colour: tensor<f32>[3]
    run reference "image.mean"
    batch 2 within 1s
}

let embed = Embed()
let mean = Mean()

graph place(text: text) -> tensor<f32>[8] { embed(text) }

graph colour(photo: image) -> tensor<f32>[3] { mean(photo) }
"#;

/// A call waits for company as long as it may, and with company not at all: driven by its worker or by a thread.
#[tokio::test]
async fn a_batch_waits_for_company_and_no_longer_than_it_may() {
    let [patient, hasty] = ["60s", "200ms"]
        .map(|within| plan("waiting.corn", &WAITING.replace("within 1s", &format!("within {within}"))));
    let (patient, hasty) = (engine(&patient).await, engine(&hasty).await);
    let photo = |shade| Datum::Image(Image { width: 2, height: 1, rgb: vec![shade; 6].into() }.into());
    for (graph, input, first, second) in [
        ("place", "text", Datum::text("abc"), Datum::text("zzz")),
        ("colour", "photo", photo(10), photo(200)),
    ] {
        let submit = |engine: &Engine, datum: &Datum| {
            engine.submit(ask(engine, graph, &[(input, datum.clone())], &["result"]))
        };
        let start = Instant::now();
        let alone = [whole(submit(&hasty, &first)).await, whole(submit(&hasty, &second)).await];
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(400), "{graph}: two that waited took {waited:?}");
        // A full batch has nobody to wait for: it is there long before a wait would be over.
        let start = Instant::now();
        let both = [submit(&patient, &first), submit(&patient, &second)];
        for (answer, alone) in both.into_iter().zip(&alone) {
            assert_eq!(whole(answer).await.outputs, alone.outputs, "{graph}");
        }
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(30), "{graph}: both together took {waited:?}");
        assert_ne!(alone[0].outputs, alone[1].outputs);
    }
    patient.stop();
    hasty.stop();
}
