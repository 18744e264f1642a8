//! Compiles test programs: the standard library from its folder, other modules from
//! `cases/modules`, a machine that is the same everywhere, and a catalog without models.

use std::fs;
use std::path::{Path, PathBuf};

use corn_compiler::source::{SourceFile, Sources};
use corn_compiler::{Compilation, Target, compile};
use corn_plan::catalog::{Catalog, Domain, Entry, EntryOption, EntryPort, PortForm, open};

/// This crate's `tests` folder.
pub(crate) fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The standard library.
pub(crate) fn stdlib() -> PathBuf {
    tests().join("../../stdlib")
}

/// The `.corn` files of a folder, sorted.
pub(crate) fn programs(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the cases are there")
        .map(|entry| entry.expect("a case can be listed").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "corn"));
    paths.sort();
    assert!(!paths.is_empty(), "{} has no cases", folder.display());
    paths
}

/// The name of a case.
pub(crate) fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).expect("a case has a plain name")
}

pub(crate) struct Modules;

impl Sources for Modules {
    fn module(&self, path: &[&str]) -> Result<SourceFile, String> {
        let file = match path {
            ["std", names @ ..] => names.iter().fold(stdlib(), |folder, name| folder.join(name)),
            [name] => tests().join("cases/modules").join(name),
            _ => return Err("there is no such file".to_owned()),
        };
        let text = fs::read_to_string(file.with_extension("corn"))
            .map_err(|_| "there is no such file".to_owned())?;
        Ok(SourceFile { name: path.join("::"), text })
    }

    fn known(&self) -> Vec<String> {
        let models = programs(&stdlib().join("models"))
            .into_iter()
            .map(|path| format!("std::models::{}", stem(&path)));
        let modules = programs(&stdlib()).into_iter().map(|path| format!("std::{}", stem(&path)));
        let own = programs(&tests().join("cases/modules")).into_iter().map(|path| stem(&path).to_owned());
        own.chain(modules).chain(models).collect()
    }
}

/// Two workers of 16 GiB, for two requests at once. A first line `// target: memory 1GiB` changes it.
pub(crate) fn target(text: &str) -> Target {
    let mut target = Target { workers: 2, cpus: 4, memory_bytes: 16 << 30, inflight: 2, ..Target::default() };
    let settings = text.lines().next().and_then(|line| line.strip_prefix("// target: ")).unwrap_or_default();
    let mut words = settings.split_whitespace();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        let number: u32 = value.parse().expect("a setting is a number");
        match key {
            "workers" => target.workers = number,
            "cpus" => target.cpus = number,
            "inflight" => target.inflight = number,
            "mebibytes" => target.memory_bytes = u64::from(number) << 20,
            other => panic!("no setting {other}"),
        }
    }
    target
}

pub(crate) fn compile_text(name: &str, text: &str) -> Compilation {
    let root = SourceFile { name: name.to_owned(), text: text.to_owned() };
    compile(root, &Modules, &target(text), &catalog())
}

const fn port(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::value(name, modality)
}

const fn optional(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::value(name, modality).optional()
}

/// One or several, of any modality.
const fn any(name: &'static str) -> EntryPort {
    EntryPort::new(name, "any", PortForm::Whole).optional()
}

const fn stream(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::stream(name, modality)
}

const fn entry(
    executor: &'static str,
    name: &'static str,
    inputs: &'static [EntryPort],
    outputs: &'static [EntryPort],
) -> Entry {
    Entry::new(executor, name, "").ports(inputs, outputs)
}

const fn model(
    executor: &'static str,
    name: &'static str,
    options: &'static [EntryOption],
    inputs: &'static [EntryPort],
    outputs: &'static [EntryPort],
) -> Entry {
    entry(executor, name, inputs, outputs).weights(&["weights"]).options(options)
}

const fn option(name: &'static str, domain: Domain) -> EntryOption {
    EntryOption::new(name, domain)
}

