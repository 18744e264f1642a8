//! Several hosts: network namespaces of this machine, joined by a bridge. Needs root and iproute2; says so where they
//! are missing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code: what is wrong here fails the test")]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes say nothing when something has changed: they are asked"
)]

mod common;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

const PROGRAM: &str = r#"
component Words() {
    in  text: text
    out words: stream<text>
    run reference "text.words"
}
component Fill() {
    in  count: int
    out bytes: tensor<u8>[n <= 8388608]
    run reference "bytes.fill"
}
component Pass() {
    in  bytes: tensor<u8>[n <= 8388608]
    out bytes: tensor<u8>[n]
    run reference "bytes.pass"
}
let words = Words()
let fill  = Fill()
let pass  = Pass()
graph there(text: text) -> { said: stream<text> } { { said: words(text) } }
graph around(count: int) -> { bytes: tensor<u8>[n <= 8388608] } { { bytes: pass(fill(count)) } }
cluster lab {
    node a { cpu 4 memory 4GiB }
    node b { cpu 4 memory 4GiB }
    node c { cpu 4 memory 4GiB }
    link a b 1Gbps
    link b c 1Gbps
    link a c 1Gbps
}
place there, around on lab {
    words: on a
    fill : on b
    pass : on c
}
"#;

/// Three hosts on one bridge.
struct Hosts {
    prefix: String,
}

