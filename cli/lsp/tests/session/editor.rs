//! An editor at the other end of a connection, with a folder of files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use corn_compiler::Target;
use corn_lsp::Settings;
use corn_plan::catalog::{Catalog, Domain, Entry, EntryOption, EntryPort};
use lsp_server::{Connection, Message, Notification, Request, RequestId, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

/// No answer takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

const LIBRARY: &[(&str, &str)] = &[("reference", include_str!("../../../../stdlib/reference.corn"))];

pub(crate) struct Editor {
    connection: Option<Connection>,
    server: Option<JoinHandle<bool>>,
    folder: TempDir,
    texts: BTreeMap<String, String>,
    next_id: i32,
    /// Notifications that nobody has looked at.
    notified: Vec<Notification>,
}

impl Editor {
    /// An editor that has said hello.
    pub(crate) fn new() -> Self {
        let mut editor = Self::silent();
        editor.initialize(
            &json!({ "textDocument": { "completion": { "completionItem": { "snippetSupport": true } } } }),
        );
        editor
    }

    pub(crate) fn initialize(&mut self, capabilities: &Value) -> Value {
        let folder = json!({ "uri": format!("file://{}", self.root().display()), "name": "test" });
        let params = json!({ "processId": null, "rootUri": null, "capabilities": capabilities, "workspaceFolders": [folder] });
        let answer = self.ask("initialize", params);
        self.tell("initialized", json!({}));
        answer
    }

    /// An editor that has said nothing yet.
    pub(crate) fn silent() -> Self {
        let folder = TempDir::new().unwrap();
        let settings = Settings {
            catalog: Catalog { entries: ENTRIES.to_vec() },
            target: Target { workers: 2, cpus: 4, memory_bytes: 16 << 30, inflight: 1, ..Target::default() },
            library: LIBRARY,
            library_folder: folder.path().join("library"),
        };
        fs::create_dir(folder.path().join("work")).unwrap();
        let (ours, theirs) = Connection::memory();
        let server = std::thread::spawn(move || corn_lsp::serve(settings, &theirs));
        Self {
            connection: Some(ours),
            server: Some(server),
            folder,
            texts: BTreeMap::new(),
            next_id: 0,
            notified: Vec::new(),
        }
    }

    /// The folder that the editor shows.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("work")
    }

    pub(crate) fn uri(&self, name: &str) -> String {
        format!("file://{}/{name}", self.root().display())
    }

    /// Puts a file on disk without opening it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.root().join(name), text).unwrap();
    }

    /// Opens a text; `|` in it is where the cursor is, and is taken out.
    pub(crate) fn open(&mut self, name: &str, text: &str) -> At {
        let (text, at) = cursor(name, text);
        let document = json!({ "uri": self.uri(name), "languageId": "corn", "version": 1, "text": text });
        self.texts.insert(name.to_owned(), text);
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
        at
    }

    /// Replaces the whole text.
    pub(crate) fn change(&mut self, name: &str, text: &str) -> At {
        let (text, at) = cursor(name, text);
        self.change_by(name, &json!([{ "text": text }]));
        self.texts.insert(name.to_owned(), text);
        at
    }

    pub(crate) fn change_by(&mut self, name: &str, changes: &Value) {
        let document = json!({ "uri": self.uri(name), "version": 2 });
        self.tell("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    }

    pub(crate) fn close(&mut self, name: &str) {
        self.tell("textDocument/didClose", json!({ "textDocument": { "uri": self.uri(name) } }));
    }

    pub(crate) fn tell(&mut self, method: &str, params: Value) {
        self.send(Notification::new(method.to_owned(), params).into());
    }

    pub(crate) fn send(&mut self, message: Message) {
        self.connection.as_ref().unwrap().sender.send(message).unwrap();
    }

    /// Sends a request and returns its number.
    pub(crate) fn begin(&mut self, method: &str, params: Value) -> i32 {
        self.next_id += 1;
        self.send(Request::new(self.next_id.into(), method.to_owned(), params).into());
        self.next_id
    }

    /// Waits for the answer of a request.
    pub(crate) fn answer(&mut self, id: i32) -> Response {
        loop {
            match self.connection.as_ref().unwrap().receiver.recv_timeout(PATIENCE).unwrap() {
                Message::Response(response) if response.id == RequestId::from(id) => return response,
                Message::Notification(notification) => self.notified.push(notification),
                other => panic!("not waited for: {other:?}"),
            }
        }
    }

    /// What the server asks.
    pub(crate) fn asked(&mut self) -> Request {
        loop {
            match self.connection.as_ref().unwrap().receiver.recv_timeout(PATIENCE).unwrap() {
                Message::Request(request) => return request,
                Message::Notification(notification) => self.notified.push(notification),
                Message::Response(other) => panic!("not waited for: {other:?}"),
            }
        }
    }

    /// What a request is answered.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id).response_result.unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// Why a request is refused.
    pub(crate) fn refused(&mut self, method: &str, params: Value) -> (i32, String) {
        let id = self.begin(method, params);
        let error = self.answer(id).response_result.expect_err("it is refused");
        (error.code, error.message)
    }

    /// What a request about a position is answered.
    pub(crate) fn ask_at(&mut self, method: &str, at: &At) -> Value {
        let params = self.params(at);
        self.ask(method, params)
    }

    pub(crate) fn params(&self, at: &At) -> Value {
        json!({
            "textDocument": { "uri": self.uri(&at.name) },
            "position": { "line": at.line, "character": at.character },
            "context": { "includeDeclaration": true, "triggerKind": 1 },
        })
    }

    /// The next diagnostics that are published for a file.
    pub(crate) fn published(&mut self, name: &str) -> Value {
        let uri = self.uri(name);
        loop {
            let is_it = |it: &Notification| {
                it.method == "textDocument/publishDiagnostics" && it.params["uri"] == uri.as_str()
            };
            if let Some(position) = self.notified.iter().position(is_it) {
                return self.notified.remove(position).params["diagnostics"].clone();
            }
            match self.connection.as_ref().unwrap().receiver.recv_timeout(PATIENCE).unwrap() {
                Message::Notification(notification) => self.notified.push(notification),
                other => panic!("not waited for: {other:?}"),
            }
        }
    }

    /// `name:line:column text` for locations; lines and columns from 1.
    pub(crate) fn places(&self, locations: &Value) -> Vec<String> {
        let all = match locations {
            Value::Array(all) => all.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let mut places: Vec<String> = all.iter().map(|location| self.place(location)).collect();
        places.sort();
        places
    }

    fn place(&self, location: &Value) -> String {
        let path = location["uri"].as_str().unwrap().strip_prefix("file://").unwrap();
        let name = path.rsplit('/').next().unwrap();
        let text = self.texts.get(name).cloned().unwrap_or_else(|| fs::read_to_string(path).unwrap());
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let (start, end) = (&location["range"]["start"], &location["range"]["end"]);
        let (line, from, to) =
            (number(&start["line"]), number(&start["character"]), number(&end["character"]));
        let written = text.lines().nth(line).unwrap_or_default().get(from..to).unwrap_or_default();
        format!("{name}:{}:{} {written}", line + 1, from + 1)
    }

    /// The texts after `changes` of a workspace edit.
    pub(crate) fn edited(&self, edit: &Value) -> String {
        let changes = edit["changes"].as_object().expect("there are changes");
        let mut out = String::new();
        let mut names: Vec<&String> = changes.keys().collect();
        names.sort();
        for uri in names {
            let path = uri.strip_prefix("file://").unwrap();
            let name = path.rsplit('/').next().unwrap();
            let text = self.texts.get(name).cloned().unwrap_or_else(|| fs::read_to_string(path).unwrap());
            let mut edited = text.clone();
            let offset = |at: &Value| {
                let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
                let lines = text.split_inclusive('\n').take(number(&at["line"]));
                lines.map(str::len).sum::<usize>() + number(&at["character"])
            };
            let mut edits = changes[uri].as_array().unwrap().clone();
            edits.sort_by_key(|it| offset(&it["range"]["start"]));
            for edit in edits.iter().rev() {
                let range = offset(&edit["range"]["start"])..offset(&edit["range"]["end"]);
                edited.replace_range(range, edit["newText"].as_str().unwrap());
            }
            let _ = writeln!(out, "--- {name}\n{}", edited.trim_end());
        }
        out
    }

    /// Says goodbye; whether the server ended as it should.
    pub(crate) fn end(mut self) -> bool {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        self.server.take().unwrap().join().unwrap()
    }

    /// Waits for the server to end; whether it was shut down.
    pub(crate) fn ended(mut self) -> bool {
        self.server.take().unwrap().join().unwrap()
    }

    /// Goes away without a word.
    pub(crate) fn vanish(mut self) -> bool {
        self.connection = None;
        self.server.take().unwrap().join().unwrap()
    }
}

/// A position in a file.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) character: usize,
}

fn cursor(name: &str, text: &str) -> (String, At) {
    let offset = text.find('|').unwrap_or(0);
    let before = &text[..offset];
    let line = before.matches('\n').count();
    let character = before.rsplit('\n').next().unwrap_or_default().encode_utf16().count();
    (text.replacen('|', "", 1), At { name: name.to_owned(), line, character })
}

const fn value(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::value(name, modality)
}

const fn stream(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::stream(name, modality)
}

const fn entry(name: &'static str, inputs: &'static [EntryPort], outputs: &'static [EntryPort]) -> Entry {
    Entry::new("reference", name, "").ports(inputs, outputs)
}

const ENTRIES: &[Entry] = &[
    entry("text.upper", &[value("text", "text")], &[value("text", "text")]),
    entry("text.words", &[value("text", "text")], &[stream("words", "text")]),
    entry("text.shout", &[stream("text", "text")], &[stream("text", "text")]),
    entry("text.count", &[value("text", "text")], &[value("count", "int")]),
    entry("text.embed", &[value("text", "text")], &[value("embedding", "tensor")]),
    entry("tone.speak", &[stream("text", "text")], &[stream("voice", "audio")]),
    entry("image.mean", &[value("image", "image")], &[value("colour", "tensor")]),
    entry("image.invert", &[value("image", "image")], &[value("image", "image")]),
    entry("video.times", &[value("video", "video")], &[value("times", "text")]),
    entry("stream.ticks", &[value("count", "int")], &[stream("ticks", "tensor")]),
    entry("stream.sum", &[stream("windows", "tensor")], &[stream("sums", "tensor")]),
    Entry::new("candle", "llama.chat", "A small language model.")
        .ports(&[value("prompt", "text")], &[stream("text", "text"), stream("hidden", "tensor")])
        .weights(&["weights"])
        .options(&[
            EntryOption::new("max_tokens", Domain::COUNT),
            EntryOption::new("style", Domain::Words(&["plain", "florid"])),
        ]),
];

/// A model with two outputs, for tests.
pub(crate) const THINKER: &str = r#"
/// Thinks aloud.
component Thinker(weights: weights, max_tokens: int = 20, style: enum("plain", "florid") = "plain") {
    in  prompt: text max 4KiB
    out text: stream<text>
    out hidden: stream<tensor<f32>[8]>
    run candle "llama.chat"
    needs cpu 2, memory 1.5GiB
    batch 4
}

let think = Thinker(hf("acme/small"), max_tokens: 5)
"#;
