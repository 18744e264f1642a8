//! Where outputs go: text to the terminal as it comes, files written whole or not at all.
//!
//! A file is written under another name beside its place and renamed when the request has
//! succeeded, so that a failure, a full disk or Ctrl-C leaves no half answer behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use corn_core::{Datum, Tensor};
use corn_media::{Format, WavWriter, write_image};
use corn_plan::{Kind, Recording};
use serde_json::{Value as Json, json};

use crate::failure::Failure;
use crate::request::{Binding, npy};

/// The outputs of one request.
pub(crate) struct Outputs {
    sinks: Vec<Sink>,
    json: bool,
    /// Whether the last thing printed was text without a line end.
    in_line: bool,
}

struct Sink {
    name: String,
    target: Target,
    /// What came, for `--json` and for outputs that are written at their end.
    items: Vec<Datum>,
    is_list: bool,
}

enum Target {
    /// Standard output, as text.
    Terminal,
    /// A text file.
    Text(Temporary<BufWriter<File>>),
    /// A sound file that grows while the sound is made.
    Wav {
        file: Option<Temporary<File>>,
        writer: Option<WavWriter<BufWriter<File>>>,
        samples: u64,
        rate_hz: u32,
    },
    /// A picture or tensor, written when it is there.
    Whole(Temporary<File>),
}

impl Outputs {
    /// Opens every file that `bindings` name, before any work is done.
    pub(crate) fn open(recording: &Recording, bindings: &[Binding], json: bool) -> Result<Self, Failure> {
        let mut bound: BTreeMap<&str, &str> = BTreeMap::new();
        for binding in bindings {
            if bound.insert(&binding.name, &binding.value).is_some() {
                return Err(Failure::Usage(format!("output '{}' is sent to two places", binding.name)));
            }
        }
        let mut sinks = Vec::new();
        for output in &recording.outputs {
            let ty = &recording.values[output.value].ty;
            let name = output.name.clone();
            let target = match (bound.get(name.as_str()), &ty.kind) {
                (None | Some(&"-"), Kind::Audio { .. } | Kind::Image { .. }) => {
                    let (word, extension) = if matches!(ty.kind, Kind::Audio { .. }) {
                        ("sound", "wav")
                    } else {
                        ("a picture", "png")
                    };
                    return Err(Failure::Usage(format!(
                        "route '{}' makes output '{name}', which is {word}; say where it goes: --out {name}=FILE.{extension}",
                        recording.route
                    )));
                }
                (None | Some(&"-"), _) => Target::Terminal,
                (Some(path), kind) => open(&name, path, kind)?,
            };
            let is_list = matches!(ty.form, corn_plan::Form::List { .. });
            sinks.push(Sink { name, target, items: Vec::new(), is_list });
        }
        Ok(Self { sinks, json, in_line: false })
    }

    /// Takes an item of output number `output`.
    pub(crate) fn item(&mut self, output: usize, datum: Datum) -> Result<(), Failure> {
        let several = self.sinks.iter().filter(|sink| matches!(sink.target, Target::Terminal)).count() > 1;
        let sink = &mut self.sinks[output];
        let failed =
            |problem: String| Failure::setup(format!("output '{}' cannot be written: {problem}", sink.name));
        match (&mut sink.target, &datum) {
            (Target::Terminal, Datum::Text(text)) if !self.json && !several => {
                self.in_line = !text.ends_with('\n');
                return show(text);
            }
            (Target::Terminal, datum) if !self.json && !matches!(datum, Datum::Text(_)) => {
                let label = if several { format!("{}: ", sink.name) } else { String::new() };
                return show(&format!("{label}{}\n", one(datum)));
            }
            (Target::Text(file), Datum::Text(text)) => {
                file.writer.write_all(text.as_bytes()).map_err(|error| failed(error.to_string()))?;
                if self.json {
                    sink.items.push(datum);
                }
            }
            (Target::Wav { file, writer, samples, rate_hz }, Datum::Audio(audio)) => {
                let writer = match writer {
                    Some(_) if *rate_hz != audio.rate_hz => {
                        return Err(failed(format!(
                            "its rate changes from {rate_hz} Hz to {} Hz",
                            audio.rate_hz
                        )));
                    }
                    Some(writer) => writer,
                    None => {
                        *rate_hz = audio.rate_hz;
                        let opened = file.as_ref().ok_or_else(|| failed("it is closed".to_owned()))?;
                        let handle = opened.writer.try_clone().map_err(|error| failed(error.to_string()))?;
                        let created = WavWriter::new(BufWriter::new(handle), audio.rate_hz);
                        writer.insert(created.map_err(|error| failed(error.to_string()))?)
                    }
                };
                writer.write(&audio.samples).map_err(|error| failed(error.to_string()))?;
                *samples += audio.samples.len() as u64;
            }
            _ => sink.items.push(datum),
        }
        Ok(())
    }

