//! Entries of executors whose work is the program's to name: `python`, `openai` and `sim`.
//!
//! They stand here and not with the code that runs them because they are part of the contract: a program
//! that uses them compiles everywhere, on builds and machines that cannot run it too, and the simulator
//! reads `sim` out of plans without any executor.

use super::PortForm::{Either, Whole};
use super::{Domain, Entry, EntryForm, EntryOption, EntryPort, Open};

/// The entries of `python`, `openai` and `sim`.
pub const ENTRIES: &[Entry] = &[
    PYTHON,
    CHAT,
    Entry { name: "http://host:port/v1/chat/completions", form: EntryForm::Url("/chat/completions"), ..CHAT },
    SPEECH,
    TRANSCRIPTION,
    IMAGE,
    EMBEDDING,
    SIM_CONSTANT,
    SIM_TOKENS,
    SIM_STEPS,
];

/// A class in a worker process of its own. Its ports, weights and options are what the component
/// declares.
const PYTHON: Entry = Entry {
    form: EntryForm::Class,
    open: Open::ALL,
    ..Entry::new("python", "package.module:Class", "Runs a Python class in a worker process of its own.")
};

const fn text(name: &'static str) -> EntryPort {
    EntryPort::value(name, "text")
}

const fn optional(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::value(name, modality).optional()
}

/// Which model of the server answers.
const MODEL: EntryOption = EntryOption::required("model", Domain::Filled);
/// The environment variable that holds the key; keys themselves never stand in a program or plan.
const KEY: EntryOption = EntryOption::new("api_key_env", Domain::Filled);
/// After how long an answer that has not begun is given up.
const TIMEOUT: EntryOption = EntryOption::new("timeout_s", Domain::Int(1, 86_400));

/// Chat completions of an engine that is already served.
const CHAT: Entry = Entry {
    form: EntryForm::Url(""),
    one_of: &["messages", "prompt"],
    ..Entry::new("openai", "http://host:port/v1", "Asks a served model for a chat completion.")
        .options(&[
            MODEL,
            EntryOption::new("max_tokens", Domain::COUNT),
            EntryOption::new("temperature", Domain::Float(0.0, 2.0)),
            EntryOption::new("top_p", Domain::SHARE),
            EntryOption::new("frequency_penalty", Domain::Float(-2.0, 2.0)),
            EntryOption::new("presence_penalty", Domain::Float(-2.0, 2.0)),
            EntryOption::new("seed", Domain::INT),
            EntryOption::new("stop", Domain::Texts),
            EntryOption::new("system", Domain::Text),
            EntryOption::new("voice", Domain::Filled),
            KEY,
            TIMEOUT,
        ])
        .ports(
            &[
                optional("messages", "messages"),
                optional("prompt", "text"),
                optional("system", "text"),
                EntryPort::new("images", "image", Whole).optional(),
                EntryPort::new("audio", "audio", Whole).optional(),
                optional("max_tokens", "int"),
                optional("temperature", "float"),
                optional("top_p", "float"),
                optional("seed", "int"),
            ],
            &[EntryPort::new("text", "text", Either), EntryPort::new("audio", "audio", Either)],
        )
};

/// Text to speech of an engine that is already served.
const SPEECH: Entry = Entry {
    form: EntryForm::Url("/audio/speech"),
    ..Entry::new("openai", "http://host:port/v1/audio/speech", "Asks a served model to read text aloud.")
        .options(&[
            MODEL,
            EntryOption::required("voice", Domain::Filled),
            EntryOption::new("instructions", Domain::Text),
            EntryOption::new("speed", Domain::Float(0.25, 4.0)),
            KEY,
            TIMEOUT,
        ])
        .ports(&[text("text"), optional("voice", "text")], &[EntryPort::new("audio", "audio", Either)])
};

