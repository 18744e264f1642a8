//! Where outputs go: text and pictures to the terminal as they come, files whole or not at all.

pub(crate) mod file;
mod picture;
mod text;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use corn_core::{Blame, Datum, Fault, Tensor};
use corn_media::{Format, WavWriter, write_image, write_wav};
use corn_plan::{Form, Kind, Type};
use serde_json::{Value as Json, json};

use crate::commands::say;
use crate::failure::Failure;
use crate::request::way::Way;
use crate::request::{Binding, npy};
use file::Pending;
use text::{one, to_json, to_text};

/// The outputs of one request.
pub(crate) struct Outputs {
    route: String,
    sinks: Vec<Sink>,
    json: bool,
    /// Whether the last thing printed was text without a line end.
    in_line: bool,
}

struct Sink {
    name: String,
    ty: Type,
    target: Target,
    /// What is written or printed at the end.
    items: Vec<Datum>,
}

enum Target {
    /// Nobody asked for it; if it is made all the same, it is printed, or there is nowhere for it to go.
    Unasked,
    /// Standard output, as text, or as a picture where the terminal shows such.
    Terminal,
    /// A file, written when everything is there.
    Whole(Pending),
    /// A sound file that grows while the sound is made.
    Wav(Wav),
}

struct Wav {
    pending: Pending,
    writer: Option<WavWriter<BufWriter<File>>>,
    samples: u64,
    rate_hz: u32,
}

impl Outputs {
    /// Opens every file that `bindings` name, before any work is done.
    pub(crate) fn open(way: &Way, bindings: &[Binding], json: bool) -> Result<Self, Failure> {
        let mut bound: BTreeMap<&str, &str> = BTreeMap::new();
        for binding in bindings {
            if bound.insert(&binding.name, &binding.value).is_some() {
                return Err(Failure::Usage(format!("output '{}' is sent to two places", binding.name)));
            }
        }
        let mut sinks: Vec<Sink> = Vec::new();
        for output in &way.outputs {
            let (name, ty) = (output.name.clone(), output.ty.clone());
            let target = match bound.get(name.as_str()) {
                None if !output.is_certain => Target::Unasked,
                None | Some(&"-") => terminal(&way.route, &name, &ty.kind, json)?,
                Some(path) => open(&name, path, &ty)?,
            };
            let same = sinks.iter().find(|other| match (other.target.pending(), target.pending()) {
                (Some(one), Some(other)) => one.is_same(other),
                _ => false,
            });
            if let Some(other) = same {
                let other = &other.name;
                return Err(Failure::Usage(format!("outputs '{other}' and '{name}' are sent to one file")));
            }
            sinks.push(Sink { name, ty, target, items: Vec::new() });
        }
        Ok(Self { route: way.route.clone(), sinks, json, in_line: false })
    }

    /// Takes an item of output number `output`.
    pub(crate) fn item(&mut self, output: usize, datum: Datum) -> Result<(), Failure> {
        let sink = &mut self.sinks[output];
        if matches!(sink.target, Target::Unasked) {
            sink.target = terminal(&self.route, &sink.name, &sink.ty.kind, self.json)?;
        }
        let several = self.several();
        let sink = &mut self.sinks[output];
        match (&mut sink.target, &datum) {
            (Target::Terminal, Datum::Text(text)) if !self.json && !several => {
                self.in_line = !text.ends_with('\n');
                show(text)
            }
            (Target::Terminal, Datum::Image(image)) if !self.json => {
                let shown = picture::shown(image).map_err(|problem| cannot_write(&sink.name, &problem))?;
                if several {
                    show(&format!("{}:\n", sink.name))?;
                }
                show(&shown)
            }
            (Target::Terminal, datum) if !self.json && !matches!(datum, Datum::Text(_)) => {
                let label = if several { format!("{}: ", sink.name) } else { String::new() };
                show(&format!("{label}{}\n", one(datum)))
            }
            (Target::Wav(wav), Datum::Audio(audio)) => {
                wav.append(audio).map_err(|problem| cannot_write(&sink.name, &problem))
            }
            _ => {
                sink.items.push(datum);
                Ok(())
            }
        }
    }

