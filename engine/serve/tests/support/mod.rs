//! What the tests of the OpenAI-compatible face share: graphs that answer every endpoint, served in this process.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]
#![allow(clippy::print_stderr, reason = "a test that is skipped must be seen to be")]

pub(crate) mod certificates;
pub(crate) mod changes;
pub(crate) mod python;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use corn_compiler::Target;
use corn_compiler::source::{SourceFile, Sources};
use corn_core::datum::Part;
use corn_core::executor::{
    CallInput, Device, Executor, Io, Loader, Model, NoProgress, Progress, Step, Usage,
};
use corn_core::interleaved::Interleaved;
use corn_core::{Datum, Fault, Image};
use corn_engine::{Engine, NoObserver, Observer};
use corn_executors::Executors;
use corn_plan::{Component, Form, RecordingId, Verified};
use corn_serve::{Keys, Listening, Served};
use corn_store::{Pins, Store, StoreOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Every endpoint, by graphs of reference components and of the models below.
pub(crate) const PROGRAM: &str = include_str!("served.corn");

/// The same, where what never ends has no deadline.
pub(crate) fn without_deadline() -> String {
    let program = PROGRAM.replace("    deadline 3s\n", "");
    assert_ne!(program, PROGRAM);
    program
}

/// Whether this process may have so many open files: a connection is one at both of its ends, and many systems let a
/// process have few unless it asks for more.
pub(crate) fn may_open(files: u64) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let lacks = || getrlimit(Resource::Nofile).current.is_some_and(|current| current < files);
    if lacks() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        // Who may not have them is skipped.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum });
    }
    let may_open = !lacks();
    if !may_open {
        eprintln!("SKIPPED: no {files} files may be open here");
    }
    may_open
}

struct NoModules;

impl Sources for NoModules {
    fn module(&self, path: &[&str]) -> Result<SourceFile, String> {
        Err(format!("there is no module {}", path.join("::")))
    }