/// Speech to text of an engine that is already served.
const TRANSCRIPTION: Entry = Entry {
    form: EntryForm::Url("/audio/transcriptions"),
    ..Entry::new("openai", "http://host:port/v1/audio/transcriptions", "Asks a served model what is said.")
        .options(&[
            MODEL,
            EntryOption::new("language", Domain::Filled),
            EntryOption::new("prompt", Domain::Text),
            EntryOption::new("temperature", Domain::Float(0.0, 1.0)),
            KEY,
            TIMEOUT,
        ])
        .ports(
            &[EntryPort::value("audio", "audio"), optional("prompt", "text")],
            &[EntryPort::new("text", "text", Either)],
        )
};

/// Pictures of an engine that is already served.
const IMAGE: Entry = Entry {
    form: EntryForm::Url("/images/generations"),
    ..Entry::new("openai", "http://host:port/v1/images/generations", "Asks a served model for a picture.")
        .options(&[
            MODEL,
            EntryOption::new("size", Domain::Filled),
            EntryOption::new("quality", Domain::Filled),
            KEY,
            TIMEOUT,
        ])
        .ports(&[text("prompt")], &[EntryPort::value("image", "image")])
};

/// Embeddings of an engine that is already served.
const EMBEDDING: Entry = Entry {
    form: EntryForm::Url("/embeddings"),
    ..Entry::new("openai", "http://host:port/v1/embeddings", "Asks a served model for a text's embedding.")
        .options(&[MODEL, EntryOption::new("dimensions", Domain::COUNT), KEY, TIMEOUT])
        .ports(&[text("text")], &[EntryPort::value("embedding", "tensor")])
};

/// A time of up to a day.
const MS: Domain = Domain::Float(0.0, 86_400_000.0);
/// How much longer a call takes for each other call in its batch, as a share of its own time.
const CROWD: EntryOption = EntryOption::new("crowd", Domain::Float(0.0, 1.0));
/// How far times vary around what is declared, as a share of it.
const JITTER: EntryOption = EntryOption::new("jitter", Domain::Float(0.0, 1.0));

/// Work that takes one time whatever it is given, such as an encoder's.
const SIM_CONSTANT: Entry = Entry {
    open: Open::PORTS,
    ..Entry::new(
        "sim",
        "constant",
        "Takes a declared time for each call, and a time for each item of its lists.",
    )
    .options(&[
        EntryOption::required("latency_ms", MS),
        EntryOption::new("per_item_ms", MS),
        CROWD,
        JITTER,
    ])
};

/// Work that begins with a wait and then emits items at a pace, such as a language model's.
const SIM_TOKENS: Entry = Entry {
    open: Open::PORTS,
    ..Entry::new("sim", "tokens", "Emits a declared number of items, the first after a time, then at a pace.")
        .options(&[
            EntryOption::required("latency_ms", MS),
            EntryOption::required("per_item_ms", MS),
            EntryOption::required("items", Domain::Int(0, 1_000_000)),
            CROWD,
            JITTER,
        ])
};

/// Work of a number of equal steps after which all is there at once, such as a denoiser's.
const SIM_STEPS: Entry = Entry {
    open: Open::PORTS,
    ..Entry::new("sim", "steps", "Takes a declared number of equal steps, then gives everything at once.")
        .options(&[
            EntryOption::required("steps", Domain::Int(1, 100_000)),
            EntryOption::required("per_step_ms", MS),
            EntryOption::new("latency_ms", MS),
            CROWD,
            JITTER,
        ])
};

#[cfg(test)]
mod tests {
    use super::ENTRIES;
    use crate::catalog::Catalog;

    #[test]
    fn every_example_is_an_entry_of_its_own() {
        let catalog = Catalog { entries: ENTRIES.to_vec() };
        for entry in ENTRIES {
            let example = entry.name.replace("host:port", "localhost:8000");
            let found = catalog.find(entry.executor, &example).map(|found| found.name);
            assert_eq!(found, Some(entry.name));
        }
        assert!(catalog.find("openai", "http://localhost:8000/v1/audio/speach").is_none());
    }

    #[test]
    fn names_are_given_once() {
        for entry in ENTRIES {
            let mut options: Vec<&str> = entry.options.iter().map(|option| option.name).collect();
            options.sort_unstable();
            options.dedup();
            assert_eq!(options.len(), entry.options.len(), "{}", entry.name);
        }
    }
}