    /// The request has succeeded: everything takes its place. Returns what `--json` prints.
    pub(crate) fn finish(self) -> Result<Json, Failure> {
        let several = self.several();
        let Self { sinks, json, in_line, .. } = self;
        if in_line && std::io::stdout().is_terminal() {
            show("\n")?;
        }
        let mut report = serde_json::Map::new();
        for sink in sinks {
            let Sink { name, ty, target, items } = sink;
            let form = ty.form;
            let problem = |problem: String| cannot_write(&name, &problem);
            let value = match target {
                Target::Unasked => continue,
                Target::Terminal if json => to_json(&items, form),
                Target::Terminal if items.is_empty() => Json::Null,
                Target::Terminal => {
                    let label = if several { format!("{name}: ") } else { String::new() };
                    show(&format!("{label}{}\n", to_text(&items, form)))?;
                    Json::Null
                }
                Target::Whole(mut pending) => {
                    let bytes = encode(&items, form, pending.path()).map_err(problem)?;
                    pending.file.write_all(&bytes).map_err(|error| problem(error.to_string()))?;
                    let path = pending.keep().map_err(problem)?;
                    if !json {
                        say(&format!("{name}: {}", path.display()));
                    }
                    json!({ "file": path, "bytes": bytes.len() })
                }
                Target::Wav(wav) => {
                    let (samples, rate_hz) = (wav.samples, wav.rate_hz);
                    let path = wav.finish().map_err(problem)?;
                    let seconds = samples as f64 / f64::from(rate_hz.max(1));
                    if !json {
                        say(&format!("{name}: {seconds:.1} s of sound in {}", path.display()));
                    }
                    json!({ "file": path, "seconds": seconds, "rate_hz": rate_hz })
                }
            };
            report.insert(name, value);
        }
        Ok(Json::Object(report))
    }

    /// Whether more than one output is printed, so that each line says whose it is.
    fn several(&self) -> bool {
        self.sinks.iter().filter(|sink| matches!(sink.target, Target::Terminal)).count() > 1
    }
}

impl Target {
    const fn pending(&self) -> Option<&Pending> {
        match self {
            Self::Unasked | Self::Terminal => None,
            Self::Whole(pending) | Self::Wav(Wav { pending, .. }) => Some(pending),
        }
    }
}

impl Wav {
    fn append(&mut self, audio: &corn_core::Audio) -> Result<(), String> {
        if self.writer.is_none() {
            let file = self.pending.file.try_clone().map_err(|error| error.to_string())?;
            let writer = WavWriter::new(BufWriter::new(file), audio.rate_hz);
            self.writer = Some(writer.map_err(|error| error.to_string())?);
            self.rate_hz = audio.rate_hz;
        }
        if self.rate_hz != audio.rate_hz {
            return Err(format!("its rate changes from {} Hz to {} Hz", self.rate_hz, audio.rate_hz));
        }
        self.samples += audio.samples.len() as u64;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write(&audio.samples).map_err(|error| error.to_string())
    }

    fn finish(mut self) -> Result<std::path::PathBuf, String> {
        if let Some(writer) = self.writer.take() {
            writer.finish().map_err(|error| error.to_string())?;
        } else {
            let silence = corn_core::Audio { rate_hz: 16_000, samples: Vec::new().into() };
            let bytes = write_wav(&silence).map_err(|error| error.to_string())?;
            self.pending.file.write_all(&bytes).map_err(|error| error.to_string())?;
        }
        self.pending.keep()
    }
}

fn cannot_write(name: &str, problem: &str) -> Failure {
    Failure::setup(format!("output '{name}' cannot be written: {problem}"))
}

/// Standard output for an output of `kind`, if it can be shown there.
fn terminal(route: &str, name: &str, kind: &Kind, json: bool) -> Result<Target, Failure> {
    match kind {
        Kind::Image { .. } if !json && picture::can_be_shown() => Ok(Target::Terminal),
        Kind::Audio { .. } | Kind::Image { .. } => Err(needs_a_file(route, name, kind)),
        _ => Ok(Target::Terminal),
    }
}