fn ip(args: &[&str]) -> bool {
    let quiet = Command::new("ip").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

impl Hosts {
    /// `None`, and says why, where they cannot be made.
    fn new(name: &str) -> Option<Self> {
        let hosts = Self { prefix: format!("corn{name}{}", std::process::id()) };
        let is_made =
            hosts.make_hub() && ["a", "b", "c"].iter().zip(1..).all(|(name, at)| hosts.make(name, at));
        if !is_made || !hosts.limit("a", "1gbit") || !hosts.unlimit("a") {
            eprintln!(
                "SKIPPED: several hosts need root, iproute2, and a kernel with network namespaces, bridges, veth and tbf"
            );
            return None;
        }
        Some(hosts)
    }

    fn make_hub(&self) -> bool {
        let hub = self.namespace("hub");
        ip(&["netns", "add", &hub])
            && ip(&["-n", &hub, "link", "add", "hub", "type", "bridge"])
            && ip(&["-n", &hub, "link", "set", "hub", "up"])
    }

    fn make(&self, host: &str, at: u32) -> bool {
        let (hub, of) = (self.namespace("hub"), self.namespace(host));
        let (name, address) = (&format!("to-{host}"), format!("10.77.0.{at}/24"));
        ip(&["netns", "add", &of])
            && ip(&["-n", &hub, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", &of])
            && ip(&["-n", &hub, "link", "set", name, "master", "hub", "up"])
            && ip(&["-n", &of, "address", "add", &address, "dev", "eth0"])
            && ip(&["-n", &of, "link", "set", "eth0", "up"])
            && ip(&["-n", &of, "link", "set", "lo", "up"])
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// The command on `host`.
    fn corn(&self, host: &str, state: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host), env!("CARGO_BIN_EXE_corn")]).args(args);
        command.env("CORN_STATE_DIR", state).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Cuts the way to `host`, or joins it again.
    fn cut(&self, host: &str, is_cut: bool) {
        let to = if is_cut { "down" } else { "up" };
        assert!(ip(&["-n", &self.namespace("hub"), "link", "set", &format!("to-{host}"), to]));
    }

    /// Lets so much through to `host`.
    fn limit(&self, host: &str, rate: &str) -> bool {
        let (hub, device) = (self.namespace("hub"), format!("to-{host}"));
        let args = ["netns", "exec", &hub, "tc", "qdisc", "add", "dev", &device, "root"];
        ip(&[&args[..], &["tbf", "rate", rate, "burst", "256kbit", "latency", "100ms"]].concat())
    }

    fn unlimit(&self, host: &str) -> bool {
        let (hub, device) = (self.namespace("hub"), format!("to-{host}"));
        ip(&["netns", "exec", &hub, "tc", "qdisc", "delete", "dev", &device, "root"])
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in ["hub", "a", "b", "c"] {
            ip(&["netns", "delete", &self.namespace(host)]);
        }
    }
}

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let given_up = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < given_up, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// H1, H2, F3: a plan over three hosts. Tensors go from one to the next by TCP and arrive bit by bit; a host that is
/// cut off is left out, and takes part again by itself when it is back.
#[test]
fn a_plan_spans_hosts_and_survives_a_cut() {
    spans_hosts_and_survives_a_cut(false);
}

/// The same, encrypted.
#[test]
fn a_plan_spans_hosts_that_encrypt() {
    spans_hosts_and_survives_a_cut(true);
}

fn spans_hosts_and_survives_a_cut(encrypts: bool) {
    let name = if encrypts { "e" } else { "o" };
    let Some(hosts) = Hosts::new(name) else { return };
    let folder = tempfile::Builder::new().prefix("corn").tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (program, state, token) = (path("lab.corn"), path("state"), path("state/lab/token"));
    fs::write(&program, PROGRAM).unwrap();
    let mut up = vec!["up", &program, "--host", "a", "--listen", "10.77.0.1:7070", "--inflight", "4"];
    up.extend(encrypts.then_some("--encrypt"));
    let log = fs::File::create(path("up.log")).unwrap();
    let _up = Ends(hosts.corn("a", &state, &up).stderr(log).spawn().unwrap());
    wait("the token", || fs::metadata(&token).is_ok_and(|file| file.len() > 0));
    assert_eq!(fs::read_to_string(&token).unwrap().starts_with("tls-"), encrypts);
    let join = |host: &str, worker: &str, address: &str| {
        let listen = format!("{address}:0");
        let args = [
            "worker",
            "--join",
            "10.77.0.1:7070",
            "--token-file",
            &token,
            "--as",
            worker,
            "--listen",
            &listen,
        ];
        let log = fs::File::create(path(&format!("{worker}.log"))).unwrap();
        Ends(hosts.corn(host, &path(host), &args).stderr(log).spawn().unwrap())
    };
    let (_b, _c) = (join("b", "w1", "10.77.0.2"), join("c", "w2", "10.77.0.3"));
    wait("being up", || fs::read_to_string(path("up.log")).unwrap().contains("3 of 3 workers are ready"));

    let run = |args: &[&str]| hosts.corn("a", &state, args).output().unwrap();
    let status = || -> Vec<Json> {
        let status: Json = serde_json::from_slice(&run(&["ps", "lab", "--json"]).stdout).unwrap();
        status[0]["status"]["workers"].as_array().unwrap().clone()
    };
    let around = |count: usize| {
        let output = path("bytes.npy");
        let count = format!("count={count}");
        let args = ["call", "lab", "--route", "around", "--in", &count, "--out", &format!("bytes={output}")];
        let done = run(&args);
        (
            done.status.success(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
            fs::read(&output).unwrap_or_default(),
        )
    };
    let there = || run(&["call", "lab", "--route", "there", "--in", "text=Still here."]);

    // The first large one crosses whole, while the lanes open; the others in pieces.
    for count in [0usize, 1, 5000, 1_048_577, 8_388_608, 8_388_607, 4_194_304] {
        let (is_good, said, file) = around(count);
        assert!(is_good, "{said}");
        let tensor = &file[file.len() - count..];
        assert!(tensor.iter().all(|byte| *byte == count as u8), "{count} bytes arrive as they were");
    }
    wait("being told", || status()[1]["by_tcp"] == 7);

    hosts.cut("c", true);
    wait("w2 being given up", || status()[2]["standing"] == "away");
    let (is_good, said, _) = around(1);
    assert!(!is_good && said.contains("component 'pass': no worker that has it is ready"), "{said}");
    assert!(there().status.success(), "the others go on");

    hosts.cut("c", false);
    wait("w2 coming back", || status()[2]["standing"] == "ready");
    let (is_good, said, _) = around(5000);
    assert!(is_good, "{said}");
    wait("everything being given back", || status().iter().all(|worker| worker["leases"] == 0));

    // 1 MiB at 50 Mbit/s takes 170 ms, and no shortcut.
    assert!(hosts.limit("c", "50mbit"));
    let from = Instant::now();
    let (is_good, said, _) = around(1_048_577);
    assert!(is_good && from.elapsed() > Duration::from_millis(100), "{said} {:?}", from.elapsed());
    run(&["down", "lab"]);
}
