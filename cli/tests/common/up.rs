//! A deployment of real processes, in a world of its own.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value as Json;

use crate::common::{Outcome, command, outcome};

/// A deployment that ends with the test.
pub(crate) struct Up {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) name: &'static str,
    pub(crate) process: Option<Child>,
}

/// A folder whose name is short, whatever `TMPDIR` is: names of sockets are in it, and those may not be long.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("corn").tempdir_in("/tmp").unwrap()
}

impl Up {
    /// Deploys `program`, and waits until it says that it is up.
    pub(crate) fn new(name: &'static str, program: &str, options: &[&str]) -> Self {
        let folder = folder();
        fs::write(folder.path().join(format!("{name}.corn")), program).unwrap();
        let mut up = Self { folder, name, process: None };
        up.start(options);
        up
    }

    pub(crate) fn start(&mut self, options: &[&str]) {
        let program = self.file();
        let log = fs::File::create(self.folder.path().join("up.log")).unwrap();
        let mut args = vec!["up", program.to_str().unwrap(), "--inflight", "64"];
        args.extend(options);
        self.process = Some(self.corn(&args).stderr(log).spawn().unwrap());
        self.wait("it is up", |up| up.said().contains(" is up: "));
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(format!("{}.corn", self.name))
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    /// The command, in this deployment's world.
    pub(crate) fn corn(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.env("CORN_STATE_DIR", self.folder.path().join("state"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        outcome(self.corn(args))
    }

    pub(crate) fn call(&self, prompt: &str) -> Outcome {
        self.run(&["call", self.name, "--route", "chat", "--in", &format!("prompt={prompt}")])
    }

    /// Asks again and again in the background.
    pub(crate) fn load(&self, repeat: u32, concurrency: u32) -> Child {
        let (repeat, concurrency) = (repeat.to_string(), concurrency.to_string());
        let args = [
            "call",
            self.name,
            "--route",
            "talk",
            "--in",
            "prompt=One is here. Two is there.",
            "--repeat",
            &repeat,
            "--concurrency",
            &concurrency,
            "--json",
        ];
        self.corn(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn workers(&self) -> Vec<Json> {
        let status = self.run(&["ps", self.name, "--json"]).good();
        let status: Json = serde_json::from_str(&status.stdout).unwrap();
        status[0]["status"]["workers"].as_array().unwrap().clone()
    }

    pub(crate) fn pid(&self, worker: usize) -> String {
        self.workers()[worker]["pid"].to_string()
    }

    /// Waits for something that takes its time, and not for ever.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let given_up = Instant::now() + Duration::from_mins(1);
        while !is_so(self) {
            assert!(Instant::now() < given_up, "{what} takes too long; it said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until every worker is ready and holds nothing.
    pub(crate) fn wait_for_rest(&self) {
        self.wait("coming to rest", |up| {
            up.workers().iter().all(|worker| {
                worker["standing"] == "ready"
                    && worker["leases"] == 0
                    && worker["bytes"] == 0
                    && worker["arena_bytes"] == 0
            })
        });
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.run(&["down", self.name]);
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Sends a signal, without a process that would have to begin first.
pub(crate) fn signal(signal: Signal, pid: &str) {
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), signal).unwrap();
}

/// Where nobody else listens: the address is of this process.
pub(crate) fn place(last: u8) -> String {
    let [_, _, a, b] = std::process::id().to_be_bytes();
    format!("127.{a}.{b}.{last}:7070")
}

pub(crate) fn figures(load: Child) -> (Json, String) {
    let output = load.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = serde_json::from_str(stdout.lines().next().unwrap_or_default()).unwrap_or(Json::Null);
    (figures, stdout)
}
