//! `whisper.transcribe`: what is said in a recording, as text.
//!
//! Whisper hears 30 s at a time. A longer recording is cut in pauses; one step of a call hears one
//! window or writes one token of it. The likeliest token is always taken. Where that ends in a
//! loop, as Whisper sometimes does, the window is heard again in two halves. What cannot be heard
//! is not shown to the network at all, for it would make something up.

mod language;
mod mel;
mod network;
mod transcript;
mod windows;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corn_core::executor::{CallInput, Io, Model, Progress, Step};
use corn_core::{Audio, Datum, Fault};
use corn_plan::Literal;
use serde::Deserialize;
use tokenizers::Tokenizer;

use self::language::Marks;
use self::mel::{Mel, RATE_HZ};
use self::network::{Listened, Network};
use self::transcript::{Transcript, likelihood};
use super::files::{self, Tensors, Working};
use super::options::Options;
use super::threads::Threads;

/// The entry's name.
pub(super) const NAME: &str = "whisper.transcribe";

/// Longest recording taken.
const MAX_SECONDS: usize = 4 * 60 * 60;
/// A window shorter than this is not halved again.
const SHORTEST: usize = 4 * RATE_HZ as usize;

/// The sizes of a network, as `config.json` says them.
#[derive(Clone, Copy, Deserialize)]
struct Sizes {
    #[serde(rename = "num_mel_bins")]
    bands: usize,
    #[serde(rename = "d_model")]
    width: usize,
    encoder_layers: usize,
    #[serde(rename = "encoder_attention_heads")]
    encoder_heads: usize,
    decoder_layers: usize,
    #[serde(rename = "decoder_attention_heads")]
    decoder_heads: usize,
}

/// Transcribes recordings.
pub(super) struct Whisper {
    network: Network,
    mel: Mel,
    marks: Marks,
    tokenizer: Tokenizer,
    threads: Threads,
    bytes: u64,
}

/// One recording on its way.
pub(super) struct Listening {
    sound: Arc<Audio>,
    /// Where the sound that is not yet cut begins.
    uncut: usize,
    /// Windows to hear next.
    windows: VecDeque<Range<usize>>,
    writing: Option<Box<Writing>>,
    /// Said by the request, or chosen at the first window.
    language: Option<u32>,
    text: String,
}

/// One window on its way.
struct Writing {
    window: Range<usize>,
    listened: Listened,
    transcript: Transcript,
    /// The logits of the next token.
    logits: Vec<f32>,
}

/// Loads the folder `weights` with `model.safetensors`, `tokenizer.json` and `config.json`.
pub(super) fn load(
    paths: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    cpus: u32,
    progress: &dyn Progress,
) -> Result<Whisper, Fault> {
    let options = Options::new(NAME, options);
    let folder = files::required(paths, NAME, "weights")?;
    let config_path = files::member(folder, "config.json");
    let mut config = files::read_json(&config_path)?;
    let sizes = read_sizes(&config, &config_path)?;
    add_generation(&mut config, &files::member(folder, "generation_config.json"))?;
    let tokenizer_path = files::member(folder, "tokenizer.json");
    let tokenizer = files::read_tokenizer(&tokenizer_path)?;
    let mut tensors = Tensors::read(&files::member(folder, "model.safetensors"), progress)?;
    let bytes = tensors.bytes();
    let network = Network::take(&mut tensors, sizes)?;
    let marks =
        Marks::read(&tokenizer, &tokenizer_path, network.vocabulary(), &config, options.text("language")?)?;
    let (mel, threads) = (Mel::new(sizes.bands), Threads::start(cpus)?);
    Ok(Whisper { network, mel, marks, tokenizer, threads, bytes })
}

/// Newer folders keep the tokens that must not be written in a file of their own.
fn add_generation(config: &mut serde_json::Value, path: &Path) -> Result<(), Fault> {
    if !path.is_file() {
        return Ok(());
    }
    if let (Some(config), serde_json::Value::Object(more)) = (config.as_object_mut(), files::read_json(path)?)
    {
        for (key, value) in more {
            config.entry(key).or_insert(value);
        }
    }
    Ok(())
}

fn read_sizes(config: &serde_json::Value, path: &Path) -> Result<Sizes, Fault> {
    let wrong = |why: &dyn std::fmt::Display| {
        files::unusable(path, format_args!("it is not the configuration of a Whisper model ({why})"))
    };
    let sizes = Sizes::deserialize(config).map_err(|error| wrong(&error))?;
    let Sizes { bands, width, encoder_layers, encoder_heads, decoder_layers, decoder_heads } = sizes;
    let fits = |heads: usize| heads > 0 && width.is_multiple_of(heads);
    let is_small = [bands, encoder_layers, decoder_layers].iter().all(|count| (1..=512).contains(count));
    if width == 0 || !fits(encoder_heads) || !fits(decoder_heads) || !is_small {
        return Err(wrong(&"its sizes do not fit together"));
    }
    Ok(sizes)
}