/// What the tests' programs run: the reference entries, those of the standard library, and parts
/// of an any-to-any model.
const ENTRIES: &[Entry] = &[
    entry("reference", "text.upper", &[port("text", "text")], &[port("text", "text")]),
    entry("reference", "text.words", &[port("text", "text")], &[stream("words", "text")]),
    entry("reference", "text.shout", &[stream("text", "text")], &[stream("text", "text")]),
    entry("reference", "text.count", &[port("text", "text")], &[port("count", "int")]),
    entry("reference", "text.embed", &[port("text", "text")], &[port("embedding", "tensor")]),
    entry("reference", "tone.speak", &[stream("text", "text")], &[stream("voice", "audio")]),
    entry("reference", "image.mean", &[port("image", "image")], &[port("colour", "tensor")]),
    entry("reference", "image.invert", &[port("image", "image")], &[port("image", "image")]),
    entry("reference", "video.times", &[port("video", "video")], &[port("times", "text")]),
    entry("reference", "stream.ticks", &[port("count", "int")], &[stream("ticks", "tensor")]),
    entry("reference", "stream.sum", &[stream("windows", "tensor")], &[stream("sums", "tensor")]),
    model(
        "candle",
        "llama.chat",
        &[
            option("max_tokens", Domain::COUNT),
            option("temperature", Domain::Float(0.0, 10.0)),
            option("top_p", Domain::SHARE),
            option("seed", Domain::INT),
            option("system", Domain::Text),
            option("stop", Domain::Texts),
            option("repetition_penalty", Domain::Float(1.0, 2.0)),
            option("context", Domain::COUNT),
            option("prefix_cache", Domain::Int(0, u32::MAX as i64)),
        ],
        &[
            optional("prompt", "text"),
            optional("system", "text"),
            optional("max_tokens", "int"),
            optional("temperature", "float"),
            optional("top_p", "float"),
            optional("seed", "int"),
            optional("messages", "messages"),
            optional("schema", "text"),
        ],
        &[stream("text", "text")],
    )
    .remembers(&["system", "messages", "prompt"]),
    model(
        "candle",
        "whisper.transcribe",
        &[],
        &[port("speech", "audio"), optional("language", "text")],
        &[port("text", "text")],
    ),
    model(
        "candle",
        "efficientnet.classify",
        &[option("top", Domain::Int(1, 1000))],
        &[port("image", "image")],
        &[port("labels", "text")],
    )
    .weights(&["weights", "classes"]),
    model("candle", "minilm.embed", &[], &[port("text", "text")], &[port("embedding", "tensor")]),
    model(
        "onnx",
        "piper.speak",
        &[option("speed", Domain::Float(0.5, 3.0)), option("noise", Domain::Float(0.0, 1.0))],
        &[stream("text", "text")],
        &[stream("voice", "audio")],
    )
    .weights(&["voice", "lexicon"]),
    model(
        "onnx",
        "style.transfer",
        &[option("style", Domain::Int(0, 25))],
        &[port("photo", "image"), optional("style", "int")],
        &[port("image", "image")],
    ),
    model("toy", "vision", &[], &[port("image", "image")], &[port("embedding", "tensor")]),
    model("toy", "hearing", &[], &[port("speech", "audio")], &[port("embedding", "tensor")]),
    model(
        "toy",
        "thinker",
        &[option("max_tokens", Domain::COUNT)],
        &[port("prompt", "text"), any("pictures"), any("sounds")],
        &[stream("text", "text"), stream("hidden", "tensor")],
    ),
    model(
        "toy",
        "talker",
        &[],
        &[stream("hidden", "tensor"), optional("speaker", "enum")],
        &[stream("codes", "tensor")],
    ),
    model("toy", "vocoder", &[], &[stream("codes", "tensor")], &[stream("wave", "audio")]),
    entry("toy", "revise", &[stream("draft", "text"), port("summary", "text")], &[stream("text", "text")]),
    entry("toy", "answer", &[port("messages", "messages")], &[stream("text", "text")]),
];

pub(crate) fn catalog() -> Catalog {
    Catalog { entries: [ENTRIES, open::ENTRIES].concat() }
}
