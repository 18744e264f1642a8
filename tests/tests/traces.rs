//! What an observer is told of requests that are traced: the same of threads and of processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use corn_core::message::{CallTrace, Priority, RequestId};
use corn_core::{Datum, Fault};
use corn_engine::{
    Ask, Deployment, Engine, HandOverTrace, Listening, Membership, Observer, Piece, Switchboard, Token, work,
};
use corn_plan::Transport;
use corn_tests::{engine_seen_by, executors, plan};

/// Three stages, each on a worker of its own; equal components would be one.
const CHAIN: &str = r#"
component A() { in text: text out text: text run reference "text.upper" }
component B() { in text: text out text: text run reference "text.upper" }
component C() { in text: text out words: stream<text max 1KiB> run reference "text.words" }
let a = A()
let b = B()
let c = C()
graph chain(text: text max 64B) -> stream<text max 1KiB> { c(b(a(text))) }
route go = chain(text) -> result
cluster one { node here { cpu 16 memory 8GiB } }
place chain on one {
    a: apart
    b: apart
    c: apart
}
"#;

#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<CallTrace>>,
    hand_overs: Mutex<Vec<HandOverTrace>>,
    finished: Mutex<Vec<RequestId>>,
}

impl Observer for Seen {
    fn call(&self, trace: &CallTrace) {
        self.calls.lock().unwrap().push(trace.clone());
    }

    fn hand_over(&self, trace: &HandOverTrace) {
        self.hand_overs.lock().unwrap().push(trace.clone());
    }

    fn finished(&self, request: RequestId) {
        self.finished.lock().unwrap().push(request);
    }
}

/// Asks, and hears the whole answer; which request it was.
async fn ask(engine: &Engine, is_traced: bool) -> RequestId {
    let recording = engine.plan().plan().recordings.ids().next().unwrap();
    let inputs = vec![("text".to_owned(), Datum::text("one two"))];
    let mut answer =
        engine.submit(Ask { recording, inputs, deadline: None, priority: Priority::Normal, is_traced });
    let mut said = String::new();
    while let Some(piece) = answer.next().await {
        match piece {
            Piece::Item { datum: Datum::Text(text), .. } => said += &text,
            Piece::Failed(fault) => panic!("{fault}"),
            _ => {}
        }
    }
    assert_eq!(said, "ONE TWO ");
    answer.request()
}

/// One span for each step and each edge, of the request that was traced and of no other.
async fn trace(engine: &Engine, seen: &Seen, transport: Transport) {
    let began_us = engine.now_us();
    ask(engine, false).await;
    let request = ask(engine, true).await;
    let ended_us = engine.now_us();
    // Workers tell each by its own way.
    let mut calls = seen.calls.lock().unwrap().clone();
    calls.sort_by_key(|call| call.component);
    let called: Vec<(RequestId, u32, u64)> =
        calls.iter().map(|call| (call.request, call.component.0, call.items)).collect();
    assert_eq!(called, [(request, 0, 1), (request, 1, 1), (request, 2, 2)]);
    let mut hand_overs = seen.hand_overs.lock().unwrap().clone();
    hand_overs.sort_by_key(|hand_over| hand_over.from);
    let handed: Vec<(RequestId, u32, u32, Transport, u64)> =
        hand_overs.iter().map(|it| (it.request, it.from.0, it.to.0, it.transport, it.bytes)).collect();
    assert_eq!(handed, [(request, 0, 1, transport, 7), (request, 1, 2, transport, 7)]);
    let mut times = vec![began_us];
    for (place, call) in calls.iter().enumerate() {
        times.extend([call.started_us, call.first_us.unwrap()]);
        times.extend(hand_overs.get(place).iter().flat_map(|it| [it.sent_us, it.taken_us]));
        assert!(call.first_us.unwrap() <= call.ended_us && call.ended_us <= ended_us);
    }
    times.push(ended_us);
    assert!(times.is_sorted(), "by the engine's clock: {times:?}");
    assert_eq!(*seen.finished.lock().unwrap(), [RequestId::first(0), request]);
}

#[tokio::test]
async fn threads_tell_what_a_traced_request_takes() {
    let seen = Arc::new(Seen::default());
    let engine = engine_seen_by(&plan("chain.corn", CHAIN), Arc::clone(&seen) as Arc<dyn Observer>).await;
    trace(&engine, &seen, Transport::Pointer).await;
}

/// Workers that join over sockets as processes do, each with its own clock.
#[tokio::test]
async fn processes_tell_what_a_traced_request_takes() {
    // Names of sockets may not be long, whatever `TMPDIR` is.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let plan = plan("chain.corn", CHAIN);
    let (token, unix) = (Token::random().unwrap(), folder.path().join("workers.sock"));
    let seen = Arc::new(Seen::default());
    let listening =
        Listening { unix: unix.clone(), tcp: None, token: token.clone(), waits: Duration::from_secs(10) };
    let observer = Arc::clone(&seen) as Arc<dyn Observer>;
    let switchboard = Switchboard::start().unwrap();
    let deployment = Deployment::start(&plan, &listening, observer, &switchboard).unwrap();
    let workers: Vec<std::thread::JoinHandle<Result<(), Fault>>> = plan
        .plan()
        .workers
        .ids()
        .map(|worker| {
            let home = folder.path().join(worker.to_string());
            std::fs::create_dir(&home).unwrap();
            let membership = Membership {
                coordinator: format!("unix:{}", unix.display()),
                token: token.clone(),
                worker: Some(worker),
                listen: "127.0.0.1:0".to_owned(),
                advertise: None,
                folder: home,
                patience: Duration::from_secs(10),
            };
            std::thread::spawn(move || work(&membership, executors(), |_| ()))
        })
        .collect();
    let ready = tokio::time::timeout(Duration::from_mins(1), deployment.ready());
    ready.await.expect("the workers join and load").unwrap();
    trace(deployment.engine(), &seen, Transport::SharedMemory).await;
    deployment.stop();
    for worker in workers {
        worker.join().unwrap().unwrap();
    }
}