    /// The request has succeeded: everything takes its place. Returns what `--json` prints.
    pub(crate) fn finish(self) -> Result<Json, Failure> {
        let Self { sinks, json, in_line } = self;
        let say = |line: &str| {
            if !json {
                eprintln!("{line}");
            }
        };
        let mut report = serde_json::Map::new();
        let several = sinks.iter().filter(|sink| matches!(sink.target, Target::Terminal)).count() > 1;
        if in_line && std::io::stdout().is_terminal() {
            show("\n")?;
        }
        for sink in sinks {
            let Sink { name, target, items, is_list } = sink;
            let failed =
                |problem: String| Failure::setup(format!("output '{name}' cannot be written: {problem}"));
            let value = match target {
                Target::Terminal if json => to_json(&items, is_list),
                Target::Terminal => {
                    if !items.is_empty() {
                        let label = if several { format!("{name}: ") } else { String::new() };
                        show(&format!("{label}{}\n", to_text(&items, is_list)))?;
                    }
                    Json::Null
                }
                Target::Text(file) => {
                    let path = file.keep(Write::flush).map_err(|error| failed(error.to_string()))?;
                    json!({ "file": path, "text": to_json(&items, is_list) })
                }
                Target::Wav { file, writer, samples, rate_hz } => {
                    let file = file.ok_or_else(|| failed("it is closed".to_owned()))?;
                    let writer = match writer {
                        Some(writer) => Ok(writer),
                        None => file.writer.try_clone().map_err(|error| failed(error.to_string())).and_then(
                            |handle| {
                                WavWriter::new(BufWriter::new(handle), 16_000)
                                    .map_err(|error| failed(error.to_string()))
                            },
                        ),
                    };
                    writer?.finish().map_err(|error| failed(error.to_string()))?;
                    let path = file.keep(Write::flush).map_err(|error| failed(error.to_string()))?;
                    let seconds = samples as f64 / f64::from(rate_hz.max(1));
                    say(&format!("{name}: {seconds:.1} s of sound in {}", path.display()));
                    json!({ "file": path, "seconds": seconds, "rate_hz": rate_hz })
                }
                Target::Whole(mut file) => {
                    let Some(datum) = items.first() else { continue };
                    let bytes = encode(datum, &file.path).map_err(&failed)?;
                    file.writer.write_all(&bytes).map_err(|error| failed(error.to_string()))?;
                    let path = file.keep(Write::flush).map_err(|error| failed(error.to_string()))?;
                    say(&format!("{name}: {}", path.display()));
                    json!({ "file": path, "bytes": bytes.len() })
                }
            };
            report.insert(name, value);
        }
        Ok(Json::Object(report))
    }
}

/// A file under another name until it is kept; dropped, it is gone.
struct Temporary<W> {
    writer: W,
    path: PathBuf,
    unnamed: Option<tempfile::TempPath>,
}

impl Temporary<File> {
    fn create(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        if path.is_dir() {
            return Err("it is a folder".to_owned());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(format!("there is no folder '{}'", folder.display()));
        }
        let created = tempfile::Builder::new().prefix(".corn-").suffix(".part").tempfile_in(folder);
        // Without the temporary file's own name, which says nothing to anyone.
        let plain = |error: std::io::Error| match error.get_ref().and_then(std::error::Error::source) {
            Some(source) => source.to_string(),
            None => error.to_string(),
        };
        let (writer, temporary) = created.map_err(plain)?.into_parts();
        Ok(Self { writer, path, unnamed: Some(temporary) })
    }

