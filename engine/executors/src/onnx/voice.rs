//! A Piper voice: an ONNX file, and beside it a JSON file that says which symbol has which
//! number, at which rate it speaks and how lively.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use corn_core::Fault;
use ort::environment::Environment;
use ort::value::TensorElementType::{Float32, Int64};
use serde::Deserialize;

use super::english::symbols::ALPHABET;
use super::given;
use super::graph::{Graph, Port, f32s, i64s};

const INPUTS: [Port; 3] = [
    Port { name: "input", element: Int64, shape: &[None, None] },
    Port { name: "input_lengths", element: Int64, shape: &[None] },
    Port { name: "scales", element: Float32, shape: &[Some(3)] },
];
const OUTPUT: Port = Port { name: "output", element: Float32, shape: &[None, None, None, None] };

/// Symbols that frame and separate the others.
const START: char = '^';
const END: char = '$';
const PAD: char = '_';
/// What a clause holds besides the alphabet.
const MARKS: &str = " ,.?!;:";

#[derive(Deserialize)]
struct Config {
    audio: AudioConfig,
    #[serde(default)]
    espeak: EspeakConfig,
    inference: Inference,
    phoneme_id_map: HashMap<String, Vec<i64>>,
}

#[derive(Deserialize)]
struct AudioConfig {
    sample_rate: u32,
}

#[derive(Default, Deserialize)]
struct EspeakConfig {
    #[serde(default)]
    voice: String,
}

#[derive(Clone, Copy, Deserialize)]
struct Inference {
    noise_scale: f32,
    length_scale: f32,
    noise_w: f32,
}

/// How a voice is asked to speak.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// 1 is the voice's own speed, 2 is twice as fast.
    pub(super) speed: Option<f64>,
    /// How much its sound varies; 0 always sounds the same.
    pub(super) noise: Option<f64>,
}

/// A loaded voice.
pub(super) struct Voice {
    graph: Graph,
    numbers: HashMap<char, Vec<i64>>,
    scales: Vec<f32>,
    rate_hz: u32,
}

impl Voice {
    /// Loads the voice at `path`, an ONNX file or a folder with one, on `threads` threads.
    pub(super) fn load(
        runtime: &Environment,
        path: &Path,
        threads: u32,
        manner: Manner,
    ) -> Result<Self, Fault> {
        let model = model_file(path)?;
        let (config, numbers) = config(&config_file(&model))?;
        let graph = Graph::load(runtime, &model, threads, &INPUTS, &OUTPUT)?;
        let Inference { noise_scale, length_scale, noise_w } = config.inference;
        // The voice's two kinds of noise (sound and rhythm) rise and fall together.
        let noise = manner.noise.map_or(1.0, |noise| noise as f32 / noise_scale.max(f32::EPSILON));
        let length = length_scale / manner.speed.unwrap_or(1.0) as f32;
        let scales = vec![noise_scale * noise, length, noise_w * noise];
        Ok(Self { graph, numbers, scales, rate_hz: config.audio.sample_rate })
    }

    /// Samples a second.
    pub(super) const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Size of the model's file.
    pub(super) const fn bytes(&self) -> u64 {
        self.graph.bytes()
    }

    /// The samples of `phonemes`, in −1..1.
    pub(super) fn speak(&mut self, phonemes: &str) -> Result<Vec<f32>, Fault> {
        let ids = ids(&self.numbers, phonemes);
        let length = ids.len();
        let inputs = vec![
            ("input", i64s(vec![1, length], ids)?),
            ("input_lengths", i64s(vec![1], vec![length as i64])?),
            ("scales", f32s(vec![3], self.scales.clone())?),
        ];
        let (_, mut samples) = self.graph.run(inputs, "output")?;
        for sample in &mut samples {
            *sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        }
        Ok(samples)
    }
}

/// Start, each symbol, end, with a pad between any two. Symbols without a number are left out.
fn ids(numbers: &HashMap<char, Vec<i64>>, phonemes: &str) -> Vec<i64> {
    let of = |symbol: char| numbers.get(&symbol).map_or(&[][..], Vec::as_slice);
    let mut ids = of(START).to_vec();
    for symbol in phonemes.chars().filter(|symbol| numbers.contains_key(symbol)) {
        ids.extend_from_slice(of(PAD));
        ids.extend_from_slice(of(symbol));
    }
    ids.extend_from_slice(of(PAD));
    ids.extend_from_slice(of(END));
    ids
}

