//! A deployment gets another plan while it serves, or keeps the one it has.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes say nothing when something has changed: they are asked"
)]

mod common;
#[path = "common/up.rs"]
mod up;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use up::{Signal, Up, figures, signal};

/// Words as they came.
const BEFORE: &str = "
component Words() { in text: text max 1MiB out words: stream<text max 1KiB> run reference \"text.words\" }
let words = Words()
graph speak(prompt: text max 1MiB) -> { reply: stream<text> } { { reply: words(prompt) } }
graph write(prompt: text) -> { reply: stream<text> } { { reply: words(prompt) } }
graph leave(prompt: text) -> { reply: stream<text> } { { reply: words(prompt) } }
route talk = speak(prompt) -> reply
route chat = write(prompt) -> reply
route gone = leave(prompt) -> reply
serve speak { grpc openai chat -> talk }
";

/// Words in capitals, by one worker more, over one route less.
const AFTER: &str = "
component Words() { in text: text max 1MiB out words: stream<text max 1KiB> run reference \"text.words\" }
component Upper() { in text: text max 1MiB out text: text max 1MiB run reference \"text.upper\" }
let words = Words()
let upper = Upper()
graph speak(prompt: text max 1MiB) -> { reply: stream<text> } { { reply: words(upper(prompt)) } }
graph write(prompt: text) -> { reply: stream<text> } { { reply: words(upper(prompt)) } }
route talk = speak(prompt) -> reply
route chat = write(prompt) -> reply
serve speak { grpc openai chat -> talk }
";

/// The program of an update.
fn after(up: &Up) -> PathBuf {
    let file = up.folder.path().join("after.corn");
    fs::write(&file, AFTER).unwrap();
    file
}

fn update(up: &Up) -> common::Outcome {
    up.run(&["update", up.name, after(up).to_str().unwrap()])
}

fn status(up: &Up) -> Json {
    let status = up.run(&["ps", up.name, "--json"]).good();
    serde_json::from_str::<Json>(&status.stdout).unwrap()[0]["status"].clone()
}

/// What is in the deployment's folder of its generations.
fn kept(up: &Up) -> Vec<String> {
    let folder = up.folder.path().join("state").join(up.name);
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ends =
        |name: &String| [".pid", ".plan"].iter().any(|end| name.ends_with(end)) || name.starts_with("coord");
    let mut names: Vec<String> = names.filter(ends).collect();
    names.sort();
    names
}

/// What is there once the second serves alone; a plan that says nothing of it has as many workers as there are cores.
fn of_the_second(up: &Up) -> Vec<String> {
    let mut names = vec!["coordinator-2.sock".to_owned(), "plan-2.plan".to_owned()];
    names.extend((0..up.workers().len()).map(|worker| format!("w{worker}-2.pid")));
    names
}

/// The processes whose sockets are in the deployment's folder.
fn sockets(up: &Up) -> Vec<String> {
    let folder = up.folder.path().join("state").join(up.name);
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_prefix("worker-")?.strip_suffix(".sock")?.to_owned())).collect()
}

/// Asks for more than anybody takes: it is under way until it is read, or given up.
fn asked_for_much(up: &Up) -> Child {
    let file = up.folder.path().join("much.txt");
    fs::write(&file, "word ".repeat(50_000)).unwrap();
    let prompt = format!("prompt=@{}", file.display());
    let args = ["call", "talk", "--route", "talk", "--in", &prompt];
    let mut asked = up.corn(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    asked.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    asked
}

fn is_alive(pid: &str) -> bool {
    if pid.is_empty() {
        return false;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Says a prompt over a connection that stays open, and gives what is answered.
fn chat(connection: &mut TcpStream, prompt: &str) -> String {
    let body = format!(r#"{{"model":"speak","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: corn\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut came = Vec::new();
    let length = loop {
        let mut some = [0; 4096];
        let read = connection.read(&mut some).unwrap();
        assert!(read > 0, "the connection ended after {:?}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&some[..read]);
        let text = String::from_utf8_lossy(&came).to_lowercase();
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("http/1.1 200"), "{text}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if rest.len() >= length.parse::<usize>().unwrap() {
            break length.parse::<usize>().unwrap();
        }
    };
    let body: Json = serde_json::from_slice(&came[came.len() - length..]).unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// S3, S5, F2: under load, no request is lost or refused by an update; connections stay; what is under way ends where it
/// began; and nothing of the plan before is left.
#[test]
fn an_update_under_load_loses_no_request() {
    let up = Up::new("talk", BEFORE, &["--http", "127.0.0.1:0"]);
    let told = |up: &Up| Some(up.said().split_once("over HTTP at http://")?.1.split_once('\n')?.0.to_owned());
    up.wait("where it listens", |up| told(up).is_some());
    let http = told(&up).unwrap();
    let mut connection = TcpStream::connect(http.split('/').next().unwrap()).unwrap();
    assert_eq!(chat(&mut connection, "One two."), "One two. ");
    let before: Vec<String> = up.workers().iter().map(|worker| worker["pid"].to_string()).collect();
    // It is under way when the plan is replaced that it is of.
    let mut much = asked_for_much(&up);
    let load = up.load(1000, 4);
    up.wait("the load being under way", |up| status(up)["submitted"].as_u64().unwrap() > 100);
    update(&up).good();
    assert_eq!(chat(&mut connection, "One two."), "ONE TWO. ");
    assert_eq!(up.call("Still here.").good().stdout, "STILL HERE. ");
    let timed = ["call", "talk", "--route", "talk", "--in", "prompt=One two.", "--json", "--timings"];
    let said: Json = serde_json::from_str(&up.run(&timed).good().stdout).unwrap();
    assert!(said["timings"]["calls"].as_array().is_some_and(|calls| !calls.is_empty()), "{said}");
    up.wait("all being over but what nobody reads", |up| status(up)["leaving"]["in_flight"] == 1);
    assert_eq!(update(&up).code, 4, "one at a time");
    let gone = up.run(&["call", "talk", "--route", "gone", "--in", "prompt=x"]);
    assert!(gone.code == 2 && gone.stderr.contains("'gone'"), "{}", gone.stderr);
    let mut rest = String::new();
    much.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
    assert!(rest == "word ".repeat(49_999) && much.wait().unwrap().success(), "{} bytes", rest.len());
    let (figures, said) = figures(load);
    assert_eq!((figures["done"].as_u64(), figures["failed"].as_u64()), (Some(1000), Some(0)), "{said}");
    up.wait("the end of what was before", |up| status(up)["leaving"].is_null());
    assert!(before.iter().all(|pid| !is_alive(pid)));
    assert_eq!(kept(&up), of_the_second(&up));
    up.wait_for_rest();
    assert_eq!(chat(&mut connection, "Three."), "THREE. ");
}

/// What is left of the plan before when its time is over fails, and says why.
#[test]
fn what_takes_too_long_fails() {
    let up = Up::new("talk", BEFORE, &[]);
    let much = asked_for_much(&up);
    up.run(&["update", "talk", after(&up).to_str().unwrap(), "--drain-within", "0"]).good();
    let output = much.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the plan was replaced, and there was no more time"), "{said}");
    up.wait("the end of what was before", |up| status(up)["leaving"].is_null());
}

/// The process of a worker of a deployment, which is waited for until it is written down.
fn written(up: &Up, deployment: &str, worker: &str) -> String {
    let file = up.folder.path().join("state").join(deployment).join(format!("{worker}.pid"));
    let given_up = Instant::now() + Duration::from_mins(1);
    loop {
        let pid = fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
        if !pid.is_empty() {
            break pid;
        }
        assert!(Instant::now() < given_up, "no process of {worker} is written down");
        std::thread::yield_now();
    }
}

/// Starts an update whose first worker is stopped before it has loaded, and gives its process.
fn stopped_update(up: &Up) -> (Child, String) {
    let file = after(up);
    let args = ["update", up.name, file.to_str().unwrap()];
    let updating = up.corn(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = written(up, up.name, "w0-2");
    signal(Signal::STOP, &pid);
    (updating, pid)
}

/// S4: requests are answered as before while an update waits for a worker, which serves once that worker goes on.
#[test]
fn an_update_that_is_not_ready_holds_no_request_up() {
    let up = Up::new("talk", BEFORE, &[]);
    let (mut updating, pid) = stopped_update(&up);
    let (figures, said) = figures(up.load(500, 4));
    assert_eq!((figures["done"].as_u64(), figures["failed"].as_u64()), (Some(500), Some(0)), "{said}");
    assert!(updating.try_wait().unwrap().is_none(), "it waits for w0");
    assert!(!status(&up)["coming"].is_null());
    signal(Signal::CONT, &pid);
    let output = updating.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(up.call("Now.").good().stdout, "NOW. ");
}

/// S4: requests are answered as before while another deployment of this host waits for a worker.
#[test]
fn a_deployment_that_is_not_ready_holds_no_other_up() {
    let up = Up::new("talk", BEFORE, &[]);
    let file = up.folder.path().join("other.corn");
    fs::write(&file, AFTER).unwrap();
    let mut other = up.corn(&["up", file.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap();
    let pid = written(&up, "other", "w0");
    signal(Signal::STOP, &pid);
    let (figures, said) = figures(up.load(500, 4));
    let ended = other.try_wait().unwrap();
    let listed = up.run(&["ps", "other", "--json"]);
    // Whatever came of it, nothing of the other is left behind.
    signal(Signal::CONT, &pid);
    up.run(&["down", "other"]).good();
    other.wait().unwrap();
    assert_eq!((figures["done"].as_u64(), figures["failed"].as_u64()), (Some(500), Some(0)), "{said}");
    assert_eq!(ended, None, "it waits for w0");
    let listed: Json = serde_json::from_str(&listed.good().stdout).unwrap();
    assert_ne!(listed[0]["status"]["workers"][0]["standing"], "ready", "{listed}");
}

/// S3, F2: if a worker of the new plan ends before it is ready, or whoever wants it goes away, everything is as it was,
/// and the other workers of that plan end.
#[test]
fn an_update_that_fails_changes_nothing() {
    let up = Up::new("talk", BEFORE, &[]);
    let before = up.pid(0);
    let (updating, pid) = stopped_update(&up);
    assert!(up.run(&["ps"]).good().stdout.contains("talk, coming: "));
    // On a single core there is none beside it.
    let workers = status(&up)["coming"]["workers"].as_array().map_or(0, Vec::len);
    let beside = (workers > 1).then(|| written(&up, up.name, "w1-2"));
    signal(Signal::KILL, &pid);
    let output = updating.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("w0 ended: signal: 9 (SIGKILL)"), "{said}");
    let as_before = |up: &Up| status(up)["coming"].is_null() && kept(up).len() == 3;
    up.wait("the end of the update", as_before);
    assert_eq!(kept(&up), ["coordinator.sock", "plan.plan", "w0.pid"]);
    up.wait("the end of the worker beside it", |_| beside.as_ref().is_none_or(|pid| !is_alive(pid)));

    let (updating, pid) = stopped_update(&up);
    signal(Signal::INT, &updating.id().to_string());
    assert_eq!(updating.wait_with_output().unwrap().status.code(), Some(130));
    up.wait("the end of the update", as_before);
    assert!(!is_alive(&pid));
    assert_eq!((up.pid(0), up.call("Still here.").good().stdout.as_str()), (before, "Still here. "));
    // Nothing is in the way of one that can be.
    update(&up).good();
    assert_eq!(up.call("Now.").good().stdout, "NOW. ");
}

/// F3: a coordinator that is killed in the middle of an update, or after it, finds the workers of the plan that it
/// serves, and ends the others.
#[test]
fn a_coordinator_killed_during_an_update_finds_its_workers() {
    let mut up = Up::new("talk", BEFORE, &[]);
    let before = up.pid(0);
    let (mut updating, stray) = stopped_update(&up);
    let kill = |up: &mut Up| {
        let mut process = up.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    };
    kill(&mut up);
    updating.wait().unwrap();
    // As if it had been killed before it could write the process down.
    fs::remove_file(up.folder.path().join("state/talk/w0-2.pid")).unwrap();
    up.start(&[]);
    assert_eq!((up.pid(0), up.call("Still.").good().stdout.as_str()), (before.clone(), "Still. "));
    up.wait("the stray's end", |_| !is_alive(&stray));
    assert_eq!(kept(&up), ["coordinator.sock", "plan.plan", "w0.pid"]);
    up.wait("the end of the stray's socket", |up| sockets(up) == [before.clone()]);

    fs::write(up.file(), AFTER).unwrap();
    up.run(&["update", "talk", up.file().to_str().unwrap()]).good();
    let now = up.pid(0);
    kill(&mut up);
    up.start(&[]);
    assert_eq!((up.pid(0), up.call("Now.").good().stdout.as_str()), (now, "NOW. "));
    up.wait("the end of the workers before", |_| !is_alive(&before));
    assert_eq!(kept(&up), of_the_second(&up));
}

/// An update that cannot be written down is none: a coordinator that comes back would find the plan before.
#[test]
fn an_update_that_cannot_be_kept_changes_nothing() {
    let up = Up::new("talk", BEFORE, &[]);
    let before = up.pid(0);
    let in_the_way = up.folder.path().join("state").join(up.name).join("generation.new");
    fs::create_dir(&in_the_way).unwrap();
    let refused = update(&up);
    assert!(refused.code == 4 && refused.stderr.contains("generation.new"), "{}", refused.stderr);
    up.wait("the end of the update", |up| status(up)["coming"].is_null() && kept(up).len() == 3);
    assert_eq!((up.pid(0), up.call("Still here.").good().stdout.as_str()), (before, "Still here. "));
    fs::remove_dir(&in_the_way).unwrap();
    update(&up).good();
    assert_eq!(up.call("Now.").good().stdout, "NOW. ");
}

/// Whoever waits for a worker of a plan that is replaced is told so, and does not wait for ever.
#[test]
fn who_waits_for_workers_hears_of_an_update() {
    let up = Up::new("talk", BEFORE, &[]);
    // It keeps w0 from being drained.
    let much = asked_for_much(&up);
    let waits = |args: &[&str]| up.corn(args).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let drained = waits(&["drain", "talk", "w0", "--force"]);
    up.wait("w0 being drained", |up| up.workers()[0]["standing"] == "draining");
    let restarted = waits(&["restart", "talk", "w0"]);
    up.wait("w0 being restarted", |up| up.said().contains("w0 is drained, and gets another process then"));
    let waiting = [restarted, drained];
    update(&up).good();
    for waiting in waiting {
        let output = waiting.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("an update replaced the plan"), "{said}");
    }
    signal(Signal::INT, &much.id().to_string());
    much.wait_with_output().unwrap();
    assert_eq!(up.call("Now.").good().stdout, "NOW. ");
}

/// Two workers, of which one is on another host, as far as Corn knows.
const TWO_HOSTS: &str = "
component Words() { in text: text max 1MiB out words: stream<text max 1KiB> run reference \"text.words\" }
component Upper() { in text: text max 1MiB out text: text max 1MiB run reference \"text.upper\" }
let words = Words()
let upper = Upper()
graph speak(prompt: text max 1MiB) -> { reply: stream<text> } { { reply: words(upper(prompt)) } }
route chat = speak(prompt) -> reply
cluster two { node here { cpu 4 memory 4GiB } node there { cpu 4 memory 4GiB } link here there 10Gbps }
place speak on two { words: on here upper: on there }
";

/// A worker on another host.
struct There(Child);

impl There {
    fn join(up: &Up, at: &str, worker: &str) -> Self {
        let token = up.folder.path().join("state").join(up.name).join("token");
        let args = ["worker", "--join", at, "--as", worker, "--token-file", token.to_str().unwrap()];
        Self(up.corn(&args).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for There {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A deployment over several hosts is updated when it is up, and not before; workers of other hosts join the plan that
/// comes at a place of its own, and end with the plan that leaves.
#[test]
fn workers_of_other_hosts_join_an_update() {
    let folder = up::folder();
    let mut up = Up { folder, name: "talk", process: None };
    fs::write(up.file(), TWO_HOSTS).unwrap();
    let (first, second) = (up::place(2), up::place(3));
    let program = up.file().to_str().unwrap().to_owned();
    let log = fs::File::create(up.folder.path().join("up.log")).unwrap();
    let args = ["up", &program, "--host", "here", "--listen", &first];
    up.process = Some(up.corn(&args).stderr(log).spawn().unwrap());
    up.wait("waiting for the other host", |up| up.said().contains(" of host 'there'"));
    let plan = up.run(&["compile", &program]).good().stdout;
    let there = |plan: &str| {
        let line =
            plan.lines().find(|line| line.trim_start().starts_with("worker w") && line.contains("there"));
        line.unwrap_or_else(|| panic!("{plan}")).split_whitespace().nth(1).unwrap().to_owned()
    };
    let worker = there(&plan);
    up.wait("the coordinator being there", |up| up.run(&["ps", "talk"]).code == 0);
    let early = up.run(&["update", "talk", &program, "--listen", &second]);
    assert!(early.code == 4 && early.stderr.contains("it is not up yet"), "{}", early.stderr);
    let mut before = There::join(&up, &first, &worker);
    up.wait("it is up", |up| up.said().contains(" is up: "));
    assert_eq!(up.call("One.").good().stdout, "ONE. ");

    fs::write(up.file(), TWO_HOSTS.replace("stream<text max 1KiB>", "stream<text max 2KiB>")).unwrap();
    let refused = up.run(&["update", "talk", &program]);
    assert!(refused.code != 0 && refused.stderr.contains("--listen"), "{}", refused.stderr);
    let args = ["update", "talk", &program, "--listen", &second];
    let updating = up.corn(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    up.wait("the next plan loading", |up| !status(up)["coming"].is_null());
    assert_eq!(up.call("Two.").good().stdout, "TWO. ");
    let _now = There::join(&up, &second, &worker);
    let output = updating.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(up.call("Three.").good().stdout, "THREE. ");
    assert!(before.0.wait().unwrap().success(), "it was told to end");
    up.wait("the end of what was before", |up| status(up)["leaving"].is_null());
}