fn needs_a_file(route: &str, name: &str, kind: &Kind) -> Failure {
    let (word, extension) = match kind {
        Kind::Audio { .. } => ("sound", "wav"),
        _ => ("a picture", "png"),
    };
    Failure::Usage(format!(
        "route '{route}' makes output '{name}', which is {word}; say where it goes: --out {name}=FILE.{extension}"
    ))
}

/// The file that an output of type `ty` is written to, if its name says a format that can hold it.
fn open(name: &str, path: &str, ty: &Type) -> Result<Target, Failure> {
    let accepted: &[&str] = match ty.kind {
        Kind::Audio { .. } => &["wav"],
        Kind::Image { .. } => &["png", "jpg", "jpeg", "webp"],
        Kind::Tensor { .. } => &["npy", "json"],
        _ => &[],
    };
    let extension = extension(Path::new(path));
    let is_device = Path::new(path).exists() && !Path::new(path).is_file();
    if !accepted.is_empty() && !accepted.contains(&extension.as_str()) && !is_device {
        let (word, accepted) = (ty.kind.word(), accepted.join(", ."));
        return Err(Failure::Usage(format!(
            "output '{name}' is {word}; it is written as .{accepted}, but the file is '{path}'"
        )));
    }
    let is_one = match ty.kind {
        Kind::Image { .. } => ty.form == Form::Value,
        Kind::Audio { .. } => !matches!(ty.form, Form::List { .. }),
        _ => true,
    };
    if !is_one {
        return Err(Failure::Usage(format!(
            "output '{name}' is '{ty}', which one .{extension} file cannot hold"
        )));
    }
    let pending = Pending::create(path).map_err(|problem| {
        Failure::setup(format!("output '{name}': '{path}' cannot be written: {problem}"))
    })?;
    Ok(match ty.kind {
        Kind::Audio { .. } => Target::Wav(Wav { pending, writer: None, samples: 0, rate_hz: 0 }),
        _ => Target::Whole(pending),
    })
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase()
}

/// The bytes of the file at `path` for what an output gave.
fn encode(items: &[Datum], form: Form, path: &Path) -> Result<Vec<u8>, String> {
    match (items, extension(path).as_str()) {
        ([Datum::Image(image)], extension) => {
            let format = match extension {
                "jpg" | "jpeg" => Format::Jpeg { quality: 92 },
                "webp" => Format::WebpLossless,
                _ => Format::Png,
            };
            write_image(image, format).map_err(|error| error.to_string())
        }
        ([Datum::Tensor(tensor)], "npy") if form == Form::Value => Ok(npy::write(tensor)),
        ([Datum::List(items)], "npy") => stack(items).map(|tensor| npy::write(&tensor)),
        (items, "npy") => stack(items).map(|tensor| npy::write(&tensor)),
        ([Datum::Text(text)], extension) if extension != "json" => Ok(text.as_bytes().to_vec()),
        (items, _) => Ok(to_text(items, form).into_bytes()),
    }
}

/// Tensors of one shape as one, on a new outermost dimension.
fn stack(items: &[Datum]) -> Result<Tensor, String> {
    let tensors: Option<Vec<&Tensor>> = items
        .iter()
        .map(|item| if let Datum::Tensor(tensor) = item { Some(&**tensor) } else { None })
        .collect();
    let tensors = tensors.ok_or("they are no tensors")?;
    let Some(first) = tensors.first() else {
        return Err("there are no tensors to stack; write it as .json".to_owned());
    };
    if let Some(other) =
        tensors.iter().find(|tensor| (tensor.dtype, &tensor.shape) != (first.dtype, &first.shape))
    {
        return Err(format!("{first:?} and {other:?} do not stack in one .npy; write them as .json"));
    }
    let mut shape = vec![tensors.len() as u64];
    shape.extend(&first.shape);
    Ok(Tensor {
        dtype: first.dtype,
        shape,
        bytes: tensors.iter().flat_map(|tensor| tensor.bytes.clone()).collect(),
    })
}

/// Prints to standard output at once; a reader that has gone away ends the command.
fn show(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => {
            Failure::Fault(Fault::new(Blame::Cancelled, "nobody reads standard output any more"))
        }
        _ => Failure::setup(format!("standard output cannot be written: {error}")),
    })
}
