//! Programs of reference components, served on a port of this host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corn_compiler::Target;
use corn_compiler::source::{SourceFile, Sources};
use corn_core::executor::{CallInput, Device, Executor, Io, Loader, Model, NoProgress, Progress, Step};
use corn_core::interleaved::Interleaved;
use corn_core::{Datum, Fault, Ledger, Tensor};
use corn_engine::{Engine, NoObserver};
use corn_executors::Executors;
use corn_plan::{Component, RecordingId, Verified};
use corn_serve::proto::corn::corn_client::CornClient;
use corn_serve::{Listening, Served};
use corn_store::{Pins, Store, StoreOptions};
use tokio::sync::oneshot;
use tonic::transport::Channel;

/// What most tests serve.
pub(crate) const PROGRAM: &str = r#"
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
component Invert() {
    in  image: image max 3MiB
    out image: image max 3MiB
    run reference "image.invert"
}
component Ticks() {
    in  count: int
    out ticks: stream<tensor<f32>[1]>
    run reference "stream.ticks"
}
component Drip() {
    in  count: int
    out ticks: stream<tensor<f32>[1]>
    run reference "stream.ticks"
}
component Broken() {
    in  text: text max 1KiB
    out text: text max 2KiB
    run reference "text.upper"
}
component Pass() {
    in  bytes: tensor<u8>[n <= 1048576]
    out bytes: tensor<u8>[n <= 1048576]
    run reference "bytes.pass"
}
component Times() {
    in  video: video max 1MiB
    out times: text
    run reference "video.times"
}

let words  = Words()
let ticks  = Ticks()
let drip   = Drip()
let broken = Broken()
let tone   = Tone()
let upper  = Upper()
let mean   = Mean()
let invert = Invert()
let pass   = Pass()
let times  = Times()

graph speak(prompt: text) -> { reply: stream<text>, voice: stream<audio>? } {
    let reply = words(prompt)
    { reply, voice: tone(reply.sentences()) }
}
route say = speak(prompt) -> reply
route talk = speak(prompt) -> reply + voice

graph shout(lines: list<text max 1KiB> max 8) -> { loud: list<text max 2KiB> max 8 } {
    { loud: [upper(line) for line in lines] }
}
graph count(upto: int = 3) -> { ticks: stream<tensor<f32>[1]> } { { ticks: ticks(upto) } }
graph endless(upto: int) -> { ticks: stream<tensor<f32>[1]> } { { ticks: drip(upto) } }
graph fail(text: text max 1KiB) -> { text: text max 2KiB } { { text: broken(text) } }
graph colour(photo: image max 3MiB) -> { colour: tensor<f32>[3], negative: image max 3MiB? } {
    { colour: mean(photo), negative: invert(photo) }
}
graph echo(data: tensor<u8>[n <= 1048576]) -> { data: tensor<u8>[n <= 1048576] } { { data: pass(data) } }
graph watch(clip: video max 1MiB) -> { times: text } { { times: times(clip) } }
graph look(media: list<media max 1MiB> max 4) -> { times: list<text> max 4 } {
    { times: [match part { video => times(part) } for part in media] }
}
graph discuss(talk: messages max 8) -> { times: list<text> max 8 } {
    { times: [match part { video => times(part) } for part in talk.media] }
}
"#;

struct NoModules;

impl Sources for NoModules {
    fn module(&self, _path: &[&str]) -> Result<SourceFile, String> {
        Err("programs of these tests stand alone".to_owned())
    }

