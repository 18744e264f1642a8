//! Deployments as a person runs them: real processes, which are killed, stopped and replaced while requests go on.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code: what is wrong here fails the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes say nothing when something has changed: they are asked"
)]

mod common;
#[path = "common/up.rs"]
mod up;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use up::{Signal, Up, figures, signal};

/// Words on two workers, tones on two others.
const REPLICAS: &str = r#"
use std::reference::{Tone}
component Words() {
    in  text: text
    out words: stream<text max 1KiB>
    run reference "text.words"
    batch 8
}
let words = Words()
let tone  = Tone()
graph speak(prompt: text) -> { reply: stream<text>, voice: stream<audio>? } {
    let reply = words(prompt)
    { reply, voice: tone(reply.sentences()) }
}
route talk = speak(prompt) -> reply + voice
route chat = speak(prompt) -> reply
cluster one { node here { cpu 8 memory 8GiB } }
place speak on one {
    words: replicas 2
    tone: replicas 2, apart
}
"#;

/// H8, T1: answers stream from worker processes; what is handed over on one host goes by shared memory.
#[test]
fn processes_answer_as_threads_do() {
    let up = Up::new("talk", REPLICAS, &[]);
    let folder = up.folder.path();
    let prompt = "prompt=One is here. Two is there.";
    let voice = |name: &str| format!("voice={}", folder.join(name).display());
    let args = ["call", "talk", "--in", prompt, "--out", &voice("processes.wav")];
    assert_eq!(up.run(&args).good().stdout, "One is here. Two is there. ");
    let file = up.file();
    let args = ["run", file.to_str().unwrap(), "--in", prompt, "--out", &voice("threads.wav")];
    up.run(&args).good();
    let wav = |name: &str| fs::read(folder.join(name)).unwrap();
    assert_eq!(wav("processes.wav"), wav("threads.wav"), "bit by bit");
    let handed =
        |up: &Up, key: &str| -> u64 { up.workers().iter().map(|worker| worker[key].as_u64().unwrap()).sum() };
    up.wait("six words being counted", |up| handed(up, "by_shared_memory") == 6);
    assert_eq!(handed(&up, "by_tcp"), 0);
    up.wait_for_rest();
    let listed = up.run(&["ps"]).good().stdout;
    assert!(listed.contains("talk: 0 requests in flight") && listed.contains("words"), "{listed}");
    assert!(up.run(&["logs", "talk", "w0"]).good().stdout.contains("w0 is ready"));
}

/// Stages in a row, each in a process of its own.
fn chain(stages: usize) -> String {
    let (mut program, mut value, mut places) = (String::new(), "text".to_owned(), String::new());
    for stage in 0..stages {
        // Equal components would be one, so each has a declaration of its own.
        let run = "in text: text out text: text run reference \"text.upper\"";
        let _ = writeln!(program, "component Stage{stage}() {{ {run} }}\nlet s{stage} = Stage{stage}()");
        let _ = writeln!(places, "    s{stage}: apart");
        value = format!("s{stage}({value})");
    }
    let graph =
        format!("graph chain(text: text max 64B) -> text {{ {value} }}\nroute go = chain(text) -> result");
    let place = format!("place chain on one {{\n{places}}}");
    format!("{program}{graph}\ncluster one {{ node here {{ cpu 16 memory 8GiB }} }}\n{place}\n")
}

