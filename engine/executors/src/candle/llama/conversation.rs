//! One call of the language model: its prompt, its memory, and its answer so far.

use std::ops::Range;

use corn_core::executor::{Call, CallId, CallInput, Usage};
use corn_core::{Datum, Fault, Part, Role};

use super::Reader;
use super::grammar::Grammar;
use super::kept::Kept;
use super::placed::Memory;
use super::sampler::{Choice, Sampler};
use super::writer::{Writer, Written};
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
    /// What the answer has to be, where that is said.
    grammar: Option<Grammar>,
    writer: Writer,
    /// Tokens that the answer may still have.
    left: usize,
    /// Tokens of the prompt.
    prompt: usize,
    /// It has ended because it had as many tokens as it may.
    is_cut: bool,
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
    /// Reads a call's inputs: prompt, system, `max_tokens`, temperature, `top_p`, seed, messages, schema. It has no memory yet.
    pub(super) fn open(call: &Call, room: u32, reader: &Reader) -> Result<Self, Fault> {
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
        let mut said = match (input(0), input(6)) {
            (Some(_), Some(_)) => return Err(Fault::request("give 'prompt' or 'messages', not both")),
            (None, Some(Datum::Messages(conversation))) => turns(conversation)?,
            (None, Some(other)) => return Err(mistyped("messages", "a conversation", other)),
            (prompt, None) => vec![(Role::User, text(prompt, "prompt")?.unwrap_or_default().to_owned())],
        };
        let system = text(input(1), "system")?.or(defaults.system.as_deref());
        // What the conversation says of who the model is to be comes before what the component does.
        if let Some(system) = system.filter(|_| said.iter().all(|(role, _)| *role != Role::System)) {
            said.insert(0, (Role::System, system.to_owned()));
        }
        let schema = text(input(7), "schema")?.filter(|schema| !schema.is_empty());
        let grammar = schema.map(|schema| reader.grammars.grammar(schema)).transpose()?;
        // What is cut before a word would not be as its schema says.
        let stops = if grammar.is_some() { &[] } else { defaults.stops.as_slice() };
        let tokens = tokens(&said, reader)?;
        let left = (max_tokens as usize).min(reader.context - tokens.len());
        let prompt = tokens.len();
        Ok(Self {
            call: call.id,
            room,
            memory: Memory::default(),
            tokens,
            sampler: Sampler::new(choice),
            grammar,
            writer: Writer::new(stops),
            left,
            prompt,
            is_cut: false,
        })
    }

    /// Goes on from `memory`, which holds the first of its tokens, though not all.
    pub(super) fn remember(&mut self, memory: Memory) {
        debug_assert!(memory.tokens() < self.tokens.len(), "the last token gives the answer's first");
        self.memory = memory;
    }

    /// Prompt and answer.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Tokens that it may come to.
    pub(super) fn most_tokens(&self) -> usize {
        self.tokens.len() + self.left
    }

    /// What of the prompt there is, and is known: to be asked before any of it is read.
    pub(super) fn brought(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt as u64,
            cached_tokens: self.memory.tokens() as u64,
            ..Usage::default()
        }
    }

    /// What has been made.
    pub(super) fn made(&self) -> Usage {
        let completion_tokens = (self.tokens.len() - self.prompt) as u64;
        Usage { completion_tokens, is_cut: self.is_cut, ..Usage::default() }
    }

    /// Gives up what it remembers until it goes on from a memory again.
    pub(super) fn park(&mut self) -> Kept {
        let memory = std::mem::take(&mut self.memory);
        Kept { tokens: self.tokens[..memory.tokens()].to_vec(), memory }
    }

    /// It is over; what it remembers.
    pub(super) fn leave(mut self) -> Kept {
        self.tokens.truncate(self.memory.tokens());
        Kept { tokens: self.tokens, memory: self.memory }
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
    pub(super) fn write(&mut self, logits: &mut [f32], reader: &Reader) -> Result<Answered, Fault> {
        if let Some(grammar) = &mut self.grammar {
            grammar.constrain(logits)?;
        }
        let token = self.sampler.sample(logits, &self.tokens);
        if reader.vocabulary.is_end(token) {
            return Ok(Answered { text: self.writer.finish(), ended: true });
        }
        let is_complete = match &mut self.grammar {
            Some(grammar) => grammar.push(token)?,
            None => false,
        };
        let Written { mut text, stopped } = self.writer.push(reader.vocabulary.bytes(token));
        self.tokens.push(token);
        self.left -= 1;
        self.is_cut = self.left == 0 && !stopped && !is_complete;
        if self.is_cut {
            text.push_str(&self.writer.finish());
        }
        Ok(Answered { text, ended: stopped || is_complete || self.left == 0 })
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    fn unread(&self) -> Range<usize> {
        self.memory.tokens()..self.tokens.len()
    }
}

/// What is said in a conversation of texts.
fn turns(conversation: &corn_core::Conversation) -> Result<Vec<(Role, String)>, Fault> {
    let said = conversation.messages.iter().map(|message| {
        let parts = message.parts.iter().map(|part| match part {
            Part::Text(text) => Ok(&**text),
            Part::Media(kind) => {
                let kind = kind.name();
                Err(Fault::request(format!(
                    "the conversation has {kind} in it, and the model reads texts only"
                )))
            }
        });
        Ok((message.role, parts.collect::<Result<Vec<&str>, Fault>>()?.join("\n\n")))
    });
    said.collect()
}

/// The tokens of what is said in the model's own words, with room for an answer.
fn tokens(said: &[(Role, String)], reader: &Reader) -> Result<Vec<u32>, Fault> {
    let is_said = |(role, text): &(Role, String)| *role == Role::User && !text.trim().is_empty();
    if !said.iter().any(is_said) {
        return Err(Fault::request("the prompt is empty; give the model something to answer"));
    }
    let said: Vec<(Role, String)> =
        said.iter().map(|(role, text)| (*role, reader.vocabulary.disarm(text))).collect();
    let tokens = reader.vocabulary.encode(&reader.template.render(&said)?)?;
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
