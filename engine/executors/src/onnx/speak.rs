//! `piper.speak`: reads text aloud, one clause at a step.
//!
//! Each item of the text is split into sentences, long sentences into clauses, and each becomes
//! one item of sound with a short silence after it. Text in which nothing can be said (symbols,
//! other scripts) gives no sound and is no error.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corn_core::executor::{CallInput, Io, Model, Step, Taken};
use corn_core::{Audio, Datum, Fault};
use corn_plan::Literal;

use super::english::{Clause, English};
use super::voice::{Manner, Voice};
use super::{given, runtime};

const SENTENCE_PAUSE_MS: u32 = 200;
const CLAUSE_PAUSE_MS: u32 = 60;

/// A voice that reads English.
pub struct Speaker {
    english: English,
    voice: Voice,
}

/// One text being read.
pub struct Reading {
    /// The text, where it came whole.
    whole: Option<Arc<str>>,
    streamed: bool,
    clauses: VecDeque<Clause>,
}

/// Loads `piper.speak`.
///
/// Weights: `voice` is a folder with a Piper voice (`NAME.onnx` and `NAME.onnx.json`, or the path
/// of the ONNX file), `lexicon` a folder with misaki's `us_gold.json` and `us_silver.json`.
/// Options: `speed` (0.5 to 3, 1 is the voice's own) and `noise` (0 to 1, how lively; the voice
/// says what it is otherwise). One clause is worked on by `cpus` threads. `library` is where the
/// ONNX Runtime library lies if `ORT_DYLIB_PATH` names none.
///
/// Licences differ by voice and are the user's to respect. `en_US-joe-medium` was trained on
/// recordings under CC0, but starting from the `lessac` voice, whose recordings are licensed for
/// research; misaki's dictionary is under Apache-2.0.
pub fn load(
    files: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    cpus: u32,
    library: Option<&Path>,
) -> Result<Speaker, Fault> {
    let voice = given::weights(files, "voice")?;
    let lexicon = given::weights(files, "lexicon")?;
    let manner = Manner {
        speed: given::float(options, "speed", 0.5..=3.0)?,
        noise: given::float(options, "noise", 0.0..=1.0)?,
    };
    let english = English::load(lexicon)?;
    let runtime = runtime::start(library)?;
    Ok(Speaker { english, voice: Voice::load(&runtime, voice, cpus, manner)? })
}

impl Model for Speaker {
    type Session = Reading;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Reading, Fault> {
        let (whole, streamed) = match inputs.first() {
            Some(CallInput::Stream) => (None, true),
            Some(CallInput::Value(Datum::Text(text))) => (Some(Arc::clone(text)), false),
            _ => return Err(Fault::request("speaking takes a text, and none was given")),
        };
        Ok(Reading { whole, streamed, clauses: VecDeque::new() })
    }

    fn step(&mut self, session: &mut Reading, io: &mut dyn Io) -> Result<Step, Fault> {
        if session.clauses.is_empty() {
            let text = match session.whole.take() {
                Some(text) => text,
                None if !session.streamed => return Ok(Step::Done),
                None => match io.take(0) {
                    Taken::Nothing => return Ok(Step::Wait),
                    Taken::Ended => return Ok(Step::Done),
                    Taken::Item(Datum::Text(text)) => text,
                    Taken::Item(other) => {
                        return Err(Fault::request(format!("speaking takes text, not {}", other.word())));
                    }
                },
            };
            if io.is_wanted(0) {
                session.clauses = self.english.clauses(&text).into();
            }
            return Ok(Step::More);
        }
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        if let Some(clause) = session.clauses.pop_front() {
            io.emit(0, Datum::Audio(Arc::new(self.say(&clause)?)));
        }
        Ok(Step::More)
    }

    /// The dictionary takes about twice its files' bytes once it is read.
    fn memory_bytes(&self) -> u64 {
        self.voice.bytes() + 2 * self.english.bytes()
    }
}

impl Speaker {
    /// What would be said for `text`, one string of espeak's symbols for each step.
    pub fn phonemes(&self, text: &str) -> Vec<String> {
        self.english.clauses(text).into_iter().map(|clause| clause.phonemes).collect()
    }

    fn say(&mut self, clause: &Clause) -> Result<Audio, Fault> {
        let rate_hz = self.voice.rate_hz();
        let mut samples = self.voice.speak(&clause.phonemes)?;
        let pause_ms = if clause.ends_sentence { SENTENCE_PAUSE_MS } else { CLAUSE_PAUSE_MS };
        samples.resize(samples.len() + (rate_hz * pause_ms / 1000) as usize, 0.0);
        Ok(Audio { rate_hz, samples: samples.into() })
    }
}
