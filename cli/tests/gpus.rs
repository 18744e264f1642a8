//! `tests/gpu/chain.corn` deployed on GPUs, as far as the stand-in for the driver shows them: worker processes hand over what lies on
//! their GPUs, are killed, and say what is missing. What only a real GPU shows is in `tests/gpu/run.sh`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes say nothing when something has changed: they are asked"
)]

mod common;

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Outcome, command, outcome};
use serde_json::Value as Json;

/// A deployment that ends with the test.
struct Up {
    folder: tempfile::TempDir,
    process: Child,
}

impl Up {
    /// Deploys the chain on `machine`, and waits until it is up.
    fn new(machine: &str) -> Self {
        let (folder, process) = start(machine);
        let up = Self { folder, process };
        up.wait("being up", |up| up.said().contains(" is up: "));
        up
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    fn corn(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.env("CORN_STATE_DIR", self.folder.path().join("state"));
        command
    }

    fn run(&self, args: &[&str]) -> Outcome {
        outcome(self.corn(args))
    }

    fn workers(&self) -> Vec<Json> {
        let status = self.run(&["ps", "chain", "--json"]).good();
        let status: Json = serde_json::from_str(&status.stdout).unwrap();
        status[0]["status"]["workers"].as_array().unwrap().clone()
    }

    /// The worker that has a component.
    fn worker(&self, component: &str) -> Json {
        let has =
            |worker: &Json| worker["components"].as_array().unwrap().iter().any(|name| name == component);
        self.workers().into_iter().find(has).unwrap()
    }

    /// The bytes of a route's answer.
    fn bytes(&self, route: &str, input: &str) -> Vec<u8> {
        let out = self.folder.path().join("out.npy");
        let given = format!("bytes={}", out.display());
        self.run(&["call", "chain", "--route", route, "--in", input, "--out", &given]).good();
        let file = fs::read(out).unwrap();
        let head = usize::from(u16::from_le_bytes([file[8], file[9]]));
        file[10 + head..].to_vec()
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let given_up = Instant::now() + Duration::from_mins(1);
        while !is_so(self) {
            assert!(Instant::now() < given_up, "{what} takes too long; it said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until nothing is held any more, neither on the host nor on GPUs.
    fn wait_for_rest(&self) {
        let is_none = |worker: &Json, what: &str| worker[what] == 0;
        self.wait("coming to rest", |up| {
            up.workers().iter().all(|worker| {
                let held = ["leases", "bytes", "arena_bytes", "device_bytes"];
                worker["standing"] == "ready" && held.iter().all(|what| is_none(worker, what))
            })
        });
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.run(&["down", "chain"]);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Begins to deploy the chain on `machine`; without one there is no driver.
fn start(machine: &str) -> (tempfile::TempDir, Child) {
    // Short, because sockets have short names.
    let folder = tempfile::Builder::new().prefix("corn").tempdir_in("/tmp").unwrap();
    let mut command = command(&["up", "tests/gpu/chain.corn", "--inflight", "8"]);
    command.env("CORN_STATE_DIR", folder.path().join("state"));
    if !machine.is_empty() {
        command.env("LD_LIBRARY_PATH", corn_fake_cuda::folder().unwrap()).env("CORN_FAKE_CUDA", machine);
    }
    let log = fs::File::create(folder.path().join("up.log")).unwrap();
    let process = command.stderr(log).spawn().unwrap();
    (folder, process)
}

/// What `corn up` says on `machine`, where it cannot run the program.
fn refused(machine: &str) -> String {
    let (folder, mut process) = start(machine);
    let status = process.wait().unwrap();
    assert!(!status.success());
    fs::read_to_string(folder.path().join("up.log")).unwrap()
}

/// H1, H4, H8: tensors go from GPU to GPU of two processes where they lie, to clients and to the CPU by the host, and
/// all is given back.
#[test]
fn tensors_stay_on_gpus() {
    let up = Up::new("gpus=2,memory_mib=4096,slow_us=200");
    for bytes in [1usize, 5000, 118_785, 1 << 20] {
        let expected = vec![!(bytes as u8); bytes];
        assert_eq!(up.bytes("make", &format!("count={bytes}")), expected, "{bytes} bytes");
    }
    let handed = |up: &Up, by: &str| up.worker("fill")[by].as_u64().unwrap();
    up.wait("four hand-overs being told", |up| handed(up, "by_cuda") == 4);
    assert_eq!((handed(&up, "by_shared_memory"), handed(&up, "copied_bytes")), (0, 0));
    let brought = up.folder.path().join("brought.npy");
    fs::copy(up.folder.path().join("out.npy"), &brought).unwrap();
    assert_eq!(up.bytes("turn", &format!("bytes=@{}", brought.display())), vec![0; 1 << 20]);
    let counted = up.run(&["call", "chain", "--route", "measure", "--in", "of=70000"]).good();
    assert_eq!(counted.stdout.trim(), "70000");
    up.wait("another being told", |up| handed(up, "by_shared_memory") == 1);
    assert_eq!(handed(&up, "by_cuda"), 4);
    assert_eq!(handed(&up, "copied_bytes"), 0, "it is copied from the GPU to where the reader sees it");
    let load =
        ["call", "chain", "--route", "make", "--in", "count=300000", "--repeat", "200", "--concurrency", "8"];
    up.run(&load).good();
    up.wait_for_rest();
}

/// H5: a worker whose GPU lends is killed while others read: requests are replayed, and all is given back.
#[test]
fn a_dead_owner_takes_nobody_along() {
    let up = Up::new("gpus=2,memory_mib=4096,slow_us=1000");
    let args = [
        "call",
        "chain",
        "--route",
        "make",
        "--in",
        "count=2000000",
        "--repeat",
        "1500",
        "--concurrency",
        "8",
    ];
    let load = up.corn(&args).arg("--json").stdout(std::process::Stdio::piped()).spawn().unwrap();
    for component in ["fill", "invert", "fill"] {
        let killed = up.worker(component);
        up.wait("some hand-overs", |up| up.worker("fill")["by_cuda"].as_u64().is_some_and(|count| count > 5));
        assert!(Command::new("kill").args(["-9", &killed["pid"].to_string()]).status().unwrap().success());
        up.wait("being killed", |up| up.worker(component)["restarts"] != killed["restarts"]);
        up.wait("coming back", |up| up.workers().iter().all(|worker| worker["standing"] == "ready"));
    }
    let output = load.wait_with_output().unwrap();
    let figures = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures: Json = serde_json::from_str(figures.lines().next().unwrap()).unwrap();
    let (done, failed) = (figures["done"].as_u64().unwrap(), figures["failed"].as_u64().unwrap());
    assert_eq!(done + failed, 1500, "every request ends: {figures}");
    // Those that `invert` was answering when it was killed cannot be replayed.
    assert!(failed <= 8, "{figures}");
    up.wait_for_rest();
    assert_eq!(up.bytes("make", "count=7"), vec![!7; 7]);
}

/// A GPU that can do nothing more for a process ends it at once: another takes it up again, and no request is lost.
#[test]
fn a_gpu_that_fails_is_taken_up_again() {
    let up = Up::new("gpus=2,memory_mib=4096,lost_after=25");
    let load =
        ["call", "chain", "--route", "make", "--in", "count=5000", "--repeat", "60", "--concurrency", "4"];
    let figures = up.run(&[&load[..], &["--json"]].concat()).good().stdout;
    let figures: Json = serde_json::from_str(figures.lines().next().unwrap()).unwrap();
    assert_eq!((figures["done"].as_u64(), figures["failed"].as_u64()), (Some(60), Some(0)), "{figures}");
    let invert = up.worker("invert");
    assert!(invert["restarts"].as_u64().unwrap() >= 2, "{invert}");
    let said = up.run(&["logs", "chain"]).good().stdout;
    let why = "said CUDA_ERROR_ILLEGAL_ADDRESS; this worker ends, and another takes the GPU up again";
    assert!(said.contains("GPU 0 (Stand-in) failed: ") && said.contains(why), "{said}");
}

/// A peer's memory that cannot be mapped ends requests with the reason, and nothing else.
#[test]
fn memory_that_cannot_be_mapped_is_said() {
    let up = Up::new("gpus=2,memory_mib=4096,refuse=cuMemImportFromShareableHandle");
    let failed = up.run(&["call", "chain", "--route", "make", "--in", "count=5000"]);
    assert_ne!(failed.code, 0);
    let reason = "component 'invert': GPU 0 (Stand-in) cannot read the memory of a peer's GPU";
    assert!(failed.stderr.contains(reason), "{}", failed.stderr);
    up.wait_for_rest();
}

/// `corn ps` shows what GPUs there are.
#[test]
fn gpus_are_seen() {
    let up = Up::new("gpus=2,memory_mib=4096");
    let fill = up.worker("fill");
    let gpus = fill["gpus"].as_array().unwrap();
    assert_eq!(gpus.len(), 2);
    assert_eq!((&gpus[1]["index"], &gpus[1]["name"]), (&1.into(), &"Stand-in".into()));
    assert_eq!(gpus[0]["total_bytes"], 4u64 << 30);
    let free: Vec<bool> = gpus.iter().map(|gpu| gpu["free_bytes"].is_u64()).collect();
    assert_eq!(free.iter().filter(|is_known| **is_known).count(), 1, "of the one that it works on: {gpus:?}");
    let table = up.run(&["ps", "chain"]).good().stdout;
    assert!(table.contains("Stand-in: ") && table.contains(" of 4.0 GiB free"), "{table}");
}

/// What is missing is said by name: the driver, a GPU, its memory. Which of two workers says it first, nobody knows.
#[test]
fn what_is_missing_is_named() {
    let said = |machine: &str, parts: &[&str]| {
        let said = refused(machine);
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in {said}");
    };
    let lack = " on host 'here' has none: the driver shows no GPU to this process";
    said("gpus=0", &["needs 1MiB on 1 GPU; worker w", lack]);
    let lack = "worker w1 on host 'here' has no GPU 1, which the plan gives it, but GPU 0 (Stand-in)";
    said("gpus=1,memory_mib=4096", &["component 'fill' needs 1MiB on 1 GPU; ", lack]);
    let lack = " on host 'here' has 16.0 MiB, and what the plan puts there ";
    said("gpus=2,memory_mib=16", &["needs 1MiB on 1 GPU; GPU ", " (Stand-in) of worker w", lack]);
}

/// Without a driver that is said, once, and nothing panics. Not where there is one.
#[test]
fn without_a_driver_that_is_said() {
    let said = refused("");
    assert!(!said.contains("panicked"), "{said}");
    if said.contains("libcuda") {
        let lack = " on host 'here' has none: libcuda.so.1 is not found";
        assert!(said.contains("needs 1MiB on 1 GPU; worker w") && said.contains(lack), "{said}");
    }
}

/// `corn serve`, where workers are threads of its own, ends with the reason when its GPU can do nothing more: whoever
/// keeps it running starts another.
#[test]
fn a_server_ends_with_its_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("serve.log");
    let mut serve = command(&["serve", "tests/gpu/chain.corn", "--grpc", "127.0.0.1:0"]);
    serve.env("LD_LIBRARY_PATH", corn_fake_cuda::folder().unwrap());
    serve.env("CORN_FAKE_CUDA", "gpus=2,memory_mib=4096,lost_after=3");
    let mut serve = serve.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    let given_up = Instant::now() + Duration::from_mins(1);
    let address = loop {
        let said = said();
        let mut words = said.split_whitespace();
        if let Some(at) = words.find(|word| word.starts_with("http://")) {
            break at.to_owned();
        }
        assert!(Instant::now() < given_up, "{said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let call = ["call", "--at", &address, "--route", "make", "--in", "count=50", "--repeat", "10"];
    let called = outcome(command(&call));
    assert_ne!(called.code, 0, "the fourth kernel fails");
    let status = loop {
        if let Some(status) = serve.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < given_up, "{}", said());
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = said();
    assert_eq!(status.code(), Some(4), "{said}");
    // Whichever of them hears it first.
    assert!(said.contains(" (Stand-in) failed: ") && said.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{said}");
}
