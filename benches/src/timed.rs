//! Compiles a generated program and tells how long each stage took.

use std::time::{Duration, Instant};

use corn_compiler::source::{SourceFile, Sources};
use corn_compiler::{Compilation, Emit, Target, compile_watched};
use corn_plan::catalog::{Catalog, Entry, EntryPort, PortForm};

/// How long each stage took, in order; a stage that comes several times stands once.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Name and duration.
    pub stages: Vec<(&'static str, Duration)>,
}

impl Times {
    /// How long `stage` took.
    pub fn of(&self, stage: &str) -> Duration {
        self.stages.iter().find(|(name, _)| *name == stage).map_or(Duration::ZERO, |(_, took)| *took)
    }

    /// How long all took.
    pub fn whole(&self) -> Duration {
        self.stages.iter().map(|(_, took)| *took).sum()
    }

    fn add(&mut self, stage: &'static str, took: Duration) {
        match self.stages.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, sum)) => *sum += took,
            None => self.stages.push((stage, took)),
        }
    }
}

/// No other file.
struct Alone;

impl Sources for Alone {
    fn module(&self, _path: &[&str]) -> Result<SourceFile, String> {
        Err("there is no other file".to_owned())
    }

    fn known(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Four workers with much memory, for one request at a time.
pub fn target() -> Target {
    Target { workers: 4, cpus: 64, memory_bytes: 1 << 40, inflight: 1, ..Target::default() }
}

/// What a compilation of `text` is given.
pub fn inputs(text: &str) -> (SourceFile, Catalog) {
    (SourceFile { name: "big.corn".to_owned(), text: text.to_owned() }, Catalog { entries: ENTRIES.to_vec() })
}

/// Compiles `text` and tells how long each stage took.
pub fn compiled(text: &str) -> (Compilation, Times) {
    let (root, catalog) = inputs(text);
    let mut times = Times::default();
    let mut since = Instant::now();
    let made = compile_watched(Emit::Plan, root, &Alone, &target(), &catalog, &mut |stage| {
        times.add(stage, since.elapsed());
        since = Instant::now();
    });
    (made, times)
}

const fn whole(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::value(name, modality)
}

const fn list(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::new(name, modality, PortForm::List)
}

const fn stream(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::stream(name, modality)
}

const fn entry(name: &'static str, inputs: &'static [EntryPort], outputs: &'static [EntryPort]) -> Entry {
    Entry::new("bench", name, "").ports(inputs, outputs)
}

/// What the generated programs run.
const ENTRIES: [Entry; 6] = [
    entry("upper", &[whole("text", "text").optional()], &[whole("text", "text")]),
    entry("words", &[whole("text", "text")], &[stream("words", "text")]),
    entry("shout", &[stream("text", "text")], &[stream("text", "text")]),
    entry("see", &[whole("image", "image")], &[whole("seen", "tensor")]),
    entry("look", &[whole("text", "text"), list("seen", "tensor")], &[whole("text", "text")]),
    entry("pick", &[list("texts", "text")], &[whole("text", "text")]),
];