fn model_file(path: &Path) -> Result<PathBuf, Fault> {
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    let files = std::fs::read_dir(path)
        .map_err(|error| Fault::setup(format!("cannot read the folder {}: {error}", path.display())))?;
    let mut models: Vec<PathBuf> = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|ending| ending == "onnx"))
        .collect();
    models.sort();
    match models.as_slice() {
        [model] => Ok(model.clone()),
        [] => Err(Fault::setup(format!(
            "{} holds no Piper voice (a file NAME.onnx with NAME.onnx.json beside it); fetch it again",
            path.display()
        ))),
        _ => Err(Fault::setup(format!(
            "{} holds {} ONNX files; name the one that is the voice",
            path.display(),
            models.len()
        ))),
    }
}

fn config_file(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

fn config(file: &Path) -> Result<(Config, HashMap<char, Vec<i64>>), Fault> {
    let wrong = |why: &str| {
        Fault::setup(format!("{} describes no English Piper voice: {why}; fetch it again", file.display()))
    };
    let config: Config =
        serde_json::from_slice(&given::read(file)?).map_err(|error| wrong(&error.to_string()))?;
    let numbers: HashMap<char, Vec<i64>> = config
        .phoneme_id_map
        .iter()
        .filter_map(|(symbol, ids)| {
            let mut symbols = symbol.chars();
            symbols.next().filter(|_| symbols.next().is_none()).map(|symbol| (symbol, ids.clone()))
        })
        .collect();
    let needed = [START, END, PAD].into_iter().chain(MARKS.chars()).chain(ALPHABET.chars());
    let missing: String = needed.filter(|symbol| !numbers.contains_key(symbol)).collect();
    if !missing.is_empty() {
        return Err(wrong(&format!("its phoneme_id_map lacks the symbols '{missing}'")));
    }
    if !config.espeak.voice.is_empty() && !config.espeak.voice.starts_with("en") {
        return Err(wrong(&format!("it speaks '{}'", config.espeak.voice)));
    }
    let Inference { noise_scale, length_scale, noise_w } = config.inference;
    let sane = (0.0..=2.0).contains(&noise_scale)
        && (0.1..=10.0).contains(&length_scale)
        && (0.0..=2.0).contains(&noise_w)
        && (8_000..=48_000).contains(&config.audio.sample_rate);
    if !sane {
        return Err(wrong("its sample rate or scales are out of range"));
    }
    Ok((config, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("v.onnx.json");
        std::fs::write(&file, json).unwrap();
        (folder, file)
    }

    fn map(symbols: &str) -> String {
        let entries: Vec<String> = symbols
            .chars()
            .enumerate()
            .map(|(id, symbol)| format!("{}: [{id}]", serde_json::to_string(&symbol).unwrap()))
            .collect();
        format!("{{{}}}", entries.join(", "))
    }

    fn voice_json(language: &str, symbols: &str) -> String {
        format!(
            r#"{{"audio": {{"sample_rate": 22050}}, "espeak": {{"voice": "{language}"}},
                "inference": {{"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8}},
                "phoneme_id_map": {}}}"#,
            map(symbols)
        )
    }

    #[test]
    fn a_voice_that_cannot_be_used_says_why() {
        let all = format!("^$_{MARKS}{ALPHABET}");
        let fault = |json: &str| {
            let (folder, file) = written(json);
            let message = config(&file).map(|_| ()).unwrap_err().message;
            message.replace(&folder.path().display().to_string(), "…")
        };
        let (_folder, file) = written(&voice_json("en-us", &all));
        assert_eq!(config(&file).unwrap().1.len(), all.chars().count());
        let messages = [
            fault("{"),
            fault(
                r#"{"audio": {"sample_rate": 22050}, "inference": {"noise_scale": 1, "length_scale": 1, "noise_w": 1}}"#,
            ),
            fault(&voice_json("en-us", "^$_ abc")),
            fault(&voice_json("de", &all)),
            fault(&voice_json("en", &all).replace("22050", "1")),
        ];
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn symbols_are_framed_and_padded() {
        let numbers: HashMap<char, Vec<i64>> =
            [('^', vec![1]), ('$', vec![2]), ('_', vec![0]), ('a', vec![14]), ('b', vec![15])].into();
        assert_eq!(ids(&numbers, "ab?a"), [1, 0, 14, 0, 15, 0, 14, 0, 2]);
        assert_eq!(ids(&numbers, ""), [1, 0, 2]);
    }

    #[test]
    fn a_folder_must_hold_one_voice() {
        let folder = tempfile::tempdir().unwrap();
        assert!(model_file(folder.path()).unwrap_err().message.contains("holds no Piper voice"));
        std::fs::write(folder.path().join("a.onnx"), b"").unwrap();
        assert_eq!(model_file(folder.path()).unwrap(), folder.path().join("a.onnx"));
        std::fs::write(folder.path().join("b.onnx"), b"").unwrap();
        assert!(model_file(folder.path()).unwrap_err().message.contains("holds 2 ONNX files"));
    }
}