    fn buffered(self) -> Temporary<BufWriter<File>> {
        Temporary { writer: BufWriter::new(self.writer), path: self.path, unnamed: self.unnamed }
    }
}

impl<W> Temporary<W> {
    /// Gives the file its name.
    fn keep(mut self, flush: impl FnOnce(&mut W) -> std::io::Result<()>) -> std::io::Result<PathBuf> {
        flush(&mut self.writer)?;
        if let Some(temporary) = self.unnamed.take() {
            make_readable(&temporary);
            temporary.persist(&self.path).map_err(|error| error.error)?;
        }
        Ok(self.path)
    }
}

/// Temporary files are private; an answer is an ordinary file.
fn make_readable(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // If it fails, the file is still its owner's to read.
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644));
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn open(name: &str, path: &str, kind: &Kind) -> Result<Target, Failure> {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let extension = extension.to_lowercase();
    let accepted: &[&str] = match kind {
        Kind::Audio { .. } => &["wav"],
        Kind::Image { .. } => &["png", "jpg", "jpeg", "webp"],
        Kind::Tensor { .. } => &["npy", "json"],
        _ => &[],
    };
    if !accepted.is_empty() && !accepted.contains(&extension.as_str()) {
        let (word, accepted) = (kind.word(), accepted.join(", ."));
        return Err(Failure::Usage(format!(
            "output '{name}' is {word}; it is written as .{accepted}, but the file is '{path}'"
        )));
    }
    let file = Temporary::create(path).map_err(|problem| {
        Failure::setup(format!("output '{name}': '{path}' cannot be written: {problem}"))
    })?;
    Ok(match kind {
        Kind::Audio { .. } => Target::Wav { file: Some(file), writer: None, samples: 0, rate_hz: 0 },
        Kind::Image { .. } | Kind::Tensor { .. } => Target::Whole(file),
        _ => Target::Text(file.buffered()),
    })
}

fn encode(datum: &Datum, path: &Path) -> Result<Vec<u8>, String> {
    let extension =
        path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    match (datum, extension.as_str()) {
        (Datum::Image(image), extension) => {
            let format = match extension {
                "jpg" | "jpeg" => Format::Jpeg { quality: 92 },
                "webp" => Format::WebpLossless,
                _ => Format::Png,
            };
            write_image(image, format).map_err(|error| error.to_string())
        }
        (Datum::Tensor(tensor), "npy") => Ok(npy::write(tensor)),
        (datum, _) => Ok(format!("{}\n", one(datum)).into_bytes()),
    }
}

/// Prints to standard output at once; a reader that has gone away ends the command.
fn show(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Fault(corn_core::Fault::new(
            corn_core::Blame::Cancelled,
            "nobody reads standard output any more",
        )),
        _ => Failure::setup(format!("standard output cannot be written: {error}")),
    })
}

fn to_json(items: &[Datum], is_list: bool) -> Json {
    let is_text = items.iter().all(|item| matches!(item, Datum::Text(_)));
    match items {
        _ if is_text && !is_list => {
            json!(
                items
                    .iter()
                    .map(|item| if let Datum::Text(text) = item { text } else { "" })
                    .collect::<String>()
            )
        }
        [only] => one(only),
        items => Json::Array(items.iter().map(one).collect()),
    }
}

fn to_text(items: &[Datum], is_list: bool) -> String {
    match to_json(items, is_list) {
        Json::String(text) => text,
        json => json.to_string(),
    }
}

fn one(datum: &Datum) -> Json {
    match datum {
        Datum::Text(text) => json!(**text),
        Datum::Int(value) => json!(value),
        Datum::Float(value) => json!(value),
        Datum::Bool(value) => json!(value),
        Datum::List(items) => Json::Array(items.iter().map(one).collect()),
        Datum::Tensor(tensor) => tensor_json(tensor),
        Datum::Image(image) => json!({ "width": image.width, "height": image.height }),
        Datum::Audio(audio) => json!({ "rate_hz": audio.rate_hz, "samples": audio.samples.len() }),
    }
}

/// f32 tensors as their numbers, flat; others as what they are.
fn tensor_json(tensor: &Tensor) -> Json {
    match tensor.to_f32s() {
        Some(values) => json!(values),
        None => json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape }),
    }
}
