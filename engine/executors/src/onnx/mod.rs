//! Models that ONNX Runtime runs on the CPU.
//!
//! [`speak`] reads text aloud with a Piper voice, [`style`] repaints photos. Both load from files
//! that are on disk already, and both need the ONNX Runtime library, which is opened at run time
//! ([`runtime`]). `graph` is the only file that makes sessions and tensors; `english` turns
//! written English into phonemes and knows nothing of ONNX.

mod english;
mod given;
mod graph;
pub mod runtime;
pub mod speak;
pub mod style;
mod voice;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corn_core::Fault;
use corn_core::executor::Executor;
use corn_core::interleaved::Interleaved;
use corn_plan::Literal;
use corn_plan::catalog::{Domain, Entry, EntryOption, EntryPort};

/// The catalog entries of the executor `onnx`.
pub const ENTRIES: &[Entry] = &[
    Entry::new("onnx", "piper.speak", "Reads English text aloud with a Piper voice.")
        .weights(&["voice", "lexicon"])
        .options(&[
            EntryOption::new("speed", Domain::Float(0.5, 3.0)),
            EntryOption::new("noise", Domain::Float(0.0, 1.0)),
        ])
        .ports(&[EntryPort::stream("text", "text")], &[EntryPort::stream("voice", "audio")]),
    Entry::new("onnx", "style.transfer", "Repaints a photo in one of the network's styles.")
        .weights(&["weights"])
        .options(&[EntryOption::new("style", Domain::Int(0, i64::MAX))])
        .ports(
            &[EntryPort::value("photo", "image"), EntryPort::value("style", "int").optional()],
            &[EntryPort::value("image", "image")],
        ),
];

/// Loads what entry `name` runs: `files` are the paths of its weights by parameter, `cpus` the threads it may work
/// on, `max_open` the calls it has open at once, `library` the ONNX Runtime library.
pub fn load(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    cpus: u32,
    max_open: u32,
    library: Option<&Path>,
) -> Result<Box<dyn Executor>, Fault> {
    match name {
        "piper.speak" => {
            Ok(Box::new(Interleaved::new(speak::load(files, options, cpus, library)?, max_open)))
        }
        "style.transfer" => {
            Ok(Box::new(Interleaved::new(style::load(files, options, cpus, library)?, max_open)))
        }
        _ => {
            let names: Vec<_> = ENTRIES.iter().map(|entry| entry.name).collect();
            Err(Fault::setup(format!("onnx has no entry {name:?}; it has {}", names.join(", "))))
        }
    }
}