/// What a request took is said by the processes that it went through: each call, and each hand-over between them.
#[test]
fn a_call_says_what_it_took() {
    let up = Up::new("chain", &chain(3), &[]);
    let asked = ["call", "chain", "--in", "text=corn", "--timings"];
    let said: Json =
        serde_json::from_str(&up.run(&[&asked[..], &["--json"]].concat()).good().stdout).unwrap();
    let (timings, us) = (&said["timings"], |of: &Json, name: &str| of[name].as_u64().unwrap());
    assert_eq!(said["outputs"]["result"], "CORN");
    let calls = timings["calls"].as_array().unwrap();
    let names: Vec<&str> = calls.iter().map(|call| call["component"].as_str().unwrap()).collect();
    assert_eq!(names, ["s0", "s1", "s2"]);
    assert!(calls.iter().all(|call| (us(call, "calls"), us(call, "items")) == (1, 1)), "{timings}");
    assert!(calls.iter().all(|call| us(call, "started_us") <= us(call, "ended_us")), "{timings}");
    let ways: Vec<[&str; 3]> = (timings["hand_overs"].as_array().unwrap().iter())
        .map(|way| ["from", "to", "transport"].map(|what| way[what].as_str().unwrap()))
        .collect();
    assert_eq!(ways, [["s0", "s1", "shm"], ["s1", "s2", "shm"]]);
    assert!(timings["hand_overs"].as_array().unwrap().iter().all(|way| us(way, "bytes") == 4), "{timings}");
    assert!(us(timings, "total_us") > 0, "{timings}");

    let written = up.run(&asked).good();
    assert_eq!(written.stdout, "CORN");
    let lines: Vec<&str> = written.stderr.lines().collect();
    assert!(
        lines.len() == 8 && lines[0].starts_with("component") && lines[4].starts_with("handed over"),
        "{lines:#?}"
    );
    // Nothing is told of what is refused, and nothing waits for it.
    let refused = up.run(&["call", "chain", "--in", &format!("text={}", "x".repeat(65)), "--timings"]);
    assert!(refused.code != 0 && refused.stderr.contains("over the bound of 64 bytes"), "{}", refused.stderr);
    up.wait_for_rest();
}

