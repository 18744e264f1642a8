//! One call of the language model: its prompt, its memory, and its answer so far.

use std::ops::Range;

use corn_core::executor::{Call, CallId, CallInput};
use corn_core::{Datum, Fault};

use super::Reader;
use super::sampler::{Choice, Sampler};
use super::writer::{Writer, Written};
use crate::candle::attention::Memory;
use crate::candle::options::Options;

/// What holds where a request does not say otherwise.
pub(super) struct Defaults {
    max_tokens: i64,
    choice: Choice,
    system: Option<String>,
    stops: Vec<String>,
}

impl Defaults {
    pub(super) fn read(options: &Options<'_>) -> Result<Self, Fault> {
        let penalty = options.float("repetition_penalty", 1.0, 1.0..=2.0)?;
        let choice = Choice {
            temperature: options.float("temperature", 0.0, 0.0..=10.0)?,
            top_p: options.float("top_p", 1.0, f64::MIN_POSITIVE..=1.0)?,
            seed: options.int("seed", 0, i64::MIN..=i64::MAX)?.cast_unsigned(),
            repetition_penalty: Some(penalty as f32).filter(|penalty| *penalty > 1.0),
        };
        Ok(Self {
            max_tokens: options.int("max_tokens", 256, 1..=i64::from(u32::MAX))?,
            choice,
            system: options.text("system")?.map(str::to_owned),
            stops: options.texts("stop")?.to_vec(),
        })
    }
}

/// A call that is being worked on.
pub(super) struct Conversation {
    pub(super) call: CallId,
    /// Items that may still be emitted.
    pub(super) room: u32,
    memory: Memory,
    /// Prompt and answer; the memory holds the first ones.
    tokens: Vec<u32>,
    sampler: Sampler,
    writer: Writer,
    /// Tokens that the answer may still have.
    left: usize,
}

/// What a conversation gives to the next pass.
pub(super) struct Next<'a> {
    pub(super) tokens: &'a [u32],
    pub(super) memory: &'a mut Memory,
    /// Whether these are the last known tokens, which the answer goes on from.
    pub(super) is_last: bool,
}

/// What a new token has come to.
pub(super) struct Answered {
    /// Text to send; may be empty.
    pub(super) text: String,
    /// Whether that was the last.
    pub(super) ended: bool,
}

impl Conversation {
    /// Reads a call's inputs: prompt, system, `max_tokens`, temperature, `top_p`, seed.
    pub(super) fn open(call: &Call, room: u32, reader: &Reader, memory: Memory) -> Result<Self, Fault> {
        let input = |port: usize| match call.inputs.get(port) {
            Some(CallInput::Value(datum)) => Some(datum),
            _ => None,
        };
        let defaults = &reader.defaults;
        let choice = Choice {
            temperature: number(input(3), "temperature")?.unwrap_or(defaults.choice.temperature),
            top_p: number(input(4), "top_p")?.unwrap_or(defaults.choice.top_p),
            seed: int(input(5), "seed")?.map_or(defaults.choice.seed, i64::cast_unsigned),
            ..defaults.choice
        };
        choice.check()?;
        let max_tokens = int(input(2), "max_tokens")?.unwrap_or(defaults.max_tokens);
        if max_tokens < 1 {
            return Err(Fault::request(format!("max_tokens is {max_tokens}; it must be at least 1")));
        }
        let prompt = text(input(0), "prompt")?.unwrap_or_default();
        let system = text(input(1), "system")?.or(defaults.system.as_deref());
        let tokens = tokens(prompt, system, reader)?;
        let left = (max_tokens as usize).min(reader.context - tokens.len());
        Ok(Self {
            call: call.id,
            room,
            memory,
            tokens,
            sampler: Sampler::new(choice),
            writer: Writer::new(&defaults.stops),
            left,
        })
    }

    /// Whether the prompt is not yet read.
    pub(super) fn is_reading(&self) -> bool {
        self.memory.tokens() == 0 || self.unread().len() > 1
    }

    /// Whether the next tokens can be read now: what may write needs room for an item.
    pub(super) fn is_ready(&self, chunk: usize) -> bool {
        self.room > 0 || self.unread().len() > chunk
    }

    /// The next tokens to read, at most `chunk`.
    pub(super) fn next(&mut self, chunk: usize) -> Next<'_> {
        let unread = self.unread();
        let range = unread.start..unread.end.min(unread.start + chunk);
        Next { is_last: range.end == unread.end, tokens: &self.tokens[range], memory: &mut self.memory }
    }

    /// Writes the next token of the answer.
    pub(super) fn write(&mut self, logits: Vec<f32>, reader: &Reader) -> Answered {
        let token = self.sampler.sample(logits, &self.tokens);
        if reader.vocabulary.is_end(token) {
            return Answered { text: self.writer.finish(), ended: true };
        }
        let Written { mut text, stopped } = self.writer.push(reader.vocabulary.bytes(token));
        self.tokens.push(token);
        self.left -= 1;
        if self.left == 0 && !stopped {
            text.push_str(&self.writer.finish());
        }
        Answered { text, ended: stopped || self.left == 0 }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    fn unread(&self) -> Range<usize> {
        self.memory.tokens()..self.tokens.len()
    }
}

/// The tokens of a prompt in the model's own words, with room for an answer.
fn tokens(prompt: &str, system: Option<&str>, reader: &Reader) -> Result<Vec<u32>, Fault> {
    if prompt.trim().is_empty() {
        return Err(Fault::request("the prompt is empty; give the model something to answer"));
    }
    let disarmed = reader.vocabulary.disarm(prompt);
    let system = system.map(|system| reader.vocabulary.disarm(system));
    let tokens = reader.vocabulary.encode(&reader.template.render(system.as_deref(), &disarmed)?)?;
    let context = reader.context;
    if tokens.len() >= context {
        let count = tokens.len();
        return Err(Fault::request(format!(
            "the prompt has {count} tokens and the model reads and writes at most {context}; \
             shorten it, or raise option 'context' of the component"
        )));
    }
    Ok(tokens)
}

fn text<'a>(datum: Option<&'a Datum>, port: &str) -> Result<Option<&'a str>, Fault> {
    match datum {
        None => Ok(None),
        Some(Datum::Text(text)) => Ok(Some(text)),
        Some(other) => Err(mistyped(port, "a text", other)),
    }
}

fn int(datum: Option<&Datum>, port: &str) -> Result<Option<i64>, Fault> {
    match datum {
        None => Ok(None),
        Some(Datum::Int(value)) => Ok(Some(*value)),
        Some(other) => Err(mistyped(port, "an integer", other)),
    }
}

fn number(datum: Option<&Datum>, port: &str) -> Result<Option<f64>, Fault> {
    match datum {
        Some(Datum::Float(value)) => Ok(Some(*value)),
        other => Ok(int(other, port)?.map(|value| value as f64)),
    }
}

fn mistyped(port: &str, expected: &str, found: &Datum) -> Fault {
    Fault::request(format!("input '{port}' must be {expected}, not {}", found.word()))
}
