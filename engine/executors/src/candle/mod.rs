//! Models that run in this process on the CPU, over candle's tensors and quantised products.
//!
//! Each entry has a file or folder of its own: it reads weights that the store has put on disk, and
//! runs them. Networks are written here and not taken from `candle-transformers`, because
//! there the state of a call lives inside the model: one call at a time.
//!
//! Calls give one [`CallInput`](corn_core::executor::CallInput) for each input port *of the entry*,
//! in its order; ports that a component leaves out are `Absent`.

mod attention;
mod dense;
mod efficientnet;
mod files;
mod llama;
mod minilm;
mod options;
#[cfg(test)]
mod tests;
mod threads;
mod whisper;

use std::collections::BTreeMap;
use std::path::PathBuf;

use corn_core::Fault;
use corn_core::executor::{Executor, Progress};
use corn_core::interleaved::Interleaved;
use corn_plan::Literal;
use corn_plan::catalog::{Entry, EntryPort, LiteralKind};

pub use threads::CANDLE_THREADS_VARIABLE;

/// What this module can run.
pub const ENTRIES: &[Entry] = &[
    Entry {
        executor: "candle",
        name: llama::NAME,
        about: "Answers a prompt with a language model of the Llama family (GGUF), streaming its text.",
        weights: &["weights"],
        options: &[
            ("max_tokens", LiteralKind::Int),
            ("temperature", LiteralKind::Float),
            ("top_p", LiteralKind::Float),
            ("seed", LiteralKind::Int),
            ("system", LiteralKind::Text),
            ("stop", LiteralKind::Texts),
            ("repetition_penalty", LiteralKind::Float),
            ("context", LiteralKind::Int),
        ],
        inputs: &[
            value("prompt", "text"),
            optional("system", "text"),
            optional("max_tokens", "int"),
            optional("temperature", "float"),
            optional("top_p", "float"),
            optional("seed", "int"),
        ],
        outputs: &[EntryPort { name: "text", modality: "text", stream: true, optional: false }],
    },
    Entry {
        executor: "candle",
        name: whisper::NAME,
        about: "Writes down what is said in a recording (Whisper).",
        weights: &["weights"],
        options: &[("language", LiteralKind::Text)],
        inputs: &[value("speech", "audio")],
        outputs: &[value("text", "text")],
    },
    Entry {
        executor: "candle",
        name: efficientnet::NAME,
        about: "Says what is to be seen on a picture: the likeliest of the thousand classes of ImageNet.",
        weights: &["weights", "classes"],
        options: &[("top", LiteralKind::Int)],
        inputs: &[value("image", "image")],
        outputs: &[value("labels", "text")],
    },
    Entry {
        executor: "candle",
        name: minilm::NAME,
        about: "Places a text among others by its meaning: a vector of length 1 (sentence-transformers).",
        weights: &["weights"],
        options: &[],
        inputs: &[value("text", "text")],
        outputs: &[value("embedding", "tensor")],
    },
];

const fn value(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort { name, modality, stream: false, optional: false }
}

const fn optional(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort { name, modality, stream: false, optional: true }
}

/// Loads what entry `name` runs: `files` are the paths of its weights by parameter, `cpus` the
/// threads it may work on, and `max_open` the calls it has open at once.
pub fn load(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    cpus: u32,
    max_open: u32,
    progress: &dyn Progress,
) -> Result<Box<dyn Executor>, Fault> {
    Ok(match name {
        llama::NAME => Box::new(llama::load(files, options, cpus, max_open, progress)?),
        whisper::NAME => Box::new(Interleaved::new(whisper::load(files, options, cpus, progress)?, max_open)),
        efficientnet::NAME => {
            Box::new(Interleaved::new(efficientnet::load(files, options, cpus, progress)?, max_open))
        }
        minilm::NAME => Box::new(Interleaved::new(minilm::load(files, cpus, progress)?, max_open)),
        _ => return Err(unknown(name)),
    })
}

fn unknown(name: &str) -> Fault {
    let names: Vec<_> = ENTRIES.iter().map(|entry| entry.name).collect();
    Fault::setup(format!("candle has no entry {name:?}; it has {}", names.join(", ")))
}
