//! `corn call --at`, as a person runs it against `corn serve`: answers, loads, Ctrl-C and what is said when it cannot be.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes say nothing when something has changed: they are asked"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Outcome, command, outcome};
use serde_json::Value as Json;

const PROGRAM: &str = r"
use std::reference::{Mean, Shout, Ticks, Times, Tone}
let shout = Shout()
let sing  = Tone()
let tick  = Ticks()
let mean  = Mean()
let times = Times()
graph choir(text: text max 4KiB) -> { shouted: stream<text>, voice: stream<audio>? } {
    let shouted = shout(text.sentences())
    { shouted, voice: sing(shouted) }
}
route shout = choir(text) -> shouted
route sing  = choir(text) -> shouted + voice
graph count(upto: int) -> { ticks: stream<tensor<f32>[1]> } { { ticks: tick(upto) } }
graph colour(photo: image max 8MiB) -> { colour: tensor<f32>[3] } { { colour: mean(photo) } }
graph watch(clip: video max 1MiB) -> { times: text } { { times: times(clip) } }
graph discuss(talk: messages max 4) -> { seen: list<text> max 4 } {
    { seen: [match part { video => times(part) } for part in talk.media] }
}
";

/// A server that ends with the test.
struct Serving {
    folder: tempfile::TempDir,
    process: Child,
    http: String,
    grpc: String,
}

impl Serving {
    fn new(options: &[&str]) -> Self {
        Self::of(PROGRAM, options)
    }

