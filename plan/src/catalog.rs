//! The catalog: what each executor can run, so that the compiler refuses what it cannot.
//!
//! Executors publish their entries as data; the compiler checks every `run` clause against them
//! and never names an executor itself.

/// Everything that this build can run.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// All entries of all executors.
    pub entries: Vec<Entry>,
}

/// One thing an executor can run.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The executor's name in `run`, such as `candle`.
    pub executor: &'static str,
    /// The entry's name in `run`, such as `whisper.transcribe`.
    pub name: &'static str,
    /// One sentence for people.
    pub about: &'static str,
    /// Names of weights parameters, all required.
    pub weights: &'static [&'static str],
    /// Other parameters, each with the literals it takes; the component gives their values.
    pub options: &'static [(&'static str, LiteralKind)],
    /// Input ports.
    pub inputs: &'static [EntryPort],
    /// Output ports. A component may declare fewer.
    pub outputs: &'static [EntryPort],
}

/// A port of an entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryPort {
    /// Its name.
    pub name: &'static str,
    /// The modality word of its items: `text`, `image`, `audio`, `tensor`, `int`, `float`, `bool`,
    /// `enum`, or `any`.
    pub modality: &'static str,
    /// Whether its items come as a stream.
    pub stream: bool,
    /// Whether a component may leave it out or declare it optional (inputs only).
    pub optional: bool,
}

/// Which literals an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// An integer.
    Int,
    /// A float (an integer is taken as one).
    Float,
    /// `true` or `false`.
    Bool,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
}

impl Catalog {
    /// The entry that `run EXECUTOR "NAME"` names.
    pub fn find(&self, executor: &str, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.executor == executor && entry.name == name)
    }
}
