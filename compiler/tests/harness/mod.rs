//! Compiles test programs: the standard library from its folder, other modules from
//! `cases/modules`, a machine that is the same everywhere, and a catalog without models.

use std::fs;
use std::path::{Path, PathBuf};

use corn_compiler::source::{SourceFile, Sources};
use corn_compiler::{Compilation, Target, compile};
use corn_plan::catalog::{Catalog, Entry, EntryPort, LiteralKind};

/// This crate's `tests` folder.
pub(crate) fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
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
            ["std", name] => tests().join("../../stdlib").join(name),
            [name] => tests().join("cases/modules").join(name),
            _ => return Err("there is no such file".to_owned()),
        };
        let text = fs::read_to_string(file.with_extension("corn"))
            .map_err(|_| "there is no such file".to_owned())?;
        Ok(SourceFile { name: path.join("::"), text })
    }

    fn known(&self) -> Vec<String> {
        ["std::llm", "std::reference", "std::speech", "std::text", "std::vision", "voices"]
            .map(str::to_owned)
            .to_vec()
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
    EntryPort { name, modality, stream: false, optional: false }
}

const fn optional(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort { name, modality, stream: false, optional: true }
}

const fn stream(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort { name, modality, stream: true, optional: false }
}

const fn entry(
    executor: &'static str,
    name: &'static str,
    inputs: &'static [EntryPort],
    outputs: &'static [EntryPort],
) -> Entry {
    Entry { executor, name, about: "", weights: &[], options: &[], inputs, outputs }
}

const fn model(
    executor: &'static str,
    name: &'static str,
    options: &'static [(&'static str, LiteralKind)],
    inputs: &'static [EntryPort],
    outputs: &'static [EntryPort],
) -> Entry {
    Entry { executor, name, about: "", weights: &["weights"], options, inputs, outputs }
}

use LiteralKind::{Float, Int, Text, Texts};

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
    entry("reference", "stream.ticks", &[port("count", "int")], &[stream("ticks", "tensor")]),
    entry("reference", "stream.sum", &[stream("windows", "tensor")], &[stream("sums", "tensor")]),
    model(
        "candle",
        "llama.chat",
        &[
            ("max_tokens", Int),
            ("temperature", Float),
            ("top_p", Float),
            ("seed", Int),
            ("system", Text),
            ("stop", Texts),
            ("repetition_penalty", Float),
            ("context", Int),
        ],
        &[
            port("prompt", "text"),
            optional("system", "text"),
            optional("max_tokens", "int"),
            optional("temperature", "float"),
            optional("top_p", "float"),
            optional("seed", "int"),
        ],
        &[stream("text", "text")],
    ),
    model("candle", "whisper.transcribe", &[], &[port("speech", "audio")], &[port("text", "text")]),
    Entry {
        weights: &["weights", "classes"],
        ..model(
            "candle",
            "efficientnet.classify",
            &[("top", Int)],
            &[port("image", "image")],
            &[port("labels", "text")],
        )
    },
    model("candle", "minilm.embed", &[], &[port("text", "text")], &[port("embedding", "tensor")]),
    Entry {
        weights: &["voice", "lexicon"],
        ..model(
            "onnx",
            "piper.speak",
            &[("speed", Float), ("noise", Float)],
            &[stream("text", "text")],
            &[stream("voice", "audio")],
        )
    },
    model(
        "onnx",
        "style.transfer",
        &[("style", Int)],
        &[port("photo", "image"), optional("style", "int")],
        &[port("image", "image")],
    ),
    model("toy", "vision", &[], &[port("image", "image")], &[port("embedding", "tensor")]),
    model("toy", "hearing", &[], &[port("speech", "audio")], &[port("embedding", "tensor")]),
    model(
        "toy",
        "thinker",
        &[("max_tokens", Int)],
        &[port("prompt", "text"), optional("pictures", "any"), optional("sounds", "any")],
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
];

pub(crate) fn catalog() -> Catalog {
    Catalog { entries: ENTRIES.to_vec() }
}
