//! Models that run in this process, over candle's tensors and quantised products; `llama.chat` also on a GPU.
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
use corn_core::batched::{Batched, Limits};
use corn_core::executor::{Executor, Progress};
use corn_core::interleaved::Interleaved;
use corn_plan::catalog::{Domain, Entry, EntryOption, EntryPort};
use corn_plan::{Batch, Literal};

pub use llama::OnGpu;
pub use threads::CANDLE_THREADS_VARIABLE;

/// What this module can run.
pub const ENTRIES: &[Entry] = &[
    Entry::new(
        "candle",
        llama::NAME,
        "Answers a prompt, or goes on with a conversation, with a language model of the Llama family (GGUF), \
         streaming its text.",
    )
    .weights(&["weights"])
    .options(&[
        EntryOption::new("max_tokens", Domain::Int(1, u32::MAX as i64)),
        EntryOption::new("temperature", Domain::Float(0.0, 10.0)),
        EntryOption::new("top_p", Domain::SHARE),
        EntryOption::new("seed", Domain::INT),
        EntryOption::new("system", Domain::Text),
        EntryOption::new("stop", Domain::Texts),
        EntryOption::new("repetition_penalty", Domain::Float(1.0, 2.0)),
        EntryOption::new("context", Domain::Int(1, u32::MAX as i64)),
        EntryOption::new("prefix_cache", Domain::Int(0, u32::MAX as i64)),
    ])
    .ports(
        &[
            EntryPort::value("prompt", "text").optional(),
            EntryPort::value("system", "text").optional(),
            EntryPort::value("max_tokens", "int").optional(),
            EntryPort::value("temperature", "float").optional(),
            EntryPort::value("top_p", "float").optional(),
            EntryPort::value("seed", "int").optional(),
            EntryPort::value("messages", "messages").optional(),
            EntryPort::value("schema", "text").optional(),
        ],
        &[EntryPort::stream("text", "text")],
    )
    .remembers(&["system", "messages", "prompt"]),
    Entry::new("candle", whisper::NAME, "Writes down what is said in a recording (Whisper).")
        .weights(&["weights"])
        .options(&[EntryOption::new("language", Domain::Filled)])
        .ports(
            &[EntryPort::value("speech", "audio"), EntryPort::value("language", "text").optional()],
            &[EntryPort::value("text", "text")],
        ),
    Entry::new(
        "candle",
        efficientnet::NAME,
        "Says what is to be seen on a picture: the likeliest of the thousand classes of ImageNet.",
    )
    .weights(&["weights", "classes"])
    .options(&[EntryOption::new("top", Domain::Int(1, 1000))])
    .ports(&[EntryPort::value("image", "image")], &[EntryPort::value("labels", "text")]),
    Entry::new(
        "candle",
        minilm::NAME,
        "Places a text among others by its meaning: a vector of length 1 (sentence-transformers).",
    )
    .weights(&["weights"])
    .ports(&[EntryPort::value("text", "text")], &[EntryPort::value("embedding", "tensor")]),
];

/// Those of them that run on a GPU, if their component needs one.
pub(crate) const ON_GPU: [&str; 1] = [llama::NAME];

/// What a component may work on.
#[derive(Clone)]
pub struct Place {
    /// Threads.
    pub cpus: u32,
    /// How many calls at once.
    pub batch: Batch,
    /// Its GPU, if it needs one.
    pub gpu: Option<OnGpu>,
}

/// Loads what entry `name` runs: `files` are the paths of its weights by parameter.
pub fn load(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    place: &Place,
    progress: &dyn Progress,
) -> Result<Box<dyn Executor>, Fault> {
    let Place { cpus, batch, .. } = *place;
    Ok(match name {
        llama::NAME => Box::new(llama::load(files, options, place, progress)?),
        whisper::NAME => {
            Box::new(Interleaved::new(whisper::load(files, options, cpus, progress)?, batch.max))
        }
        efficientnet::NAME => {
            let model = efficientnet::load(files, options, cpus, progress)?;
            Box::new(Batched::new(model, Limits::new(batch, efficientnet::BATCH_PICTURES)))
        }
        minilm::NAME => {
            let model = minilm::load(files, cpus, progress)?;
            Box::new(Batched::new(model, Limits::new(batch, minilm::BATCH_TOKENS)))
        }
        _ => return Err(unknown(name)),
    })
}

fn unknown(name: &str) -> Fault {
    let names: Vec<_> = ENTRIES.iter().map(|entry| entry.name).collect();
    Fault::setup(format!("candle has no entry {name:?}; it has {}", names.join(", ")))
}