    fn of(text: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("choir.corn");
        fs::write(&program, text).unwrap();
        fs::write(folder.path().join("keys.txt"), "sk-right name=lab\n").unwrap();
        let log = folder.path().join("log");
        let mut serve = command(&["serve", program.to_str().unwrap()]);
        serve.args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]).args(options);
        serve.current_dir(folder.path()).stderr(fs::File::create(&log).unwrap());
        let process = serve.spawn().unwrap();
        let mut serving = Self { folder, process, http: String::new(), grpc: String::new() };
        let at = |said: &str, face| {
            said.split_once(face)?.1.split_once('\n').map(|(url, _): (&str, _)| url.to_owned())
        };
        let said = serving.wait(|said| at(said, "over gRPC at ").is_some());
        serving.grpc = at(&said, "over gRPC at ").unwrap_or_default();
        serving.http = at(&said, "to see and try it at ").unwrap_or_default();
        serving
    }

    /// Waits until it has said something, and gives all that it has said then.
    fn wait(&self, is_said: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let said = self.said();
            if is_said(&said) {
                return said;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "that takes too long; it said:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The first lines of its log that have `word`, as soon as there are so many.
    fn lines(&self, word: &str, count: usize) -> Vec<Json> {
        let begun = Instant::now();
        loop {
            let said = self.said();
            // One that is being written has no end yet.
            let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(word));
            let lines: Vec<Json> =
                lines.take(count).map(|line| serde_json::from_str(line).unwrap()).collect();
            if lines.len() == count {
                return lines;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "not {count} of {word}: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut call = command(&["call", "--at", &self.grpc]);
        call.args(args).env_remove("CORN_API_KEY");
        call
    }

    fn call(&self, args: &[&str]) -> Outcome {
        outcome(self.command(args))
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_server_answers_as_a_deployment_does() {
    let serving = Serving::new(&[]);
    let text = "text=hello there. how are you?";
    let said = serving.call(&["--in", text]).good();
    assert_eq!(said.stdout, "HELLO THERE.!\nHOW ARE YOU?!\n");

    let wav = serving.file("voice.wav");
    let sung = serving.call(&["--in", text, "--out", &format!("voice={wav}"), "--json"]).good();
    let sung: Json = serde_json::from_str(&sung.stdout).unwrap();
    assert_eq!((&sung["route"], &sung["outputs"]["voice"]["rate_hz"]), (&Json::from("sing"), &16_000.into()));
    assert_eq!(sung["outputs"]["shouted"], "HELLO THERE.!\nHOW ARE YOU?!\n");
    assert!(fs::read(&wav).unwrap().starts_with(b"RIFF"));

    let coffee = format!("photo=@{}", common::root().join("dsl-examples/media/coffee.jpg").display());
    let colour = serving.call(&["--in", &coffee, "--json"]).good();
    let colour: Json = serde_json::from_str(&colour.stdout).unwrap();
    assert_eq!(colour["outputs"]["colour"].as_array().map(Vec::len), Some(3), "{colour}");

    let film = common::root().join("engine/media/tests/data/film/high.mp4");
    let shown = "0 40 80 120 160 200 240 280 320 360 400 440";
    assert_eq!(serving.call(&["--in", &format!("clip=@{}", film.display())]).good().stdout.trim_end(), shown);
    let part = format!("talk=@{}", film.display());
    let seen = serving.call(&["--in", "talk=What is this?", "--in", &part, "--json"]).good();
    let seen: Json = serde_json::from_str(&seen.stdout).unwrap();
    assert_eq!(seen["outputs"]["seen"], serde_json::json!([shown]));

    let load = serving.call(&["--in", text, "--repeat", "200", "--concurrency", "8", "--json"]).good();
    let load: Json = serde_json::from_str(&load.stdout).unwrap();
    assert_eq!((&load["done"], &load["failed"]), (&200.into(), &0.into()), "{load}");
    assert!(load["whole_us"]["p99"].as_u64().unwrap() > 0, "{load}");
}

/// Each line that says how to ask is pasted into a shell.
#[test]
fn what_is_said_of_how_to_ask_works_as_it_stands() {
    let program = format!(
        "{PROGRAM}
route look = colour(photo) -> colour
graph reads(text: text max 4KiB) -> {{ voice: stream<audio> }} {{ {{ voice: sing(shout(text.sentences())) }} }}
route read = reads(text) -> voice
serve choir {{
    openai completions -> shout, chat -> shout, chat[audio] -> sing, realtime[audio] -> sing
    grpc
}}
serve reads {{ openai audio.speech -> read }}
serve colour {{
    grpc
    kserve
}}
"
    );
    let serving = Serving::of(&program, &["--keys", "keys.txt"]);
    // Said last; what stands before it is there as well then.
    let said = serving.wait(|said| {
        said.lines().any(|line| line.contains("models of KServe v2 at ") && line.ends_with("look"))
    });
    let picture = common::root().join("dsl-examples/media/coffee.jpg");
    fs::copy(picture, serving.file("picture.png")).unwrap();
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let shown = lines.join("\n").replace(&serving.http, "HTTP/").replace(&serving.grpc, "GRPC");
    let (http, grpc) = (serving.http.trim_end_matches('/'), serving.grpc.split_once("://").unwrap().1);
    let (ws, shown) = (http.replacen("http", "ws", 1), shown.replace(http, "HTTP").replace(grpc, "GRPC"));
    insta::assert_snapshot!(shown.replace(&ws, "WS"));
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no curl");
        return;
    }
    let path = std::path::Path::new(env!("CARGO_BIN_EXE_corn")).parent().unwrap().to_str().unwrap();
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    for line in lines.iter().filter(|line| line.contains("corn call") || line.starts_with("curl")) {
        // Whatever this machine has set for other uses of curl.
        let line = line.replace("YOUR_KEY", "sk-right").replacen("curl", "curl -q --noproxy '*' -sSf", 1);
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(serving.folder.path()).env("PATH", &path);
        outcome(shell).good();
    }
    for wav in ["voice.wav", "speech.wav"] {
        assert!(fs::read(serving.file(wav)).unwrap().starts_with(b"RIFF"), "{wav}");
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let serving = Serving::new(&["--keys", "keys.txt"]);
    let with_key = |args: &[&str]| {
        let mut call = serving.command(args);
        call.env("CORN_API_KEY", "sk-right");
        outcome(call)
    };
    with_key(&["--in", "text=a"]).good();
    serving.call(&["--api-key", "sk-right", "--in", "text=a"]).good();
    for (outcome, code, why) in [
        (serving.call(&["--in", "text=a"]), 3, "wants a key: set CORN_API_KEY"),
        (serving.call(&["--in", "text=a", "--api-key", "sk-wrong"]), 3, "does not know this key"),
        (
            with_key(&["--route", "sung", "--in", "text=a"]),
            2,
            "did you mean 'sing'? There is shout, sing, count, colour",
        ),
        (with_key(&["--in", "txt=a"]), 2, "did you mean 'text' by 'txt'?"),
        (with_key(&["--route", "sing", "--in", "text=a"]), 2, "say where it goes: --out voice=FILE.wav"),
        (with_key(&["--in", "upto=many"]), 3, "input 'upto': 'many' is no whole number"),
        (with_key(&["--in", "upto=1000000", "--deadline", "100ms"]), 124, "the deadline passed"),
        (outcome(command(&["call", "--in", "text=a"])), 2, "--at"),
        (outcome(command(&["call", "choir", "--at", &serving.grpc])), 2, "cannot be used with"),
        (outcome(command(&["call", "choir", "--cacert", "ca.pem"])), 2, "--at"),
        (
            outcome(command(&["call", "--at", serving.http.trim_end_matches('/'), "--in", "a=b"])),
            3,
            "not the one for HTTP",
        ),
        (
            outcome(command(&["call", "--at", "http://127.0.0.1:1", "--in", "a=b"])),
            6,
            "nobody listens at http://127.0.0.1:1",
        ),
    ] {
        assert_eq!(outcome.code, code, "{why}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(why), "{why}: {}", outcome.stderr);
    }
}

#[test]
fn keys_are_named_in_the_log_and_never_said() {
    let serving = Serving::new(&["--keys", "keys.txt", "--log", "json"]);
    serving.call(&["--api-key", "sk-right", "--in", "text=a"]).good();
    serving.call(&["--api-key", "sk-wrong", "--in", "text=a"]);
    let models = "GET /v1/models HTTP/1.1\r\nhost: corn\r\nauthorization: Bearer sk-right\r\nconnection: close\r\n\r\n";
    let address = serving.http.trim_start_matches("http://").trim_end_matches('/');
    let mut http = TcpStream::connect(address).unwrap();
    http.write_all(models.as_bytes()).unwrap();
    http.read_to_end(&mut Vec::new()).unwrap();
    for (word, status) in [("/corn.v1.Corn/Stream", 0), ("/v1/models", 200)] {
        let line = &serving.lines(word, 1)[0];
        let said = line.get("grpc_status").unwrap_or(&line["status"]);
        assert_eq!(
            (&line["key"], said, &line["cut"]),
            (&"lab".into(), &status.into(), &false.into()),
            "{line}"
        );
    }
    // A status without an answer has gone out whole as well.
    let refused = &serving.lines("\"grpc_status\":16", 1)[0];
    assert!(refused["cut"] == false && refused.get("key").is_none(), "{refused}");
    assert!(!serving.said().contains("sk-"), "{}", serving.said());
}

#[test]
fn why_a_call_is_refused_stands_in_the_log() {
    let serving = Serving::new(&["--log", "json"]);
    let body = r#"{"graph": "count", "inputs": {"upto": {"a secret": 1}}}"#;
    let head =
        "POST /corn/v1/infer HTTP/1.1\r\nhost: corn\r\ncontent-type: application/json\r\nconnection: close";
    let address = serving.http.trim_start_matches("http://").trim_end_matches('/');
    let mut http = TcpStream::connect(address).unwrap();
    http.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    http.read_to_end(&mut Vec::new()).unwrap();
    let line = &serving.lines("/corn/v1/infer", 1)[0];
    assert_eq!((&line["status"], &line["param"]), (&400.into(), &"inputs.upto".into()), "{line}");

    assert_eq!(serving.call(&["--in", "upto=-5"]).code, 3);
    serving.call(&["--route", "shout", "--in", "text=a"]).good();
    let lines = serving.lines("/corn.v1.Corn/Stream", 2);
    assert_eq!((&lines[0]["grpc_status"], &lines[0]["code"]), (&3.into(), &"request".into()), "{lines:?}");
    assert_eq!(lines[1]["grpc_status"], 0, "{lines:?}");
    assert!(["code", "param"].iter().all(|name| lines[1].get(name).is_none()), "{lines:?}");
    assert!(!serving.said().contains("secret"), "{}", serving.said());
}

#[test]
fn an_interrupted_call_is_cancelled_on_the_server() {
    let serving = Serving::new(&["--log", "json"]);
    let mut call = serving.command(&["--in", "upto=1000000"]);
    let mut call = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Something has come, so it is under way.
    let mut stdout = call.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1]).unwrap();
    let reading = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let killed = Command::new("kill").args(["-INT", &call.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = call.wait_with_output().unwrap();
    reading.join().unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    let line = &serving.lines("/corn.v1.Corn/Stream", 1)[0];
    assert_eq!((&line["outcome"], &line["cut"]), (&Json::from("gone"), &Json::from(true)), "{line}");
}

/// A word to stop counts whenever it is said: while the server starts as well.
#[test]
fn no_word_to_stop_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("choir.corn");
    fs::write(&program, PROGRAM).unwrap();
    let log = folder.path().join("log");
    for after_ms in (0..200).step_by(8) {
        let mut serve = command(&["serve", program.to_str().unwrap(), "--http", "127.0.0.1:0"]);
        let mut process = serve.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
        let told = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if told.elapsed() > Duration::from_secs(20) {
                process.kill().unwrap();
                process.wait().unwrap();
                panic!("told to stop after {after_ms} ms, it goes on: {}", fs::read_to_string(&log).unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
