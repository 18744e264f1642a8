//! A deployment's workers are scaled, drained and looked at, and what stands in the way is said; its folder goes.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes say nothing when something has changed: they are asked"
)]

mod common;
#[path = "common/up.rs"]
mod up;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::outcome;
use serde_json::Value as Json;
use up::{Signal, Up, signal};

/// Words on two workers.
const TWO: &str = "
component Words() { in text: text out words: stream<text> run reference \"text.words\" }
let words = Words()
graph speak(prompt: text) -> { reply: stream<text> } { { reply: words(prompt) } }
route chat = speak(prompt) -> reply
cluster one { node here { cpu 4 memory 4GiB } }
place speak on one { words: replicas 2 }
";

fn status(up: &Up) -> Json {
    let status = up.run(&["ps", up.name, "--json"]).good();
    serde_json::from_str::<Json>(&status.stdout).unwrap()[0]["status"].clone()
}

fn state(up: &Up) -> PathBuf {
    up.folder.path().join("state").join(up.name)
}

fn is_alive(pid: &str) -> bool {
    if pid.is_empty() {
        return false;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// The exit code of a process that ends by itself.
fn ended(up: &Up, process: &mut Child) -> Option<i32> {
    let process = RefCell::new(process);
    up.wait("its end", |_| process.borrow_mut().try_wait().unwrap().is_some());
    let status = process.borrow_mut().try_wait().unwrap();
    status.unwrap().code()
}

/// What stands before the lines of `corn logs`.
fn whose(said: &str) -> BTreeSet<&str> {
    said.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

/// Another program that replays the same, so that it can be updated to.
fn other(up: &Up, number: u32) -> String {
    let file = up.folder.path().join(format!("other{number}.corn"));
    fs::write(&file, TWO.replace("stream<text> run", &format!("stream<text max {number}KiB> run"))).unwrap();
    file.to_str().unwrap().to_owned()
}

/// S5: a worker that ends again and again is not waited for: how it ended is said. It is there as soon as it can be.
#[test]
fn who_scales_is_told_of_a_worker_that_ends() {
    let up = Up::new("speak", TWO, &[]);
    up.run(&["scale", "speak", "words", "1"]).good();
    // What a worker needs to join; those that are here have it.
    let token = state(&up).join("token");
    let before = fs::read_to_string(&token).unwrap();
    fs::write(&token, "").unwrap();
    let refused = up.run(&["scale", "speak", "words", "2"]);
    insta::assert_snapshot!(refused.stderr, @"error: words has not 2 replicas yet: w1 ended: exit status: 2; `corn logs speak w1` says why. The deployment goes on with it: `corn ps speak` shows how far it is, and another `corn scale speak words N` replaces it\n");
    assert_eq!(refused.code, 4);
    let listed = up.run(&["ps", "speak"]).good().stdout;
    assert!(listed.contains("it ended") && listed.contains(": exit status: 2"), "{listed}");
    assert!(up.run(&["logs", "speak", "w1"]).good().stdout.contains("a worker needs the deployment's token"));
    let refused = up.run(&["restart", "speak", "w1"]);
    assert!(refused.code == 4 && refused.stderr.contains("w1 ended: exit status: 2"), "{}", refused.stderr);

    fs::write(&token, before).unwrap();
    up.wait("the wish coming true", |up| up.workers()[1]["standing"] == "ready");
    up.run(&["scale", "speak", "words", "2"]).good();
}

/// A worker that is not ready again in time is named.
#[test]
fn who_restarts_does_not_wait_for_ever() {
    let up = Up::new("speak", TWO, &[]);
    let before = up.workers()[1]["restarts"].as_u64().unwrap();
    let late = up.run(&["restart", "speak", "w1", "--within", "0"]);
    let said = "w1 is not ready again within 0 s (--within): w1 ";
    assert!(late.code == 4 && late.stderr.contains(said), "{}", late.stderr);
    up.wait("the restart that goes on", |up| {
        let worker = &up.workers()[1];
        worker["standing"] == "ready" && worker["restarts"].as_u64().unwrap() > before
    });
}

/// A worker that is not ready in time is named, and so is one that has not even joined when it is not wanted any more.
#[test]
fn who_scales_does_not_wait_for_ever() {
    let up = Up::new("speak", TWO, &[]);
    up.run(&["scale", "speak", "words", "1"]).good();
    let late = up.run(&["scale", "speak", "words", "2", "--within", "0"]);
    assert!(late.code == 4 && late.stderr.contains("within 0 s (--within): w1 "), "{}", late.stderr);
    // It joins now, or has joined, or loads.
    up.run(&["scale", "speak", "words", "1"]).good();
    let written = state(&up).join("w1.pid");
    let gone = fs::read_to_string(&written).unwrap_or_default();
    up.wait("the end of w1", |up| !is_alive(gone.trim()) && up.workers()[1]["standing"] == "away");
    up.run(&["scale", "speak", "words", "2"]).good();
    assert_eq!(up.workers()[1]["standing"], "ready");
}

/// A worker on another host.
struct There(Child);

impl Drop for There {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nobody here starts the workers of another host: that is said at once, and how they are started.
#[test]
fn workers_of_other_hosts_are_not_waited_for() {
    let folder = up::folder();
    let mut up = Up { folder, name: "speak", process: None };
    fs::write(up.file(), TWO).unwrap();
    let compiled = up.run(&["compile", "--processes", up.file().to_str().unwrap()]).good().stdout;
    let plan = up.folder.path().join("speak.plan");
    fs::write(&plan, compiled.replace("worker w1 host \"here\"", "worker w1 host \"there\"")).unwrap();
    let plan = plan.to_str().unwrap();
    let listen = up::place(1);
    let args = ["up", plan, "--host", "here", "--listen", &listen];

    let late = up.run(&[&args[..], &["--load-within", "0"]].concat());
    assert!(late.code == 4 && late.stderr.contains("within 0 s (--load-within): "), "{}", late.stderr);
    assert!(late.stderr.contains("nobody has joined from host 'there' as w1"), "{}", late.stderr);

    let log = fs::File::create(up.folder.path().join("up.log")).unwrap();
    up.process = Some(up.corn(&args).stderr(log).spawn().unwrap());
    up.wait("waiting for the other host", |up| up.said().contains(" of host 'there'"));
    let token = state(&up).join("token");
    let join = || {
        let args = ["worker", "--join", &listen, "--as", "w1", "--token-file", token.to_str().unwrap()];
        There(up.corn(&args).stderr(Stdio::null()).spawn().unwrap())
    };
    let mut there = join();
    up.wait("it is up", |up| up.said().contains(" is up: "));
    let refused = up.run(&["restart", "speak", "w1"]);
    assert!(refused.code == 2 && refused.stderr.contains("w1 is of host 'there'"), "{}", refused.stderr);
    up.run(&["scale", "speak", "words", "1"]).good();
    assert_eq!(ended(&up, &mut there.0), Some(0), "it was told to end");
    let refused = up.run(&["scale", "speak", "words", "2"]);
    insta::assert_snapshot!(refused.stderr, @"error: words has not 2 replicas yet: nobody has joined from host 'there' as w1: start `corn worker … --as w1` there. The deployment goes on with it: `corn ps speak` shows how far it is, and another `corn scale speak words N` replaces it\n");
    assert_eq!(refused.code, 4);
    let _there = join();
    up.wait("w1 being there", |up| up.workers()[1]["standing"] == "ready");
    up.run(&["scale", "speak", "words", "2"]).good();
}

/// What only one worker has is not taken out of service by a drain that does not say so.
#[test]
fn the_last_replica_is_not_drained_by_mistake() {
    let up = Up::new("speak", TWO, &["--wait-for-workers", "2"]);
    up.run(&["drain", "speak", "w1"]).good();
    let refused = up.run(&["drain", "speak", "w0"]);
    insta::assert_snapshot!(refused.stderr, @"error: w0 is the last worker that is ready and has words: without it, requests for that wait and are refused. `corn scale` starts others where the plan has room; --force drains it all the same\n");
    assert_eq!(refused.code, 3);
    assert_eq!(up.call("Still here.").good().stdout, "Still here. ");
    let drained = up.run(&["drain", "speak", "w0", "--force"]).good();
    insta::assert_snapshot!(drained.stderr, @"no worker is left that has words: requests wait for one, and are refused\n");
    insta::assert_snapshot!(drained.stdout, @"w0 takes no requests, and has none; `corn restart speak w0` brings it back\n");
    assert_eq!(up.call("Nobody?").code, 6);
    up.run(&["restart", "speak", "w0"]).good();
    assert_eq!(up.call("Back again.").good().stdout, "Back again. ");
}

/// Each plan's workers have logs of their own: of those that serve, and of the last that do not.
#[test]
fn logs_are_of_one_plan() {
    let up = Up::new("speak", TWO, &[]);
    let logs = |args: &[&str]| up.run(&[&["logs", "speak"], args].concat()).good().stdout;
    assert_eq!(whose(&logs(&[])), BTreeSet::from(["w0", "w1"]));
    up.run(&["update", "speak", &other(&up, 1)]).good();
    up.wait("the end of what was before", |up| status(up)["leaving"].is_null());
    assert_eq!(whose(&logs(&[])), BTreeSet::from(["w0-1", "w0-2", "w1-1", "w1-2"]));
    let of = |who: &str| logs(&[who]);
    assert_eq!((whose(&of("w0")), whose(&of("w0-2"))), (BTreeSet::from(["w0-2"]), BTreeSet::from(["w0-2"])));
    assert_eq!(whose(&of("w1-1")), BTreeSet::from(["w1-1"]));

    // Who follows w0 goes on with that of the plan that comes.
    let log = up.folder.path().join("followed");
    let file = fs::File::create(&log).unwrap();
    let mut follows = up.corn(&["logs", "speak", "w0", "-f"]).stdout(file).spawn().unwrap();
    let followed = || fs::read_to_string(&log).unwrap();
    up.wait("being followed", |_| followed().contains("w0-2"));
    up.run(&["update", "speak", &other(&up, 2)]).good();
    up.wait("the next being followed", |_| followed().contains("w0-3"));
    signal(Signal::INT, &follows.id().to_string());
    assert!(follows.wait().unwrap().success());
    up.wait("the end of what was before", |up| status(up)["leaving"].is_null());
    assert_eq!(whose(&logs(&[])), BTreeSet::from(["w0-2", "w0-3", "w1-2", "w1-3"]));
    let none = up.run(&["logs", "speak", "w0-1"]);
    insta::assert_snapshot!(none.stderr, @"error: there is no log of 'w0-1'; there are w0-2, w0-3, w1-2, w1-3\n");
}

/// An update whose workers are not ready in time is taken back, and says which they are.
#[test]
fn an_update_does_not_load_for_ever() {
    let up = Up::new("speak", TWO, &[]);
    let before = up.pid(0);
    let late = up.run(&["update", "speak", &other(&up, 1), "--load-within", "0"]);
    assert_eq!(late.code, 4);
    assert!(
        late.stderr.contains("not everything was ready within 0 s (--load-within): w0 "),
        "{}",
        late.stderr
    );
    assert!(late.stderr.contains("; w1 "), "{}", late.stderr);
    up.wait("the end of the update", |up| status(up)["coming"].is_null());
    assert_eq!((up.pid(0), up.call("Still here.").good().stdout.as_str()), (before, "Still here. "));
    up.wait("the update's folder being as before", |up| !state(up).join("plan-2.plan").exists());
    up.run(&["update", "speak", &other(&up, 1)]).good();
}

/// In the background, nobody sees that it loads for ever: it ends and says why.
#[test]
fn a_deployment_in_the_background_does_not_load_for_ever() {
    let up = Up::new("speak", TWO, &[]);
    up.run(&["down", "speak"]).good();
    let late = up.run(&["up", up.file().to_str().unwrap(), "--detach", "--load-within", "0"]);
    assert_eq!(late.code, 4);
    assert!(
        late.stderr.contains("not everything was ready within 0 s (--load-within): w0 "),
        "{}",
        late.stderr
    );
    insta::assert_snapshot!(up.run(&["ps"]).good().stdout, @"no deployment is up; `corn up FILE.corn` starts one\n");
}

/// A deployment that nobody can reach any more ends by itself, with its workers, and says why.
#[test]
fn a_deployment_without_its_folder_ends() {
    for removed in ["", "control.sock", "lock"] {
        let mut up = Up::new("speak", TWO, &[]);
        let pids = [up.pid(0), up.pid(1)];
        let path = state(&up).join(removed);
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.unwrap();
        let mut process = up.process.take().unwrap();
        let code = ended(&up, &mut process);
        let said = up.said();
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("was removed: nobody can reach 'speak' there any more"), "{said}");
        assert!(pids.iter().all(|pid| !is_alive(pid)), "{said}");
        let listed = up.run(&["ps"]).good().stdout;
        insta::allow_duplicates! {
            insta::assert_snapshot!(listed, @"no deployment is up; `corn up FILE.corn` starts one\n");
        }
        up.start(&[]);
        assert_eq!(up.call("Again.").good().stdout, "Again. ");
    }
}

/// What ends because its folder was removed leaves what is of the next one of its name.
#[test]
fn a_deployment_leaves_the_folder_of_the_next() {
    let mut up = Up::new("speak", TWO, &[]);
    let mut first = up.process.take().unwrap();
    fs::remove_dir_all(state(&up)).unwrap();
    up.start(&[]);
    assert_eq!(ended(&up, &mut first), Some(4));
    let mut kept: Vec<String> = fs::read_dir(state(&up))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("worker-"))
        .collect();
    kept.sort();
    let expected =
        ["control.sock", "coordinator.sock", "lock", "logs", "plan.plan", "token", "w0.pid", "w1.pid"];
    assert_eq!(kept, expected);
    assert_eq!(up.call("Still here.").good().stdout, "Still here. ");
}

/// F3: a worker that cannot be started is tried again, and the others serve meanwhile.
#[test]
fn a_worker_that_cannot_be_started_ends_nothing() {
    let up = Up::new("speak", TWO, &[]);
    let log = state(&up).join("logs/w1.log");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    signal(Signal::KILL, &up.pid(1));
    up.wait("what stands in the way", |up| up.said().contains("w1 cannot be started: "));
    assert_eq!(up.call("Still here.").good().stdout, "Still here. ");
    let listed = up.run(&["ps", "speak"]).good().stdout;
    assert!(listed.contains("w1.log' cannot be written: Is a directory"), "{listed}");
    fs::remove_dir(&log).unwrap();
    up.wait("w1 coming back", |up| up.workers()[1]["standing"] == "ready");
}

/// F3: another program may take the place of `corn` on the disk while a deployment is up: its workers are what it is.
#[test]
fn workers_come_back_after_the_program_was_replaced() {
    let folder = up::folder();
    let up = Up { folder, name: "speak", process: None };
    fs::write(up.file(), TWO).unwrap();
    // On the same disk as what was built.
    let built = Path::new(env!("CARGO_BIN_EXE_corn"));
    let beside = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    let program = beside.path().join("corn");
    fs::hard_link(built, &program).unwrap();
    let mut deploy = Command::new(&program);
    deploy.args(["up", up.file().to_str().unwrap(), "--detach"]);
    deploy.env("CORN_STATE_DIR", up.folder.path().join("state"));
    outcome(deploy).good();
    fs::remove_file(&program).unwrap();
    fs::write(&program, "another program").unwrap();
    let before = up.pid(1);
    signal(Signal::KILL, &before);
    up.wait("w1 coming back", |up| up.workers()[1]["standing"] == "ready" && up.pid(1) != before);
    assert_eq!(up.call("Still here.").good().stdout, "Still here. ");
}
