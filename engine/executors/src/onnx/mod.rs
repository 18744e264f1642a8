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

use corn_plan::catalog::{Entry, EntryPort, LiteralKind};

/// The catalog entries of the executor `onnx`.
pub const ENTRIES: &[Entry] = &[
    Entry {
        executor: "onnx",
        name: "piper.speak",
        about: "Reads English text aloud with a Piper voice.",
        weights: &["voice", "lexicon"],
        options: &[("speed", LiteralKind::Float), ("noise", LiteralKind::Float)],
        inputs: &[EntryPort { name: "text", modality: "text", stream: true, optional: false }],
        outputs: &[EntryPort { name: "voice", modality: "audio", stream: true, optional: false }],
    },
    Entry {
        executor: "onnx",
        name: "style.transfer",
        about: "Repaints a photo in one of the network's styles.",
        weights: &["weights"],
        options: &[("style", LiteralKind::Int)],
        inputs: &[
            EntryPort { name: "photo", modality: "image", stream: false, optional: false },
            EntryPort { name: "style", modality: "int", stream: false, optional: true },
        ],
        outputs: &[EntryPort { name: "image", modality: "image", stream: false, optional: false }],
    },
];