/// How many messages the workers have sent, by kind.
fn sent(up: &Up) -> BTreeMap<String, u64> {
    let mut sent = BTreeMap::new();
    for of in up.workers().iter().map(|worker| &worker["work"]["sent"]) {
        for (kind, count) in of.as_object().unwrap() {
            *sent.entry(kind.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    sent
}

/// R1: a request is one message to the worker that takes its input, one from worker to worker for each edge, one with
/// the answer and one with its end, and from each worker one that it is over. Nothing else returns to the coordinator, however long the
/// chain is.
#[test]
fn no_step_returns_to_the_coordinator() {
    for stages in [1, 3, 5] {
        let up = Up::new("chain", &chain(stages), &[]);
        let args = ["call", "chain", "--in", "text=corn", "--repeat", "20", "--json"];
        up.run(&args).good();
        let all = 20 * stages as u64;
        up.wait("all being told", |up| sent(up).get("closed") == Some(&all));
        let expected = [("closed", all), ("item", all - 20), ("output", 20), ("output_end", 20)];
        let expected = expected
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(sent(&up), expected.collect());
        let listed = up.run(&["ps", "chain", "--messages"]).good().stdout;
        assert!(listed.contains("of 20 requests"), "{listed}");
        let open = listed.lines().find(|line| line.contains("  open ")).unwrap();
        assert_eq!(open.split_whitespace().collect::<Vec<_>>(), ["open", "20", "0", "1.00"], "{listed}");
    }
}

/// A tensor goes through three workers, the one in the middle in a graph that is called.
const NESTED: &str = r#"
component Fill() {
    in  count: int
    out bytes: tensor<u8>[n <= 1048576]
    run reference "bytes.fill"
}
component Invert() {
    in  bytes: tensor<u8>[n <= 1048576]
    out bytes: tensor<u8>[n]
    run reference "bytes.invert"
}
component Pass() {
    in  bytes: tensor<u8>[n <= 1048576]
    out bytes: tensor<u8>[n]
    run reference "bytes.pass"
}
let fill   = Fill()
let invert = Invert()
let pass   = Pass()
graph inner(bytes: tensor<u8>[n <= 1048576]) -> tensor<u8>[n <= 1048576] { invert(bytes) }
graph outer(count: int) -> { bytes: tensor<u8>[n <= 1048576] } { { bytes: pass(inner(fill(count))) } }
route go = outer(count) -> bytes
cluster one { node here { cpu 16 memory 8GiB } }
place outer on one {
    fill: apart
    invert: apart
    pass: apart
}
"#;

/// R12: a tensor enters and leaves a graph that is called as it goes from worker to worker anywhere: by shared memory,
/// without a message more, and never by way of the coordinator.
#[test]
fn a_tensor_goes_through_a_called_graph_by_shared_memory() {
    let up = Up::new("outer", NESTED, &[]);
    let count = 100_000usize;
    let input = format!("count={count}");
    up.run(&["call", "outer", "--in", &input, "--repeat", "20", "--json"]).good();
    let is_told = |up: &Up| {
        let sent = sent(up);
        sent.get("closed") == Some(&60) && sent.get("released") == Some(&40)
    };
    up.wait("all being told", is_told);
    // Each is handed over twice, and given back as often by who has read it.
    let expected = [("closed", 60), ("item", 40), ("output", 20), ("output_end", 20), ("released", 40)];
    assert_eq!(sent(&up), BTreeMap::from(expected.map(|(kind, count)| (kind.to_owned(), count))));
    let handed =
        |up: &Up, by: &str| -> u64 { up.workers().iter().map(|worker| worker[by].as_u64().unwrap()).sum() };
    up.wait("forty hand-overs being counted", |up| handed(up, "by_shared_memory") == 40);
    assert_eq!(handed(&up, "by_tcp"), 0);

    let out = up.folder.path().join("bytes.npy");
    let given = format!("bytes={}", out.display());
    up.run(&["call", "outer", "--in", &input, "--out", &given]).good();
    let file = fs::read(out).unwrap();
    let head = usize::from(u16::from_le_bytes([file[8], file[9]]));
    assert_eq!(file[10 + head..].to_vec(), vec![!(count as u8); count]);
}

/// F1, F2, F3: workers are killed under load. Every request ends, answered or with a fault that names what was lost;
/// the workers come back, and hold nothing.
#[test]
fn a_killed_worker_takes_nothing_with_it() {
    let up = Up::new("talk", REPLICAS, &[]);
    let load = up.load(3000, 16);
    for victim in [0, 2, 1, 3, 0] {
        let killed = up.pid(victim);
        signal(Signal::KILL, &killed);
        up.wait("the worker's return", |up| {
            up.workers()[victim]["standing"] == "ready" && up.pid(victim) != killed
        });
    }
    let (figures, said) = figures(load);
    let (done, failed) = (figures["done"].as_u64().unwrap(), figures["failed"].as_u64().unwrap());
    assert_eq!(done + failed, 3000, "every request ends: {said}");
    // Those that had begun to answer when their worker was killed cannot be replayed.
    assert!(failed <= 5 * 16, "{failed} failed: {said}");
    up.wait_for_rest();
    assert_eq!(up.call("Still here.").good().stdout, "Still here. ");
}

/// A load that somebody ends says what it measured until then, and gives up what is under way.
#[test]
fn an_interrupted_load_says_what_it_measured() {
    let up = Up::new("talk", REPLICAS, &[]);
    let load = up.load(10_000_000, 4);
    // Six words are handed over for each request, and four requests are asked at once.
    let handed = |up: &Up| -> u64 {
        up.workers().iter().map(|worker| worker["by_shared_memory"].as_u64().unwrap_or_default()).sum()
    };
    up.wait("a hundred answers", |up| handed(up) > 600);
    signal(Signal::INT, &load.id().to_string());
    let (figures, said) = figures(load);
    let done = figures["done"].as_u64().unwrap();
    assert!(figures["interrupted"] == true && done >= 50, "{said}");
    let buckets = figures["histogram_us"].as_array().unwrap();
    let counted: u64 = buckets.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, done, "{said}");
    assert!(said.contains(&format!("interrupted when {done} of 10000000 requests had ended")), "{said}");
    up.wait_for_rest();
}

/// B6, F2: each worker of a chain is the only one of its stage; killed under load, it is waited for, and no request fails.
#[test]
fn requests_wait_for_the_last_worker_to_come_back() {
    let up = Up::new("chain", &chain(3), &["--wait-for-workers", "30"]);
    for worker in [1, 2, 0] {
        let args = ["call", "chain", "--in", "text=corn", "--repeat", "4000", "--concurrency", "8", "--json"];
        let load = up.corn(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let closed = |up: &Up| up.workers()[2]["work"]["components"][0]["ended"].as_u64().unwrap_or(0);
        let before = closed(&up);
        up.wait("being under way", |up| closed(up) > before);
        let killed = up.pid(worker);
        signal(Signal::KILL, &killed);
        let (figures, said) = figures(load);
        assert_eq!((&figures["done"], &figures["failed"]), (&4000.into(), &0.into()), "{said}");
        up.wait("its return", |up| up.pid(worker) != killed && up.workers()[worker]["standing"] == "ready");
        up.wait_for_rest();
    }
    assert!(up.workers().iter().all(|worker| worker["restarts"] == 1));
}

/// S5, F2: every worker gets another process while requests go on, and no request is lost.
#[test]
fn a_rolling_restart_loses_no_request() {
    let up = Up::new("talk", REPLICAS, &[]);
    let before: Vec<Json> = up.workers().iter().map(|worker| worker["pid"].clone()).collect();
    let load = up.load(4000, 8);
    up.run(&["restart", "talk"]).good();
    let (figures, said) = figures(load);
    assert_eq!((figures["done"].as_u64(), figures["failed"].as_u64()), (Some(4000), Some(0)), "{said}");
    up.wait_for_rest();
    let after: Vec<Json> = up.workers().iter().map(|worker| worker["pid"].clone()).collect();
    assert!(before.iter().all(|pid| !after.contains(pid)), "{before:?} {after:?}");
}

/// F3: a coordinator that was killed is brought back by the same command. It finds its workers, which have kept what
/// they had loaded.
#[test]
fn a_coordinator_that_comes_back_finds_its_workers() {
    let mut up = Up::new("talk", REPLICAS, &[]);
    let pids = |up: &Up| up.workers().iter().map(|worker| worker["pid"].to_string()).collect::<Vec<_>>();
    let before = pids(&up);
    let mut process = up.process.take().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let gone = up.call("Anyone?");
    assert_eq!(gone.code, 2);
    assert!(gone.stderr.contains("no deployment 'talk' is up"), "{}", gone.stderr);
    up.start(&[]);
    up.wait_for_rest();
    assert_eq!(pids(&up), before, "the same processes");
    assert_eq!(up.call("Back again.").good().stdout, "Back again. ");
}

/// H5, B6, F3: a worker that does not move is given up within seconds, and what it would have done is done by others.
#[test]
fn a_stopped_worker_is_left_out() {
    let up = Up::new("talk", REPLICAS, &[]);
    let stopped = up.pid(0);
    signal(Signal::STOP, &stopped);
    let from = Instant::now();
    for _ in 0..8 {
        let outcome = up.call("Who is there?");
        assert_eq!(outcome.stdout, "Who is there? ", "{}", outcome.stderr);
    }
    assert!(from.elapsed() < Duration::from_secs(30), "{:?}", from.elapsed());
    up.wait("another process", |up| up.pid(0) != stopped && up.workers()[0]["standing"] == "ready");
}

/// F3: the only worker that has a component hangs: it is replaced while a request waits for it.
#[test]
fn the_only_worker_is_replaced_if_it_hangs() {
    // It hangs for some seconds before that is seen, and takes another to be there again.
    let waits = ["--wait-for-workers", "60"];
    let up = Up::new("talk", &REPLICAS.replace("replicas 2", "replicas 1"), &waits);
    let stopped = up.pid(0);
    signal(Signal::STOP, &stopped);
    assert_eq!(up.call("Who is there?").good().stdout, "Who is there? ");
    assert_ne!(up.pid(0), stopped);
}

/// Who removes a deployment's folder and makes another of the same name has that one, whatever becomes of the first.
#[test]
fn a_deployment_touches_nothing_of_one_of_the_same_name() {
    let mut up = Up::new("talk", REPLICAS, &[]);
    let mut first = up.process.take().unwrap();
    fs::remove_dir_all(up.folder.path().join("state")).unwrap();
    up.start(&[]);
    signal(Signal::TERM, &first.id().to_string());
    first.wait().unwrap();
    assert_eq!(up.call("Still here.").good().stdout, "Still here. ");
}

/// Who has no files left is not told that nobody is there.
#[test]
fn a_caller_without_files_says_so() {
    let up = Up::new("talk", REPLICAS, &[]);
    let corn = up.corn(&[]);
    let script = format!(
        "ulimit -n 24; exec '{}' call talk --route chat --in prompt=x --repeat 200 --concurrency 50",
        corn.get_program().to_str().unwrap()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("CORN_STATE_DIR", up.folder.path().join("state"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("Too many open files"), "{said}");
}

/// Without a replica left, a request is refused at once and the component is named; drained, scaled and wrong names.
#[test]
fn what_cannot_be_done_is_said() {
    let up = Up::new("talk", REPLICAS, &[]);
    let scaled = up.run(&["scale", "talk", "words", "1"]).good();
    assert_eq!(scaled.stdout, "words has 1 replica: w0\n");
    assert_eq!(up.workers()[1]["standing"], "away");
    assert_eq!(up.call("One is enough.").good().stdout, "One is enough. ");
    up.run(&["drain", "talk", "w0", "--force"]).good();
    let refused = up.call("Nobody?");
    assert_eq!(refused.code, 6);
    insta::assert_snapshot!(refused.stderr, @"error: component 'words': no worker that has it is ready: try again later\n");
    up.run(&["scale", "talk", "words", "2"]).good();
    assert_eq!(up.workers()[1]["standing"], "ready");
    assert_eq!(up.call("Two again.").good().stdout, "Two again. ");
    let said = |args: &[&str]| up.run(args).stderr;
    insta::assert_snapshot!(said(&["scale", "talk", "words", "3"]), @"error: the plan has room for 1 to 2 replicas of 'words', and 3 are asked for; more are planned with `words: replicas 3` in a `place`, and come with `corn update`\n");
    insta::assert_snapshot!(said(&["scale", "talk", "wrds", "1"]), @"error: there is no component 'wrds'; there is words, tone\n");
    insta::assert_snapshot!(said(&["drain", "talk", "w9"]), @"error: there is no worker w9; the plan has w0 to w3\n");
    insta::assert_snapshot!(said(&["down", "tlk"]), @"error: no deployment 'tlk' is up; `corn ps` lists those that are\n");
    insta::assert_snapshot!(said(&["logs", "talk", "w9"]), @"error: there is no log of 'w9'; there are w0, w1, w2, w3\n");
    let again = up.run(&["up", up.file().to_str().unwrap()]);
    insta::assert_snapshot!(again.stderr, @"error: a deployment 'talk' is up already; end it with `corn down talk`\n");
    up.run(&["down", "talk"]).good();
    insta::assert_snapshot!(up.run(&["ps"]).good().stdout, @"no deployment is up; `corn up FILE.corn` starts one\n");
}

/// A worker that is lost while it drains has not finished what it had, and whoever drains it is told.
#[test]
fn a_worker_lost_while_it_drains_is_not_drained() {
    let up = Up::new("talk", REPLICAS, &[]);
    let load = up.load(10_000_000, 8);
    let opened = |up: &Up| up.workers()[0]["work"]["components"][0]["ended"].as_u64().unwrap_or(0);
    up.wait("being under way", |up| opened(up) > 0);
    let worker = up.pid(0);
    signal(Signal::STOP, &worker);
    let drain = up.corn(&["drain", "talk", "w0"]).stderr(Stdio::piped()).spawn().unwrap();
    up.wait("draining", |up| up.workers()[0]["standing"] == "draining");
    signal(Signal::KILL, &worker);
    let output = drain.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4) && said.contains("w0 was lost before it had finished"), "{said}");
    // Those that it had are answered elsewhere, and others after them.
    let ended = |up: &Up| up.workers()[1]["work"]["components"][0]["ended"].as_u64().unwrap_or(0);
    let before = ended(&up);
    up.wait("going on", |up| ended(up) > before + 100);
    signal(Signal::INT, &load.id().to_string());
    let (figures, said) = figures(load);
    assert_eq!(figures["interrupted"], true, "{said}");
    up.wait_for_rest();
}

/// A worker without the deployment's token is not let in, and a coordinator without it is not believed.
#[test]
fn strangers_are_not_let_in() {
    let up = Up::new("talk", REPLICAS, &[]);
    let folder = up.folder.path();
    let token = folder.join("token");
    fs::write(&token, "not the token").unwrap();
    let socket = format!("unix:{}", folder.join("state/talk/coordinator.sock").display());
    let join = |token: &Path| {
        let token = token.to_str().unwrap();
        up.run(&["worker", "--join", &socket, "--token-file", token, "--patience", "4s"])
    };
    let stranger = join(&token);
    assert_eq!(stranger.code, 4);
    assert!(stranger.stderr.contains("its token is not that of this deployment"), "{}", stranger.stderr);
    assert!(stranger.stderr.contains("; tries for "), "it says so at once: {}", stranger.stderr);
    let nowhere = up.run(&["worker", "--join", "nowhere", "--token-file", token.to_str().unwrap()]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("HOST:PORT"), "{}", nowhere.stderr);
    let extra = join(&folder.join("state/talk/token"));
    assert_eq!(extra.code, 4);
    assert!(extra.stderr.contains("all 4 workers of the plan are here already"), "{}", extra.stderr);
    let mode = fs::metadata(folder.join("state/talk/token")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o77, 0);
}

/// In the background: the command returns when everything is ready, and says why if it cannot be.
#[test]
fn a_deployment_goes_on_in_the_background() {
    let mut up = Up::new("talk", REPLICAS, &[]);
    up.run(&["down", "talk"]).good();
    up.process.take().unwrap().wait().unwrap();
    let file = up.file();
    let started = up.run(&["up", file.to_str().unwrap(), "--detach"]).good();
    assert!(started.stdout.contains("talk is up: 4 of 4 workers are ready"), "{}", started.stdout);
    assert_eq!(up.call("In the background.").good().stdout, "In the background. ");
    up.run(&["down", "talk"]).good();
    // At once again: nothing of the one before is in the way.
    up.run(&["up", file.to_str().unwrap(), "--detach"]).good();
    assert_eq!(up.call("And again.").good().stdout, "And again. ");
    up.run(&["down", "talk"]).good();
    let weights = r#"
        component Chat(weights: weights) {
            in prompt: text
            out text: stream<text>
            run candle "llama.chat"
            needs memory 1MiB
        }
        let chat = Chat(weights: file("nowhere.gguf"))
        graph hello(prompt: text) -> { text: stream<text> } { { text: chat(prompt) } }
    "#;
    fs::write(&file, weights).unwrap();
    let failed = up.run(&["up", file.to_str().unwrap(), "--detach"]);
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    assert!(failed.stderr.contains("nowhere.gguf"), "{}", failed.stderr);
}

/// F1, F2, F3, H4: for minutes, workers are killed and stopped at random under load. Every request ends, and in the
/// end everybody is there and holds nothing; descriptors and memory are where they were.
#[test]
#[ignore = "takes minutes, 3 or CORN_CHAOS_SECONDS: cargo test --workspace --test deployment -- --ignored"]
fn workers_are_killed_and_stopped_for_minutes() {
    let seconds = std::env::var("CORN_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(180);
    let up = Up::new("talk", REPLICAS, &[]);
    let coordinator = up.process.as_ref().unwrap().id();
    let held = || {
        let descriptors = fs::read_dir(format!("/proc/{coordinator}/fd")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{coordinator}/status")).unwrap();
        let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
        (descriptors, resident)
    };
    figures(up.load(2000, 16));
    up.wait_for_rest();
    let before = held();
    let (mut random, mut asked, mut done, mut failed, mut hit) = (42u64, 0, 0, 0, 0);
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let given_up = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < given_up {
        let load = up.load(4000, 16);
        for _ in 0..=next(3) {
            std::thread::sleep(Duration::from_millis(50 + next(700)));
            let pid = up.workers()[next(4) as usize]["pid"].to_string();
            if pid != "null" {
                // It may have ended by itself in between.
                let _ =
                    Command::new("kill").args([if next(4) == 0 { "-STOP" } else { "-KILL" }, &pid]).status();
                hit += 1;
            }
        }
        let (figures, said) = figures(load);
        let count = |key: &str| figures[key].as_u64().unwrap_or_else(|| panic!("{said}"));
        asked += 4000;
        done += count("done");
        failed += count("failed");
    }
    assert_eq!(done + failed, asked, "every request ends");
    up.wait_for_rest();
    assert_eq!(up.call("Still here.").good().stdout, "Still here. ");
    let after = held();
    println!(
        "{done} answered, {failed} failed, {hit} workers hit; descriptors and memory {before:?}, then {after:?}"
    );
    assert!(after.0 <= before.0 + 4, "descriptors: {before:?}, then {after:?}");
}