    fn known(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The verified plan of a program; what is wrong with it fails the test.
fn plan(text: &str) -> Arc<Verified> {
    let root = SourceFile { name: "served.corn".to_owned(), text: text.to_owned() };
    let target = Target {
        workers: 2,
        cpus: 4,
        memory_bytes: 16 << 30,
        inflight: 2,
        host: "local".to_owned(),
        transport: corn_plan::Transport::Pointer,
    };
    let compilation = corn_compiler::compile(root, &NoModules, &target, &corn_executors::catalog());
    let problems = compilation.render(false);
    Arc::new(compilation.plan.unwrap_or_else(|| panic!("{problems}")))
}

/// Loads the reference executors, but `drip`, which counts what it has emitted, and `broken`, which fails.
struct Odd {
    others: Executors,
    dripped: Arc<AtomicU64>,
}

impl Loader for Odd {
    fn load(
        &self,
        component: &Component,
        device: Option<Arc<dyn Device>>,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault> {
        match component.name.as_str() {
            "drip" => Ok(Box::new(Interleaved::new(Drip(Arc::clone(&self.dripped)), 4))),
            "broken" => Ok(Box::new(Interleaved::new(Broken, 1))),
            _ => self.others.load(component, device, progress),
        }
    }
}

struct Drip(Arc<AtomicU64>);

impl Model for Drip {
    type Session = ();

    fn open(&mut self, _inputs: &[CallInput]) -> Result<(), Fault> {
        Ok(())
    }

    fn step(&mut self, (): &mut (), io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        io.emit(0, Datum::Tensor(Tensor::from_f32s(&[number as f32]).into()));
        Ok(Step::More)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

struct Broken;

impl Model for Broken {
    type Session = ();

    fn open(&mut self, _inputs: &[CallInput]) -> Result<(), Fault> {
        Ok(())
    }

    fn step(&mut self, (): &mut (), _io: &mut dyn Io) -> Result<Step, Fault> {
        Err(Fault::component("the weights are made of straw"))
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// A program that is served.
pub(crate) struct Host {
    pub(crate) engine: Arc<Engine>,
    pub(crate) address: SocketAddr,
    /// Items that `drip` has emitted.
    pub(crate) dripped: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

/// What replays `text`, and the items that `drip` has emitted.
pub(crate) async fn engine(text: &str) -> (Arc<Engine>, Arc<AtomicU64>) {
    let plan = plan(text);
    let folder = std::env::temp_dir().join("corn-serve-tests-store");
    let options = StoreOptions { cache_dir: Some(folder), offline: true, ..StoreOptions::default() };
    let store = Store::open(options).unwrap_or_else(|error| panic!("{error}"));
    let dripped = Arc::new(AtomicU64::new(0));
    let loader =
        Odd { others: Executors::new(Arc::new(store), Pins::default()), dripped: Arc::clone(&dripped) };
    let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
    let starting =
        Engine::start(plan, &recordings, Arc::new(loader), Arc::new(NoProgress), Arc::new(NoObserver));
    (Arc::new(starting.await.unwrap_or_else(|fault| panic!("{fault}"))), dripped)
}

/// Serves `text` at any free port.
pub(crate) async fn host(text: &str) -> Host {
    let (engine, dripped) = engine(text).await;
    let served = Served::new(Arc::clone(&engine));
    let (stop, stopped) = oneshot::channel::<()>();
    let (bound, address) = oneshot::channel();
    let listening = Listening { grpc: Some("127.0.0.1:0".to_owned()), ..Listening::default() };
    tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        corn_serve::serve(served, &listening, |it| bound.send(it).unwrap(), stopped).await.unwrap();
    });
    let address = address.await.unwrap().grpc.unwrap();
    Host { engine, address, dripped, _stop: stop }
}

impl Host {
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn native(&self) -> CornClient<Channel> {
        CornClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    /// Ends when every worker has given back all that it held; fails the test if they do not.
    pub(crate) async fn all_given_back(&self) {
        let is_empty = async {
            while !self.engine.ledgers().iter().all(Ledger::is_empty) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), is_empty).await;
        ended.unwrap_or_else(|_| panic!("something is still held: {:?}", self.engine.ledgers()));
    }

    /// Ends when something is held, so that a request is known to be under way.
    pub(crate) async fn something_held(&self) {
        let held = async {
            while self.engine.ledgers().iter().all(Ledger::is_empty) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), held).await.unwrap();
    }
}