    fn known(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A plan for two workers of one process.
pub(crate) fn plan(text: &str, inflight: u32) -> Arc<Verified> {
    let target = Target {
        workers: 2,
        cpus: 4,
        memory_bytes: 16 << 30,
        inflight,
        host: "local".to_owned(),
        transport: corn_plan::Transport::Pointer,
    };
    let root = SourceFile { name: "served.corn".to_owned(), text: text.to_owned() };
    let compilation = corn_compiler::compile(root, &NoModules, &target, &corn_executors::catalog());
    let problems = compilation.render(false);
    Arc::new(compilation.plan.unwrap_or_else(|| panic!("{problems}")))
}

/// An engine in this process, with everything of a plan loaded.
pub(crate) async fn engine(plan: Arc<Verified>) -> Engine {
    observed(plan, Arc::new(NoObserver)).await
}

/// The same, and `observer` is told what it does.
pub(crate) async fn observed(plan: Arc<Verified>, observer: Arc<dyn Observer>) -> Engine {
    let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
    let folder = tempfile::tempdir().unwrap();
    let options =
        StoreOptions { cache_dir: Some(folder.path().to_owned()), offline: true, ..StoreOptions::default() };
    let store = Arc::new(Store::open(options).unwrap());
    let loader = Arc::new(Loaded { others: Executors::new(store, Pins::default()) });
    let engine = Engine::start(plan, &recordings, loader, Arc::new(NoProgress), observer).await;
    engine.unwrap()
}

/// A deployment and where it listens.
pub(crate) struct Server {
    engine: Option<Arc<Engine>>,
    pub(crate) address: SocketAddr,
    /// Where gRPC listens, if it was told to.
    pub(crate) grpc: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    faces: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves a program.
    pub(crate) async fn start(text: &str, inflight: u32, keys: Option<Keys>) -> Self {
        Self::start_at(text, inflight, Listening { keys, ..Listening::default() }).await
    }

    /// Serves a program over HTTP as `listening` says.
    pub(crate) async fn start_at(text: &str, inflight: u32, listening: Listening) -> Self {
        let engine = Arc::new(engine(plan(text, inflight)).await);
        let server = Self::serve(Served::new(Arc::clone(&engine)), listening).await;
        Self { engine: Some(engine), ..server }
    }

    /// Serves what may not have been loaded yet.
    pub(crate) async fn serve(served: Arc<Served>, listening: Listening) -> Self {
        let (bound, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let listening = Listening { http: Some("127.0.0.1:0".to_owned()), ..listening };
        let faces = tokio::spawn(async move {
            let tell = |at: corn_serve::Bound| bound.send(at).unwrap();
            let stopped = async {
                let _ = stopped.await;
            };
            corn_serve::serve(served, &listening, tell, stopped).await.unwrap();
        });
        let at = address.await.unwrap();
        Self { engine: None, address: at.http.unwrap(), grpc: at.grpc, stop: Some(stop), faces }
    }

    /// The engine in this process that answers.
    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// Waits until no worker holds anything for a request.
    pub(crate) async fn idle(&self) {
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        let engine = self.engine();
        while !engine.ledgers().iter().all(corn_core::Ledger::is_empty) {
            assert!(tokio::time::Instant::now() < until, "something is still held: {:?}", engine.ledgers());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The metrics, once each of `lines` stands in them: what ended is counted a moment after its client was told.
    pub(crate) async fn metrics_with(&self, lines: &[&str]) -> String {
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let text = self.get("/metrics").await.text();
            let Some(missing) = lines.iter().find(|line| !text.lines().any(|it| it == **line)) else {
                return text;
            };
            assert!(tokio::time::Instant::now() < until, "no {missing}\n{text}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Stops the faces, lets what is under way end, and waits for it.
    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.faces.await.unwrap();
    }

    /// Sends a request and reads the answer to the end of the connection.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = self.send(method, path, headers, body).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Reply::parse(&bytes)
    }

    /// Sends a request.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: corn\r\nconnection: close\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server may refuse before it has read everything.
        let _ = stream.write_all(body).await;
        stream
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.ask("POST", path, &headers, body.to_string().as_bytes()).await
    }

    /// Asks for something.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"").await
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let is_chunked =
            headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let rest = &bytes[end + 4..];
        let body = if is_chunked { unchunked(rest) } else { rest.to_vec() };
        Self { status, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `data` of each event.
    pub(crate) fn events(&self) -> Vec<String> {
        self.text().lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    /// The message, type, param and code of an error.
    pub(crate) fn error(&self) -> (String, String, String, String) {
        let error = &self.json()["error"];
        let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (part("message"), part("type"), part("param"), part("code"))
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|it| it == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}

/// Loads the models below where a component says so, and reference executors else.
struct Loaded {
    others: Executors,
}

impl Loader for Loaded {
    fn load(
        &self,
        component: &Component,
        device: Option<Arc<dyn Device>>,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault> {
        let max = component.batch.max;
        let make: fn(&[CallInput]) -> Made = match component.entry.as_str() {
            "test:Describe" => describe,
            "test:Hear" => hear,
            "test:Paint" => paint,
            "test:Sketch" => sketch,
            "test:Retouch" => retouch,
            "test:Break" => breaks,
            "test:Forever" => |_| Box::new((0..).map(|n| Ok(Datum::text(format!("{n} "))))),
            "test:Knobs" => knobs,
            "test:Counts" => return Ok(Box::new(Interleaved::new(Counts, max))),
            _ => return self.others.load(component, device, progress),
        };
        // Only a stream has windows to have room in.
        let is_streamed = matches!(component.outputs[0].ty.form, Form::Stream { .. });
        Ok(Box::new(Interleaved::new(Makes { make, is_streamed }, max)))
    }
}

type Made = Box<dyn Iterator<Item = Result<Datum, Fault>> + Send>;

/// Makes the items of its one output.
struct Makes {
    make: fn(&[CallInput]) -> Made,
    is_streamed: bool,
}

impl Model for Makes {
    type Session = Made;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Made, Fault> {
        Ok((self.make)(inputs))
    }

    fn step(&mut self, made: &mut Made, io: &mut dyn Io) -> Result<Step, Fault> {
        if self.is_streamed && !io.has_room(0) {
            return Ok(Step::Wait);
        }
        match made.next() {
            Some(item) => {
                io.emit(0, item?);
                Ok(Step::More)
            }
            None => Ok(Step::Done),
        }
    }

    fn memory_bytes(&self) -> u64 {
        0
    }

    fn is_light(&self) -> bool {
        true
    }
}

/// Repeats the words of a text and says that they are tokens, the first two of which it knew. It is cut where it says so.
struct Counts;

impl Model for Counts {
    type Session = (Vec<String>, usize);

    fn open(&mut self, inputs: &[CallInput]) -> Result<(Vec<String>, usize), Fault> {
        let Some(Datum::Text(text)) = value(inputs, 0) else { panic!("no text") };
        Ok((text.split_whitespace().map(str::to_owned).collect(), 0))
    }

    fn step(&mut self, (words, said): &mut (Vec<String>, usize), io: &mut dyn Io) -> Result<Step, Fault> {
        if *said == 0 {
            let prompt_tokens = 10 * words.len() as u64;
            io.used(Usage { prompt_tokens, cached_tokens: 2, ..Usage::default() });
        }
        let Some(word) = words.get(*said) else {
            let is_cut = words.iter().any(|word| word == "cut");
            io.used(Usage { completion_tokens: 7 * words.len() as u64, is_cut, ..Usage::default() });
            return Ok(Step::Done);
        };
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        io.emit(0, Datum::text(format!("{word} ")));
        *said += 1;
        Ok(Step::More)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }

    fn is_light(&self) -> bool {
        true
    }
}

fn value(inputs: &[CallInput], at: usize) -> Option<Datum> {
    if let Some(CallInput::Value(datum)) = inputs.get(at) { Some(datum.clone()) } else { None }
}

fn texts(words: Vec<String>) -> Made {
    Box::new(words.into_iter().map(|word| Ok(Datum::text(word))))
}

/// Writes a conversation down, with what its media are.
fn describe(inputs: &[CallInput]) -> Made {
    let Some(Datum::Messages(conversation)) = value(inputs, 0) else { panic!("no conversation") };
    let media = if let Some(Datum::List(media)) = value(inputs, 1) { media.to_vec() } else { Vec::new() };
    let mut media = media.into_iter();
    let mut words = Vec::new();
    for message in &conversation.messages {
        words.push(format!("{}:", message.role.name()));
        for part in &message.parts {
            words.push(match part {
                Part::Text(text) => format!(" {text}"),
                Part::Media(_) => match media.next() {
                    Some(Datum::Image(image)) => format!(" <{}x{}>", image.width, image.height),
                    Some(Datum::Audio(audio)) => format!(" <{} ms>", audio.duration_ms()),
                    Some(Datum::Video(video)) => {
                        let last = video.frames.last().unwrap();
                        format!(" <{} frames to {} ms>", video.frames.len(), last.time_us / 1000)
                    }
                    other => format!(" <{other:?}>"),
                },
            });
        }
        words.push("\n".to_owned());
    }
    texts(words)
}

/// Says how long a sound is.
fn hear(inputs: &[CallInput]) -> Made {
    let Some(Datum::Audio(audio)) = value(inputs, 0) else { panic!("no sound") };
    texts(vec![format!("{} ms ", audio.duration_ms()), format!("at {} Hz", audio.rate_hz)])
}

/// Pictures of one colour, as wide as the text is long.
fn paint(inputs: &[CallInput]) -> Made {
    let (Some(Datum::Text(text)), Some(Datum::Int(n))) = (value(inputs, 0), value(inputs, 1)) else {
        panic!("no text and number")
    };
    let width = text.len().max(1) as u32;
    let one = |n: i64| {
        let rgb = vec![n as u8; width as usize * 3].into();
        Datum::Image(Image { width, height: 1, rgb }.into())
    };
    let pictures = Datum::List((0..n).map(one).collect());
    Box::new(std::iter::once(Ok(pictures)))
}

/// A picture for each word, as wide as the word.
fn sketch(inputs: &[CallInput]) -> Made {
    let Some(Datum::Text(text)) = value(inputs, 0) else { panic!("no text") };
    let widths: Vec<u32> = text.split_whitespace().map(|word| word.len() as u32).collect();
    Box::new(widths.into_iter().map(|width| {
        let rgb = vec![7; width as usize * 3].into();
        Ok(Datum::Image(Image { width, height: 1, rgb }.into()))
    }))
}

/// The pictures in negative, if the text says so.
fn retouch(inputs: &[CallInput]) -> Made {
    let (Some(Datum::Text(text)), Some(Datum::List(images))) = (value(inputs, 0), value(inputs, 1)) else {
        panic!("no text and pictures")
    };
    let mask = if &*text == "negative" { 0xff } else { 0 };
    let one = |datum: &Datum| {
        let Datum::Image(image) = datum else { panic!("no picture") };
        let rgb: Vec<u8> = image.rgb.iter().map(|byte| byte ^ mask).collect();
        Datum::Image(Image { rgb: rgb.into(), ..**image }.into())
    };
    let pictures = Datum::List(images.iter().map(one).collect());
    Box::new(std::iter::once(Ok(pictures)))
}

/// Says two words and breaks; at once, where it is told so.
fn breaks(inputs: &[CallInput]) -> Made {
    let at_once = matches!(value(inputs, 0), Some(Datum::Text(text)) if text.contains("at once"));
    let words = if at_once { 0 } else { 2 };
    let said = (0..words).map(|n| Ok(Datum::text(format!("word{n} "))));
    Box::new(said.chain(std::iter::once(Err(Fault::component("it broke, as it was told")))))
}

/// Says what it was told beside its text.
fn knobs(inputs: &[CallInput]) -> Made {
    let said = (1..inputs.len()).filter_map(|at| value(inputs, at)).map(|datum| format!("{datum:?} "));
    texts(said.collect())
}