impl Model for Whisper {
    type Session = Listening;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Listening, Fault> {
        let Some(CallInput::Value(Datum::Audio(sound))) = inputs.first() else {
            return Err(Fault::request("input 'speech' must be a recording"));
        };
        if sound.rate_hz != RATE_HZ {
            let rate = sound.rate_hz;
            return Err(Fault::request(format!(
                "the recording has {rate} samples a second instead of {RATE_HZ}"
            )));
        }
        if !sound.samples.iter().all(|sample| sample.is_finite()) {
            return Err(Fault::request("the recording has samples that are not numbers"));
        }
        if sound.samples.len() > MAX_SECONDS * RATE_HZ as usize {
            let minutes = sound.duration_ms() / 60_000;
            return Err(Fault::request(format!(
                "the recording lasts {minutes} minutes; at most {} are transcribed at once",
                MAX_SECONDS / 60
            )));
        }
        let language = match inputs.get(1) {
            Some(CallInput::Value(Datum::Text(code))) => self.marks.language(&self.tokenizer, code)?,
            Some(CallInput::Value(_)) => return Err(Fault::request("input 'language' must be a text")),
            _ => None,
        };
        let (windows, text) = (VecDeque::new(), String::new());
        Ok(Listening { sound: Arc::clone(sound), uncut: 0, windows, writing: None, language, text })
    }

    fn step(&mut self, listening: &mut Listening, io: &mut dyn Io) -> Result<Step, Fault> {
        if let Some(writing) = listening.writing.take() {
            self.write(listening, writing)?;
            return Ok(Step::More);
        }
        if let Some(window) = listening.next_window() {
            if !windows::is_silent(&listening.sound.samples[window.clone()]) {
                let writing =
                    self.threads.run(|| self.hear(listening, window)).while_doing("hearing speech")?;
                listening.writing = Some(Box::new(writing));
            }
            return Ok(Step::More);
        }
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        io.emit(0, Datum::text(std::mem::take(&mut listening.text)));
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        self.bytes
    }
}

impl Listening {
    fn next_window(&mut self) -> Option<Range<usize>> {
        if let Some(window) = self.windows.pop_front() {
            return Some(window);
        }
        let window = windows::next_window(&self.sound.samples, self.uncut);
        self.uncut = window.end;
        (!window.is_empty()).then_some(window)
    }
}

impl Whisper {
    /// Hears a window and opens its transcript.
    fn hear(&self, listening: &mut Listening, window: Range<usize>) -> candle_core::Result<Writing> {
        let bands = self.mel.bands(&listening.sound.samples[window.clone()]);
        let mut listened = self.network.listen(&bands)?;
        let marks = &self.marks;
        let logits = self.network.logits(&self.network.read(&mut listened, marks.start)?)?;
        let no_speech = marks.no_speech.map_or(0.0, |token| likelihood(&logits, token));
        if listening.language.is_none() {
            let logit = |token: &u32| logits[*token as usize];
            listening.language = marks.languages.iter().copied().max_by(|a, b| logit(a).total_cmp(&logit(b)));
        }
        let mut logits = logits;
        for token in listening.language.iter().chain(&marks.opening) {
            let row = self.network.read(&mut listened, *token)?;
            if Some(token) == marks.opening.last() {
                logits = self.network.logits(&row)?;
            }
        }
        Ok(Writing { window, listened, transcript: Transcript::new(no_speech), logits })
    }

    /// Writes the next token of a window.
    fn write(&self, listening: &mut Listening, mut writing: Box<Writing>) -> Result<(), Fault> {
        let transcript = &mut writing.transcript;
        self.marks.suppress(&mut writing.logits, transcript.tokens.is_empty());
        let token = transcript.choose(&writing.logits);
        if let Some(left) = transcript.looping() {
            if writing.window.len() >= 2 * SHORTEST {
                for half in windows::halves(&listening.sound.samples, &writing.window).into_iter().rev() {
                    listening.windows.push_front(half);
                }
                return Ok(());
            }
            transcript.tokens.truncate(left);
            return self.finish(listening, &writing);
        }
        // Half of the tokens are for text, as OpenAI has it; nobody says more in 30 s.
        if token == self.marks.end || transcript.tokens.len() >= self.network.most_tokens() / 2 {
            return self.finish(listening, &writing);
        }
        let Writing { listened, logits, .. } = &mut *writing;
        *logits = self
            .threads
            .run(|| self.network.logits(&self.network.read(listened, token)?))
            .while_doing("writing a transcript")?;
        listening.writing = Some(writing);
        Ok(())
    }

    /// Adds a window's transcript to the text.
    fn finish(&self, listening: &mut Listening, writing: &Writing) -> Result<(), Fault> {
        if writing.transcript.is_guess() {
            return Ok(());
        }
        let text = self
            .tokenizer
            .decode(&writing.transcript.tokens, true)
            .map_err(|error| Fault::component(format!("a transcript cannot be put into letters: {error}")))?;
        if !listening.text.is_empty() && !text.trim().is_empty() {
            listening.text.push(' ');
        }
        listening.text.push_str(text.trim());
        Ok(())
    }
}
